//! What moved between two scans, as tables.

use std::fmt::Write as _;
use std::io;

use laser_scan::diff::{Diff, Move, TypeDiff};

use super::{Terminal, Verbosity, counted, escape, new_table, ratio};

/// How many names of modules that only one scan has are shown.
const NAMES_SHOWN: usize = 5;

impl Terminal {
    /// Shows how two scans differ, and the modules that moved most, at most so many.
    ///
    /// # Errors
    ///
    /// Fails if standard output cannot be written.
    pub fn comparison(&self, diff: &Diff, moves: usize) -> io::Result<()> {
        if self.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        let mut text = types(diff);
        text += &moved(diff, moves);
        for (what, names) in [
            ("only in the first", &diff.only_in_a),
            ("only in the second", &diff.only_in_b),
            ("not measured in one of them", &diff.unmeasured),
        ] {
            if !names.is_empty() {
                let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| escape(name)).collect();
                let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
                let _ = write!(text, "\n{} {what}: {}{more}", counted(names.len(), "module"), shown.join(", "));
            }
        }
        self.output(text.trim_end().as_bytes())
    }
}

/// The types, and how alike their rankings are.
fn types(diff: &Diff) -> String {
    let mut table = new_table(&["type", "modules", "Spearman", "best in both", "largest change"]);
    for TypeDiff { kind, pairs, spearman, top, common, largest_change, .. } in &diff.types {
        table.add_row([
            escape(kind),
            pairs.to_string(),
            spearman.map_or_else(|| "-".to_owned(), |spearman| format!("{spearman:.4}")),
            format!("{common} of {top}"),
            percentage(*largest_change),
        ]);
    }
    table.trim_fmt() + "\n"
}

/// The modules whose ranks moved most; of those that moved alike, the ones whose ratios changed most.
fn moved(diff: &Diff, count: usize) -> String {
    let mut moves: Vec<&Move> = diff.types.iter().flat_map(|r#type| &r#type.moves).collect();
    moves.retain(|moved| moved.rank_a != moved.rank_b || moved.change != 0.0);
    moves.sort_by(|a, b| {
        let distance = |moved: &Move| moved.rank_a.abs_diff(moved.rank_b);
        distance(b).cmp(&distance(a)).then(b.change.abs().total_cmp(&a.change.abs()))
    });
    if moves.is_empty() || count == 0 {
        return String::new();
    }
    let mut table = new_table(&["moved most", "rank", "snr", "change"]);
    for Move { name, rank_a, rank_b, snr_a, snr_b, change, .. } in moves.iter().take(count) {
        table.add_row([
            escape(name),
            format!("{rank_a} -> {rank_b}"),
            format!("{} -> {}", ratio(*snr_a), ratio(*snr_b)),
            format!("{}{}", if *change > 0.0 { "+" } else { "" }, percentage(*change)),
        ]);
    }
    format!("\n{}\n", table.trim_fmt())
}

/// A relative change.
fn percentage(change: f64) -> String {
    if change.is_infinite() { change.to_string() } else { format!("{:.3} %", 100.0 * change) }
}
