//! Reads the command line and the environment. No other room does.

mod adapter;
mod compare;
mod environment;
mod export;
mod merge;
mod publish;
mod run;
mod scan;
mod selection;
mod shell;
mod tips;

use std::ffi::OsString;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anstream::ColorChoice;
use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use laser_scan::modules::Line;
use laser_scan::output;
use laser_scan::scan::Pooling;

use adapter::AdapterArgs;
use compare::{DiffArgs, ReportArgs, ShowArgs};
use environment::HubArgs;
use export::ExportArgs;
use merge::MergeArgs;
use scan::{DeltaArgs, ScanArgs};
use selection::{ChoiceArgs, RankingArgs, SelectionArgs};
use shell::{CompletionsArgs, ManArgs};
use tips::with_tips;

use crate::commands::task::Task;
use crate::terminal::{LogFormat, TerminalOptions, Verbosity};

const EXAMPLES: &str = "\
Examples:
  laser-scan mistralai/Mistral-7B-v0.1 -n 16
      Download the model (into the cache that Python shares), rank its modules, write the results here.
  laser-scan --model mistralai/Mistral-7B-v0.1 --top-n 16
      The same, with names for everything.
  laser-scan ./checkpoint --dry-run
      Show what would be scanned, and how much there is to download.
  laser-scan ./checkpoint --include '*.mlp.*' --json -q | jq -r '.[\"mlp.down_proj\"][]'
      Only the MLPs, for a script.

Environment:
  HF_TOKEN, HF_TOKEN_PATH     access to private and gated models
  HF_HOME, HF_HUB_CACHE       where the cache is
  HF_ENDPOINT                 another Hub
  HF_HUB_OFFLINE=1            the same as --offline
  LASER_SCAN_DEVICE           the same as --device
  LASER_SCAN_THREADS          the same as --threads
  LASER_SCAN_OUTPUT_DIR       the same as --output-dir
  NO_COLOR                    the same as --color never

Exit status:
  0  done
  1  what was asked for could not be produced, or not all of it
  2  wrong usage
  3  done, but some modules could not be measured";

/// Rank a model's linear modules by signal-to-noise ratio, to fine-tune those that carry the most signal.
///
/// laser-scan reads a model's weights and computes, for each linear module, the statistic of laser-QLoRA: singular
/// values above the Marchenko–Pastur edge are signal, those below are noise, and modules are ranked by signal over noise
/// over the largest singular value. It writes every module's numbers, the names of the best of each type, and a manifest
/// of the run, and from them the configuration of a trainer. No model code is executed.
#[derive(Debug, Parser)]
#[command(
    version,
    after_long_help = EXAMPLES,
    max_term_width = 110,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub scan: ScanArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Scan(Box<ScanArgs>),
    Export(Box<ExportArgs>),
    Merge(Box<MergeArgs>),
    Delta(Box<DeltaArgs>),
    Diff(DiffArgs),
    Report(ReportArgs),
    Show(ShowArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct MessageArgs {
    /// Print nothing but errors and what was asked for
    #[arg(short, long)]
    pub quiet: bool,

    /// How messages on standard error are written: text, or json with one object a line, for machines
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = one_of(&LOG_FORMATS), hide_possible_values = true)]
    pub log_format: LogFormat,

    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = one_of(&COLORS))]
    pub color: ColorChoice,
}

const LOG_FORMATS: [(&str, &str, LogFormat); 2] =
    [("text", "Sentences for a person", LogFormat::Text), ("json", "One JSON object a line", LogFormat::Json)];

const COLORS: [(&str, &str, ColorChoice); 3] = [
    ("auto", "On a terminal, unless NO_COLOR is set", ColorChoice::Auto),
    ("always", "Always", ColorChoice::Always),
    ("never", "Never", ColorChoice::Never),
];

const POOLINGS: [(&str, &str, Pooling); 3] = [
    ("none", "Each is ranked by itself", Pooling::None),
    ("mean", "By the mean of their ratios", Pooling::Mean),
    ("max", "By the largest of their ratios", Pooling::Max),
];

