//! `laser-scan merge`.

use std::path::PathBuf;

use clap::Args;
use laser_scan::statistic::Ranking;

use super::UsageError;
use super::publish::PublishArgs;
use crate::commands::task::MergeTask;

const EXAMPLES: &str = "\
Examples:
  laser-scan --model deepseek-ai/DeepSeek-V3 --part 3/32 --output-dir /shared/parts
      On the third of 32 machines; each writes files of its own and resumes by itself.
  laser-scan merge /shared/parts --top-n 16
      The whole scan from all parts, as one machine would have written it.
  laser-scan merge parts/*_part-*-of-32.json --partial
      What is there so far; the exit status is 3.";

/// Join the parts of a scan that several machines have measured with --part.
///
/// On the CPU the files are byte for byte those of a scan that was not divided. Parts of other models, commits, weights, options or
/// versions of the arithmetic are refused.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct MergeArgs {
    /// The parts' files of all numbers, or a folder that holds them
    #[arg(value_name = "PART.json", required = true)]
    parts: Vec<PathBuf>,

    /// Merge what is there although parts are missing; the scan says so, and the exit status is 3
    #[arg(long)]
    partial: bool,

    #[command(flatten)]
    pub publish: PublishArgs,
}

impl MergeArgs {
    pub fn task(&self) -> Result<MergeTask, UsageError> {
        let publication = self.publish.publication(None, Some("the same line again"))?;
        let ranking = publication.ranking.unwrap_or_else(Ranking::default);
        let options = self.publish.options(&publication.rules, ranking);
        Ok(MergeTask { parts: self.parts.clone(), is_partial: self.partial, options, publication })
    }
}
