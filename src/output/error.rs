//! Why output cannot be written.

use std::io;
use std::path::{Path, PathBuf};

/// Why output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refuses.
    #[error("cannot write '{path}': {error}; choose another place")]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file is refused its place, and one that had taken its own before cannot be taken back.
    #[error("{refused}; '{path}' is new already{}", kept_at(.kept.as_deref()))]
    NotPutBack {
        /// What was refused.
        refused: Box<Self>,
        /// The file that is new.
        path: PathBuf,
        /// Where that is which it held before, if it held anything.
        kept: Option<PathBuf>,
    },
    /// A folder is in the way.
    #[error("cannot write '{0}': a folder of that name is in the way")]
    IsFolder(PathBuf),
    /// A device or a pipe has that name, which a file would replace.
    #[error("'{0}' is no regular file, and nothing is put in its place: choose another name")]
    NotAFile(PathBuf),
    /// The results of another model have that name.
    #[error("'{path}' holds the scan of another model, '{model}'")]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// The model, as its scan's manifest tells it.
        model: String,
    },
    /// Results have that name of which it is not known whose they are.
    #[error("'{0}' holds a scan, and no manifest that was written with it tells of which model")]
    Unowned(PathBuf),
    /// Something else than what is to be written has that name.
    #[error("'{0}' is there already and is no such file as laser-scan writes")]
    Foreign(PathBuf),
    /// A file of the model has that name.
    #[error("'{0}' is part of the model that is scanned: choose another name")]
    PartOfModel(PathBuf),
    /// Two outputs have the same name.
    #[error("'{0}' is named for two outputs: give each its own name")]
    Same(PathBuf),
}

impl OutputError {
    /// Whether a file is in the way that would be lost, so that the user is to decide.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::OfAnother { .. } | Self::Unowned(_) | Self::Foreign(_))
    }
}

/// Where that is which could not be put back, in words.
fn kept_at(kept: Option<&Path>) -> String {
    kept.map(|kept| format!(", and what it held before is in '{}'", kept.display())).unwrap_or_default()
}
