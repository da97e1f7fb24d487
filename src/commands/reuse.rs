//! A finished scan, which need not be made again.

use laser_scan::measure::Plan;
use laser_scan::scan::{Outputs, Scan};
use laser_scan::spectrum::Device;
use laser_scan::statistic::Ranking;

use super::task::ScanTask;
use crate::terminal::Terminal;

/// The planned scan with the numbers of the one that is in `outputs`, if that is of the same weights and has all that is wanted.
pub fn finished(
    task: &ScanTask,
    plan: &Plan,
    outputs: &Outputs,
    devices: &[Device],
    terminal: &Terminal,
) -> Option<Scan> {
    if task.fresh {
        return None;
    }
    let publication = &task.publication;
    let needs_spectra = publication.all_statistics || publication.ranking.is_some_and(Ranking::needs_spectra);
    let mut earlier = Scan::read(&outputs.full).ok()?;
    earlier.read_manifest(&outputs.full).ok()?;
    let spectra = earlier.read_spectra(&outputs.full);
    if spectra.is_err() && needs_spectra {
        return None;
    }
    let scan = plan.reused(earlier, devices, &task.options)?;
    let date = scan.provenance.as_ref().map_or("", |provenance| &provenance.date);
    terminal.note(&format!(
        "'{}' has the numbers of these weights, measured {date}: nothing is measured anew (--fresh measures again)",
        outputs.shown(&outputs.full)
    ));
    if let Err(error) = spectra
        && publication.has_spectra
    {
        terminal.note(&format!("{error}: --fresh measures them"));
    }
    Some(scan)
}
