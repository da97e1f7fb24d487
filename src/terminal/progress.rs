//! Progress bars, and with `-v` a line for each module.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use laser_scan::measure::{self, Event, Outcome, Plan};
use laser_scan::modules::Module;
use laser_scan::source::Transfer;
use laser_scan::spectrum::Fault;
use serde_json::{Value, json};

use super::download::Downloading;
use super::log::{Log, Run};
use super::pace::Pace;
use super::{Terminal, counted, harmless, lock, ratio, width};

/// The columns from which bars are drawn.
const WIDE: usize = 100;

/// The steps of the bar.
const STEPS: u64 = 1000;

/// Shows the events of one scan.
pub struct Progress<'a> {
    terminal: &'a Terminal,
    plan: &'a Plan,
    scan: ProgressBar,
    pace: Pace,
    downloading: Downloading,
    /// How many modules are done.
    done: Arc<Mutex<usize>>,
    _log: Option<Log>,
    /// Whether a note has said that a device does not have enough memory.
    is_short: AtomicBool,
}

impl<'a> Progress<'a> {
    pub fn new(terminal: &'a Terminal, plan: &'a Plan) -> Self {
        let scan = terminal.bars.add(ProgressBar::new(STEPS));
        let (pace, downloading) = (Pace::new(Instant::now(), plan.flops()), Downloading::default());
        let done = Arc::new(Mutex::new(0));
        let template = if is_wide() {
            "{prefix:>8} [{bar:20}] {percent:>3}%  {msg}  {left}"
        } else {
            "{percent:>3}%  {msg}  {left}"
        };
        let (measuring, rest) = (pace.clone(), downloading.clone());
        scan.set_style(style(template).with_key("left", move |_: &ProgressState, text: &mut dyn Write| {
            let now = Instant::now();
            if let Some(left) = measuring.left(now).max(rest.left(now)) {
                let _ = write!(text, "{:#} left", HumanDuration(left));
            }
        }));
        scan.set_prefix("measured");
        scan.set_message(format!("0 of {} modules", plan.modules.len()));
        scan.enable_steady_tick(Duration::from_millis(250));
        let log = terminal.has_log().then(|| {
            let run = Run { modules: plan.modules.len(), pace: pace.clone(), downloading: downloading.clone() };
            let done = Arc::clone(&done);
            Log::begin(terminal.lines, run, move || *lock(&done))
        });
        Self { terminal, plan, scan, pace, downloading, done, _log: log, is_short: AtomicBool::new(false) }
    }

    pub fn see(&self, event: Event<'_>) {
        match event {
            Event::Resumed { modules, flops } => {
                self.pace.resume(flops);
                self.count(|done| *done = modules);
                self.terminal.journalled.store(modules, Ordering::Relaxed);
                self.terminal.note(&format!("{modules} modules are done from an interrupted scan"));
            }
            Event::ToFetch { bytes } => self.begin_download(bytes, ""),
            Event::ToStream { bytes } => self.begin_download(bytes, "into memory"),
            Event::Fetching { file, transfer } => self.see_transfer(file, transfer),
            Event::Streamed { received } => {
                self.downloading.update(|download| download.receive_of_all(received));
            }
            Event::Fetched { file, bytes } => {
                if self.downloading.update(|download| download.end_file(bytes)) == Some(true) {
                    self.terminal.detail(&format!("downloaded '{file}'"));
                }
            }
            Event::Finished { module, outcome, elapsed } => self.see_finished(module, outcome, elapsed),
            Event::Noted { modules } => {
                self.terminal.journalled.fetch_add(modules, Ordering::Relaxed);
            }
            Event::Discarded { modules, flops } => {
                self.pace.lose(flops);
                self.count(|done| *done -= modules);
                self.terminal.detail(&format!(
                    "the download was wrong and begins anew: {} measured again",
                    if modules == 1 { "1 module is".to_owned() } else { format!("{modules} modules are") }
                ));
            }
            Event::Crowded { device, at_once } => self.terminal.detail(&format!(
                "{device} is short of memory: at most {} at once there from now on",
                counted(at_once, "module")
            )),
            Event::TooLarge { device, module } => {
                if !self.is_short.swap(true, Ordering::Relaxed) {
                    self.terminal.note(&format!(
                        "{device} has not enough memory for '{}': the CPU measures it, and whatever else is too large",
                        module.info.name
                    ));
                } else {
                    self.terminal.detail(&format!("{device} has not enough memory for '{}'", module.info.name));
                }
            }
            Event::Refused { device, module, fault } => self
                .terminal
                .note(&format!("{device} cannot measure '{}' ({fault}): the CPU measures it", module.info.name)),
            Event::GivenUp { device, fault } => self.terminal.warn(&format!(
                "{device} {} ({fault}): its modules are measured on another GPU if there is one, or on the CPU",
                if matches!(fault, Fault::Broken(_)) { "has failed" } else { "is given up" },
            )),
        }
    }

