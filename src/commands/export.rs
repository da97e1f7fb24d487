//! `laser-scan export`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use laser_scan::measure::Plan;
use laser_scan::modules::{Filter, Line, Wanted};
use laser_scan::output;
use laser_scan::scan::{self, Entry, Results, Surroundings};
use laser_scan::select::{self, Pooling};
use laser_scan::source;
use laser_scan::trainers::{self, Export, Format, Request};

use super::into::Config;
use super::{Kept, STANDARD_OUTPUT, read_scan, write_export};
use crate::cli::ExportArgs;
use crate::terminal::Terminal;

/// Writes a trainer's configuration.
pub fn run(arguments: &ExportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let trainer = arguments.trainer;
    let config = arguments.into.as_deref().map(|path| Config::open(path, trainer)).transpose()?;
    let adapter = match &config {
        Some(config) => config.adapter(&arguments.adapter)?,
        None => arguments.adapter.adapter(),
    };
    let rules = arguments.selection.rules(trainer.counted(adapter.rank.fixed()))?;
    let Results { format, mut entries, pooling } = read_scan(&arguments.scan)?;
    let around = surroundings(arguments, format, &mut entries, terminal)?;
    let pools = select::pool(&entries, arguments.pool_experts.map_or(pooling, Pooling::from));
    let candidates = select::candidates(&entries, &pools);
    let chosen = select::choose(&candidates, &rules)?;
    let request = Request {
        entries: &entries,
        candidates: &select::eligible(&candidates, &rules)?,
        chosen: &chosen,
        around: around.as_ref(),
        adapter,
    };
    let export = trainers::export(trainer, &request)?;
    let is_all = chosen.iter().map(|chosen| chosen.modules.len()).sum::<usize>() == candidates.len();
    if is_all && arguments.selection.top().is_some_and(|count| count > 1) {
        terminal.note("everything is chosen: a smaller --top-n takes fewer of each type");
    }
    let manifest = scan::manifest_of(&arguments.scan);
    let kept = Kept { scan: vec![&arguments.scan, &manifest], overwrite: arguments.overwrite };
    match (config, &arguments.output_dir) {
        (Some(config), _) => config.edit(&export, arguments.dry_run, terminal)?,
        (None, Some(folder)) => write_export(&export, folder, &kept, terminal)?,
        (None, None) => print(arguments, &export, &kept, terminal)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What else is in the model: by the model itself, or by the scan's manifest.
fn surroundings(
    arguments: &ExportArgs,
    format: scan::Format,
    entries: &mut Vec<Entry>,
    terminal: &Terminal,
) -> Result<Option<Surroundings>> {
    let Some(model) = &arguments.model else {
        return Ok(match scan::surroundings(&arguments.scan, &scan::manifest_of(&arguments.scan)) {
            Ok(around) => {
                // An expert that could not be measured belongs to its pool nevertheless.
                entries.extend(around.unmeasured.iter().map(scan::Other::entry));
                Some(around)
            }
            Err(error) => {
                if format == scan::Format::LaserScan {
                    terminal.warn(&error.to_string());
                }
                None
            }
        });
    };
    let hub = &arguments.hub;
    let news = |text: String| terminal.note(&text);
    let source = source::open(model, arguments.revision.as_deref(), &hub.options(), &news)?;
    let line = if arguments.transformers == Some(4) { Line::Four } else { Line::Five };
    let wanted = Wanted { convolutions: true, line, ..Wanted::default() };
    let plan = Plan::new(&*source, &Filter::default(), wanted)?;
    let mut around = plan.surroundings(&[]);
    scan::join(entries, plan.modules.iter().chain(&plan.others).chain(plan.missing_modules()), &mut around)?;
    Ok(Some(around))
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
