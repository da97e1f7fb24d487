//! Ranks a finished scan by any statistic.

use std::path::Path;

use anyhow::{Context, Result, bail};
use laser_scan::scan::Scan;
use laser_scan::statistic::{Ranking, Ties};

/// By what the scan was ranked when its files were written: laser-QLoRA's ratio, if nothing is known of that.
pub fn usual(scan: &Scan) -> Ranking {
    let options = scan.provenance.as_ref().map(|provenance| &provenance.options);
    options.map_or_else(Ranking::default, |options| Ranking { criterion: options.statistic, ties: options.ties })
}

/// The scan from the file at `path`, ranked as `ranking` says, or as it was when its files were written. Its spectra are read only
/// if they are needed.
pub fn ranked(mut scan: Scan, path: &Path, ranking: Option<Ranking>) -> Result<Scan> {
    let ranking = ranking.unwrap_or_else(|| usual(&scan));
    let is_known = |scan: &Scan| {
        let mut measured = scan.records().iter().filter_map(|record| record.result.as_ref().ok());
        measured.all(|numbers| numbers.statistics.is_some())
    };
    if ranking.needs_spectra() && !is_known(&scan) {
        let impossible = || format!("a ranking by {} needs the spectra of a scan", ranking.criterion);
        scan.read_spectra(path).with_context(impossible)?;
    }
    Ok(scan.ranked_by(ranking, false)?)
}

/// Fails unless two scans, from the files at `paths`, were ranked by the same statistic when their files were written.
pub fn check_alike(scans: [&Scan; 2], paths: [&Path; 2]) -> Result<()> {
    let rankings = scans.map(usual);
    if rankings[0] == rankings[1] {
        return Ok(());
    }
    let ([first, second], [a, b]) = (rankings.map(described), paths.map(Path::display));
    bail!(
        "'{a}' was ranked by {first} and '{b}' by {second}, which cannot be compared: choose one with --statistic and --ties"
    )
}

/// A ranking in words.
fn described(ranking: Ranking) -> String {
    let ties = if ranking.ties == Ties::Margin { " with ties by their margin" } else { "" };
    format!("{}{ties}", ranking.criterion)
}
