//! `laser-scan diff`, `laser-scan report` and `laser-scan show`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use laser_scan::scan::Pooling;

use super::{
    ChoiceArgs, MessageArgs, POOLINGS, RankingArgs, UsageError, at_least_one, file, is_standard_output, one_of,
};
use crate::commands::task::{DiffTask, ReportTask, ShowForm, ShowTask};

/// Show what moved between two scans: base and fine-tune, two revisions, ours and a published result.
///
/// Modules are paired by name. For each type: Spearman's rank correlation, how many of the best are the same, and the modules
/// whose rank moved most. Scans of laser-scan are read, and the results of Spectrum and laserRMT.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first scan
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// The second scan
    #[arg(value_name = "B.json")]
    b: PathBuf,

    /// How many of each type count as the best
    #[arg(short = 'n', long, value_name = "N", default_value = "16", value_parser = at_least_one, allow_negative_numbers = true)]
    top_n: NonZeroUsize,

    #[command(flatten)]
    ranking: RankingArgs,

    /// How many of the modules that moved most are shown; the JSON has all
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole, allow_negative_numbers = true, help_heading = "Output")]
    moves: usize,

    /// Print everything as JSON instead of tables
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    pub messages: MessageArgs,
}

const SHOW_FORMS: [(&str, &str, ShowForm); 4] = [
    ("table", "A table of what is chosen", ShowForm::Table),
    ("json", "The names of what is chosen, as in the top-N file", ShowForm::Json),
    ("csv", "Every module with all its numbers", ShowForm::Csv),
    ("markdown", "The table in Markdown", ShowForm::Markdown),
];

const SHOW_EXAMPLES: &str = "\
Examples:
  laser-scan show laser_scan_Mistral-7B-v0.1.json --top-percent 25
      What a quarter of each type would be; nothing is measured anew.
  laser-scan show laser_scan_Mistral-7B-v0.1.json --statistic mp --top-output best.json
      The best by another statistic of the same spectra, into a file as the scan writes it.
  laser-scan show laser_scan_Mistral-7B-v0.1.json --format csv > modules.csv
      Every module's numbers for pandas or polars.";

/// Show a finished scan: the best of each type by any rule and statistic, or every module's numbers.
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// The scan: a file of all modules' numbers
    #[arg(value_name = "SCAN.json")]
    scan: PathBuf,

    #[command(flatten)]
    choice: ChoiceArgs,

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]
    #[arg(long, value_name = "HOW", value_parser = one_of(&POOLINGS), help_heading = "What to choose")]
    pool_experts: Option<Pooling>,

    /// The form: table, json (the names of what is chosen), csv (every module with all its numbers) or markdown
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = one_of(&SHOW_FORMS), help_heading = "Output")]
    format: ShowForm,

    /// Write the names of what is chosen to this file, too, as a scan writes them
    #[arg(long, value_name = "FILE", value_parser = file("a dash is no file: --format json prints the names"), help_heading = "Output")]
    top_output: Option<PathBuf>,

    /// Replace a file of that name, even if it is no such file
    #[arg(long, requires = "top_output", help_heading = "Output")]
    overwrite: bool,

    #[command(flatten)]
    pub messages: MessageArgs,
}

impl ShowArgs {
    pub fn task(&self) -> Result<ShowTask, UsageError> {
        Ok(ShowTask {
            scan: self.scan.clone(),
            ranking: self.choice.ranking.given()?,
            rules: self.choice.rules(None)?,
            pooling: self.pool_experts,
            form: self.format,
            top: self.top_output.clone(),
            overwrite: self.overwrite,
        })
    }
}

/// Write a page to look at: every module's place in a scan, as one HTML file that needs nothing else.
///
/// A module that is clicked shows its spectrum, if the scan's file of spectra is at hand. A slider shows what other numbers of
/// modules would train. The page requests nothing, and is complete without scripting but for these.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The scan: a file of all modules' numbers
    #[arg(value_name = "SCAN.json")]
    scan: PathBuf,

    /// Show on the page how ranks moved to this scan, such as that of a fine-tune
    #[arg(long, value_name = "OTHER.json")]
    against: Option<PathBuf>,

    /// The page [default: the scan's name with .html]; '-' prints it
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Replace a file of that name, even if it is no such page
    #[arg(long, help_heading = "Output")]
    overwrite: bool,

    #[command(flatten)]
    choice: ChoiceArgs,

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]
    #[arg(long, value_name = "HOW", value_parser = one_of(&POOLINGS), help_heading = "What to choose")]
    pool_experts: Option<Pooling>,

    #[command(flatten)]
    pub messages: MessageArgs,
}

impl DiffArgs {
    pub fn task(&self) -> Result<DiffTask, UsageError> {
        let scans = [self.a.clone(), self.b.clone()];
        let ranking = self.ranking.given()?;
        Ok(DiffTask { scans, ranking, top: self.top_n.get(), moves: self.moves, as_json: self.json })
    }
}

impl ReportArgs {
    pub fn task(&self) -> Result<ReportTask, UsageError> {
        Ok(ReportTask {
            scan: self.scan.clone(),
            against: self.against.clone(),
            output: match &self.output {
                Some(file) if is_standard_output(file) => None,
                Some(file) => Some(file.clone()),
                None => Some(self.scan.with_extension("html")),
            },
            overwrite: self.overwrite,
            ranking: self.choice.ranking.given()?,
            rules: self.choice.rules(None)?,
            pooling: self.pool_experts,
        })
    }
}

fn whole(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "it takes a whole number")
}
