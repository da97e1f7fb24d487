//! What the program does: one file for each command.

mod diff;
mod export;
mod foresee;
mod report;
mod scan;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
pub use diff::run as diff;
pub use export::run as export;
use laser_scan::output::OutputError;
use laser_scan::trainers::{self, Export};
pub use report::run as report;
pub use scan::run as scan;

use crate::terminal::Terminal;

/// What went wrong if output fails.
const STANDARD_OUTPUT: &str = "cannot write to standard output";

/// What may not be replaced by what is made from a scan.
struct Kept<'a> {
    /// The scan's own files.
    scan: Vec<&'a Path>,
    /// Whether files that laser-scan did not write may be.
    overwrite: bool,
}

impl Kept<'_> {
    /// Makes sure that `path` may be written, where a file is that may be replaced if it `is_own`.
    fn allows(&self, path: &Path, is_own: fn(&[u8]) -> bool) -> Result<()> {
        let place = place(path);
        if place.is_some() && self.scan.iter().any(|own| self::place(own) == place) {
            bail!("'{}' belongs to the scan itself: name another file", path.display());
        }
        // What cannot be replaced at all is refused when it is written.
        if self.overwrite || !path.is_file() || std::fs::read(path).is_ok_and(|bytes| is_own(&bytes)) {
            return Ok(());
        }
        or_overwrite(Err(OutputError::Foreign(path.to_owned())))
    }
}

/// What a path leads to, even if there is no file yet.
fn place(path: &Path) -> Option<PathBuf> {
    let in_folder = || Some(std::path::absolute(path).ok()?.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder)
}

/// The result with the ways out, if a file is in the way.
fn or_overwrite<T>(result: Result<T, OutputError>) -> Result<T> {
    match result {
        Err(error) if error.is_taken() => bail!("{error}: choose another place, or have it replaced by --overwrite"),
        result => Ok(result?),
    }
}

/// Writes a trainer's configuration in all its forms into `folder`.
fn write_export(export: &Export, folder: &Path, kept: &Kept<'_>, terminal: &Terminal) -> Result<()> {
    let paths: Vec<PathBuf> = export.documents.iter().map(|document| folder.join(&document.file)).collect();
    paths.iter().try_for_each(|path| kept.allows(path, trainers::is_export))?;
    let contents = export.documents.iter().map(|document| document.text.as_bytes());
    let files: Vec<(&Path, &[u8])> = paths.iter().map(PathBuf::as_path).zip(contents).collect();
    laser_scan::output::write_all(&files)?;
    terminal.exported(export, &paths);
    Ok(())
}
