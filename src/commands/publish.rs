//! What a scan ends in: its files, the table or the names of the best, and trainers' configurations.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use laser_scan::measure::{Journal, Plan};
use laser_scan::modules::Missing;
use laser_scan::scan::{INCOMPLETE_POOL, Outputs, Scan};
use laser_scan::select::{self, Selection};
use laser_scan::trainers::Request;

use super::task::ScanTask;
use super::way_out::{WayOut, unwritten};
use super::{STANDARD_OUTPUT, emit, prepare};
use crate::terminal::Terminal;

/// Done, but some modules could not be measured.
const PARTIAL: u8 = 3;

/// Writes the results, and says what they are.
pub fn publish(
    task: &ScanTask,
    terminal: &Terminal,
    plan: &Plan,
    scan: &Scan,
    outputs: &Outputs,
    journal: Journal,
    begun: Instant,
) -> Result<ExitCode> {
    // What the numbers are stays, even if nothing can be chosen by these rules.
    let selection = Selection::new(scan, &task.rules).map_err(WayOut::with_way_out);
    let top = select::top_json(selection.as_ref().map_or(&[][..], |selection| &selection.groups));
    scan.write(outputs, &top).map_err(|error| unwritten(error, outputs, task.again))?;
    if let Err(error) = journal.finish(plan.is_of_other_modules()) {
        // The results are there; the next scan will find the journal's lines to be its own.
        terminal.warn(&error.to_string());
    }
    let selection =
        selection.with_context(|| format!("the numbers are in '{}', but nothing is chosen", outputs.full.display()))?;
    let shown = if task.as_json { terminal.output(&top) } else { terminal.top(&selection.groups) };
    shown.context(STANDARD_OUTPUT)?;
    terminal.remark_on_choice(&selection.groups, outputs);
    for pool in scan.incomplete_pools() {
        terminal.warn(&format!("{} is not ranked: {INCOMPLETE_POOL}", pool.name));
    }
    let request = Request { selection: &selection, adapter: task.adapter };
    let emitted = emit::emit(task, &request, &prepare::kept(task, outputs), terminal);
    let failed = scan.failures.len() - plan.missing.len();
    terminal.finish(outputs, begun.elapsed(), failed + plan.missing.iter().map(Missing::count).sum::<usize>());
    emitted?;
    Ok(status(failed == 0 && plan.missing.is_empty()))
}

/// The exit status of what is done, for all modules or not. A dry run ends as the scan would.
pub fn status(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) }
}
