//! A scan: the modules of a model with their numbers, and the files that hold one.
//!
//! [`Scan`] is what a run makes, what a file holds, and what everything after it takes. Its own files are written and read
//! here (`write.rs`, `read.rs`, `manifest.rs`), and the results of other programs are read here too; what is written from
//! what was read is the same, byte for byte.

mod join;
mod manifest;
mod others;
mod outputs;
mod ownership;
mod pool;
mod provenance;
mod read;
mod read_error;
mod record;
mod surroundings;
mod write;

pub use join::JoinError;
pub use manifest::ManifestError;
pub use others::Format;
pub(crate) use others::{Rated, spectrum, spectrum_sorted};
pub use outputs::{Destination, Outputs, manifest_of};
pub use pool::{INCOMPLETE_POOL, Pool, Pooling};
pub use provenance::{Failure, Host, LeftOut, Methods, Options, Processors, Provenance, Seconds, WeightFile};
pub use read::OpenError;
pub use read_error::ReadError;
pub use record::{Numbers, Record, Unmeasured};
pub use surroundings::Surroundings;
pub(crate) use write::Described;

use crate::modules::{self, Role};

/// The modules of a model with their numbers, and what is known of the model around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    records: Vec<Record>,
    pooling: Pooling,
    pools: Vec<Pool>,
    /// Who wrote the file that it was read from; this program, if it was not read from one.
    pub format: Format,
    /// What else is in the model, where that is known.
    pub surroundings: Option<Surroundings>,
    /// How the numbers came about, where that is known.
    pub provenance: Option<Provenance>,
    /// What was to be measured and could not be, as the manifest says it.
    pub failures: Vec<Failure>,
    /// The model's tensors that were not to be measured.
    pub left_out: Vec<LeftOut>,
}

impl Scan {
    /// The scan of these modules, in model order; nothing else is known of it.
    pub fn new(records: Vec<Record>, format: Format) -> Self {
        Self {
            records,
            pooling: Pooling::None,
            pools: Vec::new(),
            format,
            surroundings: None,
            provenance: None,
            failures: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The same with the experts taken together as `how` says.
    pub fn pooled(mut self, how: Pooling) -> Self {
        self.pooling = how;
        self.pools = pool::pool(&self.records, how);
        self
    }

    /// The modules, in model order; after them those that are missing from the model's files.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How experts are taken together.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The pools of experts, in the order of their first members; none where experts are not pooled.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pools without a ratio.
    pub fn incomplete_pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.snr.is_none())
    }

    /// A scan with the same modules that has measured all which are pending, with one ratio for all: what can be chosen of
    /// it tells, before anything is measured, what can be chosen of the scan.
    pub fn foreseen(&self) -> Self {
        let mut scan = self.clone();
        for record in &mut scan.records {
            if record.result == Err(Unmeasured::Pending) {
                record.result = Ok(Numbers::ratio(1.0));
            }
        }
        let how = scan.pooling;
        scan.pooled(how)
    }

    /// The same without the modules that a scan of this program would not rank: others measure norms, embeddings and heads
    /// too. What this program has measured was asked for.
    pub fn ranked(mut self) -> Self {
        if self.format != Format::LaserScan {
            self.records.retain(|record| is_ranked(&record.info.name));
        }
        self
    }
}

/// Whether a module's name alone tells that a scan ranks it unless it is told otherwise.
fn is_ranked(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    modules::role_by_name(name) == Role::Linear && !leaf.contains("norm") && !leaf.starts_with("ln_")
}
