//! `laser-scan export`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use laser_scan::config::Config;
use laser_scan::measure::Plan;
use laser_scan::modules::{Filter, Line, Wanted};
use laser_scan::output;
use laser_scan::scan::{self, Pooling, Scan};
use laser_scan::select::Selection;
use laser_scan::source;
use laser_scan::trainers::{self, Export, Format, Request};

use super::{Kept, STANDARD_OUTPUT, write_export};
use crate::cli::{ExportArgs, WayOut, with_option};
use crate::terminal::Terminal;

/// Writes a trainer's configuration.
pub fn run(arguments: &ExportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let trainer = arguments.trainer;
    let config = arguments.into.as_deref().zip(trainer.user_config());
    let config = config.map(|(path, terms)| Config::open(path, terms)).transpose()?;
    let adapter = match &config {
        Some(config) => {
            config.adapter(arguments.adapter.adapter(), arguments.adapter.asked()).map_err(WayOut::with_way_out)?
        }
        None => arguments.adapter.adapter(),
    };
    let rules = arguments.selection.rules(trainer.counted(adapter.rank.fixed()))?;
    let scan = read(arguments, terminal)?;
    let selection = Selection::new(&scan, &rules).map_err(with_option)?;
    let request = Request { selection: &selection, adapter };
    let export = trainers::export(trainer, &request).map_err(WayOut::with_way_out)?;
    let is_all = selection.chosen().count() == selection.ranked.len();
    if is_all && arguments.selection.top().is_some_and(|count| count > 1) {
        terminal.note("everything is chosen: a smaller --top-n takes fewer of each type");
    }
    let manifest = scan::manifest_of(&arguments.scan);
    let kept = Kept { scan: vec![&arguments.scan, &manifest], overwrite: arguments.overwrite };
    match (config, &arguments.output_dir) {
        (Some(config), _) => edit(&config, &export, arguments, terminal)?,
        (None, Some(folder)) => write_export(&export, folder, &kept, terminal)?,
        (None, None) => print(arguments, &export, &kept, terminal)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the keys of `export` in a person's configuration, or shows what that would change.
fn edit(config: &Config, export: &Export, arguments: &ExportArgs, terminal: &Terminal) -> Result<()> {
    let edited = config.edit(export).map_err(WayOut::with_way_out)?;
    let warnings = config.warnings(&edited, export)?;
    terminal.exported(export, &[]);
    warnings.iter().for_each(|warning| terminal.warn(warning));
    let kept = if arguments.dry_run { None } else { config.write(&edited)? };
    if edited.changed.is_empty() {
        terminal.note(&format!("'{}' says all that already", config.path().display()));
    } else if let Some(kept) = kept {
        terminal.edited(config.path(), &kept, &edited.changed);
    } else {
        let difference = config.difference(&edited);
        let shown = difference.strip_suffix('\n').unwrap_or(&difference);
        terminal.output(shown.as_bytes()).context(STANDARD_OUTPUT)?;
    }
    Ok(())
}

/// The scan with what is known of the model around it: by the model itself, or by the scan's manifest.
fn read(arguments: &ExportArgs, terminal: &Terminal) -> Result<Scan> {
    let mut scan = Scan::read(&arguments.scan)?.ranked();
    if let Some(model) = &arguments.model {
        let news = |text: String| terminal.note(&text);
        let source = source::open(model, arguments.revision.as_deref(), &arguments.hub.options(), &news)?;
        let line = if arguments.transformers == Some(4) { Line::Four } else { Line::Five };
        let wanted = Wanted { convolutions: true, line, ..Wanted::default() };
        let plan = Plan::new(&*source, &Filter::default(), wanted)?;
        let modules = plan.modules.iter().chain(&plan.others).chain(plan.missing_modules());
        scan.join(modules.map(|module| &module.info), plan.surroundings())?;
    } else if let Err(error) = scan.read_manifest(&arguments.scan)
        && scan.format == scan::Format::LaserScan
    {
        terminal.warn(&error.to_string());
    }
    let how = arguments.pool_experts.map_or(scan.pooling(), Pooling::from);
    Ok(scan.pooled(how))
}

/// Prints the configuration, or writes it to one file.
fn print(arguments: &ExportArgs, export: &Export, kept: &Kept<'_>, terminal: &Terminal) -> Result<()> {
    let format = arguments.format.map(Format::from);
    let mut documents = export.documents.iter();
    let document = documents.find(|document| format.is_none_or(|format| document.format == format));
    let text = document.map_or("", |document| &document.text);
    if let Some(path) = &arguments.output {
        kept.allows(path, trainers::is_export)?;
        output::write_all(&[(path, text.as_bytes())])?;
    } else {
        terminal.output(text.trim_end().as_bytes()).context(STANDARD_OUTPUT)?;
    }
    terminal.exported(export, arguments.output.as_slice());
    Ok(())
}
