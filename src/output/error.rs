use std::io;
use std::path::{Path, PathBuf};

/// Why output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("cannot write '{path}': {error}; choose another place")]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("{refused}; '{path}' is new already{}", kept_at(.kept.as_deref()))]
    NotPutBack {
        refused: Box<Self>,
        path: PathBuf,
        /// Where the former content of `path` was left, if it held any.
        kept: Option<PathBuf>,
    },
    #[error("'{0}' is a file and no folder: choose another place")]
    NotAFolder(PathBuf),
    #[error("cannot write '{0}': a folder of that name is in the way")]
    IsFolder(PathBuf),
    #[error("'{0}' is no regular file, and nothing is put in its place: choose another name")]
    NotAFile(PathBuf),
    #[error("'{path}' holds the scan of another model, '{model}'")]
    OfAnother { path: PathBuf, model: String },
    #[error("'{0}' holds a scan, and no manifest that was written with it tells of which model")]
    Unowned(PathBuf),
    #[error("'{0}' is there already and is no such file as laser-scan writes")]
    Foreign(PathBuf),
    #[error("'{0}' is part of the model that is scanned: choose another name")]
    PartOfModel(PathBuf),
    #[error("'{0}' is named for two outputs: give each its own name")]
    Same(PathBuf),
}

impl OutputError {
    /// Whether writing would replace a file that the user may want to keep.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::OfAnother { .. } | Self::Unowned(_) | Self::Foreign(_))
    }
}

fn kept_at(kept: Option<&Path>) -> String {
    kept.map(|kept| format!(", and what it held before is in '{}'", kept.display())).unwrap_or_default()
}
