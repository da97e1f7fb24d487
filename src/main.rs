//! `laser-scan`, the program: reads the command line, runs the scan, ends with an exit status.

mod cli;
mod terminal;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use laser_scan::modules::{Filter, Module};
use laser_scan::report::{self, Failure, Manifest, ManifestFile, Methods, Options, Outputs, Seconds};
use laser_scan::scan::{self, Journal, Outcome, Plan, Resources};
use laser_scan::select::{self, Candidate, Pooled};
use laser_scan::source;
use laser_scan::spectrum::{self, Device, Method};

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
    let candidates = candidates(&plan, ratio, &pools);
    let chosen = select::top(&candidates, cli.top_n.get());
    let top = report::top(&chosen);
    let manifest = manifest(cli, &plan, &outcomes, &resources, seconds).to_json();
    let full = report::full(&plan.modules, &outcomes, &pools, cli.pool_experts.into());
    outputs.write(&full, &top, &manifest)?;
    if let Err(error) = journal.finish(plan.is_of_other_modules()) {
        // The results are there; the next scan will find the journal's lines to be its own.
        terminal.warn(&error.to_string());
    }
    let shown = if cli.json { terminal.output(&top) } else { terminal.top(&chosen) };
    shown.context(STANDARD_OUTPUT)?;
    terminal.finish(&outputs, begun.elapsed(), plan.modules.len() - measured);
    Ok(if measured == plan.modules.len() { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
}

/// What is ranked, in model order: the measured modules, with pools in place of their experts where there are any. Parts
/// of fused modules are measured to be looked at: no trainer can select one.
fn candidates<'a>(plan: &'a Plan, ratio: impl Fn(usize) -> Option<f64>, pools: &[Pooled<'a>]) -> Vec<Candidate<'a>> {
    let pooled: HashMap<usize, &Pooled<'a>> =
        pools.iter().flat_map(|pooled| pooled.experts.iter().map(move |place| (*place, pooled))).collect();
    let ranked = plan.modules.iter().enumerate().filter(|(_, module)| module.part_of.is_none());
    let candidate = |(place, module): (usize, &'a Module)| match pooled.get(&place) {
        Some(pooled) if pooled.experts[0] != place => None,
        Some(Pooled { pool, snr, .. }) => {
            Some(Candidate { name: &pool.name, kind: &pool.kind, layer: module.layer, snr: (*snr)? })
        }
        None => Some(Candidate { name: &module.name, kind: &module.kind, layer: module.layer, snr: ratio(place)? }),
    };
    ranked.filter_map(candidate).collect()
}

fn manifest<'a>(
    cli: &'a Cli,
    plan: &'a Plan,
    outcomes: &'a [Outcome],
    resources: &Resources,
    seconds: Seconds,
) -> Manifest<'a> {
    let by = |method: Method| outcomes.iter().flatten().filter(|measurement| measurement.method == method).count();
    let failed =
        plan.modules.iter().zip(outcomes).filter_map(|(module, outcome)| {
            outcome.as_ref().err().map(|reason| Failure { module: &module.name, reason })
        });
    let files = plan.checkpoint.shards.iter().map(|shard| ManifestFile {
        file: &shard.file,
        size: shard.size,
        etag: plan.model.commit.as_ref().map(|_| shard.identity.as_str()),
    });
    Manifest {
        tool: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        model: &plan.model.spelling,
        commit: plan.model.commit.as_deref(),
        files: files.collect(),
        quantization: plan.quantizations(),
        unknown_architectures: &plan.unknown,
        device: resources.device.name(),
        algorithm: spectrum::ALGORITHM,
        precision: "float64",
        methods: Methods { gram: by(Method::Gram), direct: by(Method::Direct) },
        options: Options {
            revision: cli.revision.as_deref(),
            top_n: cli.top_n.get(),
            include: &cli.include,
            exclude: &cli.exclude,
            all_linear: cli.all_linear,
            include_conv: cli.include_conv,
            split_fused: cli.split_fused,
            pool_experts: cli.pool_experts.into(),
            transformers: cli.transformers,
            threads: resources.threads,
            memory: resources.memory,
        },
        seconds,
        measured: outcomes.iter().flatten().count(),
        failed: failed.collect(),
        left_out: &plan.left_out,
    }
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
