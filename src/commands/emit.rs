//! The configurations that are written with a scan, each in a file of its own.

use std::path::PathBuf;

use anyhow::Result;
use laser_scan::trainers::{self, Remark, Request};

use super::advice::Advise;
use super::protected::Protected;
use super::task::Publication;
use super::write;
use crate::terminal::Terminal;

/// Makes sure before a scan of `model` that its configurations may be written. Each path is checked again when its file is
/// written.
pub fn check(publication: &Publication, model: &str, protected: &Protected<'_>) -> Result<()> {
    for trainer in &publication.emit {
        for format in trainer.profile().formats {
            protected.check(&folder(publication).join(trainer.file(model, *format)), trainers::is_export)?;
        }
    }
    Ok(())
}

/// Writes the configurations. An error for one trainer does not keep the others from being written.
pub fn emit(
    publication: &Publication,
    request: &Request<'_>,
    protected: &Protected<'_>,
    terminal: &Terminal,
) -> Result<()> {
    let mut told: Vec<Remark> = Vec::new();
    let mut result = Ok(());
    for trainer in &publication.emit {
        let written = match trainers::export(*trainer, request) {
            Ok(mut export) => {
                // A remark that several trainers share is printed once.
                for said in [&mut export.notes, &mut export.warnings] {
                    said.retain(|remark| !told.contains(remark));
                    told.extend(said.iter().cloned());
                }
                write::all_forms(&export, &folder(publication), protected, terminal)
            }
            Err(error) => Err(error.with_advice()),
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

fn folder(publication: &Publication) -> PathBuf {
    publication.destination.folder.clone().unwrap_or_default()
}
