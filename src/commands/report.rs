//! `laser-scan report`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use laser_scan::report::{Against, Diff, Page, diff};
use laser_scan::scan::{Scan, manifest_of, spectra_of};
use laser_scan::select::Selection;
use laser_scan::{output, report};

use super::STANDARD_OUTPUT;
use super::advice::Advise;
use super::caution::caution;
use super::protected::Protected;
use super::ranked::{check_alike, ranked};
use super::task::ReportTask;
use crate::terminal::Terminal;

/// How many of each type count as the best in a comparison. The page lists moves instead.
const TOP: usize = 16;

pub fn run(task: &ReportTask, terminal: &Terminal) -> Result<ExitCode> {
    let mut scan = Scan::read(&task.scan)?.rankable();
    let read: Vec<&Path> = std::iter::once(&task.scan).chain(&task.against).map(|path| path.as_path()).collect();
    let beside: Vec<_> = read.iter().flat_map(|path| [manifest_of(path), spectra_of(path)]).collect();
    let kept = read.into_iter().chain(beside.iter().map(|path| path.as_path())).collect();
    if let Some(output) = &task.output {
        Protected { scan: kept, overwrite: task.overwrite }.check(output, report::is_page)?;
    }
    // Without a manifest the page lacks only the model's name and the modules that could not be measured.
    let _ = scan.read_manifest(&task.scan);
    let how = task.pooling.unwrap_or(scan.pooling());
    let scan = complete(ranked(scan.pooled(how), &task.scan, task.ranking)?, &task.scan)?;
    let diff = task.against.as_ref().map(|path| compared(task, &scan, path)).transpose()?;
    let selection = Selection::new(&scan, &task.rules).map_err(Advise::with_advice)?;
    let (file, other) = (name(&task.scan), task.against.as_deref().map(name).unwrap_or_default());
    let title = title(&scan, &task.scan);
    let against = diff.as_ref().map(|diff| Against { file: &other, diff });
    let page = report::page(&Page { title: &title, file: &file, selection: &selection, against });
    match &task.output {
        None => terminal.output(page.as_bytes()).context(STANDARD_OUTPUT)?,
        Some(output) => output::write_all(&[(output, page.as_bytes())])?,
    }
    caution(&scan, terminal);
    if let Some(output) = &task.output {
        terminal.note(&format!("wrote '{}'", output.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the page is called: the model, what it changed in another one, or the file's name if neither is known.
fn title(scan: &Scan, path: &Path) -> String {
    let provenance = scan.provenance.as_ref();
    match (provenance.and_then(|provenance| Some((provenance, provenance.base.as_ref()?))), &scan.surroundings) {
        (Some((of, base)), _) => format!("What {} changed in {}", of.model, base.model),
        (None, Some(around)) => around.model.clone(),
        (None, None) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The scan with its spectra and all statistics, if they are at hand. The page does without them.
fn complete(mut scan: Scan, path: &Path) -> Result<Scan> {
    let ranking = scan.ranking();
    let is_there = scan.spectra.is_some() || scan.read_spectra(path).is_ok();
    Ok(scan.ranked_by(ranking, is_there)?)
}

/// How the scan at `path` differs from the page's own `scan`.
fn compared(task: &ReportTask, scan: &Scan, path: &Path) -> Result<Diff> {
    let mut other = Scan::read(path)?.rankable();
    // Without a manifest nothing is known but the numbers.
    let _ = other.read_manifest(path);
    if task.ranking.is_none() {
        check_alike([scan, &other], [&task.scan, path])?;
    }
    let (a, b) = (task.scan.display(), path.display());
    let other = ranked(other, path, task.ranking).with_context(|| format!("cannot rank '{b}'"))?;
    let diff = diff(scan, &other, TOP);
    diff.check().with_context(|| format!("cannot compare '{a}' and '{b}'"))?;
    Ok(diff)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
