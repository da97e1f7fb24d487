//! The tasks, for which the command line and the environment are fully resolved: nothing else reads either.

mod export;
mod merge;
mod publication;
mod scan;

use std::path::PathBuf;

use anyhow::Result;
use laser_scan::scan::Pooling;
use laser_scan::select::Rules;
use laser_scan::source::{self, Source, SourceOptions};
use laser_scan::statistic::Ranking;

pub use export::{ExportOutput, ExportTask};
pub use merge::MergeTask;
pub use publication::{Printed, Publication};
pub use scan::ScanTask;

pub enum Task {
    Scan(Box<ScanTask>),
    Export(Box<ExportTask>),
    Merge(Box<MergeTask>),
    Diff(DiffTask),
    Report(ReportTask),
    Show(ShowTask),
}

#[derive(Clone)]
pub struct ModelRequest {
    pub spelling: String,
    pub revision: Option<String>,
    pub options: SourceOptions,
}

pub struct DiffTask {
    pub scans: [PathBuf; 2],
    /// `None`: as the scans were ranked.
    pub ranking: Option<Ranking>,
    /// How many of each type count as the best.
    pub top: usize,
    /// How many of the modules that moved most are shown.
    pub moves: usize,
    pub as_json: bool,
}

pub struct ReportTask {
    pub scan: PathBuf,
    /// The scan with which it is compared.
    pub against: Option<PathBuf>,
    /// Standard output, if it is `None`.
    pub output: Option<PathBuf>,
    pub overwrite: bool,
    /// `None`: as in the scan.
    pub ranking: Option<Ranking>,
    pub rules: Rules,
    /// `None`: as in the scan.
    pub pooling: Option<Pooling>,
}

pub struct ShowTask {
    pub scan: PathBuf,
    /// `None`: as in the scan.
    pub ranking: Option<Ranking>,
    pub rules: Rules,
    /// `None`: as in the scan.
    pub pooling: Option<Pooling>,
    pub form: ShowForm,
    /// The file for the names of the best, if it is to be written.
    pub top: Option<PathBuf>,
    pub overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowForm {
    Table,
    /// The names of the best.
    Json,
    /// Every module with all its numbers.
    Csv,
    Markdown,
}

impl ModelRequest {
    /// Finds the model. `news` gets messages for a person.
    pub fn open<'a>(&self, news: &'a (dyn Fn(String) + Sync)) -> Result<Box<dyn Source + 'a>> {
        Ok(source::open(&self.spelling, self.revision.as_deref(), &self.options, news)?)
    }
}
