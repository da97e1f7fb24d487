//! The pipeline: open, discover, schedule, measure, journal, collect.
//!
//! [`Plan::new`] finds out what there is to do from headers alone; [`Plan::run`] does it, and [`Plan::scan`] makes a scan of
//! what came of it. Shards come to disk one after the other while the modules are measured whose bytes are there, the largest
//! first: on the CPU one a thread, and threads for which there is no module help with the arithmetic of the others; on a GPU
//! several at once. What one device cannot do, another does. What happens is told as [`Event`]s to whoever watches.

mod arrival;
mod attempt;
mod dry_run;
mod journal;
mod memory;
mod plan;
mod run;
mod schedule;

use std::time::Duration;

pub use attempt::Measurement;
pub use journal::{Journal, JournalError, Key};
pub use memory::ceiling as memory_ceiling;
pub use plan::{Plan, Run};

use crate::modules::Module;
use crate::scan::Unmeasured;
use crate::source::Transfer;
use crate::spectrum::{Device, Fault};

/// How a scan is carried out; none of it changes a result.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Where singular values are computed: the CPU, or GPUs, whose failures the CPU makes up for.
    pub devices: Vec<Device>,
    /// How many threads compute on the CPU, at least one, and how many modules are measured there at once at most.
    pub threads: usize,
    /// How many bytes of the system's memory the modules in work may take together.
    pub memory: u64,
}

/// The result for one module: its measurement, or why it has none.
pub type Outcome = Result<Measurement, Unmeasured>;

/// What happens during a scan.
#[derive(Debug)]
pub enum Event<'a> {
    /// Modules are known from an interrupted scan.
    Resumed {
        /// How many.
        modules: usize,
        /// The floating-point operations that they took.
        flops: f64,
    },
    /// News of a shard's download.
    Fetching {
        /// The shard's file.
        file: &'a str,
        /// The news.
        transfer: Transfer,
    },
    /// A shard is on disk.
    Fetched {
        /// The shard's file.
        file: &'a str,
    },
    /// A module is done. What was measured of a file that is still coming is noted once that is whole.
    Finished {
        /// The module.
        module: &'a Module,
        /// Its result.
        outcome: &'a Outcome,
        /// How long it took.
        elapsed: Duration,
    },
    /// Modules that are done are in the journal.
    Noted {
        /// How many.
        modules: usize,
    },
    /// Modules that were done are not: a download was wrong and has begun anew. They are measured again.
    Discarded {
        /// How many.
        modules: usize,
        /// The floating-point operations that they took.
        flops: f64,
    },
    /// A device is short of memory; it goes on with fewer modules at once.
    Crowded {
        /// The device.
        device: &'a str,
        /// How many modules at once at most.
        at_once: usize,
    },
    /// A device has no memory for a module, which the CPU measures instead.
    TooLarge {
        /// The device.
        device: &'a str,
        /// The module.
        module: &'a Module,
    },
    /// A device does not work any more; the others or the CPU measure its modules.
    GivenUp {
        /// The device.
        device: &'a str,
        /// Why.
        fault: &'a Fault,
    },
}
