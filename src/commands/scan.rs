//! The scan.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use laser_scan::export::{self, Request};
use laser_scan::report::{self, Manifest, Outputs, Seconds};
use laser_scan::scan::{self, Journal, Plan, Resources};
use laser_scan::select;
use laser_scan::source;
use laser_scan::spectrum::Device;

use super::STANDARD_OUTPUT;
use crate::cli::ScanArgs;
use crate::terminal::{Progress, Terminal};

/// Done, but some modules could not be measured.
const PARTIAL: u8 = 3;

/// Scans a model.
pub fn run(cli: &ScanArgs, terminal: &Terminal) -> Result<ExitCode> {
    let begun = Instant::now();
    let device = Device::open(&cli.device)?;
    let news = |text: String| terminal.note(&text);
    let source = source::open(cli.model(), cli.revision.as_deref(), &cli.hub.options(), &news)?;
    let source = &*source;
    let plan = Plan::new(source, &cli.filter()?, cli.wanted())?;
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
    let how = cli.pool_experts.into();
    let entries = plan.entries(&outcomes);
    let pools = select::pool(&entries, how);
    let candidates = select::candidates(&entries, &pools);
    // What the numbers are stays, even if nothing can be chosen by these rules.
    let chosen = select::choose(&candidates, &cli.rules()?);
    let top = report::top(chosen.as_deref().unwrap_or_default());
    let options = cli.options(&resources);
    let manifest = Manifest::new(&plan, &outcomes, &pools, &resources, options, seconds, &outputs).to_json();
    let full = report::full(&plan.modules, &outcomes, &pools, how);
    outputs.write(&full, &top, &manifest)?;
    if let Err(error) = journal.finish(plan.is_of_other_modules()) {
        // The results are there; the next scan will find the journal's lines to be its own.
        terminal.warn(&error.to_string());
    }
    let chosen =
        chosen.with_context(|| format!("the numbers are in '{}', but nothing is chosen", outputs.full.display()))?;
    let shown = if cli.json { terminal.output(&top) } else { terminal.top(&chosen) };
    shown.context(STANDARD_OUTPUT)?;
    terminal.remark_on_choice(&chosen, &outputs);
    for pool in pools.iter().filter(|pool| pool.snr.is_none()) {
        terminal.warn(&format!("{} is not ranked: {}", pool.name, select::INCOMPLETE_POOL));
    }
    let around = plan.surroundings(&outcomes);
    let request = Request {
        entries: &entries,
        candidates: &candidates,
        chosen: &chosen,
        around: Some(&around),
        adapter: cli.adapter.adapter(),
    };
    emit(cli, &request, terminal)?;
    terminal.finish(&outputs, begun.elapsed(), plan.modules.len() - measured);
    Ok(if measured == plan.modules.len() { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
}

/// Writes the configurations that go with a scan.
fn emit(cli: &ScanArgs, request: &Request<'_>, terminal: &Terminal) -> Result<()> {
    let folder = cli.output_dir.clone().unwrap_or_default();
    let mut told: Vec<String> = Vec::new();
    for trainer in &cli.emit {
        let written = format!("the scan is done and written, but not the configuration for {}", trainer.key());
        let mut export = export::export(*trainer, request).context(written)?;
        // What is the same for several trainers is said once.
        export.notes.retain(|note| !told.contains(note));
        told.extend(export.notes.iter().cloned());
        let paths: Vec<PathBuf> = export.documents.iter().map(|document| folder.join(&document.file)).collect();
        let files: Vec<(&Path, &[u8])> = paths
            .iter()
            .zip(&export.documents)
            .map(|(path, document)| (path.as_path(), document.text.as_bytes()))
            .collect();
        report::write_all(&files)?;
        terminal.exported(&export, &paths);
    }
    Ok(())
}
