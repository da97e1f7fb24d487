//! What a scan's rules come to, as far as names and shapes tell: found before anything is measured or downloaded.

use anyhow::{Context, Result};
use laser_scan::scan::Scan;
use laser_scan::select::{Rules, Selection};
use laser_scan::trainers::{self, Request};

use crate::cli::{ScanArgs, WayOut, with_option};

/// Makes sure that the rules leave something to choose of a scan that is `pending`, and that the trainers can be given it.
pub fn run(cli: &ScanArgs, pending: &Scan, rules: &Rules) -> Result<()> {
    let scan = pending.foreseen();
    let selection = Selection::new(&scan, rules).map_err(with_option)?;
    let request = Request { selection: &selection, adapter: cli.adapter.adapter() };
    for trainer in &cli.emit {
        let impossible = || format!("nothing is measured, as no configuration for {} could be written", trainer.key());
        trainers::foresee(*trainer, &request, rules).map_err(WayOut::with_way_out).with_context(impossible)?;
    }
    Ok(())
}
