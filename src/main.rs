//! `laser-scan`, the program: reads the command line, runs the scan, ends with an exit status.

mod cli;
mod terminal;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use laser_scan::modules::Filter;
use laser_scan::report::{self, Manifest, Outputs, Seconds};
use laser_scan::scan::{self, Journal, Plan, Resources};
use laser_scan::select;
use laser_scan::source;
use laser_scan::spectrum::Device;

use cli::Cli;
use terminal::{Progress, Terminal};

/// Done, but some modules could not be measured.
const PARTIAL: u8 = 3;

/// What went wrong if output fails.
const STANDARD_OUTPUT: &str = "cannot write to standard output";

/// How long saying how to go on may hold up the end of an interrupted scan.
const LAST_WORD: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let (cli, filter) = Cli::read();
    let terminal = Arc::new(Terminal::new(&cli));
    let result = on_signals(&terminal).and_then(|()| run(&cli, &filter, &terminal));
    match result {
        Ok(status) => status,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The whole of the main job.
fn run(cli: &Cli, filter: &Filter, terminal: &Terminal) -> Result<ExitCode> {
    let begun = Instant::now();
    let device = Device::open(&cli.device)?;
    let news = |text: String| terminal.note(&text);
    let source = source::open(&cli.model, cli.revision.as_deref(), &cli.hub_options(), &news)?;
    let source = &*source;
    let plan = Plan::new(source, filter, cli.wanted())?;
    terminal.remark(&plan);
    let download = plan.bytes_to_download(source);
    if cli.dry_run {
        let shown = if cli.json {
            terminal.output(&report::dry_run(&plan, download))
        } else {
            terminal.dry_run(&plan, download)
        };
        shown.context(STANDARD_OUTPUT)?;
        return Ok(ExitCode::SUCCESS);
    }

    let outputs = Outputs::new(&source.model().name, &cli.destination());
    outputs.prepare(&plan.files_on_disk(source))?;
    let resources = Resources { device, threads: cli.threads(), memory: scan::memory_ceiling() };
    let journal = Journal::open(&outputs.journal, cli.fresh)?;
    let planned = begun.elapsed();
    terminal.begin(&plan, &resources, download);
    let progress = Progress::new(terminal, &plan);
    let outcomes = plan.run(source, &journal, &resources, &|event| progress.see(event))?;
    drop(progress);
    let seconds = Seconds { plan: planned.as_secs_f64(), scan: (begun.elapsed() - planned).as_secs_f64() };

    let measured = outcomes.iter().flatten().count();
    if measured == 0 {
        bail!("none of the {} modules of '{}' could be measured", plan.modules.len(), plan.model.spelling);
    }
    let ratio = |place: usize| outcomes[place].as_ref().ok().map(|measurement| measurement.statistic.snr());
    let pools = select::pool(&plan.modules, ratio, cli.pool_experts.into());
    let candidates = select::candidates(&plan.modules, ratio, &pools);
    let chosen = select::top(&candidates, cli.top_n.get());
    let top = report::top(&chosen);
    let manifest = Manifest::new(&plan, &outcomes, &pools, &resources, cli.options(&resources), seconds).to_json();
    let full = report::full(&plan.modules, &outcomes, &pools, cli.pool_experts.into());
    outputs.write(&full, &top, &manifest)?;
    if let Err(error) = journal.finish(plan.is_of_other_modules()) {
        // The results are there; the next scan will find the journal's lines to be its own.
        terminal.warn(&error.to_string());
    }
    let shown = if cli.json { terminal.output(&top) } else { terminal.top(&chosen) };
    shown.context(STANDARD_OUTPUT)?;
    terminal.remark_on_choice(&chosen, &outputs);
    for pooled in pools.iter().filter(|pooled| pooled.snr.is_none()) {
        terminal.warn(&format!("{} is not ranked: {}", pooled.pool.name, select::INCOMPLETE_POOL));
    }
    terminal.finish(&outputs, begun.elapsed(), plan.modules.len() - measured);
    Ok(if measured == plan.modules.len() { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
}

/// Ends the process at once on Ctrl-C and on `kill`: what is measured is in the journal, what is downloaded in the cache.
/// It dies by the signal, so that a shell script that runs it stops too.
#[cfg(unix)]
fn on_signals(terminal: &Arc<Terminal>) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for Ctrl-C")?;
    let terminal = Arc::clone(terminal);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Standard error may be a pipe that nobody reads: the last word must not keep the process alive.
                let (said, heard) = mpsc::channel();
                let _ = std::thread::Builder::new().spawn(move || {
                    terminal.interrupted();
                    said.send(())
                });
                let _ = heard.recv_timeout(LAST_WORD);
                if signal_hook::low_level::emulate_default_handler(signal).is_err() {
                    std::process::exit(128 + signal);
                }
            }
        })
        .context("cannot watch for Ctrl-C")?;
    Ok(())
}

/// Ctrl-C ends the process by itself.
#[cfg(not(unix))]
fn on_signals(_terminal: &Arc<Terminal>) -> Result<()> {
    Ok(())
}
