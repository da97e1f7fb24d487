//! The outputs of a scan: its files, the table or JSON of the best modules, and trainers' configurations.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use laser_scan::measure::{Journal, Plan};
use laser_scan::modules::Missing;
use laser_scan::scan::{INCOMPLETE_POOL, Outputs, Scan};
use laser_scan::select::{self, Selection};
use laser_scan::trainers::Request;

use super::advice::{Advise, unwritten};
use super::caution::caution;
use super::task::ScanTask;
use super::{STANDARD_OUTPUT, emit, prepare};
use crate::terminal::Terminal;

/// The exit status if some modules could not be measured.
const PARTIAL: u8 = 3;

pub fn publish(
    task: &ScanTask,
    terminal: &Terminal,
    plan: &Plan,
    scan: Scan,
    outputs: &Outputs,
    journal: Option<Journal>,
    begun: Instant,
) -> Result<ExitCode> {
    let mut scan = scan.pooled(task.pooling).ranked_by(task.ranking, task.all_statistics)?;
    if !task.has_spectra {
        scan.spectra = None;
    }
    let scan = &scan;
    // The numbers are written even if the rules leave nothing to choose.
    let selection = Selection::new(scan, &task.rules).map_err(Advise::with_advice);
    let top = select::top_json(selection.as_ref().map_or(&[][..], |selection| &selection.groups));
    scan.write(outputs, &top).map_err(|error| unwritten(error, outputs, task.resume_with))?;
    let ended = journal.map_or(Ok(()), |journal| journal.finish(plan.is_of_other_modules()));
    if let Err(error) = ended {
        // This is no error: the results are written, and the next scan can use the journal.
        terminal.warn(&error.to_string());
    }
    let selection =
        selection.with_context(|| format!("the numbers are in '{}', but nothing is chosen", outputs.full.display()))?;
    let shown = if task.as_json { terminal.output(&top) } else { terminal.top(&selection) };
    shown.context(STANDARD_OUTPUT)?;
    caution(scan, terminal);
    terminal.remark_on_choice(&selection.groups, outputs);
    for pool in scan.incomplete_pools() {
        terminal.warn(&format!("{} is not ranked: {INCOMPLETE_POOL}", pool.name));
    }
    let request = Request { selection: &selection, adapter: task.adapter };
    let emitted = emit::emit(task, &request, &prepare::protected(task, outputs), terminal);
    let failed = scan.failures.len() - plan.missing.len();
    terminal.finish(
        outputs,
        scan.spectra.is_some(),
        begun.elapsed(),
        failed + plan.missing.iter().map(Missing::count).sum::<usize>(),
    );
    emitted?;
    Ok(status(failed == 0 && plan.missing.is_empty()))
}

/// The exit status, by whether all modules could be measured. A dry run ends with the status that the scan would have.
pub fn status(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) }
}
