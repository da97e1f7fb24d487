//! `laser-scan report`.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;

use anyhow::{Result, bail};
use laser_scan::report::{self, Cell, Page, TypeRow};
use laser_scan::results::{self, Entry};
use laser_scan::select::{self, Candidate, Counted};

use crate::cli::ReportArgs;
use crate::terminal::Terminal;

/// The rank by which a budget counts, where nothing is trained.
const RANK: u64 = 32;

/// Writes a page to look at.
pub fn run(arguments: &ReportArgs, terminal: &Terminal) -> Result<ExitCode> {
    let results = results::open(&arguments.scan)?;
    let name = arguments.scan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let output = arguments.output.clone().unwrap_or_else(|| arguments.scan.with_extension("html"));
    if output.canonicalize().is_ok_and(|path| arguments.scan.canonicalize().is_ok_and(|scan| scan == path)) {
        bail!("'{}' is the scan itself: name another file with --output", output.display());
    }
    let entries = &results.entries;
    let candidates = select::candidates(entries, &[]);
    let rules = arguments.selection.rules(Counted::Lora { rank: RANK })?;
    let chosen = select::choose(&candidates, &rules)?;
    let chosen: HashSet<usize> =
        chosen.iter().flat_map(|chosen| chosen.modules.iter().map(|candidate| candidate.place)).collect();
    let subtitle = format!("{} modules, {} chosen; from a file of {}", entries.len(), chosen.len(), results.format);
    let title = results::surroundings(&arguments.scan, entries).map_or(name, |around| around.model);
    let page = Page { title: &title, subtitle: &subtitle, types: rows(entries, &candidates, &chosen) };
    report::write_all(&[(&output, report::html(&page).as_bytes())])?;
    terminal.note(&format!("wrote '{}'", output.display()));
    Ok(ExitCode::SUCCESS)
}

/// The modules by type, each with its rank.
fn rows<'a>(entries: &'a [Entry], candidates: &[Candidate<'_>], chosen: &HashSet<usize>) -> Vec<TypeRow<'a>> {
    let ranks = ranks(candidates);
    let mut rows: Vec<TypeRow<'a>> = Vec::new();
    for (place, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.part_of.is_none()) {
        let cell = Cell {
            name: &entry.name,
            layer: entry.layer,
            snr: entry.snr,
            chosen: chosen.contains(&place),
            rank: ranks.get(&place).copied().unwrap_or(0),
            shape: entry.shape,
        };
        match rows.iter_mut().find(|row| row.kind == entry.kind) {
            Some(row) => row.modules.push(cell),
            None => rows.push(TypeRow { kind: &entry.kind, modules: vec![cell] }),
        }
    }
    rows
}

/// The rank of each module within its type, from 1.
fn ranks(candidates: &[Candidate<'_>]) -> HashMap<usize, usize> {
    let mut sorted: Vec<&Candidate<'_>> = candidates.iter().collect();
    sorted.sort_by(|a, b| b.snr.total_cmp(&a.snr));
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut ranks = HashMap::new();
    for candidate in sorted {
        let count = counts.entry(candidate.kind).or_default();
        *count += 1;
        ranks.insert(candidate.place, *count);
    }
    ranks
}
