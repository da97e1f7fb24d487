//! The options of a run that measures: of a scan, or of what one model changed in another.

use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::Args;
use laser_scan::modules::{Filter, Wanted};
use laser_scan::scan::{Options, Part};
use laser_scan::spectrum::DeviceRequest;
use laser_scan::statistic::Ranking;

use super::publish::PublishArgs;
use super::{HubArgs, UsageError, environment, line, line_of};
use crate::commands::task::{ModelRequest, Printed, ScanTask};

/// The options that are about the choice, which is made when parts are merged.
#[rustfmt::skip]
const OF_CHOICE: [&str; 18] = [
    "top_n", "top_percent", "global", "types", "layers", "statistic", "ties", "budget", "pool_experts", "emit", "top_output", "rank",
    "match_rank", "alpha", "scale_alpha", "use_rslora", "no_head", "head_rank",
];

/// A model as the user names it.
pub struct Named {
    pub spelling: String,
    pub revision: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scan only modules whose name, on disk or in memory, matches; repeatable, '*' matches anything
    #[arg(long, value_name = "GLOB", help_heading = "What to scan")]
    include: Vec<String>,

    /// Leave out modules whose name, on disk or in memory, matches; repeatable, wins over --include
    #[arg(long, value_name = "GLOB", help_heading = "What to scan")]
    exclude: Vec<String>,

    /// Scan heads, routers and embeddings' projections too
    #[arg(long, help_heading = "What to scan")]
    all_linear: bool,

    /// Scan convolutions too, flattened; of diffusion models they are scanned anyway
    #[arg(long, help_heading = "What to scan")]
    include_conv: bool,

    /// Measure the parts of fused modules too (q, k and v of a qkv_proj), for the file of all numbers
    #[arg(long, help_heading = "What to scan")]
    split_fused: bool,

    /// The trainer's line of transformers, 4 (4.57) or 5, which decides what modules are called in memory
    #[arg(long, value_name = "LINE", default_value = "5", value_parser = line, help_heading = "What to scan")]
    transformers: u8,

    /// Only show what would be scanned; of a Hub model nothing but headers is downloaded
    #[arg(long, help_heading = "What to scan")]
    dry_run: bool,

    #[command(flatten)]
    pub publish: PublishArgs,

    /// Print a line for each module and what the run is made of
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,

    /// Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: all GPUs, or the CPU [default: auto]
    #[arg(long, value_name = "DEVICE", help_heading = "Running")]
    device: Option<DeviceRequest>,

    /// How many threads to compute with, and how many modules to measure at once [default: one for each core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Running")]
    threads: Option<Threads>,

    /// Measure only part K of N, which 'laser-scan merge' joins: for several machines, each with another K from 1 to N
    #[arg(long, value_name = "K/N", conflicts_with_all = OF_CHOICE, help_heading = "Running")]
    part: Option<Part>,

    /// Read the weights of a Hub model by byte range straight into memory, and write nothing but results to disk
    #[arg(long, help_heading = "Running")]
    stream: bool,

    /// Measure anew, whatever an interrupted or a finished scan has left
    #[arg(long, help_heading = "Running")]
    fresh: bool,

    #[command(flatten)]
    hub: HubArgs,
}

impl RunArgs {
    /// What is to be done with this model, or with what it changed in its `base`. `ranking` is by what modules are ranked if no
    /// option says so.
    pub fn task(&self, model: Named, base: Option<Named>, ranking: Ranking) -> Result<ScanTask, UsageError> {
        if self.part.is_some() && !self.dry_run && self.publish.printed() != Printed::Table {
            let text = "--json and --output - print what comes of a whole scan, and a part chooses nothing";
            return Err(UsageError::conflict(text.to_owned()));
        }
        let mut publication = self.publish.publication(Some(ranking), self.resume_with())?;
        // A change is described by the other statistics too.
        publication.all_statistics |= base.is_some();
        let ranking = publication.ranking.unwrap_or(ranking);
        let device =
            self.device.clone().map_or_else(|| environment::value("LASER_SCAN_DEVICE"), |device| Ok(Some(device)))?;
        let threads =
            self.threads.map_or_else(|| environment::value("LASER_SCAN_THREADS"), |threads| Ok(Some(threads)))?;
        let threads = threads.map_or_else(cores, |Threads(threads)| threads.get());
        Ok(ScanTask {
            options: Options {
                revision: model.revision.clone(),
                base_revision: base.as_ref().and_then(|base| base.revision.clone()),
                include: self.include.clone(),
                exclude: self.exclude.clone(),
                all_linear: self.all_linear,
                include_conv: self.include_conv,
                split_fused: self.split_fused,
                transformers: self.transformers,
                stream: self.stream,
                threads,
                // The free memory is looked up when the scan begins.
                memory: 0,
                ..self.publish.options(&publication.rules, ranking)
            },
            model: self.request(model),
            base: base.map(|base| self.request(base)),
            device: device.unwrap_or(DeviceRequest::Auto),
            threads,
            filter: Filter::new(&self.include, &self.exclude).map_err(UsageError::value)?,
            wanted: Wanted {
                all_linear: self.all_linear,
                convolutions: self.include_conv,
                parts: self.split_fused,
                line: line_of(self.transformers),
            },
            part: self.part,
            stream: self.stream,
            dry_run: self.dry_run,
            fresh: self.fresh,
            publication,
        })
    }

    /// What a person runs after an interruption, in words.
    /// `None` if nothing is kept to go on from.
    pub fn resume_with(&self) -> Option<&'static str> {
        let line = if self.fresh { "the same line without --fresh" } else { "the same line again" };
        (!self.publish.is_sent()).then_some(line)
    }

    fn request(&self, Named { spelling, revision }: Named) -> ModelRequest {
        ModelRequest { spelling, revision, options: self.hub.options() }
    }
}

/// The processors that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// No machine has more cores, and so many threads can still be started and ended quickly.
const MOST_THREADS: usize = 1024;

/// A number of threads.
#[derive(Clone, Copy, Debug)]
struct Threads(NonZeroUsize);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST_THREADS);
        threads.map(Self).ok_or_else(|| format!("it takes a whole number from 1 to {MOST_THREADS}"))
    }
}
