//! The scan, which is the main job.

use std::process::ExitCode;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use laser_scan::measure::{self, Journal, Plan, Resources, Run};
use laser_scan::modules::Change;
use laser_scan::scan::Options;
use laser_scan::source::{Pair, Source};
use laser_scan::spectrum::Device;

use super::publish::{publish, status};
use super::remote::Remote;
use super::task::{Printed, ScanTask};
use super::{STANDARD_OUTPUT, prepare, reuse};
use crate::terminal::{Progress, Terminal};

pub fn run(task: &ScanTask, terminal: &Terminal) -> Result<ExitCode> {
    let mut task = task.clone();
    let remote = Remote::of(&mut task.publication, task.part, terminal)?;
    let status = scan(&task, terminal)?;
    if let Some(remote) = remote.filter(|_| !task.dry_run) {
        remote.send(&task.publication.stores, terminal)?;
    }
    Ok(status)
}

fn scan(task: &ScanTask, terminal: &Terminal) -> Result<ExitCode> {
    let (date, begun) = (SystemTime::now(), Instant::now());
    thread::scope(|scope| {
        // To start GPUs takes a while, in which headers are read.
        let opening = scope.spawn(|| Device::open(&task.device));
        let devices = || match opening.join() {
            Ok(opened) => anyhow::Ok(prepare::devices(opened?, terminal)),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let news = |text: String| terminal.note(&text);
        let model = task.model.open(&news)?;
        match &task.base {
            None => {
                let plan = Plan::new(&*model, &task.filter, task.wanted)?;
                measure(task, terminal, &*model, plan, devices()?, (date, begun))
            }
            Some(base) => {
                let pair = Pair::new(base.open(&news)?, model);
                let plan = Plan::of_delta(&pair, &task.filter, task.wanted)?;
                let is_whole = plan.modules.iter().any(|module| matches!(module.change, Some(Change::To { .. })));
                if is_whole && pair.finetuned.size("adapter_config.json").is_some() {
                    let finetuned = &pair.finetuned.model().spelling;
                    terminal.note(&format!(
                        "'{finetuned}' holds a whole model, which is compared, and an adapter, which is not"
                    ));
                }
                measure(task, terminal, &pair, plan, devices()?, (date, begun))
            }
        }
    })
}

/// Measures what is planned for `source`, and publishes the results.
fn measure(
    task: &ScanTask,
    terminal: &Terminal,
    source: &dyn Source,
    plan: Plan,
    devices: Vec<Device>,
    (date, begun): (SystemTime, Instant),
) -> Result<ExitCode> {
    let outputs = prepare::outputs(task, &plan, source, terminal)?;
    let mut shares = Vec::new();
    let plan = match task.part {
        Some(part) => {
            let parts = plan.parts(part.of);
            if task.dry_run {
                shares = plan.shares(&parts);
            }
            plan.into_part(part.number, &parts)
        }
        None => plan,
    };
    let download = if task.stream || source.is_streamed_only() {
        plan.bytes_to_stream(source)
    } else {
        plan.bytes_to_download(source)
    };
    if task.dry_run {
        let json = || terminal.output(&plan.dry_run_json(download, &shares));
        let is_table = task.publication.printed == Printed::Table;
        let shown = if is_table { terminal.dry_run(&plan, download, &shares) } else { json() };
        shown.context(STANDARD_OUTPUT)?;
        return Ok(status(plan.missing.is_empty()));
    }
    if let Some(scan) = reuse::finished(task, &plan, &outputs, &devices, terminal) {
        return publish(&task.publication, terminal, &plan, scan, &outputs, None, begun);
    }
    let resources =
        Resources { devices, threads: task.threads, memory: measure::memory_ceiling(), stream: task.stream };
    let journal = Journal::open(&outputs.journal, task.fresh)?;
    let planned = begun.elapsed();
    terminal.begin(&plan, &resources, download);
    let progress = Progress::new(terminal, &plan);
    let outcomes = plan.run(source, &journal, &resources, &|event| progress.see(event))?;
    drop(progress);
    if !outcomes.is_empty() && outcomes.iter().flatten().next().is_none() {
        bail!("none of the {} modules of '{}' could be measured", plan.modules.len(), plan.model.spelling);
    }
    let options = Options { memory: resources.memory, ..task.options.clone() };
    let run = Run { begun: date, planned, measured: begun.elapsed() - planned, options };
    let scan = plan.scan(outcomes, &resources, run);
    publish(&task.publication, terminal, &plan, scan, &outputs, Some(journal), begun)
}
