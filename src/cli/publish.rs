//! The options of what is made of a scan's numbers: the choice, trainers' configurations and files.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;
use laser_scan::scan::{Destination, Options, Pooling};
use laser_scan::select::{Count, Counted, Rules};
use laser_scan::statistic::Ranking;
use laser_scan::trainers::Trainer;

use super::{
    AdapterArgs, MessageArgs, POOLINGS, SelectionArgs, UsageError, environment, export, file, is_standard_output,
    one_of,
};
use crate::commands::task::{Printed, Publication};

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Rank all experts of a layer as one, by the mean or the largest of their ratios
    #[arg(
        long,
        value_name = "HOW",
        default_value = "none",
        value_parser = one_of(&POOLINGS),
        help_heading = "What to choose"
    )]
    pool_experts: Pooling,

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

    /// The folder for the output files, or its address such as s3://bucket/folder [default: the current one]
    #[arg(short, long, value_name = "DIR", value_parser = file("a dash is no folder: --output - prints every module's numbers"), help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// The file for every module's numbers [default: laser_scan_<model>.json]; '-' prints them instead of the table, and the file has
    /// its usual name
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// The file for the names of the best [default: laser_scan_<model>_top_snr.json]
    #[arg(long, value_name = "FILE", value_parser = file("a dash is no file: --json prints the names of the best"), help_heading = "Output")]
    top_output: Option<PathBuf>,

    /// Replace files of these names, even if they are another model's results or no results at all
    #[arg(long, help_heading = "Output")]
    overwrite: bool,

    /// Print the names of the best as JSON instead of a table; with --dry-run, the plan
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    #[command(flatten)]
    pub messages: MessageArgs,
}

impl PublishArgs {
    /// What is to be made of the numbers. `usual` is by what modules are ranked if no option says so; `None`: as the numbers were
    /// before.
    pub fn publication(
        &self,
        usual: Option<Ranking>,
        resume_with: Option<&'static str>,
    ) -> Result<Publication, UsageError> {
        if let Some(contradiction) = self.contradiction() {
            return Err(UsageError::conflict(contradiction));
        }
        let rank = self.adapter.rank();
        let counted = self.emit.first().map_or(Counted::Lora { rank }, |trainer| trainer.profile().counted(rank));
        let mut seen = HashSet::new();
        let emit = self.emit.iter().copied().filter(|trainer| seen.insert(trainer.profile().key)).collect();
        let full = self.output.clone().filter(|file| !is_standard_output(file));
        let (folder, top) = (self.folder(), self.top_output.clone());
        Ok(Publication {
            pooling: self.pool_experts,
            ranking: self.selection.choice.ranking.given()?.or(usual),
            all_statistics: self.statistics,
            has_spectra: !self.no_spectra,
            rules: self.selection.rules(counted)?,
            choice: self.selection.options(),
            emit,
            adapter: self.adapter.adapter(),
            destination: Destination { folder, full, top, address: None },
            stores: environment::stores(),
            overwrite: self.overwrite,
            printed: self.printed(),
            resume_with,
        })
    }

    /// What is printed of a whole scan.
    pub fn printed(&self) -> Printed {
        match &self.output {
            Some(file) if is_standard_output(file) => Printed::Numbers,
            _ if self.json => Printed::Best,
            _ => Printed::Table,
        }
    }

    /// The folder for the output files, if one is named.
    fn folder(&self) -> Option<PathBuf> {
        self.output_dir.clone().or_else(|| environment::path("LASER_SCAN_OUTPUT_DIR"))
    }

    /// Whether results are sent to an object store once they are whole.
    pub fn is_sent(&self) -> bool {
        self.folder().as_ref().and_then(|folder| folder.to_str()).is_some_and(|folder| folder.contains("://"))
    }

    /// What is wrong with a combination of options.
    fn contradiction(&self) -> Option<String> {
        let AdapterArgs { rank, no_head, .. } = self.adapter;
        let budget = self.selection.budget.is_some();
        let is_idle = self.adapter.is_given() || no_head || (rank.is_some() && !budget);
        let mixed =
            self.emit.iter().any(|trainer| trainer.profile().has_adapters != self.emit[0].profile().has_adapters);
        let text = if self.json && self.printed() == Printed::Numbers {
            "--json and --output - both say what is printed: give one of them"
        } else if self.emit.is_empty() && is_idle {
            "ranks, alphas and --no-head are about a trainer's configuration: name the trainer with --emit"
        } else if budget && mixed {
            "--budget counts adapters for some of these trainers and weights for others: emit for one kind at a time"
        } else {
            return self.emit.iter().find_map(|trainer| self.adapter.contradiction(*trainer));
        };
        Some(text.to_owned())
    }

    /// The options of the choice under these `rules`, defaults included, for the manifest.
    pub fn options(&self, rules: &Rules, ranking: Ranking) -> Options {
        Options {
            top_n: if let Count::Top(count) = rules.count { Some(count) } else { None },
            top_percent: self.selection.choice.top_percent,
            global: rules.global,
            budget: self.selection.budget,
            types: self.selection.choice.types.clone(),
            layers: rules.layers.as_ref().map(ToString::to_string),
            emit: self.emit.iter().map(|trainer| trainer.profile().key.to_owned()).collect(),
            pool_experts: self.pool_experts,
            statistic: ranking.criterion,
            ties: ranking.ties,
            ..Options::default()
        }
    }
}
