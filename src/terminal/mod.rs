//! Progress and messages on standard error, tables on standard output. All of it goes through [`Terminal::say`],
//! [`Terminal::output`] and [`Sheet`], which make text harmless that others wrote.

mod chosen;
mod comparison;
mod download;
mod dry_run;
mod lines;
mod log;
mod pace;
mod progress;
mod sheet;
mod width;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstyle::AnsiColor;
use indicatif::{HumanBytes, MultiProgress, ProgressDrawTarget};
use laser_scan::config::Change;
use laser_scan::measure::{Plan, Resources};
use laser_scan::modules::{self, Reason};
use laser_scan::output::counted;
use laser_scan::scan::Outputs;
use laser_scan::select::Group;
use serde_json::json;

use chosen::ratio;
use lines::{Label, Lines};
pub use log::LogFormat;
pub use progress::Progress;
use sheet::{Sheet, harmless, harmless_lines};

/// How many characters of a configuration's value are shown.
const LONGEST_VALUE: usize = 60;

pub struct TerminalOptions {
    pub verbosity: Verbosity,
    pub color: anstream::ColorChoice,
    pub format: LogFormat,
    /// What a person runs after an interruption, in words.
    pub resume_with: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

pub struct Terminal {
    verbosity: Verbosity,
    lines: Lines,
    bars: MultiProgress,
    /// How many modules of the scan are in its journal.
    journalled: AtomicUsize,
    resume_with: Option<&'static str>,
}

impl Terminal {
    pub fn new(options: &TerminalOptions) -> Self {
        let TerminalOptions { verbosity, color, format, resume_with } = *options;
        if color != anstream::ColorChoice::Auto {
            color.write_global();
        }
        // indicatif draws nothing where standard error is no terminal.
        let is_hidden = verbosity == Verbosity::Quiet || format == LogFormat::Json;
        let target = if is_hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bars = MultiProgress::with_draw_target(target);
        Self { verbosity, lines: Lines { format }, bars, journalled: AtomicUsize::new(0), resume_with }
    }

    /// Whether a line each half minute says how a run gets on: no bars are drawn, and `-q` is not given.
    fn has_log(&self) -> bool {
        let is_json = self.lines.format == LogFormat::Json;
        self.verbosity > Verbosity::Quiet && (is_json || !io::stderr().is_terminal())
    }

