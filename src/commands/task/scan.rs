//! The scan that is asked for.

use laser_scan::modules::{Filter, Wanted};
use laser_scan::scan::{Destination, Options, Pooling};
use laser_scan::select::Rules;
use laser_scan::spectrum::DeviceRequest;
use laser_scan::trainers::{Adapter, Trainer};

use super::ModelRequest;

/// Scan a model, and write what comes of it.
pub struct ScanTask {
    pub model: ModelRequest,
    pub device: DeviceRequest,
    pub threads: usize,
    pub filter: Filter,
    pub wanted: Wanted,
    pub pooling: Pooling,
    pub rules: Rules,
    /// The trainers whose configurations are written too, each once.
    pub emit: Vec<&'static dyn Trainer>,
    pub adapter: Adapter,
    pub destination: Destination,
    pub overwrite: bool,
    pub dry_run: bool,
    pub as_json: bool,
    /// Whether what an interrupted scan has left is ignored.
    pub fresh: bool,
    /// How a person goes on after an interruption: "the same line", and what of it is to be left out.
    pub again: &'static str,
    /// What the manifest says of all this.
    pub options: Options,
}
