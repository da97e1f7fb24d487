//! The configuration that is asked for.

use std::path::PathBuf;

use laser_scan::config::Asked;
use laser_scan::modules::Wanted;
use laser_scan::scan::Pooling;
use laser_scan::select::Rules;
use laser_scan::trainers::{Adapter, Format, Trainer};

use super::ModelRequest;

/// Write a trainer's configuration from a scan.
pub struct ExportTask {
    pub trainer: &'static dyn Trainer,
    pub scan: PathBuf,
    /// The model, with what is to be known of it, if the scan's manifest is not asked.
    pub model: Option<(ModelRequest, Wanted)>,
    /// How experts are taken together, if not as in the scan.
    pub pooling: Option<Pooling>,
    pub rules: Rules,
    pub adapter: Adapter,
    /// What of the adapter was asked for, and is not as a configuration has it that there is.
    pub asked: Asked,
    pub place: ExportPlace,
    pub overwrite: bool,
}

/// Where a configuration goes.
pub enum ExportPlace {
    /// To standard output, or to a file, in one form; the trainer's main one if there is none.
    One(Option<Format>, Option<PathBuf>),
    /// In all its forms into a folder.
    Folder(PathBuf),
    /// Into a configuration that there is.
    Config { path: PathBuf, dry_run: bool },
}
