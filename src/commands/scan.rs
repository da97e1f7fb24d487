//! The scan.

use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use laser_scan::measure::{self, Journal, Plan, Resources, Run};
use laser_scan::modules::{Missing, UnreadableError};
use laser_scan::output::{self, OutputError};
use laser_scan::scan::{INCOMPLETE_POOL, Outputs, Scan};
use laser_scan::select::{self, Rules, Selection};
use laser_scan::source::{self, Source};
use laser_scan::spectrum::{Device, DeviceError, Opened};
use laser_scan::trainers::{self, Remark, Request};

use super::{Kept, STANDARD_OUTPUT, foresee, or_overwrite, write_export};
use crate::cli::{ScanArgs, WayOut as _, with_option};
use crate::terminal::{Progress, Terminal};

/// Done, but some modules could not be measured.
const PARTIAL: u8 = 3;

/// Scans a model.
pub fn run(cli: &ScanArgs, terminal: &Terminal) -> Result<ExitCode> {
    let (date, begun) = (SystemTime::now(), Instant::now());
    let devices = devices(cli, terminal)?;
    let news = |text: String| terminal.note(&text);
    let source = source::open(cli.model(), cli.revision.as_deref(), &cli.hub.options(), &news)?;
    let source = &*source;
    let rules = cli.rules()?;
    let plan = plan(cli, source, terminal)?;
    let pending = plan.pending().pooled(cli.pool_experts.into());
    foresee::run(cli, &pending, &rules)?;
    let outputs = claim_places(cli, &plan, &pending, source)?;
    let download = plan.bytes_to_download(source);
    if cli.dry_run {
        return dry_run(cli, &plan, download, terminal);
    }

    let resources = Resources { devices, threads: cli.threads(), memory: measure::memory_ceiling() };
    let journal = Journal::open(&outputs.journal, cli.fresh)?;
    let planned = begun.elapsed();
    terminal.begin(&plan, &resources, download);
    let progress = Progress::new(terminal, &plan);
    let outcomes = plan.run(source, &journal, &resources, &|event| progress.see(event))?;
    drop(progress);
    let options = cli.options(&resources);
    let run = Run { begun: date, planned, measured: begun.elapsed() - planned, options };
    if outcomes.iter().flatten().next().is_none() {
        bail!("none of the {} modules of '{}' could be measured", plan.modules.len(), plan.model.spelling);
    }
    let scan = plan.scan(&outcomes, &resources, run).pooled(cli.pool_experts.into());
    Scanned { cli, terminal, plan, rules, scan, outputs, begun }.publish(journal)
}

/// Where to compute.
fn devices(cli: &ScanArgs, terminal: &Terminal) -> Result<Vec<Device>> {
    let Opened { devices, passed_over } = Device::open(&cli.device)?;
    if let Some(DeviceError::Unusable { ordinal, reason }) = passed_over {
        terminal.warn(&format!("cuda:{ordinal} cannot be used ({reason}): this scan is computed on the CPU"));
    }
    Ok(devices)
}

/// What is to be done, if all that is asked for can be.
fn plan(cli: &ScanArgs, source: &dyn Source, terminal: &Terminal) -> Result<Plan> {
    let plan = Plan::new(source, &cli.filter()?, cli.wanted())?;
    plan.check_readable().map_err(with_patterns)?;
    terminal.remark(&plan);
    terminal.remark_on_missing(&plan);
    Ok(plan)
}

/// Shows what would be done.
fn dry_run(cli: &ScanArgs, plan: &Plan, download: u64, terminal: &Terminal) -> Result<ExitCode> {
    let shown = if cli.json { terminal.output(&plan.dry_run_json(download)) } else { terminal.dry_run(plan, download) };
    shown.context(STANDARD_OUTPUT)?;
    Ok(status(plan.missing.is_empty()))
}

/// Where the output goes, once it is sure that all of it may go there. A dry run looks, and makes no folders.
fn claim_places(cli: &ScanArgs, plan: &Plan, pending: &Scan, source: &dyn Source) -> Result<Outputs> {
    let outputs = Outputs::new(&source.model().name, &cli.destination());
    let on_disk = plan.files_on_disk(source);
    if cli.dry_run {
        outputs.check(&on_disk)?;
    } else {
        outputs.prepare(&on_disk)?;
    }
    if !cli.overwrite {
        or_overwrite(outputs.replace_only_those_of(&plan.model, pending))?;
    }
    allow_emitting(cli, &plan.surroundings().model, &kept(cli, &outputs))?;
    Ok(outputs)
}

/// What the configurations that go with a scan may not replace.
fn kept<'a>(cli: &ScanArgs, outputs: &'a Outputs) -> Kept<'a> {
    Kept { scan: vec![&outputs.full, &outputs.top, &outputs.manifest], overwrite: cli.overwrite }
}

