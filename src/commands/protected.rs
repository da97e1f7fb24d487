//! Files that may not be overwritten.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use laser_scan::output::OutputError;

use super::advice::Advise;

pub struct Protected<'a> {
    /// The scan's own files, which nothing made from the scan may replace.
    pub scan: Vec<&'a Path>,
    /// Whether files that laser-scan did not write may be replaced.
    pub overwrite: bool,
}

impl Protected<'_> {
    /// Makes sure that `path` may be written. A file that `is_own` recognises as an earlier output may be replaced.
    pub fn check(&self, path: &Path, is_own: fn(&[u8]) -> bool) -> Result<()> {
        let real = real_path(path);
        if real.is_some() && self.scan.iter().any(|own| real_path(own) == real) {
            bail!("'{}' belongs to the scan itself: name another file", path.display());
        }
        // Folders and other special files are refused when the output is written.
        if self.overwrite || !path.is_file() || std::fs::read(path).is_ok_and(|bytes| is_own(&bytes)) {
            return Ok(());
        }
        Err(OutputError::Foreign(path.to_owned()).with_advice())
    }
}

/// The path without symbolic links, even if there is no file yet.
fn real_path(path: &Path) -> Option<PathBuf> {
    let in_folder = || Some(std::path::absolute(path).ok()?.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder)
}
