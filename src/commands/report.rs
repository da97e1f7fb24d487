//! `laser-scan report`.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;

use anyhow::Result;
use laser_scan::output;
use laser_scan::report::{self, Cell, Page, TypeRow};
use laser_scan::scan::{self, Entry, Results};
use laser_scan::select::{self, Candidate, Pooling};

use super::{Kept, read_scan};
use crate::cli::ReportArgs;
use crate::terminal::Terminal;

/// Writes a page to look at.
pub fn run(arguments: &ReportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let Results { format, mut entries, pooling } = read_scan(&arguments.scan)?;
    let output = arguments.output.clone().unwrap_or_else(|| arguments.scan.with_extension("html"));
    let manifest = scan::manifest_of(&arguments.scan);
    let kept = Kept { scan: vec![&arguments.scan, &manifest], overwrite: arguments.overwrite };
    kept.allows(&output, report::is_page)?;
    let around = scan::surroundings(&arguments.scan, &manifest).ok();
    entries.extend(around.iter().flat_map(|around| &around.unmeasured).map(scan::Other::entry));
    let pools = select::pool(&entries, arguments.pool_experts.map_or(pooling, Pooling::from));
    let candidates = select::candidates(&entries, &pools);
    let chosen = select::choose(&candidates, &arguments.choice.rules(None)?)?;
    let chosen: HashSet<usize> =
        chosen.iter().flat_map(|chosen| chosen.modules.iter().map(|candidate| candidate.place)).collect();
    let subtitle = format!("{} modules, {} chosen; from a file of {format}", candidates.len(), chosen.len());
    let name = arguments.scan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = around.map_or(name, |around| around.model);
    let page = Page { title: &title, subtitle: &subtitle, types: rows(&entries, &candidates, &chosen) };
    output::write_all(&[(&output, report::html(&page).as_bytes())])?;
    terminal.note(&format!("wrote '{}'", output.display()));
    Ok(ExitCode::SUCCESS)
}

/// What is ranked by type, each with its rank, and what could not be measured.
fn rows<'a>(entries: &'a [Entry], candidates: &[Candidate<'a>], chosen: &HashSet<usize>) -> Vec<TypeRow<'a>> {
    let ranks = ranks(candidates);
    let ranked = candidates.iter().map(|candidate| {
        let Candidate { name, kind, layer, snr, place, .. } = *candidate;
        let (chosen, rank) = (chosen.contains(&place), ranks.get(&place).copied().unwrap_or(0));
        (kind, Cell { name, layer, snr: Some(snr), chosen, rank, shape: entries[place].shape })
    });
    let unmeasured = entries.iter().filter(|entry| entry.snr.is_none() && entry.part_of.is_none()).map(|entry| {
        let Entry { name, kind, layer, shape, .. } = entry;
        (kind.as_str(), Cell { name, layer: *layer, snr: None, chosen: false, rank: 0, shape: *shape })
    });
    let mut rows: Vec<TypeRow<'a>> = Vec::new();
    for (kind, cell) in ranked.chain(unmeasured) {
        match rows.iter_mut().find(|row| row.kind == kind) {
            Some(row) => row.modules.push(cell),
            None => rows.push(TypeRow { kind, modules: vec![cell] }),
        }
    }
    rows
}

/// The rank of each candidate within its type, from 1.
fn ranks(candidates: &[Candidate<'_>]) -> HashMap<usize, usize> {
    let mut sorted: Vec<&Candidate<'_>> = candidates.iter().collect();
    sorted.sort_by(|a, b| select::best_first(a, b));
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut ranks = HashMap::new();
    for candidate in sorted {
        let count = counts.entry(candidate.kind).or_default();
        *count += 1;
        ranks.insert(candidate.place, *count);
    }
    ranks
}
