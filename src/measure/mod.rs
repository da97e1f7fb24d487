//! The pipeline: open, discover, schedule, measure, journal, collect.
//!
//! [`Plan::new`] finds out from headers alone what there is to do, [`Plan::run`] does it, and [`Plan::scan`] makes a
//! scan of the results. Shards are downloaded one after the other. Meanwhile the modules whose bytes are there are
//! measured, the largest first: on the CPU one by each thread, where threads without a module help with the arithmetic
//! of the others; on a GPU several at once. If one device fails at a module, another measures it. What happens is
//! reported as [`Event`]s.

mod arrival;
mod attempt;
mod change;
mod delta;
mod division;
mod dry_run;
mod journal;
mod memory;
mod parts;
mod plan;
mod reuse;
mod run;
mod schedule;

use std::time::Duration;

pub use attempt::Measurement;
pub use delta::DeltaError;
pub use journal::{Journal, JournalError, Key};
pub use memory::ceiling as memory_ceiling;
pub use parts::Share;
pub use plan::{Plan, Run};

use crate::modules::{Change, Module};
use crate::scan::Unmeasured;
use crate::source::Transfer;
use crate::spectrum::{self, Device, Fault};

/// The devices, threads and memory of a scan.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Where singular values are computed: the CPU, or GPUs, in whose place the CPU is used if they fail.
    pub devices: Vec<Device>,
    /// How many threads compute on the CPU, at least one. No more modules are measured there at once.
    pub threads: usize,
    /// How many bytes of the system's memory all modules in work may take together.
    pub memory: u64,
    /// Whether weights that are not on this machine are read by byte range, and not downloaded.
    pub stream: bool,
}

/// The floating-point operations that measuring `module` takes: those of its spectrum, or of its norm alone where the spectrum of its
/// change comes from two small factors or is zero.
pub fn flops(module: &Module) -> f64 {
    let [rows, columns] = module.shape();
    match &module.change {
        None | Some(Change::To { .. }) => spectrum::flops([rows, columns]),
        Some(Change::Plus(_) | Change::Nothing) => 2.0 * rows as f64 * columns as f64,
    }
}

/// A module's measurement, or why it has none.
pub type Outcome = Result<Measurement, Unmeasured>;

/// What happens during a scan. `flops` are the floating-point operations that the modules take.
#[derive(Debug)]
pub enum Event<'a> {
    /// An interrupted scan has already measured this many modules.
    Resumed { modules: usize, flops: f64 },
    /// Shards of so many bytes together are not on disk yet.
    ToFetch { bytes: u64 },
    /// News about a shard's download.
    Fetching { file: &'a str, transfer: Transfer },
    /// So many bytes will be read by byte range.
    ToStream { bytes: u64 },
    /// So many bytes of those that are read by byte range are in memory.
    Streamed { received: u64 },
    /// A shard is on disk, `bytes` of which were not before.
    Fetched { file: &'a str, bytes: u64 },
    /// A module is done. It is noted in the journal once the files with its weight are complete.
    Finished { module: &'a Module, outcome: &'a Outcome, elapsed: Duration },
    /// This many finished modules were noted in the journal.
    Noted { modules: usize },
    /// This many finished modules must be measured again, because a download was wrong and has started anew.
    Discarded { modules: usize, flops: f64 },
    /// A device is short of memory and goes on with at most this many modules at once.
    Crowded { device: &'a str, at_once: usize },
    /// A device has no memory for a module, which the CPU measures instead.
    TooLarge { device: &'a str, module: &'a Module },
    /// A device refused a module, which the CPU measures instead.
    Refused { device: &'a str, module: &'a Module, fault: &'a Fault },
    /// A device does not work any more, or refused too many modules. Other GPUs or the CPU measure its modules.
    GivenUp { device: &'a str, fault: &'a Fault },
}
