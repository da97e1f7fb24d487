//! `laser-scan export`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use laser_scan::modules::Wanted;
use laser_scan::scan::Pooling;
use laser_scan::trainers::{ALL, Format, Profile, Trainer};

use super::{
    AdapterArgs, HubArgs, MessageArgs, POOLINGS, SelectionArgs, UsageError, is_standard_output, line, line_of, one_of,
};
use crate::commands::task::{ExportOutput, ExportTask, ModelRequest};

const FORMATS: [(&str, &str, Format); 5] = [
    ("yaml", "YAML", Format::Yaml),
    ("json", "JSON", Format::Json),
    ("sorted-json", "JSON, sorted by ratio", Format::SortedJson),
    ("toml", "TOML", Format::Toml),
    ("args", "Options for a command line", Format::Args),
];

const EXAMPLES: &str = "\
Examples:
  laser-scan export axolotl laser_scan_Mistral-7B-v0.1.json --match-rank 32
      The lines for Axolotl's configuration, with as many trainable parameters as plain QLoRA of rank 32.
  laser-scan export axolotl laser_scan_Mistral-7B-v0.1.json --match-rank 32 --into config.yml --dry-run
      What would change in a configuration; without --dry-run it is changed, and config.yml.bak is what it was.
  laser-scan export peft laser_scan_Mistral-7B-v0.1.json --top-percent 25 > lora.json
      For LoraConfig(**json.load(open(\"lora.json\"))).
  laser-scan export axolotl-full snr_results_Qwen-Qwen2.5-7B.json --model Qwen/Qwen2.5-7B
      From a result that Spectrum published; of the model only headers are read.";

/// Write a trainer's configuration from a finished scan.
///
/// Each name is tried by the trainer's own rule on all modules of the model before it is written: it must hit exactly what
/// was chosen. Scans of laser-scan are read, and the results of Spectrum and laserRMT. Beside a scan of ours its manifest
/// (laser_scan_<model>_run.json) tells what else is in the model; for other scans give the model with --model.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ExportArgs {
    /// Who is to train
    #[arg(value_name = "TRAINER", value_parser = trainer())]
    trainer: &'static dyn Trainer,

    /// The scan: a file of all modules' numbers
    #[arg(value_name = "SCAN.json")]
    scan: PathBuf,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    adapter: AdapterArgs,

    /// Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]
    #[arg(long, value_name = "HOW", value_parser = one_of(&POOLINGS), help_heading = "What to choose")]
    pool_experts: Option<Pooling>,

    /// Rank modules as one that the trainer has as one, such as the queries, keys and values of Flux in its original form, by the mean
    /// or the largest of their ratios
    #[arg(
        long,
        value_name = "HOW",
        default_value = "none",
        value_parser = one_of(&POOLINGS),
        help_heading = "What to choose"
    )]
    pool_fused: Pooling,

    /// The model that was scanned, a folder or a Hub id: only headers are read, for the names and shapes that the scan lacks
    #[arg(long, value_name = "MODEL", help_heading = "The model")]
    model: Option<String>,

    /// The Hub model's branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION", requires = "model", help_heading = "The model")]
    revision: Option<String>,

    /// The trainer's line of transformers, 4 (4.57) or 5, with --model [default: 5]
    #[arg(long, value_name = "LINE", value_parser = line, requires = "model", help_heading = "The model")]
    transformers: Option<u8>,

    /// Change the keys in this YAML configuration of Axolotl, LLaMA-Factory or TRL, and keep the rest of it as it is; the file as it
    /// was is kept as FILE.bak
    #[arg(long, value_name = "FILE", help_heading = "Output", conflicts_with_all = ["output", "output_dir", "format"])]
    into: Option<PathBuf>,

    /// Only show what --into would change
    #[arg(long, requires = "into", help_heading = "Output")]
    dry_run: bool,

    /// Write to this file instead of standard output, which is '-'
    #[arg(short, long, value_name = "FILE", help_heading = "Output", conflicts_with = "output_dir")]
    output: Option<PathBuf>,

    /// Write the configuration in all its forms into this folder
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with = "format")]
    output_dir: Option<PathBuf>,

    /// Replace files of these names, even if laser-scan did not write them
    #[arg(long, help_heading = "Output", conflicts_with = "into")]
    overwrite: bool,

    #[arg(long, value_name = "FORMAT", value_parser = one_of(&FORMATS), help = formats(), help_heading = "Output")]
    format: Option<Format>,

    #[command(flatten)]
    pub messages: MessageArgs,

    #[command(flatten)]
    hub: HubArgs,
}

/// The help of `--format`, with the trainers that have several.
fn formats() -> String {
    let several = ALL.iter().map(|trainer| trainer.profile()).filter(|profile| profile.formats.len() > 1);
    let named = several.map(|profile| {
        let keys: Vec<&str> = profile.formats.iter().map(|format| format.key()).collect();
        format!("{} ({})", profile.key, keys.join(", "))
    });
    let named: Vec<String> = named.collect();
    format!("The form, where the trainer has several [default: the first]: {}", named.join(", "))
}

impl ExportArgs {
    pub fn task(&self) -> Result<ExportTask, UsageError> {
        if let Some(contradiction) = self.contradiction() {
            return Err(UsageError::conflict(contradiction));
        }
        let trainer = self.trainer;
        let wanted = Wanted { convolutions: true, line: line_of(self.transformers.unwrap_or(5)), ..Wanted::default() };
        let request = |spelling: &String| {
            let (spelling, revision, options) = (spelling.clone(), self.revision.clone(), self.hub.options());
            (ModelRequest { spelling, revision, options }, wanted)
        };
        Ok(ExportTask {
            trainer,
            scan: self.scan.clone(),
            model: self.model.as_ref().map(request),
            pooling: self.pool_experts,
            pool_fused: self.pool_fused,
            ranking: self.selection.choice.ranking.given()?,
            rules: self.selection.rules(trainer.profile().counted(self.adapter.rank()))?,
            adapter: self.adapter.adapter(),
            given: self.adapter.given(),
            output: match (&self.into, &self.output_dir) {
                (Some(path), _) => ExportOutput::Config { path: path.clone(), dry_run: self.dry_run },
                (None, Some(folder)) => ExportOutput::Folder(folder.clone()),
                (None, None) => {
                    ExportOutput::One(self.format, self.output.clone().filter(|file| !is_standard_output(file)))
                }
            },
            overwrite: self.overwrite,
        })
    }

    /// What is wrong with a combination of options.
    fn contradiction(&self) -> Option<String> {
        let Profile { key, formats, user_config, .. } = self.trainer.profile();
        if self.format.is_some_and(|format| !formats.contains(&format)) {
            let names: Vec<&str> = formats.iter().map(|format| format.key()).collect();
            Some(format!("{key} has no such form: --format takes {}", names.join(" or ")))
        } else if self.into.is_some() && user_config.is_none() {
            let editable = ALL.iter().map(|trainer| trainer.profile()).filter(|profile| profile.user_config.is_some());
            let keys: Vec<&str> = editable.map(|profile| profile.key).collect();
            let (last, others) = keys.split_last()?;
            Some(format!("--into edits configurations of {} and {last}", others.join(", ")))
        } else {
            self.adapter.contradiction(self.trainer)
        }
    }
}

pub fn trainer() -> impl TypedValueParser<Value = &'static dyn Trainer> {
    let named = |key: String| ALL.iter().copied().find(|trainer| trainer.profile().key == key);
    PossibleValuesParser::new(ALL.iter().map(|trainer| trainer.profile().key))
        .map(move |key| named(key).expect("one of the possible values"))
}
