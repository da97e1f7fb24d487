//! What the program does: one file for each command.

mod diff;
mod export;
mod into;
mod report;
mod scan;

use std::path::{Path, PathBuf};

use anyhow::Result;
pub use diff::run as diff;
pub use export::run as export;
use laser_scan::export::Export;
use laser_scan::results::{self, Format, Results};
pub use report::run as report;
pub use scan::run as scan;

use crate::terminal::Terminal;

/// What went wrong if output fails.
const STANDARD_OUTPUT: &str = "cannot write to standard output";

/// Reads a scan's file. Others measure norms, embeddings and heads too, which are not ranked.
fn read_scan(path: &Path) -> Result<Results> {
    let mut results = results::open(path)?;
    if results.format != Format::LaserScan {
        results.entries.retain(|entry| results::is_ranked(&entry.name));
    }
    Ok(results)
}

/// Writes a trainer's configuration in all its forms into `folder`.
fn write_export(export: &Export, folder: &Path, terminal: &Terminal) -> Result<()> {
    let paths: Vec<PathBuf> = export.documents.iter().map(|document| folder.join(&document.file)).collect();
    let contents = export.documents.iter().map(|document| document.text.as_bytes());
    let files: Vec<(&Path, &[u8])> = paths.iter().map(PathBuf::as_path).zip(contents).collect();
    laser_scan::report::write_all(&files)?;
    terminal.exported(export, &paths);
    Ok(())
}
