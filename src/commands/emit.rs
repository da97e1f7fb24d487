//! Trainers' configurations in files of their own.

use std::path::PathBuf;

use anyhow::Result;
use laser_scan::trainers::{self, Remark, Request};

use super::kept::Kept;
use super::place;
use super::task::ScanTask;
use super::way_out::WayOut;
use crate::terminal::Terminal;

/// Makes sure, before any work is done, that the configurations that go with a scan of `model` may be written. Each place is
/// checked again when its file is written.
pub fn allow(task: &ScanTask, model: &str, kept: &Kept<'_>) -> Result<()> {
    for trainer in &task.emit {
        for format in trainer.profile().formats {
            kept.allows(&folder(task).join(trainer.file(model, *format)), trainers::is_export)?;
        }
    }
    Ok(())
}

/// Writes the configurations that go with a scan. What one trainer cannot do keeps no other from its own.
pub fn emit(task: &ScanTask, request: &Request<'_>, kept: &Kept<'_>, terminal: &Terminal) -> Result<()> {
    let mut told: Vec<Remark> = Vec::new();
    let mut result = Ok(());
    for trainer in &task.emit {
        let written = match trainers::export(*trainer, request) {
            Ok(mut export) => {
                // What is the same for several trainers is said once.
                for said in [&mut export.notes, &mut export.warnings] {
                    said.retain(|remark| !told.contains(remark));
                    told.extend(said.iter().cloned());
                }
                place::all(&export, &folder(task), kept, terminal)
            }
            Err(error) => Err(error.with_way_out()),
        };
        if let Err(error) = written {
            let error =
                error.context(format!("the scan is written, but not the configuration for {}", trainer.profile().key));
            if result.is_err() {
                terminal.error(&error);
            } else {
                result = Err(error);
            }
        }
    }
    result
}

/// The folder for what goes with a scan.
fn folder(task: &ScanTask) -> PathBuf {
    task.destination.folder.clone().unwrap_or_default()
}
