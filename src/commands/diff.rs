//! `laser-scan diff`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use laser_scan::output::python_json_text;
use laser_scan::report::diff;
use laser_scan::scan::Scan;

use super::STANDARD_OUTPUT;
use super::task::DiffTask;
use crate::terminal::Terminal;

pub fn run(task: &DiffTask, terminal: &Terminal) -> Result<ExitCode> {
    let [a, b] = &task.scans;
    let diff = diff(&Scan::read(a)?.ranked(), &Scan::read(b)?.ranked(), task.top);
    if diff.types.is_empty() {
        let (a, b) = (a.display(), b.display());
        bail!("'{a}' and '{b}' have no measured module in common: are they scans of one architecture?");
    }
    let json = || terminal.output(python_json_text(&diff).trim_end().as_bytes());
    let shown = if task.as_json { json() } else { terminal.comparison(&diff, task.moves) };
    shown.context(STANDARD_OUTPUT)?;
    Ok(ExitCode::SUCCESS)
}
