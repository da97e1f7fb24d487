//! What a scan needs before it measures anything. Whatever can fail by what is asked for fails here.

use anyhow::{Context, Result};
use laser_scan::measure::Plan;
use laser_scan::scan::{Outputs, Scan};
use laser_scan::select::Selection;
use laser_scan::source::Source;
use laser_scan::spectrum::{Device, DeviceError, Opened};
use laser_scan::trainers::{self, Request};

use super::emit;
use super::kept::Kept;
use super::task::ScanTask;
use super::way_out::WayOut;
use crate::terminal::Terminal;

/// Where to compute.
pub fn devices(task: &ScanTask, terminal: &Terminal) -> Result<Vec<Device>> {
    let Opened { devices, passed_over } = Device::open(&task.device)?;
    if let Some(DeviceError::Unusable { ordinal, reason }) = passed_over {
        terminal.warn(&format!("cuda:{ordinal} cannot be used ({reason}): this scan is computed on the CPU"));
    }
    Ok(devices)
}

/// What is to be done, and where the output goes, if all that is asked for can be.
pub fn plan(task: &ScanTask, source: &dyn Source, terminal: &Terminal) -> Result<(Plan, Outputs)> {
    let plan = Plan::new(source, &task.filter, task.wanted)?;
    plan.check_readable().map_err(WayOut::with_way_out)?;
    terminal.remark(&plan);
    terminal.remark_on_missing(&plan);
    let pending = plan.pending().pooled(task.pooling);
    foresee(task, &pending)?;
    let outputs = claim_places(task, &plan, &pending, source)?;
    Ok((plan, outputs))
}

/// Makes sure that the rules leave something to choose of a scan that is `pending`, and that the trainers can be given it, as
/// far as names and shapes tell.
fn foresee(task: &ScanTask, pending: &Scan) -> Result<()> {
    let scan = pending.foreseen();
    let selection = Selection::new(&scan, &task.rules).map_err(WayOut::with_way_out)?;
    let request = Request { selection: &selection, adapter: task.adapter };
    for trainer in &task.emit {
        let impossible =
            || format!("nothing is measured, as no configuration for {} could be written", trainer.profile().key);
        let foreseen = trainers::foresee(*trainer, &request, &task.rules);
        foreseen.map_err(WayOut::with_way_out).with_context(impossible)?;
    }
    Ok(())
}

/// Where the output goes, once it is sure that all of it may go there. A dry run looks, and makes no folders.
fn claim_places(task: &ScanTask, plan: &Plan, pending: &Scan, source: &dyn Source) -> Result<Outputs> {
    let outputs = Outputs::new(&source.model().name, &task.destination);
    let on_disk = plan.files_on_disk(source);
    if task.dry_run {
        outputs.check(&on_disk)?;
    } else {
        outputs.prepare(&on_disk)?;
    }
    if !task.overwrite {
        outputs.replace_only_those_of(&plan.model, pending).map_err(WayOut::with_way_out)?;
    }
    emit::allow(task, &plan.surroundings().model, &kept(task, &outputs))?;
    Ok(outputs)
}

/// What the configurations that go with a scan may not replace.
pub fn kept<'a>(task: &ScanTask, outputs: &'a Outputs) -> Kept<'a> {
    Kept { scan: vec![&outputs.full, &outputs.top, &outputs.manifest], overwrite: task.overwrite }
}
