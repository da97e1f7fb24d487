//! `laser-scan diff` and `laser-scan report`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::{ChoiceArgs, PoolExperts, SpeechArgs, at_least_one};

/// Show what moved between two scans: base and fine-tune, two revisions, ours and a published result.
///
/// Modules are paired by name. For each type: Spearman's rank correlation, how many of the best are the same, and the modules
/// whose rank moved most. Scans of laser-scan are read, and the results of Spectrum and laserRMT.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first scan
    #[arg(value_name = "A.json")]
    pub a: PathBuf,

    /// The second scan
    #[arg(value_name = "B.json")]
    pub b: PathBuf,

    /// How many of each type count as the best
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_least_one)]
    pub top_n: NonZeroUsize,

    /// How many of the modules that moved most are shown; the JSON has all
    #[arg(long, value_name = "N", default_value = "10", help_heading = "Output")]
    pub moves: usize,

    /// Print everything as JSON instead of tables
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub speech: SpeechArgs,
}

/// Write a page to look at: every module's place in a scan, as one HTML file that needs nothing else.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The scan: a file of all modules' numbers
    #[arg(value_name = "SCAN.json")]
    pub scan: PathBuf,

    /// The page [default: the scan's name with .html]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,

    /// Replace a file of that name, even if it is no such page
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]
    #[arg(long, value_name = "HOW", help_heading = "What to choose")]
    pub pool_experts: Option<PoolExperts>,

    #[command(flatten)]
    pub speech: SpeechArgs,
}
