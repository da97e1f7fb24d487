use std::path::PathBuf;

use laser_scan::scan::Options;

use super::Publication;

#[derive(Clone)]
pub struct MergeTask {
    /// The files of parts, or folders with such files.
    pub parts: Vec<PathBuf>,
    /// Whether some may be missing.
    pub is_partial: bool,
    /// The options of the choice as the manifest lists them.
    pub options: Options,
    pub publication: Publication,
}
