//! Where a scan's results are, and the manifest beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Surroundings;
use super::read::{Results, read};
use super::read_error::ReadError;
use crate::output::sha256;

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

/// Why a scan's manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("the scan's manifest is missing: there is no '{0}'")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("the scan's manifest cannot be read: '{path}': {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written with another file.
    #[error("the manifest '{0}' was not written with this scan, or the scan was changed since")]
    OfAnother(PathBuf),
}

/// What is read of a manifest.
#[derive(Deserialize)]
struct Manifest {
    surroundings: Surroundings,
    outputs: Outputs,
}

/// What tells which file a manifest was written with.
#[derive(Deserialize)]
struct Outputs {
    full_sha256: String,
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

/// What the `manifest` that was written with a scan's file at `path` tells of the model.
///
/// # Errors
///
/// Fails if there is none, or if it is another's.
pub fn surroundings(path: &Path, manifest: &Path) -> Result<Surroundings, ManifestError> {
    let unreadable = |reason: String| ManifestError::Unreadable { path: manifest.to_owned(), reason };
    let bytes = fs::read(manifest).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ManifestError::Missing(manifest.to_owned()),
        _ => unreadable(error.to_string()),
    })?;
    let Manifest { surroundings, outputs } =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let is_own = fs::read(path).is_ok_and(|scan| sha256(&scan) == outputs.full_sha256);
    if is_own { Ok(surroundings) } else { Err(ManifestError::OfAnother(manifest.to_owned())) }
}
