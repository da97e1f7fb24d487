//! The command line, and the environment that goes with it: the only reader of both.

use std::env;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, ValueEnum};
use laser_scan::modules::{Filter, Line, Wanted};
use laser_scan::report::{Destination, Options};
use laser_scan::scan::Resources;
use laser_scan::select::Pooling;
use laser_scan::source::HubOptions;
use laser_scan::spectrum::DeviceRequest;

const EXAMPLES: &str = "\
Examples:
  laser-scan --model mistralai/Mistral-7B-v0.1 --top-n 16
      Download the model (into the cache that Python shares), rank its modules, write three JSON files here.
  laser-scan --model ./checkpoint --dry-run
      Show what would be scanned, and how much there is to download.
  laser-scan --model ./checkpoint --include '*.mlp.*' --json -q | jq -r '.[\"mlp.down_proj\"][]'
      Only the MLPs, for a script.

Environment:
  HF_TOKEN, HF_TOKEN_PATH     access to private and gated models
  HF_HOME, HF_HUB_CACHE       where the cache is
  HF_ENDPOINT                 another Hub
  HF_HUB_OFFLINE=1            the same as --offline
  NO_COLOR                    the same as --color never

Exit status:
  0  done
  1  nothing could be produced
  2  wrong usage
  3  done, but some modules could not be measured";

/// Rank a model's linear modules by signal-to-noise ratio, to fine-tune those that carry the most signal.
///
/// laser-scan reads a model's weights and computes, for each linear module, the statistic of laser-QLoRA: singular
/// values above the Marchenko–Pastur edge are signal, those below are noise, and modules are ranked by signal over noise
/// over the largest singular value. It writes every module's numbers, the names of the best of each type, and a manifest
/// of the run. No model code is executed.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// The model: a folder, one .safetensors or .bin file, or a Hub id such as mistralai/Mistral-7B-v0.1
    #[arg(long, value_name = "MODEL")]
    pub model: String,

    /// The Hub model's branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,

    /// How many modules to choose of each type
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_least_one)]
    pub top_n: NonZeroUsize,

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

    /// The folder for the output files [default: the current one]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,

    /// The file for every module's numbers [default: laser_scan_<model>.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// The file for the names of the best [default: laser_scan_<model>_top_snr.json]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub top_output: Option<PathBuf>,

    /// Print the names of the best as JSON instead of a table; with --dry-run, the plan
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print nothing but errors, and the JSON if it is asked for
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,

    /// Print a line for each module and what the run is made of
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: bool,

    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub color: Color,

    /// Where to compute: auto or cpu; cuda and cuda:0,1 need a build that has CUDA
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = "Running")]
    pub device: DeviceRequest,

    /// How many modules to measure at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Running")]
    pub threads: Option<NonZeroUsize>,

    /// Ignore what an interrupted scan has left, and begin anew
    #[arg(long, help_heading = "Running")]
    pub fresh: bool,

    /// Ask nothing of the network: read Hub models from the cache
    #[arg(
        long,
        env = "HF_HUB_OFFLINE",
        hide_env = true,
        action = ArgAction::SetTrue,
        value_parser = clap::builder::FalseyValueParser::new(),
        help_heading = "Running"
    )]
    pub offline: bool,

    /// The folder of the Hugging Face cache [default: as Python's]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub cache_dir: Option<PathBuf>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How experts are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PoolExperts {
    /// Each is ranked by itself.
    None,
    /// By the mean of their ratios.
    Mean,
    /// By the largest of their ratios.
    Max,
}

impl From<PoolExperts> for Pooling {
    fn from(how: PoolExperts) -> Self {
        match how {
            PoolExperts::None => Self::None,
            PoolExperts::Mean => Self::Mean,
            PoolExperts::Max => Self::Max,
        }
    }
}

impl Cli {
    /// Reads the command line; ends the process with a message if it is wrong, or if help is asked for.
    pub fn read() -> (Self, Filter) {
        let cli = Self::parse();
        let filter = Filter::new(&cli.include, &cli.exclude)
            .unwrap_or_else(|error| Self::command().error(ErrorKind::ValueValidation, error).exit());
        (cli, filter)
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
    pub fn options(&self, resources: &Resources) -> Options<'_> {
        Options {
            revision: self.revision.as_deref(),
            top_n: self.top_n.get(),
            include: &self.include,
            exclude: &self.exclude,
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

    /// How the Hub is reached, by the variables that Python's huggingface_hub reads.
    pub fn hub_options(&self) -> HubOptions {
        let home = huggingface_home();
        let cache = self.cache_dir.clone();
        let cache = cache.or_else(|| path("HF_HUB_CACHE")).or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        HubOptions {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token: token(&home),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            offline: self.offline,
        }
    }
}

/// The line of transformers that a version is of.
fn line(version: &str) -> Result<u8, &'static str> {
    match version.split('.').next() {
        Some("4") => Ok(4),
        Some("5") => Ok(5),
        _ => Err("it takes 4 or 5"),
    }
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "it takes a whole number of at least 1")
}

/// The folder of all that Hugging Face's tools keep.
fn huggingface_home() -> PathBuf {
    let cache = || path("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")));
    path("HF_HOME").unwrap_or_else(|| cache().unwrap_or_default().join("huggingface"))
}

/// The access token that is set, or the one that a login has left, unless that is not to be used.
fn token(home: &Path) -> Option<String> {
    let trimmed = |token: String| Some(token.trim().to_owned()).filter(|token| !token.is_empty());
    let implicit = !text("HF_HUB_DISABLE_IMPLICIT_TOKEN")
        .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()));
    let from_file = || fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"))).ok();
    let set = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
    set.and_then(trimmed).or_else(from_file).and_then(trimmed).filter(|_| implicit)
}

/// The variable's text, if it is set and not empty.
fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The variable's path, if it is set and not empty. A leading `~` is the home folder, as in Python.
fn path(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
