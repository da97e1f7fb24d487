//! The scan, which is the main job and has no subcommand.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use laser_scan::measure::Resources;
use laser_scan::modules::{Filter, Line, Wanted};
use laser_scan::scan::{Destination, Options};
use laser_scan::select::{Counted, Rules};
use laser_scan::spectrum::DeviceRequest;
use laser_scan::trainers::Trainer;

use super::{AdapterArgs, HubArgs, PoolExperts, SelectionArgs, SpeechArgs, export, line};

/// The scan.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// The model: a folder, one .safetensors or .bin file, or a Hub id such as mistralai/Mistral-7B-v0.1
    #[arg(long, value_name = "MODEL", required = true)]
    model: Option<String>,

    /// The Hub model's branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,

    /// Scan only modules whose name, on disk or in memory, matches; repeatable, '*' matches anything
    #[arg(long, value_name = "GLOB", help_heading = "What to scan")]
    pub include: Vec<String>,

    /// Leave out modules whose name, on disk or in memory, matches; repeatable, wins over --include
    #[arg(long, value_name = "GLOB", help_heading = "What to scan")]
    pub exclude: Vec<String>,

    /// Scan heads, routers and embeddings' projections too
    #[arg(long, help_heading = "What to scan")]
    pub all_linear: bool,

    /// Scan convolutions too, flattened; of diffusion models they are scanned anyway
    #[arg(long, help_heading = "What to scan")]
    pub include_conv: bool,

    /// Measure the parts of fused modules too (q, k and v of a qkv_proj), for the file of all numbers
    #[arg(long, help_heading = "What to scan")]
    pub split_fused: bool,

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios
    #[arg(long, value_name = "HOW", default_value = "none", help_heading = "What to scan")]
    pub pool_experts: PoolExperts,

    /// The trainer's line of transformers, 4 (4.57) or 5, which decides what modules are called in memory
    #[arg(long, value_name = "LINE", default_value = "5", value_parser = line, help_heading = "What to scan")]
    pub transformers: u8,

    /// Only show what would be scanned; of a Hub model nothing but headers is downloaded
    #[arg(long, help_heading = "What to scan")]
    pub dry_run: bool,

    #[command(flatten)]
    pub selection: SelectionArgs,

    /// Write this trainer's configuration too, as 'export' does; repeatable
    #[arg(
        long,
        value_name = "TRAINER",
        value_parser = export::trainer(),
        value_delimiter = ',',
        help_heading = "What to train"
    )]
    pub emit: Vec<&'static dyn Trainer>,

    #[command(flatten)]
    pub adapter: AdapterArgs,

    /// The folder for the output files [default: the current one]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,

    /// The file for every module's numbers [default: laser_scan_<model>.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// The file for the names of the best [default: laser_scan_<model>_top_snr.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub top_output: Option<PathBuf>,

    /// Replace files of these names, even if they are another model's results or no results at all
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    /// Print the names of the best as JSON instead of a table; with --dry-run, the plan
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub speech: SpeechArgs,

    /// Print a line for each module and what the run is made of
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,

    /// Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: a GPU if there is one
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = "Running")]
    pub device: DeviceRequest,

    /// How many threads to compute with, and how many modules to measure at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = "Running")]
    pub threads: Option<NonZeroUsize>,

    /// Ignore what an interrupted scan has left, and begin anew
    #[arg(long, help_heading = "Running")]
    pub fresh: bool,

    #[command(flatten)]
    pub hub: HubArgs,
}

impl ScanArgs {
    /// The model, as it was spelled.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// What keeps modules out of the scan.
    pub fn filter(&self) -> Result<Filter> {
        Ok(Filter::new(&self.include, &self.exclude)?)
    }

    /// How modules are chosen.
    pub fn rules(&self) -> Result<Rules> {
        self.selection.rules(self.counted())
    }

    /// What counts against a budget.
    fn counted(&self) -> Counted {
        let rank = self.adapter.rank();
        self.emit.first().map_or(Counted::Lora { rank }, |trainer| trainer.counted(rank))
    }

    /// What is wrong with options that are right each by itself.
    pub fn contradiction(&self) -> Option<String> {
        let AdapterArgs { rank, no_head, .. } = self.adapter;
        let budget = self.selection.budget.is_some();
        let is_idle = self.adapter.is_given() || no_head || (rank.is_some() && !budget);
        let mixed = self.emit.iter().any(|trainer| trainer.counted(0) != self.emit[0].counted(0));
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

    /// What is to be measured.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            all_linear: self.all_linear,
            convolutions: self.include_conv,
            parts: self.split_fused,
            line: if self.transformers == 4 { Line::Four } else { Line::Five },
        }
    }

    /// What was asked for, after defaults, for the manifest.
    pub fn options(&self, resources: &Resources) -> Options {
        let choice = &self.selection.choice;
        Options {
            revision: self.revision.clone(),
            top_n: self.selection.top(),
            top_percent: choice.top_percent,
            global: choice.global,
            budget: self.selection.budget,
            types: choice.types.clone(),
            layers: choice.layers.as_ref().map(ToString::to_string),
            emit: self.emit.iter().map(|trainer| trainer.key().to_owned()).collect(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            all_linear: self.all_linear,
            include_conv: self.include_conv,
            split_fused: self.split_fused,
            pool_experts: self.pool_experts.into(),
            transformers: self.transformers,
            threads: resources.threads,
            memory: resources.memory,
        }
    }

    /// Where output goes.
    pub fn destination(&self) -> Destination {
        Destination { folder: self.output_dir.clone(), full: self.output.clone(), top: self.top_output.clone() }
    }

    /// How many modules are measured at once.
    pub fn threads(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

/// The most threads that are of use: more than any machine has cores, and few enough to be started and ended at once.
const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST_THREADS);
    threads.ok_or_else(|| format!("it takes a whole number from 1 to {MOST_THREADS}"))
}
