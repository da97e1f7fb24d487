//! Why a file cannot be read as a scan.

use std::io;
use std::path::PathBuf;

/// Why a scan's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read '{path}': {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("'{path}': {error}")]
    NoScan { path: PathBuf, error: ReadError },
}

/// Why a file cannot be read as a scan. The messages follow the file's name.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it is a folder: give the file of all numbers in it, such as laser_scan_<model>.json")]
    Folder,
    #[error("it holds no module: give the file of all numbers, such as laser_scan_<model>.json")]
    Empty,
    #[error("it is not valid JSON ({0}): it may be cut short or damaged; copy it again, or scan again")]
    Json(#[from] serde_json::Error),
    #[error("it is {0}, no scan: give the file of all numbers, such as laser_scan_<model>.json")]
    NoObject(&'static str),
    #[error("it has only the names of the best: give the file of all numbers, such as laser_scan_<model>.json")]
    TopOnly,
    #[error(
        "it is the manifest of a run of laser-scan: give the file of all numbers beside it, which has the same name without '_run'"
    )]
    Manifest,
    #[error("it is the index of a model's shards, no scan: scan the model, and give laser_scan_<model>.json")]
    Index,
    #[error("it is a model's configuration, no scan: scan the model, and give laser_scan_<model>.json")]
    Config,
    #[error(
        "it is JSON, but no scan of laser-scan, Spectrum or laserRMT: give the file of all numbers, such as laser_scan_<model>.json"
    )]
    NoScan,
    #[error("it has '{0}' twice, and nothing says which one counts: remove one of them, or scan again")]
    Twice(String),
    #[error("its record of '{name}' has '{key}' twice, and nothing says which one counts: remove one of them")]
    KeyTwice { name: String, key: String },
    #[error("its record of '{0}' has no 'snr': give the file as it was written, or scan again")]
    NoRatio(String),
    #[error("the 'snr' of '{name}' is {snr}, but no ratio is negative: give the file as it was written, or scan again")]
    Negative { name: String, snr: f64 },
    #[error("the '{key}' of '{name}' is not {expected}: give the file as it was written, or scan again")]
    Malformed { name: String, key: &'static str, expected: &'static str },
}
