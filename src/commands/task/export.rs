use std::path::PathBuf;

use laser_scan::config::Given;
use laser_scan::modules::Wanted;
use laser_scan::scan::Pooling;
use laser_scan::select::Rules;
use laser_scan::statistic::Ranking;
use laser_scan::trainers::{Adapter, Format, Trainer};

use super::ModelRequest;

pub struct ExportTask {
    pub trainer: &'static dyn Trainer,
    pub scan: PathBuf,
    /// The model that was scanned; if `None`, the scan's manifest tells what is around its modules.
    pub model: Option<(ModelRequest, Wanted)>,
    /// `None`: as in the scan.
    pub pooling: Option<Pooling>,
    /// How modules that are one for the trainer are pooled.
    pub pool_fused: Pooling,
    /// `None`: as in the scan.
    pub ranking: Option<Ranking>,
    pub rules: Rules,
    pub adapter: Adapter,
    pub given: Given,
    pub output: ExportOutput,
    pub overwrite: bool,
}

pub enum ExportOutput {
    /// In one form, the default if `None`, to a file, or to standard output if `None`.
    One(Option<Format>, Option<PathBuf>),
    /// In all forms into a folder.
    Folder(PathBuf),
    /// Into an existing configuration.
    Config { path: PathBuf, dry_run: bool },
}
