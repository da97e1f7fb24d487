//! `laser-scan diff`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use laser_scan::output;
use laser_scan::report::diff;
use laser_scan::scan::Scan;

use super::STANDARD_OUTPUT;
use crate::cli::DiffArgs;
use crate::terminal::Terminal;

/// Shows what moved between two scans.
pub fn run(arguments: &DiffArgs, terminal: &Terminal) -> Result<ExitCode> {
    let (a, b) = (Scan::read(&arguments.a)?.ranked(), Scan::read(&arguments.b)?.ranked());
    let diff = diff(&a, &b, arguments.top_n.get());
    if diff.types.is_empty() {
        bail!(
            "'{}' and '{}' have no measured module in common: are they scans of one architecture?",
            arguments.a.display(),
            arguments.b.display()
        );
    }
    let shown = if arguments.json {
        terminal.output(output::python_json_text(&diff).trim_end().as_bytes())
    } else {
        terminal.comparison(&diff, arguments.moves)
    };
    shown.context(STANDARD_OUTPUT)?;
    Ok(ExitCode::SUCCESS)
}
