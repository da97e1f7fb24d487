//! Why a file is not read as results.

/// Why a file is not read as results. The file's name goes before it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no module in it.
    #[error("it holds no module: give the file of all numbers, such as laser_scan_<model>.json")]
    Empty,
    /// It is not JSON.
    #[error("it is not valid JSON ({0}): it may be cut short or damaged; copy it again, or scan again")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but no object.
    #[error("it is {0}, no scan: give the file of all numbers, such as laser_scan_<model>.json")]
    NoObject(&'static str),
    /// It is the top-N file.
    #[error("it has only the names of the best: give the file of all numbers, such as laser_scan_<model>.json")]
    TopOnly,
    /// It is the manifest of this program's run.
    #[error(
        "it is the manifest of a run of laser-scan: give the file of all numbers beside it, which has the same name without '_run'"
    )]
    Manifest,
    /// It is the index of a model in shards.
    #[error("it is the index of a model's shards, no scan: scan the model, and give laser_scan_<model>.json")]
    Index,
    /// It is a model's configuration.
    #[error("it is a model's configuration, no scan: scan the model, and give laser_scan_<model>.json")]
    Config,
    /// It is some other object.
    #[error(
        "it is JSON, but no scan of laser-scan, Spectrum or laserRMT: give the file of all numbers, such as laser_scan_<model>.json"
    )]
    NoScan,
    /// A module comes twice.
    #[error("it has '{0}' twice, and nothing says which one counts: remove one of them, or scan again")]
    Twice(String),
    /// A module's record has a key twice.
    #[error("its record of '{name}' has '{key}' twice, and nothing says which one counts: remove one of them")]
    KeyTwice {
        /// The module.
        name: String,
        /// The key.
        key: String,
    },
    /// A module has no ratio.
    #[error("its record of '{0}' has no 'snr': give the file as it was written, or scan again")]
    NoRatio(String),
    /// A ratio is negative.
    #[error("the 'snr' of '{name}' is {snr}, but no ratio is negative: give the file as it was written, or scan again")]
    Negative {
        /// The module.
        name: String,
        /// Its ratio.
        snr: f64,
    },
    /// What a record says of a module is of the wrong kind.
    #[error("the '{key}' of '{name}' is not {expected}: give the file as it was written, or scan again")]
    Malformed {
        /// The module.
        name: String,
        /// The key.
        key: &'static str,
        /// What the value should be.
        expected: &'static str,
    },
}