    /// Prints a message unless `-q` is given.
    pub fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.say(None, text);
        }
    }

    /// Tells a person which command to give next, so that it can be copied. No program reads that.
    pub fn suggest(&self, command: &str) {
        if self.verbosity >= Verbosity::Normal && self.lines.format == LogFormat::Text {
            self.note("next, for one of the trainers that 'laser-scan export --help' lists:");
            self.bars.suspend(|| self.lines.command(command));
        }
    }

    /// Prints a message if `-v` is given.
    pub fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.say(None, text);
        }
    }

    pub fn warn(&self, text: &str) {
        self.say(Some(("warning", AnsiColor::Yellow)), text);
    }

    /// Prints an error as the sentence that a person reads. No other place does so.
    pub fn error(&self, error: &anyhow::Error) {
        self.say(Some(("error", AnsiColor::Red)), &format!("{error:#}"));
    }

    /// Prints a line on standard error. The text may contain names and messages from files that others wrote.
    fn say(&self, label: Option<Label>, text: &str) {
        self.bars.suspend(|| self.lines.say(label, text));
    }

    /// Writes an event, if events are written as JSON and `-q` is not given.
    fn event(&self, name: &str, fields: serde_json::Value) {
        if self.lines.format == LogFormat::Json && self.verbosity > Verbosity::Quiet {
            self.lines.event(name, fields);
        }
    }

    /// Writes `text` and a line end to standard output: unchanged for a program, made harmless on a terminal.
    pub fn output(&self, text: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let shown = stdout.is_terminal().then(|| harmless_lines(&String::from_utf8_lossy(text)));
        let bytes = shown.as_ref().map_or(text, |shown| shown.as_bytes());
        write_line(&mut stdout, bytes)
    }

    /// Prints tables for a person, unless `-q` is given.
    fn print(&self, sheet: &Sheet) -> io::Result<()> {
        match (self.verbosity, width::of_output()) {
            (Verbosity::Quiet, _) => Ok(()),
            (_, None) => self.output(sheet.text().as_bytes()),
            // What a sheet holds is harmless already.
            (_, Some(columns)) => write_line(&mut anstream::stdout().lock(), sheet.styled(columns).as_bytes()),
        }
    }

    /// Warns unless `-q` is given.
    pub fn caution(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.warn(text);
        }
    }

    /// Remarks on the model that a reader of the numbers should know.
    pub fn remark(&self, plan: &Plan) {
        for architecture in &plan.unknown {
            self.note(&format!(
                "the architecture '{architecture}' is not known to laser-scan: its modules are found by general rules, \
                 and are taken to be called in memory as they are on disk"
            ));
        }
        let wrappers = plan.wrappers();
        if !wrappers.is_empty() {
            self.note(&format!(
                "the names of the stored tensors hold what tools put around a model ('{}'): it is taken off, and modules are \
                 called as the model itself calls them",
                wrappers.join("', '"),
            ));
        }
        if let Some(first) = plan.checkpoint.beside.first() {
            self.note(&format!(
                "the transformer is scanned; what sentence-transformers puts after it ('{}') is not: to scan that, too, name \
                 the folder '{first}' of the model on this machine",
                plan.checkpoint.beside.join("', '"),
            ));
        }
        let factors = plan.left_out.iter().filter(|tensor| tensor.reason == Reason::Factor).count();
        if factors > 0 {
            self.note(&format!(
                "beside its own weights, the model holds {} of adapters, which are left out: it is scanned without its adapters",
                counted(factors, "factor"),
            ));
        }
        if let Some(first) = plan.added.first() {
            let others =
                if plan.added.len() > 1 { format!(" and {} more", plan.added.len() - 1) } else { String::new() };
            self.note(&format!(
                "the adapter holds '{first}'{others}, which the base does not have: no change of it is measured"
            ));
        }
        if self.verbosity > Verbosity::Quiet {
            for format in &plan.quantizations {
                self.warn(&match &plan.base {
                    None => format!(
                        "the weights are quantised ({format}) and are dequantised: the numbers are those of the quantised \
                         model, and those of the model that it was made from may differ"
                    ),
                    Some(_) => format!(
                        "weights of one of the models are quantised ({format}) and are dequantised: what quantising changed is part of \
                         every change"
                    ),
                });
            }
        }
    }

    pub fn remark_on_missing(&self, plan: &Plan) {
        modules::warnings(&plan.missing).iter().for_each(|warning| self.warn(warning));
    }

    pub fn begin(&self, plan: &Plan, resources: &Resources, download: u64) {
        let shards = plan.needed_shards().len();
        self.event(
            "begin",
            json!({
                "model": plan.model.spelling,
                "part": plan.part.as_ref().map(|portion| portion.part),
                "modules": plan.modules.len(),
                "files": shards,
                "flops": plan.flops(),
                "download_bytes": download,
            }),
        );
        let download = if download > 0 { format!(", {} to download", HumanBytes(download)) } else { String::new() };
        let part = plan.part.as_ref().map(|portion| format!("part {} of {}, ", portion.part.number, portion.part.of));
        let what = match &plan.base {
            None => format!("scanning '{}'", plan.model.spelling),
            Some(base) => format!("measuring what '{}' changed in '{}'", plan.model.spelling, base.spelling),
        };
        self.note(&format!(
            "{what}: {}{} in {}{download}{}",
            part.unwrap_or_default(),
            counted(plan.modules.len(), "module"),
            counted(shards, "file"),
            where_it_runs(resources),
        ));
        if let Some(commit) = &plan.model.commit {
            self.detail(&format!("commit {commit}"));
        }
        self.detail(&format!(
            "{}, {} on the CPU, no more than {} of memory, {} left out",
            operations(plan.flops()),
            counted(resources.threads, "thread"),
            HumanBytes(resources.memory),
            counted(plan.left_out.len(), "tensor"),
        ));
    }

    /// Remarks on the choice that matter before a trainer gets it.
    pub fn remark_on_choice(&self, groups: &[Group<'_>], outputs: &Outputs) {
        let measured: usize = groups.iter().map(|group| group.measured).sum();
        let modules = || groups.iter().flat_map(|group| &group.modules);
        let count = modules().count();
        if count == measured && count > 1 {
            self.note(&format!(
                "all {} are chosen: a smaller --top-n, --top-percent or --budget takes fewer",
                counted(count, "module")
            ));
        }
        let renamed = modules().filter(|module| module.is_renamed()).count();
        if renamed > 0 {
            self.note(&format!(
                "{renamed} of the {count} chosen are called otherwise in memory: 'target' in '{}' is what a trainer sees",
                outputs.shown(&outputs.full)
            ));
        }
    }

    /// Tells where the results are, and how many modules are missing in them.
    pub fn finish(&self, outputs: &Outputs, has_spectra: bool, elapsed: Duration, failed: usize) {
        if failed > 0 {
            self.warn(&format!("{} could not be measured", counted(failed, "module")));
        }
        let spectra = has_spectra.then_some(&outputs.spectra);
        let files = [&outputs.full].into_iter().chain(&outputs.top).chain([&outputs.manifest]).chain(spectra);
        let mut files: Vec<String> = files.map(|path| format!("'{}'", outputs.shown(path))).collect();
        let last = files.pop().unwrap_or_default();
        self.note(&format!("wrote {} and {last} in {:.1} s", files.join(", "), elapsed.as_secs_f64()));
        let written: Vec<String> = outputs.results().into_iter().map(|path| outputs.shown(path)).collect();
        self.event("done", json!({"files": written, "seconds": elapsed.as_secs_f64(), "failed": failed}));
    }

    /// Tells what changed in a person's configuration.
    pub fn edited(&self, config: &Path, backup: &Path, changes: &[Change]) {
        for Change { key, before, after } in changes {
            let (before, after) = (before.as_deref().map(one_line), one_line(after));
            self.note(&match before.as_deref() {
                None | Some("") => format!("{key}: set to {after}"),
                Some(before) => format!("{key}: {before} is now {after}"),
            });
        }
        self.note(&format!("changed '{}'; what it was is in '{}'", config.display(), backup.display()));
    }

    /// Tells how to go on after an interruption.
    pub fn interrupted(&self) {
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
        let text = match (self.resume_with, self.journalled.load(Ordering::Relaxed)) {
            (None, _) => "interrupted; nothing is kept, because results are sent only when they are whole".to_owned(),
            (Some(line), 0) => format!("interrupted; run {line} to go on"),
            (Some(line), done) => format!("interrupted; {done} modules are done: run {line} to go on from there"),
        };
        self.lines.say(None, &text);
    }
}

