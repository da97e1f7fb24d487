//! Where a scan's results are, and the manifest beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::read::{ReadError, Results, read};
use super::{Entry, Surroundings};

/// The end of a manifest's name.
const MANIFEST: &str = "_run.json";

/// Why a scan's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("cannot read '{path}': {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It is no scan.
    #[error("'{path}': {error}")]
    NoScan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ReadError,
    },
}

/// What is read of a manifest.
#[derive(Deserialize)]
struct Manifest {
    surroundings: Surroundings,
    outputs: Outputs,
    measured: usize,
}

/// The names of the files that were written together.
#[derive(Deserialize)]
struct Outputs {
    full: String,
}

/// Reads a scan's file of all numbers.
///
/// # Errors
///
/// Fails if it cannot be read, or is no scan.
pub fn open(path: &Path) -> Result<Results, OpenError> {
    let bytes = fs::read(path).map_err(|error| OpenError::Unreadable { path: path.to_owned(), error })?;
    read(&bytes).map_err(|error| OpenError::NoScan { path: path.to_owned(), error })
}

/// What the manifest in the same folder tells of the model, if there is one that was written with this file of `entries`.
pub fn surroundings(path: &Path, entries: &[Entry]) -> Option<Surroundings> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let usual = folder.join(format!("{}{MANIFEST}", name.strip_suffix(".json").unwrap_or(name)));
    let is_manifest = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(MANIFEST));
    let mut others: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(is_manifest).collect();
    others.sort();
    let of_scan = |path: PathBuf| {
        let manifest: Manifest = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (manifest.outputs.full == name && manifest.measured == entries.len()).then_some(manifest.surroundings)
    };
    std::iter::once(usual).chain(others).find_map(of_scan)
}
