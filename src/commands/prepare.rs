//! The preparations of a scan. Errors in what the user asks for are found here, before anything is measured.

use std::path::PathBuf;

use anyhow::{Context, Result};
use laser_scan::measure::Plan;
use laser_scan::output::OutputError;
use laser_scan::scan::{Outputs, Scan};
use laser_scan::select::Selection;
use laser_scan::source::Source;
use laser_scan::spectrum::{Device, DeviceError, Library, Opened, Processor};
use laser_scan::trainers::{self, Request};

use super::advice::Advise;
use super::emit;
use super::protected::Protected;
use super::task::{Publication, ScanTask};
use crate::terminal::Terminal;

/// Tells what was opened, and what could not be.
pub fn devices(opened: Opened, terminal: &Terminal) -> Vec<Device> {
    let Opened { devices, passed_over } = opened;
    let (cpus, gpus): (Vec<&Device>, Vec<&Device>) =
        devices.iter().partition(|device| device.processor() == Processor::Cpu);
    let instead = match gpus.len() {
        0 => "this scan is computed on the CPU",
        1 => "the other GPU computes this scan",
        _ => "the other GPUs compute this scan",
    };
    for error in passed_over {
        if let DeviceError::Unusable { ordinal, reason } = error {
            terminal.warn(&format!("cuda:{ordinal} cannot be used ({reason}): {instead}"));
        }
    }
    for Library { file, version } in gpus.first().map(|gpu| gpu.libraries()).unwrap_or_default() {
        let version = version.as_ref().map_or_else(String::new, |version| format!(", version {version}"));
        terminal.detail(&format!("computes with {file}{version}"));
    }
    for gpu in &gpus {
        if let Some(ratio) = gpu.float64_ratio().filter(|_| !cpus.is_empty()) {
            terminal.detail(&format!(
                "{} computes {ratio} times slower in float64 than in float32: the CPU measures the smallest modules meanwhile",
                gpu.name()
            ));
        }
    }
    if let Some(setting) = gpus.iter().find_map(|gpu| gpu.emulation()) {
        terminal
            .detail(&format!("{setting}: products of integers, which were found to be as exact as those in float64"));
    }
    devices
}

/// The output files of the `plan`, after a check that everything the user asks for is possible.
pub fn outputs(task: &ScanTask, plan: &Plan, source: &dyn Source, terminal: &Terminal) -> Result<Outputs> {
    let publication = &task.publication;
    plan.check_readable().map_err(Advise::with_advice)?;
    terminal.remark(plan);
    terminal.remark_on_missing(plan);
    let pending = || plan.pending().pooled(publication.pooling);
    let name = &source.model().name;
    let outputs = match task.part {
        // What is chosen of all parts is not known before they are merged.
        Some(part) => Outputs::of_part(name, part, &publication.destination),
        None => {
            foresee(publication, pending())?;
            Outputs::new(name, &publication.destination)
        }
    };
    claim(&outputs, &plan.files_on_disk(source), task.dry_run)?;
    if !publication.overwrite {
        let names = || pending().names();
        outputs.replace_only_those_of(&plan.model, plan.base.as_ref(), names).map_err(Advise::with_advice)?;
    }
    emit::check(publication, &plan.surroundings().model, &protected(publication, &outputs))?;
    Ok(outputs)
}

/// Makes sure, as far as names and shapes tell, that the rules leave something to choose of the `pending` scan, and that the
/// trainers can train it.
fn foresee(publication: &Publication, pending: Scan) -> Result<()> {
    let scan = pending.foreseen();
    let selection = Selection::new(&scan, &publication.rules).map_err(Advise::with_advice)?;
    let request = Request { selection: &selection, adapter: publication.adapter };
    for trainer in &publication.emit {
        let impossible =
            || format!("nothing is measured, as no configuration for {} could be written", trainer.profile().key);
        let foreseen = trainers::foresee(*trainer, &request, &publication.rules);
        foreseen.map_err(Advise::with_advice).with_context(impossible)?;
    }
    Ok(())
}

/// Makes sure that the output files may be written, and are none of those that are `kept`. A dry run makes no folders.
pub fn claim(outputs: &Outputs, kept: &[PathBuf], is_dry: bool) -> Result<(), OutputError> {
    if is_dry { outputs.check(kept) } else { outputs.prepare(kept) }
}

/// The files that the configurations of a scan may not replace.
pub fn protected<'a>(publication: &Publication, outputs: &'a Outputs) -> Protected<'a> {
    Protected { scan: outputs.results().into_iter().map(PathBuf::as_path).collect(), overwrite: publication.overwrite }
}