/// Writes `text` and a line end. A reader that stops early, such as `head`, is no error.
fn write_line(target: &mut impl io::Write, text: &[u8]) -> io::Result<()> {
    let written = target.write_all(text).and_then(|()| target.write_all(b"\n")).and_then(|()| target.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A configuration's value, shortened to one line.
fn one_line(value: &str) -> String {
    let items = value.lines().filter(|line| line.trim_start().starts_with("- ")).count();
    match value.lines().count() {
        _ if items > 0 => format!("a list of {items}"),
        0 | 1 if value.chars().count() <= LONGEST_VALUE => value.to_owned(),
        0 | 1 => format!("{}…", value.chars().take(LONGEST_VALUE).collect::<String>()),
        lines => format!("a value of {lines} lines"),
    }
}

/// The GPUs on which a scan runs; empty on the CPU alone.
fn where_it_runs(resources: &Resources) -> String {
    let gpus = resources.devices.iter().filter_map(|gpu| Some(format!("{} ({})", gpu.name(), gpu.model()?)));
    let gpus: Vec<String> = gpus.collect();
    if gpus.is_empty() { String::new() } else { format!(", on {}", gpus.join(" and ")) }
}

/// What a thread that has panicked left is only shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn operations(flops: f64) -> String {
    let units = [(1e15, "Pflop"), (1e12, "Tflop"), (1e9, "Gflop"), (1e6, "Mflop"), (1e3, "kflop")];
    let unit = units.iter().find(|(size, _)| flops >= *size);
    unit.map_or_else(|| format!("{flops:.0} flop"), |(size, unit)| format!("{:.1} {unit}", flops / size))
}