/// A parser of these values, given by their names on the command line and their help.
fn one_of<T: Copy + Send + Sync>(values: &'static [(&str, &str, T)]) -> impl TypedValueParser<Value = T> {
    let named = |name: String| values.iter().find(|(known, ..)| *known == name).expect("one of the possible values").2;
    let names = values.iter().map(|(name, help, _)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(names).map(named)
}

/// What is wrong with a command line that clap accepts.
#[derive(Debug)]
pub struct UsageError {
    kind: ErrorKind,
    text: String,
}

impl UsageError {
    fn conflict(text: String) -> Self {
        Self { kind: ErrorKind::ArgumentConflict, text }
    }

    fn value(error: impl ToString) -> Self {
        Self { kind: ErrorKind::ValueValidation, text: error.to_string() }
    }

    /// Ends the process with the message, and with the usage of the subcommand called `name`, if there is one.
    fn end(self, name: Option<&str>) -> ! {
        let mut command = command();
        // After this, subcommands know the name of the whole program for their usage.
        command.build();
        let command = match name {
            Some(name) => command.find_subcommand_mut(name),
            None => Some(&mut command),
        };
        command.map_or_else(|| std::process::exit(2), |command| end(&self.of(command)))
    }

    /// The message with the usage of `command`.
    fn of(self, command: &mut clap::Command) -> clap::Error {
        command.error(self.kind, self.text)
    }
}

/// The command line as it is parsed.
fn command() -> clap::Command {
    ["scan", "delta", "merge", "export", "show"]
        .into_iter()
        .fold(with_tips(Cli::command()), |command, name| command.mut_subcommand(name, with_tips))
}

/// Reads the command line and the environment. Ends the process with a message if something is wrong, or with help, completions or
/// manual pages if they are asked for.
pub fn read() -> (TerminalOptions, Task) {
    let matches = command().try_get_matches().unwrap_or_else(|error| end(&of_several_words(error)));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| end(&error));
    let mut run = &cli.scan.run;
    let (name, task, MessageArgs { quiet, log_format, color }) = match &cli.command {
        None => (None, cli.scan.task().map(|task| Task::Scan(Box::new(task))), cli.scan.run.publish.messages),
        Some(Command::Scan(arguments)) => {
            run = &arguments.run;
            (Some("scan"), arguments.task().map(|task| Task::Scan(Box::new(task))), arguments.run.publish.messages)
        }
        Some(Command::Export(arguments)) => {
            (Some("export"), arguments.task().map(|task| Task::Export(Box::new(task))), arguments.messages)
        }
        Some(Command::Merge(arguments)) => {
            (Some("merge"), arguments.task().map(|task| Task::Merge(Box::new(task))), arguments.publish.messages)
        }
        Some(Command::Delta(arguments)) => {
            run = &arguments.run;
            (Some("delta"), arguments.task().map(|task| Task::Scan(Box::new(task))), arguments.run.publish.messages)
        }
        Some(Command::Diff(arguments)) => (Some("diff"), arguments.task().map(Task::Diff), arguments.messages),
        Some(Command::Show(arguments)) => (Some("show"), arguments.task().map(Task::Show), arguments.messages),
        Some(Command::Report(arguments)) => (Some("report"), arguments.task().map(Task::Report), arguments.messages),
        Some(Command::Completions(arguments)) => end_after(arguments.run(Cli::command())),
        Some(Command::Man(arguments)) => end_after(arguments.run(Cli::command())),
    };
    let verbosity = match (quiet, run.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let options = TerminalOptions { verbosity, color, format: log_format, resume_with: run.resume_with() };
    (options, task.unwrap_or_else(|wrong| wrong.end(name)))
}

/// A better message for words after a model, all of which are commands to clap: one of them is mistyped, or there are two models.
fn of_several_words(error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let mut command = command();
    let is_command = command.find_subcommand(word).is_some();
    if error.kind() != ErrorKind::ArgumentConflict || is_command {
        return error;
    }
    let words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
    let mistyped = words.take_while(|before| before != word).find_map(|word| scan::mistyped(&word));
    let text = mistyped.unwrap_or_else(|| format!("'{word}' is one model too many: one is scanned at a time"));
    UsageError::value(text).of(&mut command)
}

/// Ends the process after something was written.
fn end_after(written: std::io::Result<()>) -> ! {
    if let Err(error) = written {
        let _ = writeln!(anstream::stderr(), "error: {}", output::visible(&error.to_string()));
        std::process::exit(1)
    }
    std::process::exit(0)
}

/// Ends the process with clap's message. It quotes the command line, which may contain names from files that others wrote.
fn end(error: &clap::Error) -> ! {
    let is_plain = |argument: OsString| !argument.to_string_lossy().contains(output::is_deceptive);
    if std::env::args_os().all(is_plain) {
        error.exit();
    }
    let text = error.render().to_string();
    let lines: Vec<String> = text.lines().map(output::visible).collect();
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(anstream::stderr(), "{}", lines.join("\n"));
    std::process::exit(error.exit_code())
}

/// The major version of transformers.
fn line(version: &str) -> Result<u8, &'static str> {
    match version.split('.').next() {
        Some("4") => Ok(4),
        Some("5") => Ok(5),
        _ => Err("it takes 4 or 5"),
    }
}

fn line_of(number: u8) -> Line {
    if number == 4 { Line::Four } else { Line::Five }
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "it takes a whole number of at least 1")
}

/// A dash stands for standard output, as it does everywhere.
fn is_standard_output(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A parser of files and folders, which refuses the dash: `instead` says what prints.
fn file(instead: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |file| if is_standard_output(&file) { Err(instead) } else { Ok(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
