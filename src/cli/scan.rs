//! The scan, which is the main job and has no subcommand, and `laser-scan delta`.

use std::path::Path;

use clap::{ArgGroup, Args};
use laser_scan::statistic::{Criterion, Ranking, Ties};

use super::UsageError;
use super::run::{Named, RunArgs};
use crate::commands::task::ScanTask;

/// Measure a model and rank its modules, as without a command.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("model to scan").required(true).args(["named", "model"])))]
pub struct ScanArgs {
    /// The model: a folder, one .safetensors or .bin file, or a Hub id such as mistralai/Mistral-7B-v0.1
    #[arg(value_name = "MODEL")]
    named: Option<String>,

    /// The same, as an option
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// The Hub model's branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    #[command(flatten)]
    pub run: RunArgs,
}

const DELTA_EXAMPLES: &str = "\
Examples:
  laser-scan delta mistralai/Mistral-7B-v0.1 ./my-finetune
      Which modules a fine-tune moved most, relative to their size.
  laser-scan delta mistralai/Mistral-7B-v0.1 ./my-lora --top-percent 25
      The same of a LoRA adapter, which need not be merged.
  laser-scan delta ./base ./finetune --statistic effective-rank
      Where the change spreads over most directions.";

/// Measure what a fine-tune changed: the difference of two models' weights, module by module.
///
/// The fine-tuned model may be a whole model with weights of the same shapes, or a LoRA adapter of the base. Each module's change is
/// measured as a scan measures a weight, and its Frobenius norm is given, and that over the norm of the base's weight. The files are
/// those of a scan, called laser_scan_<finetuned>_delta….json; 'show', 'report', 'diff' and 'export' read them.
#[derive(Debug, Args)]
#[command(after_long_help = DELTA_EXAMPLES)]
pub struct DeltaArgs {
    /// The base: a folder, one .safetensors or .bin file, or a Hub id
    #[arg(value_name = "BASE")]
    base: String,

    /// What was made of it: the same, or a LoRA adapter
    #[arg(value_name = "FINETUNED")]
    finetuned: String,

    /// The base's branch, tag or commit on the Hub [default: main]
    #[arg(long, value_name = "REVISION")]
    base_revision: Option<String>,

    /// The fine-tuned model's branch, tag or commit on the Hub [default: main]
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    #[command(flatten)]
    pub run: RunArgs,
}

impl ScanArgs {
    pub fn task(&self) -> Result<ScanTask, UsageError> {
        if let Some(text) = self.named.as_deref().and_then(mistyped) {
            return Err(UsageError::value(text));
        }
        let spelling = self.named.as_ref().or(self.model.as_ref()).cloned().unwrap_or_default();
        let model = Named { spelling, revision: self.revision.clone() };
        let task = self.run.task(model, None, Ranking::default())?;
        if task.publication.ranking.is_some_and(|ranking| ranking.criterion == Criterion::RelativeNorm) {
            let text = "--statistic relative-norm ranks changes, which 'laser-scan delta BASE FINETUNED' measures";
            return Err(UsageError::conflict(text.to_owned()));
        }
        Ok(task)
    }
}

/// What to say if `word` is no file or folder, and a person may have mistyped a command.
pub fn mistyped(word: &str) -> Option<String> {
    let is_near = |command: &&str| strsim::osa_distance(word, command) == 1;
    let commands = ["scan", "export", "merge", "delta", "diff", "report", "show", "completions", "help"];
    let command = commands.into_iter().find(is_near).filter(|_| !Path::new(word).exists())?;
    Some(format!(
        "there is no file or folder '{word}' here, and the command '{command}' has a similar name: if a model is meant, write --model {word}"
    ))
}

impl DeltaArgs {
    pub fn task(&self) -> Result<ScanTask, UsageError> {
        let base = Named { spelling: self.base.clone(), revision: self.base_revision.clone() };
        let finetuned = Named { spelling: self.finetuned.clone(), revision: self.revision.clone() };
        let ranking = Ranking { criterion: Criterion::RelativeNorm, ties: Ties::Model };
        self.run.task(finetuned, Some(base), ranking)
    }
}
