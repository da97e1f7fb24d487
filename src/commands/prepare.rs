//! The preparations of a scan. Errors in what the user asks for are found here, before anything is measured.

use anyhow::{Context, Result};
use laser_scan::measure::Plan;
use laser_scan::scan::{Outputs, Scan};
use laser_scan::select::Selection;
use laser_scan::source::Source;
use laser_scan::spectrum::{Device, DeviceError, Opened};
use laser_scan::trainers::{self, Request};

use super::advice::Advise;
use super::emit;
use super::protected::Protected;
use super::task::ScanTask;
use crate::terminal::Terminal;

pub fn devices(task: &ScanTask, terminal: &Terminal) -> Result<Vec<Device>> {
    let Opened { devices, passed_over } = Device::open(&task.device)?;
    if let Some(DeviceError::Unusable { ordinal, reason }) = passed_over {
        terminal.warn(&format!("cuda:{ordinal} cannot be used ({reason}): this scan is computed on the CPU"));
    }
    Ok(devices)
}

/// The output files of the `plan`, after a check that everything the user asks for is possible.
pub fn outputs(task: &ScanTask, plan: &Plan, source: &dyn Source, terminal: &Terminal) -> Result<Outputs> {
    plan.check_readable().map_err(Advise::with_advice)?;
    terminal.remark(plan);
    terminal.remark_on_missing(plan);
    let pending = plan.pending().pooled(task.pooling);
    foresee(task, &pending)?;
    claim_places(task, plan, &pending, source)
}

/// Makes sure, as far as names and shapes tell, that the rules leave something to choose of the `pending` scan, and that the
/// trainers can train it.
fn foresee(task: &ScanTask, pending: &Scan) -> Result<()> {
    let scan = pending.foreseen();
    let selection = Selection::new(&scan, &task.rules).map_err(Advise::with_advice)?;
    let request = Request { selection: &selection, adapter: task.adapter };
    for trainer in &task.emit {
        let impossible =
            || format!("nothing is measured, as no configuration for {} could be written", trainer.profile().key);
        let foreseen = trainers::foresee(*trainer, &request, &task.rules);
        foreseen.map_err(Advise::with_advice).with_context(impossible)?;
    }
    Ok(())
}

/// The output files, after a check that all of them may be written. A dry run makes no folders.
fn claim_places(task: &ScanTask, plan: &Plan, pending: &Scan, source: &dyn Source) -> Result<Outputs> {
    let outputs = Outputs::new(&source.model().name, &task.destination);
    let on_disk = plan.files_on_disk(source);
    if task.dry_run {
        outputs.check(&on_disk)?;
    } else {
        outputs.prepare(&on_disk)?;
    }
    if !task.overwrite {
        outputs.replace_only_those_of(&plan.model, plan.base.as_ref(), pending).map_err(Advise::with_advice)?;
    }
    emit::check(task, &plan.surroundings().model, &protected(task, &outputs))?;
    Ok(outputs)
}

/// The files that the configurations of a scan may not replace.
pub fn protected<'a>(task: &ScanTask, outputs: &'a Outputs) -> Protected<'a> {
    Protected {
        scan: vec![&outputs.full, &outputs.top, &outputs.manifest, &outputs.spectra],
        overwrite: task.overwrite,
    }
}
