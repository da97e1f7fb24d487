//! `laser-scan export`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use laser_scan::config::Config;
use laser_scan::measure::Plan;
use laser_scan::modules::Filter;
use laser_scan::scan::{self, Scan};
use laser_scan::select::{Count, Selection};
use laser_scan::trainers::{self, Request};

use super::advice::Advise;
use super::caution::caution;
use super::protected::Protected;
use super::ranked::ranked;
use super::task::{ExportOutput, ExportTask};
use super::{edit, write};
use crate::terminal::Terminal;

pub fn run(task: &ExportTask, terminal: &Terminal) -> Result<ExitCode> {
    let trainer = task.trainer.profile();
    let config = match (&task.output, &trainer.user_config) {
        (ExportOutput::Config { path, dry_run }, Some(keys)) => {
            Some((Config::open(path, trainer.name, keys)?, *dry_run))
        }
        _ => None,
    };
    let (mut adapter, mut rules) = (task.adapter, task.rules.clone());
    if let Some((config, _)) = &config {
        adapter = config.adapter(adapter, task.given).map_err(Advise::with_advice)?;
        rules.budget.iter_mut().for_each(|budget| budget.counted = trainer.counted(adapter.rank.fixed()));
    }
    let scan = trainers::pool_fused(task.trainer, read(task, terminal)?, task.pool_fused);
    let selection = Selection::new(&scan, &rules).map_err(Advise::with_advice)?;
    let request = Request { selection: &selection, adapter };
    let export = trainers::export(task.trainer, &request).map_err(Advise::with_advice)?;
    caution(&scan, terminal);
    caution_of_fused(&scan, terminal);
    let is_all = selection.chosen().count() == selection.ranked.len();
    if is_all && matches!(rules.count, Count::Top(count) if count > 1) {
        terminal.note("everything is chosen: a smaller --top-n takes fewer of each type");
    }
    let (manifest, spectra) = (scan::manifest_of(&task.scan), scan::spectra_of(&task.scan));
    let protected = Protected { scan: vec![&task.scan, &manifest, &spectra], overwrite: task.overwrite };
    match (config, &task.output) {
        (Some((config, dry_run)), _) => edit::edit(&config, &export, dry_run, terminal)?,
        (None, ExportOutput::Folder(folder)) => write::all_forms(&export, folder, &protected, terminal)?,
        (None, ExportOutput::One(format, path)) => {
            write::one_form(&export, *format, path.as_deref(), &protected, terminal)?
        }
        (None, ExportOutput::Config { .. }) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Warns of modules that are one for the trainer and whose ranking says little.
fn caution_of_fused(scan: &Scan, terminal: &Terminal) {
    let fused = || scan.pools().iter().filter(|pool| pool.is_fused());
    for pool in fused().filter(|pool| pool.score.is_none()) {
        terminal.warn(&format!("{} is not ranked: one of its parts could not be measured", pool.name));
    }
    let kinds: BTreeSet<&str> = fused().map(|pool| pool.kind.as_str()).collect();
    for kind in kinds {
        let of_kind = || fused().filter(|pool| pool.kind == kind).filter_map(|pool| pool.score);
        let infinite = of_kind().filter(|score| score.value.is_infinite()).count();
        if infinite > 1 {
            terminal.warn(&format!(
                "{kind}: {infinite} of {} ratios are infinite, as one part's ratio is: among them the order is the model's, not a \
                 ranking; --statistic mp ranks by signal over noise, and --ties margin goes on with this one",
                of_kind().count()
            ));
        }
    }
}

/// The scan with what is known of the model around it, from the model itself or from the scan's manifest.
fn read(task: &ExportTask, terminal: &Terminal) -> Result<Scan> {
    let mut scan = Scan::read(&task.scan)?.rankable();
    if let Some((model, wanted)) = &task.model {
        let news = |text: String| terminal.note(&text);
        let plan = Plan::new(&*model.open(&news)?, &Filter::default(), *wanted)?;
        let modules = plan.modules.iter().chain(&plan.others).chain(plan.missing_modules());
        scan.join(modules.map(|module| &module.info), plan.surroundings())?;
    } else if let Err(error) = scan.read_manifest(&task.scan)
        && scan.format == scan::Format::LaserScan
    {
        terminal.warn(&error.to_string());
    }
    let how = task.pooling.unwrap_or(scan.pooling());
    ranked(scan.pooled(how), &task.scan, task.ranking)
}