    fn see_finished(&self, module: &Module, outcome: &Outcome, elapsed: Duration) {
        self.pace.advance(measure::flops(module), Instant::now());
        self.count(|done| *done += 1);
        let name = &module.info.name;
        self.terminal.event("module", fields(name, outcome, elapsed));
        match outcome {
            Ok(measurement) => {
                let number = match measurement.delta(None) {
                    Some(delta) => format!("relative norm {}", ratio(delta.relative_norm())),
                    None => format!(
                        "snr {}",
                        measurement.statistic.as_ref().map_or_else(String::new, |one| ratio(one.snr()))
                    ),
                };
                let percent = (100.0 * self.pace.share()) as u64;
                self.terminal.detail(&format!("{percent:>3}%  {name}  {number}  {:.2} s", elapsed.as_secs_f64()));
            }
            Err(reason) => self.terminal.warn(&format!("cannot measure '{name}': {reason}")),
        }
    }

    /// Counts modules, and shows how many are done. Several threads do so, and none shows fewer than another one has.
    fn count(&self, change: impl FnOnce(&mut usize)) {
        let mut done = lock(&self.done);
        change(&mut done);
        self.scan.set_message(format!("{done} of {} modules", self.plan.modules.len()));
        self.scan.set_position((STEPS as f64 * self.pace.share()) as u64);
    }

    /// Shows a bar for a download of `bytes`.
    fn begin_download(&self, bytes: u64, message: &'static str) {
        let bar = self.terminal.bars.insert_before(&self.scan, ProgressBar::new(bytes));
        bar.set_style(style(if is_wide() {
            "{prefix:>8} [{bar:20}] {percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec}  {wide_msg}"
        } else {
            "{percent:>3}%  {prefix}  {bytes} of {total_bytes}"
        }));
        bar.set_prefix("download");
        bar.set_message(message);
        self.downloading.begin(bar);
    }

    fn see_transfer(&self, file: &str, transfer: Transfer) {
        match transfer {
            Transfer::Waiting => {
                self.terminal.note(&format!("another process is downloading '{file}'; waiting for it"));
            }
            Transfer::Started { size, resumed_at } => {
                self.downloading.update(|download| download.begin_file(harmless(file), resumed_at));
                if resumed_at > 0 {
                    let (from, size) = (HumanBytes(resumed_at), HumanBytes(size));
                    self.terminal.detail(&format!("going on with '{file}' at {from} of {size}"));
                }
            }
            Transfer::Received(bytes) => {
                self.downloading.update(|download| download.receive(bytes));
            }
            Transfer::Retrying { reason, pause } => {
                self.terminal.note(&format!(
                    "the download of '{file}' broke off ({reason}); going on in {:.0} s",
                    pause.as_secs_f64().ceil()
                ));
            }
        }
    }
}

/// What an event says about a module that is done.
fn fields(name: &str, outcome: &Outcome, elapsed: Duration) -> Value {
    let mut fields = json!({"module": name, "seconds": elapsed.as_secs_f64()});
    match outcome {
        Ok(measurement) => {
            // JSON has no infinity.
            let snr = measurement.statistic.as_ref().map(|one| one.snr()).filter(|snr| snr.is_finite());
            fields["snr"] = json!(snr);
            if let Some(delta) = measurement.delta(None) {
                fields["relative_norm"] = json!(delta.relative_norm());
            }
        }
        Err(reason) => fields["failed"] = reason.to_string().into(),
    }
    fields
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.downloading.finish();
        self.scan.finish_and_clear();
    }
}

/// Whether there is room for bars beside the numbers.
fn is_wide() -> bool {
    width::of_messages().is_none_or(|columns| columns >= WIDE)
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}