/// A scan whose modules are measured.
struct Scanned<'a> {
    cli: &'a ScanArgs,
    terminal: &'a Terminal,
    plan: Plan,
    rules: Rules,
    scan: Scan,
    outputs: Outputs,
    begun: Instant,
}

impl Scanned<'_> {
    /// Writes the results, and says what they are.
    fn publish(self, journal: Journal) -> Result<ExitCode> {
        let Self { cli, terminal, plan, rules, scan, outputs, begun } = self;
        // What the numbers are stays, even if nothing can be chosen by these rules.
        let selection = Selection::new(&scan, &rules).map_err(with_option);
        let groups = selection.as_ref().map_or(&[][..], |selection| &selection.groups);
        let top = select::top_json(groups);
        scan.write(&outputs, &top).map_err(|error| unwritten(error, &outputs, cli))?;
        if let Err(error) = journal.finish(plan.is_of_other_modules()) {
            // The results are there; the next scan will find the journal's lines to be its own.
            terminal.warn(&error.to_string());
        }
        let nothing = || format!("the numbers are in '{}', but nothing is chosen", outputs.full.display());
        let selection = selection.with_context(nothing)?;
        let shown = if cli.json { terminal.output(&top) } else { terminal.top(&selection.groups) };
        shown.context(STANDARD_OUTPUT)?;
        terminal.remark_on_choice(&selection.groups, &outputs);
        for pool in scan.incomplete_pools() {
            terminal.warn(&format!("{} is not ranked: {INCOMPLETE_POOL}", pool.name));
        }
        let request = Request { selection: &selection, adapter: cli.adapter.adapter() };
        let emitted = emit(cli, &request, &kept(cli, &outputs), terminal);
        let missing: usize = plan.missing.iter().map(Missing::count).sum();
        let failed = scan.failures.len() - plan.missing.len();
        terminal.finish(&outputs, begun.elapsed(), failed + missing);
        emitted?;
        Ok(status(failed == 0 && plan.missing.is_empty()))
    }
}

/// The exit status of what is done, for all modules or not. A dry run ends as the scan would.
fn status(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) }
}

/// How to go on without the modules that cannot be read. The names are others' and the line is for a person to paste: it
/// names nothing that would become an option, or that has characters that cannot be seen.
fn with_patterns(error: UnreadableError) -> anyhow::Error {
    let is_harmless = |pattern: &String| !pattern.starts_with('-') && !pattern.contains(output::is_deceptive);
    let patterns = Some(&error.patterns).filter(|patterns| !patterns.is_empty() && patterns.iter().all(is_harmless));
    let options = match patterns {
        Some(patterns) => patterns.iter().map(|pattern| format!(" --exclude {}", trainers::quoted(pattern))).collect(),
        None => " --exclude".to_owned(),
    };
    anyhow!("{error}; or leave them out with{options}")
}

/// Makes sure, before any work is done, that the configurations that go with a scan may be written. Each place is checked again
/// when its file is written.
fn allow_emitting(cli: &ScanArgs, model: &str, kept: &Kept<'_>) -> Result<()> {
    let folder = cli.output_dir.clone().unwrap_or_default();
    for trainer in &cli.emit {
        for format in trainer.formats() {
            kept.allows(&folder.join(trainer.file(model, *format)), trainers::is_export)?;
        }
    }
    Ok(())
}

/// Why the results could not be written, and where they are nevertheless.
fn unwritten(error: OutputError, outputs: &Outputs, cli: &ScanArgs) -> anyhow::Error {
    if !outputs.journal.exists() {
        return error.into();
    }
    let line = if cli.fresh { "the same line without --fresh" } else { "the same line again" };
    let journal = outputs.journal.display();
    anyhow!(
        "{error}; nothing is lost: all that is measured is in '{journal}', so that {line} writes it without measuring anew"
    )
}

/// Writes the configurations that go with a scan. What one trainer cannot do keeps no other from its own.
fn emit(cli: &ScanArgs, request: &Request<'_>, kept: &Kept<'_>, terminal: &Terminal) -> Result<()> {
    let folder = cli.output_dir.clone().unwrap_or_default();
    let mut told: Vec<Remark> = Vec::new();
    let mut result = Ok(());
    for (place, trainer) in cli.emit.iter().enumerate() {
        if cli.emit[..place].iter().any(|other| other.key() == trainer.key()) {
            continue;
        }
        let written = match trainers::export(*trainer, request) {
            Ok(mut export) => {
                // What is the same for several trainers is said once.
                for said in [&mut export.notes, &mut export.warnings] {
                    said.retain(|remark| !told.contains(remark));
                    told.extend(said.iter().cloned());
                }
                write_export(&export, &folder, kept, terminal)
            }
            Err(error) => Err(error.with_way_out()),
        };
        if let Err(error) = written {
            let error = error.context(format!("the scan is written, but not the configuration for {}", trainer.key()));
            if result.is_err() {
                terminal.error(&error);
            } else {
                result = Err(error);
            }
        }
    }
    result
}
