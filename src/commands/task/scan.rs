use laser_scan::modules::{Filter, Wanted};
use laser_scan::scan::{Destination, Options, Pooling};
use laser_scan::select::Rules;
use laser_scan::spectrum::DeviceRequest;
use laser_scan::statistic::Ranking;
use laser_scan::trainers::{Adapter, Trainer};

use super::ModelRequest;

pub struct ScanTask {
    pub model: ModelRequest,
    /// The model whose changes are measured; `None` if the weights themselves are.
    pub base: Option<ModelRequest>,
    pub device: DeviceRequest,
    pub threads: usize,
    pub filter: Filter,
    pub wanted: Wanted,
    pub pooling: Pooling,
    pub ranking: Ranking,
    /// Whether the other statistics are written too, even if none of them ranks.
    pub all_statistics: bool,
    /// Whether spectra are written.
    pub has_spectra: bool,
    pub rules: Rules,
    /// The trainers whose configurations are written, each once.
    pub emit: Vec<&'static dyn Trainer>,
    pub adapter: Adapter,
    pub destination: Destination,
    pub overwrite: bool,
    pub dry_run: bool,
    pub as_json: bool,
    /// Whether the journal of an interrupted scan is ignored.
    pub fresh: bool,
    /// What a person runs after an interruption: "the same line", and the option to leave out.
    pub resume_with: &'static str,
    /// The options as the manifest lists them.
    pub options: Options,
}
