//! What there is to do, with every argument and variable resolved: nothing after this looks at one of them again.

mod export;
mod scan;

use std::path::PathBuf;

use anyhow::Result;
use laser_scan::scan::Pooling;
use laser_scan::select::Rules;
use laser_scan::source::{self, HubOptions, Source};

pub use export::{ExportPlace, ExportTask};
pub use scan::ScanTask;

/// What there is to do.
pub enum Task {
    Scan(Box<ScanTask>),
    Export(Box<ExportTask>),
    Diff(DiffTask),
    Report(ReportTask),
}

/// A model that is asked for, and how the Hub is reached for it.
pub struct ModelRequest {
    pub spelling: String,
    pub revision: Option<String>,
    pub hub: HubOptions,
}

/// Show what moved between two scans.
pub struct DiffTask {
    pub scans: [PathBuf; 2],
    /// How many of each type count as the best.
    pub top: usize,
    /// How many moves are shown.
    pub moves: usize,
    pub as_json: bool,
}

/// Write a page that shows a scan.
pub struct ReportTask {
    pub scan: PathBuf,
    pub output: PathBuf,
    pub overwrite: bool,
    pub rules: Rules,
    /// How experts are taken together, if not as in the scan.
    pub pooling: Option<Pooling>,
}

impl ModelRequest {
    /// Finds the model. `news` hears of what a person should know.
    pub fn open<'a>(&self, news: &'a (dyn Fn(String) + Sync)) -> Result<Box<dyn Source + 'a>> {
        Ok(source::open(&self.spelling, self.revision.as_deref(), &self.hub, news)?)
    }
}
