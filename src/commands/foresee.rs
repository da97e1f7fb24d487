//! What a scan's rules come to, as far as names and shapes tell: found before anything is measured or downloaded.

use anyhow::{Context, Result};
use laser_scan::measure::Plan;
use laser_scan::select::{self, Rules};
use laser_scan::trainers::{self, Request};

use crate::cli::ScanArgs;

/// Makes sure that the rules leave something to choose, and that the trainers can be given it.
pub fn run(cli: &ScanArgs, plan: &Plan, rules: &Rules) -> Result<()> {
    let entries = plan.entries_alike();
    let pools = select::pool(&entries, cli.pool_experts.into());
    let candidates = select::candidates(&entries, &pools);
    let chosen = select::choose(&candidates, rules)?;
    let around = plan.surroundings(&[]);
    let request = Request {
        entries: &entries,
        candidates: &select::eligible(&candidates, rules)?,
        chosen: &chosen,
        around: Some(&around),
        adapter: cli.adapter.adapter(),
    };
    for trainer in &cli.emit {
        let impossible = || format!("nothing is measured, as no configuration for {} could be written", trainer.key());
        trainers::foresee(*trainer, &request, rules).with_context(impossible)?;
    }
    Ok(())
}
