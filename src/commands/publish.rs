//! The outputs of a scan: its files, the table or JSON of the best modules, and trainers' configurations.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use laser_scan::measure::{Journal, Plan};
use laser_scan::modules::Missing;
use laser_scan::scan::{INCOMPLETE_POOL, Outputs, Scan};
use laser_scan::select::{self, Selection};
use laser_scan::statistic::Ranking;
use laser_scan::trainers::{self, Request};

use super::advice::{Advise, unwritten};
use super::caution::caution;
use super::ranked::usual;
use super::task::{Printed, Publication};
use super::{STANDARD_OUTPUT, emit, prepare};
use crate::terminal::Terminal;

/// The exit status if some modules could not be measured.
const PARTIAL: u8 = 3;

/// Writes and shows what is made of the measured `scan` of `plan`, and removes its journal.
pub fn publish(
    publication: &Publication,
    terminal: &Terminal,
    plan: &Plan,
    scan: Scan,
    outputs: &Outputs,
    journal: Option<Journal>,
    begun: Instant,
) -> Result<ExitCode> {
    let failed = scan.failures.len() - plan.missing.len();
    let lost = failed + plan.missing.iter().map(Missing::count).sum::<usize>();
    let end = move || end(journal, plan, terminal);
    if plan.part.is_some() {
        // What is missing in the model is no part's, and is told when the parts are merged.
        publish_part(publication, terminal, scan, outputs, end, failed, begun)?;
        return Ok(status(failed == 0));
    }
    publish_whole(publication, terminal, scan, outputs, end, lost, begun)?;
    Ok(status(lost == 0))
}

/// Writes and shows what is made of a whole scan. `written` is called once its files are there; `lost` modules were not measured.
pub fn publish_whole(
    publication: &Publication,
    terminal: &Terminal,
    scan: Scan,
    outputs: &Outputs,
    written: impl FnOnce(),
    lost: usize,
    begun: Instant,
) -> Result<()> {
    let ranking: Ranking = publication.ranking.unwrap_or_else(|| usual(&scan));
    let mut scan = scan.pooled(publication.pooling).ranked_by(ranking, publication.all_statistics)?;
    if !publication.has_spectra {
        scan.spectra = None;
    }
    let scan = &scan;
    // The numbers are written even if the rules leave nothing to choose.
    let selection = Selection::new(scan, &publication.rules).map_err(Advise::with_advice);
    let top = select::top_json(selection.as_ref().map_or(&[][..], |selection| &selection.groups));
    scan.write(outputs, &top).map_err(|error| unwritten(error, outputs, publication.resume_with))?;
    written();
    let selection = selection
        .with_context(|| format!("the numbers are in '{}', but nothing is chosen", outputs.shown(&outputs.full)))?;
    let shown = match publication.printed {
        Printed::Table => terminal.top(&selection),
        Printed::Best => terminal.output(&top),
        Printed::Numbers => terminal.output(scan.full_json().trim_ascii_end()),
    };
    shown.context(STANDARD_OUTPUT)?;
    caution(scan, terminal);
    terminal.remark_on_choice(&selection.groups, outputs);
    for pool in scan.incomplete_pools() {
        terminal.warn(&format!("{} is not ranked: {INCOMPLETE_POOL}", pool.name));
    }
    let request = Request { selection: &selection, adapter: publication.adapter };
    let emitted = emit::emit(publication, &request, &prepare::protected(publication, outputs), terminal);
    terminal.finish(outputs, scan.spectra.is_some(), begun.elapsed(), lost);
    let is_any_chosen = selection.groups.iter().any(|group| !group.modules.is_empty());
    if publication.emit.is_empty() && is_any_chosen {
        terminal.suggest(&next(publication, scan, outputs));
    }
    emitted
}

/// The command that a person may give next.
fn next(publication: &Publication, scan: &Scan, outputs: &Outputs) -> String {
    let is_of_diffusion = trainers::is_of_diffusion(scan);
    let file = trainers::quoted(&outputs.shown(&outputs.full));
    let trainer = if is_of_diffusion { "diffusers" } else { "axolotl" };
    let words = ["export", trainer, &file].into_iter().chain(publication.choice.iter().map(String::as_str));
    format!("laser-scan {}", words.collect::<Vec<_>>().join(" "))
}

/// Writes a part, of which nothing is chosen.
fn publish_part(
    publication: &Publication,
    terminal: &Terminal,
    mut scan: Scan,
    outputs: &Outputs,
    written: impl FnOnce(),
    lost: usize,
    begun: Instant,
) -> Result<()> {
    let ranking = scan.ranking();
    scan = scan.ranked_by(ranking, publication.all_statistics)?;
    if !publication.has_spectra {
        scan.spectra = None;
    }
    scan.write(outputs, &[]).map_err(|error| unwritten(error, outputs, publication.resume_with))?;
    written();
    terminal.finish(outputs, scan.spectra.is_some(), begun.elapsed(), lost);
    Ok(())
}

fn end(journal: Option<Journal>, plan: &Plan, terminal: &Terminal) {
    let ended = journal.map_or(Ok(()), |journal| journal.finish(plan.is_of_other_modules()));
    if let Err(error) = ended {
        // This is no error: the results are written, and the next scan can use the journal.
        terminal.warn(&error.to_string());
    }
}

/// The exit status, by whether all modules could be measured. A dry run ends with the status that the scan would have.
pub fn status(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) }
}
