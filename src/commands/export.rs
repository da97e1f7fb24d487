//! `laser-scan export`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use laser_scan::export::edit::{self, EditError};
use laser_scan::export::{self, Export, Format, Request};
use laser_scan::modules::{Filter, Line, Wanted};
use laser_scan::report;
use laser_scan::results::{self, Entry, Results, Surroundings};
use laser_scan::scan::Plan;
use laser_scan::select::{self, Pooling};
use laser_scan::source;
use similar::TextDiff;

use super::STANDARD_OUTPUT;
use crate::cli::ExportArgs;
use crate::terminal::Terminal;

/// Writes a trainer's configuration.
pub fn run(arguments: &ExportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let rules = arguments.selection.rules(arguments.trainer.counted(arguments.adapter.rank.into()))?;
    let Results { format, mut entries, pooling } = results::open(&arguments.scan)?;
    if format != results::Format::LaserScan {
        // Others measure norms, embeddings and heads too.
        entries.retain(|entry| results::is_ranked(&entry.name));
    }
    let around = surroundings(arguments, &mut entries, terminal)?;
    let pools = select::pool(&entries, arguments.pool_experts.map_or(pooling, Pooling::from));
    let candidates = select::candidates(&entries, &pools);
    let chosen = select::choose(&candidates, &rules)?;
    let request = Request {
        entries: &entries,
        candidates: &candidates,
        chosen: &chosen,
        around: around.as_ref(),
        adapter: arguments.adapter.adapter(),
    };
    let export = export::export(arguments.trainer, &request)?;
    match (&arguments.into, &arguments.output_dir) {
        (Some(config), _) => into(config, arguments, &export, terminal)?,
        (None, Some(folder)) => write(folder, &export, terminal)?,
        (None, None) => print(arguments, &export, terminal)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What else is in the model: by the model itself, or by the scan's manifest.
fn surroundings(arguments: &ExportArgs, entries: &mut Vec<Entry>, terminal: &Terminal) -> Result<Option<Surroundings>> {
    let Some(model) = &arguments.model else {
        let around = results::surroundings(&arguments.scan, entries);
        // An expert that could not be measured belongs to its pool nevertheless.
        entries.extend(around.iter().flat_map(|around| &around.unmeasured).map(results::Other::entry));
        return Ok(around);
    };
    let hub = &arguments.hub;
    let news = |text: String| terminal.note(&text);
    let source = source::open(model, arguments.revision.as_deref(), &hub.options(), &news)?;
    let line = if arguments.transformers == Some(4) { Line::Four } else { Line::Five };
    let wanted = Wanted { convolutions: true, line, ..Wanted::default() };
    let plan = Plan::new(&*source, &Filter::default(), wanted)?;
    let mut around = plan.surroundings(&[]);
    results::join(entries, plan.modules.iter().chain(&plan.others), &mut around)?;
    Ok(Some(around))
}

/// Prints the configuration, or writes it to one file.
fn print(arguments: &ExportArgs, export: &Export, terminal: &Terminal) -> Result<()> {
    let format = arguments.format.map(Format::from);
    let mut documents = export.documents.iter();
    let document = documents.find(|document| format.is_none_or(|format| document.format == format));
    let text = document.map_or("", |document| &document.text);
    if let Some(path) = &arguments.output {
        report::write_all(&[(path, text.as_bytes())])?;
    } else {
        terminal.output(text.trim_end().as_bytes()).context(STANDARD_OUTPUT)?;
    }
    terminal.exported(export, arguments.output.as_slice());
    Ok(())
}

/// Writes the configuration in all its forms.
fn write(folder: &Path, export: &Export, terminal: &Terminal) -> Result<()> {
    let paths: Vec<PathBuf> = export.documents.iter().map(|document| folder.join(&document.file)).collect();
    let contents = export.documents.iter().map(|document| document.text.as_bytes());
    let files: Vec<(&Path, &[u8])> = paths.iter().map(PathBuf::as_path).zip(contents).collect();
    report::write_all(&files)?;
    terminal.exported(export, &paths);
    Ok(())
}

/// Sets the keys in a configuration that there is.
fn into(config: &Path, arguments: &ExportArgs, export: &Export, terminal: &Terminal) -> Result<()> {
    let bytes = fs::read(config).with_context(|| format!("cannot read '{}'", config.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("'{}' is not UTF-8", config.display()))?;
    let of_file = || format!("'{}'", config.display());
    let mut settings = export.settings.clone();
    for (key, value) in &export.resets {
        if is_set(&text, key).with_context(of_file)? {
            settings.push((key, value.clone()));
        }
    }
    let edited = edit::edit(&text, &settings).with_context(of_file)?;
    terminal.exported(export, &[]);
    for key in export.conflicts {
        if is_set(&edited.text, key).with_context(of_file)? {
            terminal.warn(&format!("'{}' sets {key}, which changes what is trained", config.display()));
        }
    }
    if edited.changed.is_empty() {
        terminal.note(&format!("'{}' says all that already", config.display()));
    } else if arguments.dry_run {
        let name = config.display().to_string();
        let difference = TextDiff::from_lines(&text, &edited.text).unified_diff().header(&name, &name).to_string();
        terminal.output(difference.trim_end().as_bytes()).context(STANDARD_OUTPUT)?;
    } else {
        let kept = config.with_added_extension("bak");
        report::write_all(&[(&kept, text.as_bytes()), (config, edited.text.as_bytes())])?;
        terminal.edited(config, &kept, &edited.changed);
    }
    Ok(())
}

/// Whether a configuration gives a key a value that says something.
fn is_set(text: &str, key: &str) -> Result<bool, EditError> {
    Ok(edit::source(text, key)?.is_some_and(|value| !["", "~", "null", "[]", "{}", "false"].contains(&value)))
}
