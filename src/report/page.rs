//! A selection -> the page that shows it.

use std::collections::HashSet;

use super::html::{Cell, Page, TypeRow, html};
use crate::select::Selection;

/// The page as HTML: every module's rank, and which are chosen. The same selection and title give the same bytes.
pub fn page(title: &str, selection: &Selection<'_>) -> String {
    let chosen: HashSet<usize> = selection.chosen().map(|candidate| candidate.place).collect();
    let ranked = selection.ranked.iter().zip(selection.ranks()).map(|(candidate, rank)| {
        let (name, info, snr) = (candidate.name(), &candidate.record.info, Some(candidate.score.value));
        (candidate.kind(), Cell { name, info, snr, chosen: chosen.contains(&candidate.place), rank })
    });
    let records = selection.scan.records().iter();
    let unmeasured = records.filter(|record| record.result.is_err() && record.info.part_of.is_none()).map(|record| {
        let info = &record.info;
        (info.kind.as_str(), Cell { name: &info.name, info, snr: None, chosen: false, rank: 0 })
    });
    let mut types: Vec<TypeRow<'_>> = Vec::new();
    for (kind, cell) in ranked.chain(unmeasured) {
        match types.iter_mut().find(|row| row.kind == kind) {
            Some(row) => row.modules.push(cell),
            None => types.push(TypeRow { kind, modules: vec![cell] }),
        }
    }
    let (count, format) = (selection.ranked.len(), selection.scan.format);
    let subtitle = format!("{count} modules, {} chosen; from a file of {format}", chosen.len());
    html(&Page { title, subtitle: &subtitle, types })
}
