use laser_scan::modules::{Filter, Wanted};
use laser_scan::scan::{Options, Part};
use laser_scan::spectrum::DeviceRequest;

use super::{ModelRequest, Publication};

#[derive(Clone)]
pub struct ScanTask {
    pub model: ModelRequest,
    /// The model whose changes are measured; `None` if the weights themselves are.
    pub base: Option<ModelRequest>,
    pub device: DeviceRequest,
    pub threads: usize,
    pub filter: Filter,
    pub wanted: Wanted,
    /// The part to measure; `None`: the whole.
    pub part: Option<Part>,
    /// Whether weights are read by byte range, and not downloaded.
    pub stream: bool,
    pub dry_run: bool,
    /// Whether the journal of an interrupted scan, or a finished one, is ignored.
    pub fresh: bool,
    /// The options as the manifest lists them.
    pub options: Options,
    pub publication: Publication,
}
