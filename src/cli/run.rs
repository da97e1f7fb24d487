//! The options of a run that measures: of a scan, or of what one model changed in another.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use laser_scan::modules::{Filter, Wanted};
use laser_scan::scan::{Destination, Options, Pooling};
use laser_scan::select::{Count, Counted, Rules};
use laser_scan::spectrum::DeviceRequest;
use laser_scan::statistic::Ranking;
use laser_scan::trainers::Trainer;

use super::{AdapterArgs, HubArgs, MessageArgs, POOLINGS, SelectionArgs, UsageError, export, line, line_of, one_of};
use crate::commands::task::{ModelRequest, ScanTask};

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

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios
    #[arg(
        long,
        value_name = "HOW",
        default_value = "none",
        value_parser = one_of(&POOLINGS),
        help_heading = "What to scan"
    )]
    pool_experts: Pooling,

    /// The trainer's line of transformers, 4 (4.57) or 5, which decides what modules are called in memory
    #[arg(long, value_name = "LINE", default_value = "5", value_parser = line, help_heading = "What to scan")]
    transformers: u8,

    /// Only show what would be scanned; of a Hub model nothing but headers is downloaded
    #[arg(long, help_heading = "What to scan")]
    dry_run: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Write this trainer's configuration too, as 'export' does; repeatable
    #[arg(
        long,
        value_name = "TRAINER",
        value_parser = export::trainer(),
        value_delimiter = ',',
        help_heading = "What to train"
    )]
    emit: Vec<&'static dyn Trainer>,

    #[command(flatten)]
    adapter: AdapterArgs,

    /// Write the other statistics of every module too, each with its own numbers
    #[arg(long, help_heading = "Output")]
    statistics: bool,

    /// Do not write the singular values, from which other statistics are computed without the weights
    #[arg(long, help_heading = "Output")]
    no_spectra: bool,

    /// The folder for the output files [default: the current one]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// The file for every module's numbers [default: laser_scan_<model>.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// The file for the names of the best [default: laser_scan_<model>_top_snr.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    top_output: Option<PathBuf>,

    /// Replace files of these names, even if they are another model's results or no results at all
    #[arg(long, help_heading = "Output")]
    overwrite: bool,

    /// Print the names of the best as JSON instead of a table; with --dry-run, the plan
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    pub messages: MessageArgs,

    /// Print a line for each module and what the run is made of
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,

    /// Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: a GPU if there is one
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = "Running")]
    device: DeviceRequest,

    /// How many threads to compute with, and how many modules to measure at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = "Running")]
    threads: Option<NonZeroUsize>,

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
        if let Some(contradiction) = self.contradiction() {
            return Err(UsageError::conflict(contradiction));
        }
        let (ranking, is_of_change) = (self.selection.choice.ranking.given()?.unwrap_or(ranking), base.is_some());
        let filter = Filter::new(&self.include, &self.exclude).map_err(UsageError::value)?;
        let rank = self.adapter.rank();
        let counted = self.emit.first().map_or(Counted::Lora { rank }, |trainer| trainer.profile().counted(rank));
        let rules = self.selection.rules(counted)?;
        let mut seen = HashSet::new();
        let emit = self.emit.iter().copied().filter(|trainer| seen.insert(trainer.profile().key)).collect();
        let (folder, full, top) = (self.output_dir.clone(), self.output.clone(), self.top_output.clone());
        Ok(ScanTask {
            options: self.options(&rules, ranking, &model, base.as_ref()),
            model: self.request(model),
            base: base.map(|base| self.request(base)),
            device: self.device.clone(),
            threads: self.threads(),
            filter,
            wanted: Wanted {
                all_linear: self.all_linear,
                convolutions: self.include_conv,
                parts: self.split_fused,
                line: line_of(self.transformers),
            },
            pooling: self.pool_experts,
            ranking,
            // A change is described by the other statistics too.
            all_statistics: self.statistics || is_of_change,
            has_spectra: !self.no_spectra,
            rules,
            emit,
            adapter: self.adapter.adapter(),
            destination: Destination { folder, full, top },
            overwrite: self.overwrite,
            dry_run: self.dry_run,
            as_json: self.json,
            fresh: self.fresh,
            resume_with: self.resume_with(),
        })
    }

    /// What a person runs after an interruption, in words.
    pub fn resume_with(&self) -> &'static str {
        if self.fresh { "the same line without --fresh" } else { "the same line again" }
    }

    /// What is wrong with a combination of options.
    fn contradiction(&self) -> Option<String> {
        let AdapterArgs { rank, no_head, .. } = self.adapter;
        let budget = self.selection.budget.is_some();
        let is_idle = self.adapter.is_given() || no_head || (rank.is_some() && !budget);
        let mixed =
            self.emit.iter().any(|trainer| trainer.profile().has_adapters != self.emit[0].profile().has_adapters);
        let text = if self.emit.is_empty() && is_idle {
            "ranks, alphas and --no-head are about a trainer's configuration: name the trainer with --emit"
        } else if budget && mixed {
            "--budget counts adapters for some of these trainers and weights for others: emit for one kind at a time"
        } else {
            return export::unbounded(&self.emit, self.selection.budget)
                .or_else(|| self.emit.iter().find_map(|trainer| self.adapter.contradiction(*trainer)));
        };
        Some(text.to_owned())
    }

    fn request(&self, Named { spelling, revision }: Named) -> ModelRequest {
        ModelRequest { spelling, revision, hub: self.hub.options() }
    }

    /// The options, defaults included, for the manifest.
    fn options(&self, rules: &Rules, ranking: Ranking, model: &Named, base: Option<&Named>) -> Options {
        Options {
            revision: model.revision.clone(),
            base_revision: base.and_then(|base| base.revision.clone()),
            top_n: if let Count::Top(count) = rules.count { Some(count) } else { None },
            top_percent: self.selection.choice.top_percent,
            global: rules.global,
            budget: self.selection.budget,
            types: self.selection.choice.types.clone(),
            layers: rules.layers.as_ref().map(ToString::to_string),
            emit: self.emit.iter().map(|trainer| trainer.profile().key.to_owned()).collect(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            all_linear: self.all_linear,
            include_conv: self.include_conv,
            split_fused: self.split_fused,
            pool_experts: self.pool_experts,
            statistic: ranking.criterion,
            ties: ranking.ties,
            transformers: self.transformers,
            threads: self.threads(),
            // The free memory is looked up when the scan begins.
            memory: 0,
        }
    }

    fn threads(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

/// No machine has more cores, and so many threads can still be started and ended quickly.
const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST_THREADS);
    threads.ok_or_else(|| format!("it takes a whole number from 1 to {MOST_THREADS}"))
}
