//! The differences between two scans, as tables.

use std::io;

use laser_scan::report::{Diff, Move, TypeDiff};

use super::{Sheet, Terminal, counted, ratio};

/// How many names of modules that only one scan has, or has measured, are shown.
const NAMES_SHOWN: usize = 5;

impl Terminal {
    /// Shows how two scans differ, and at most `moves` modules that moved most.
    pub fn comparison(&self, diff: &Diff, moves: usize) -> io::Result<()> {
        let mut sheet = Sheet::default();
        add_types(&mut sheet, diff);
        add_moves(&mut sheet, diff, moves);
        let lists = [
            ("only in the first", &diff.only_in_a),
            ("only in the second", &diff.only_in_b),
            ("not measured in one of them", &diff.unmeasured),
        ];
        sheet.gap();
        for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
            sheet.line(&format!("{} {what}: {}{more}", counted(names.len(), "module"), shown.join(", ")));
        }
        self.print(&sheet)
    }
}

fn add_types(sheet: &mut Sheet, diff: &Diff) {
    let row = |TypeDiff { kind, pairs, spearman, top, common, largest_change, .. }: &TypeDiff| {
        [
            kind.clone(),
            pairs.to_string(),
            spearman.map_or_else(|| "-".to_owned(), |spearman| format!("{spearman:.4}")),
            format!("{common} of {top}"),
            percentage(*largest_change),
        ]
    };
    let header = ["type", "modules", "Spearman", "same best", "largest change"];
    sheet.table(header, diff.types.iter().map(row).collect());
}

/// Adds the modules whose ranks moved most, and among equal moves those whose ratios changed most.
fn add_moves(sheet: &mut Sheet, diff: &Diff, count: usize) {
    let mut moves: Vec<&Move> = diff.types.iter().flat_map(|r#type| &r#type.moves).collect();
    moves.retain(|moved| moved.rank_a != moved.rank_b || moved.change != 0.0);
    moves.sort_by(|a, b| {
        let distance = |moved: &Move| moved.rank_a.abs_diff(moved.rank_b);
        distance(b).cmp(&distance(a)).then(b.change.abs().total_cmp(&a.change.abs()))
    });
    if moves.is_empty() || count == 0 {
        return;
    }
    let row = |Move { name, rank_a, rank_b, snr_a, snr_b, change, .. }: &Move| {
        [
            name.clone(),
            format!("{rank_a} -> {rank_b}"),
            format!("{} -> {}", ratio(*snr_a), ratio(*snr_b)),
            format!("{}{}", if *change > 0.0 { "+" } else { "" }, percentage(*change)),
        ]
    };
    sheet.gap();
    sheet.table(["moved most", "rank", "snr", "change"], moves.into_iter().take(count).map(row).collect());
}

fn percentage(change: f64) -> String {
    if change.is_infinite() { change.to_string() } else { format!("{:.3} %", 100.0 * change) }
}
