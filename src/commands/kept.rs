//! Files that stay what they are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use laser_scan::output::OutputError;

use super::way_out::WayOut;

/// What may not be replaced by what is made from a scan.
pub struct Kept<'a> {
    /// The scan's own files.
    pub scan: Vec<&'a Path>,
    /// Whether files that laser-scan did not write may be.
    pub overwrite: bool,
}

impl Kept<'_> {
    /// Makes sure that `path` may be written, where a file is that may be replaced if it `is_own`.
    pub fn allows(&self, path: &Path, is_own: fn(&[u8]) -> bool) -> Result<()> {
        let place = place(path);
        if place.is_some() && self.scan.iter().any(|own| self::place(own) == place) {
            bail!("'{}' belongs to the scan itself: name another file", path.display());
        }
        // What cannot be replaced at all is refused when it is written.
        if self.overwrite || !path.is_file() || std::fs::read(path).is_ok_and(|bytes| is_own(&bytes)) {
            return Ok(());
        }
        Err(OutputError::Foreign(path.to_owned()).with_way_out())
    }
}

/// What a path leads to, even if there is no file yet.
fn place(path: &Path) -> Option<PathBuf> {
    let in_folder = || Some(std::path::absolute(path).ok()?.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder)
}
