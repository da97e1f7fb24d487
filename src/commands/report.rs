//! `laser-scan report`.

use std::process::ExitCode;

use anyhow::Result;
use laser_scan::scan::{Scan, manifest_of, spectra_of};
use laser_scan::select::Selection;
use laser_scan::{output, report};

use super::advice::Advise;
use super::protected::Protected;
use super::ranked::ranked;
use super::task::ReportTask;
use crate::terminal::Terminal;

pub fn run(task: &ReportTask, terminal: &Terminal) -> Result<ExitCode> {
    let mut scan = Scan::read(&task.scan)?.ranked();
    let (manifest, spectra) = (manifest_of(&task.scan), spectra_of(&task.scan));
    let protected = Protected { scan: vec![&task.scan, &manifest, &spectra], overwrite: task.overwrite };
    protected.check(&task.output, report::is_page)?;
    // Without a manifest the page lacks only the model's name and the modules that could not be measured.
    let _ = scan.read_manifest(&task.scan);
    let how = task.pooling.unwrap_or(scan.pooling());
    let scan = ranked(scan.pooled(how), &task.scan, task.ranking)?;
    let selection = Selection::new(&scan, &task.rules).map_err(Advise::with_advice)?;
    let name = task.scan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = scan.surroundings.as_ref().map_or(name, |around| around.model.clone());
    output::write_all(&[(&task.output, report::page(&title, &selection).as_bytes())])?;
    terminal.caution(&scan);
    terminal.note(&format!("wrote '{}'", task.output.display()));
    Ok(ExitCode::SUCCESS)
}
