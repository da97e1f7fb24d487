//! `laser-scan report`.

use std::process::ExitCode;

use anyhow::Result;
use laser_scan::scan::{Pooling, Scan, manifest_of};
use laser_scan::select::Selection;
use laser_scan::{output, report};

use super::Kept;
use crate::cli::{ReportArgs, with_option};
use crate::terminal::Terminal;

/// Writes a page to look at.
pub fn run(arguments: &ReportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let mut scan = Scan::read(&arguments.scan)?.ranked();
    let output = arguments.output.clone().unwrap_or_else(|| arguments.scan.with_extension("html"));
    let manifest = manifest_of(&arguments.scan);
    let kept = Kept { scan: vec![&arguments.scan, &manifest], overwrite: arguments.overwrite };
    kept.allows(&output, report::is_page)?;
    // A page needs none; it only lacks the model's name and what could not be measured.
    let _ = scan.read_manifest(&arguments.scan);
    let how = arguments.pool_experts.map_or(scan.pooling(), Pooling::from);
    let scan = scan.pooled(how);
    let selection = Selection::new(&scan, &arguments.choice.rules(None)?).map_err(with_option)?;
    let name = arguments.scan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = scan.surroundings.as_ref().map_or(name, |around| around.model.clone());
    output::write_all(&[(&output, report::page(&title, &selection).as_bytes())])?;
    terminal.note(&format!("wrote '{}'", output.display()));
    Ok(ExitCode::SUCCESS)
}
