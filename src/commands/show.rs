//! `laser-scan show`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use laser_scan::scan::{Scan, is_top, manifest_of, spectra_of};
use laser_scan::select::{self, Selection};
use laser_scan::{output, report};

use super::STANDARD_OUTPUT;
use super::advice::Advise;
use super::caution::caution;
use super::protected::Protected;
use super::ranked::ranked;
use super::task::{ShowForm, ShowTask};
use crate::terminal::Terminal;

pub fn run(task: &ShowTask, terminal: &Terminal) -> Result<ExitCode> {
    let mut scan = Scan::read(&task.scan)?.rankable();
    // Without a manifest nothing is known but the numbers.
    let _ = scan.read_manifest(&task.scan);
    let how = task.pooling.unwrap_or(scan.pooling());
    let mut scan = ranked(scan.pooled(how), &task.scan, task.ranking)?;
    if task.form == ShowForm::Csv {
        // The table has the other statistics too, if they can be computed.
        let ranking = scan.ranking();
        let is_there = scan.spectra.is_some() || scan.read_spectra(&task.scan).is_ok();
        scan = scan.ranked_by(ranking, is_there)?;
    }
    let selection = Selection::new(&scan, &task.rules).map_err(Advise::with_advice)?;
    let top = select::top_json(&selection.groups);
    if let Some(path) = &task.top {
        let (manifest, spectra) = (manifest_of(&task.scan), spectra_of(&task.scan));
        let protected = Protected { scan: vec![&task.scan, &manifest, &spectra], overwrite: task.overwrite };
        protected.check(path, is_top)?;
        output::write_all(&[(path, &top)])?;
    }
    let shown = match task.form {
        ShowForm::Table => terminal.top(&selection),
        ShowForm::Json => terminal.output(&top),
        ShowForm::Csv => terminal.output(report::csv(&selection).trim_ascii_end()),
        ShowForm::Markdown => terminal.top_in_markdown(&selection),
    };
    shown.context(STANDARD_OUTPUT)?;
    caution(&scan, terminal);
    if let Some(path) = &task.top {
        terminal.note(&format!("wrote '{}'", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
