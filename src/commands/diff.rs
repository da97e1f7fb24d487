//! `laser-scan diff`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use laser_scan::output::python_json_text;
use laser_scan::report::diff;
use laser_scan::scan::Scan;

use super::STANDARD_OUTPUT;
use super::ranked::{check_alike, ranked};
use super::task::DiffTask;
use crate::terminal::Terminal;

pub fn run(task: &DiffTask, terminal: &Terminal) -> Result<ExitCode> {
    let [a, b] = &task.scans;
    let (one, other) = (read(a)?, read(b)?);
    if task.ranking.is_none() {
        check_alike([&one, &other], [a, b])?;
    }
    let (one, other) = (ranked(one, a, task.ranking)?, ranked(other, b, task.ranking)?);
    let diff = diff(&one, &other, task.top);
    if diff.types.is_empty() {
        let (a, b) = (a.display(), b.display());
        bail!("'{a}' and '{b}' have no measured module in common: are they scans of one architecture?");
    }
    diff.check().with_context(|| format!("cannot compare '{}' and '{}'", a.display(), b.display()))?;
    let json = || terminal.output(python_json_text(&diff).trim_end().as_bytes());
    let shown = if task.as_json { json() } else { terminal.comparison(&diff, task.moves) };
    shown.context(STANDARD_OUTPUT)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Scan> {
    let mut scan = Scan::read(path)?.rankable();
    // Without a manifest nothing is known but the numbers.
    let _ = scan.read_manifest(path);
    Ok(scan)
}
