//! What the program does: a file for each command, and what several of them need.

mod diff;
mod edit;
mod emit;
mod export;
mod kept;
mod place;
mod prepare;
mod publish;
mod remedy;
mod report;
mod scan;
pub mod task;
mod way_out;

use std::process::ExitCode;

use anyhow::Result;

use crate::terminal::Terminal;
use task::Task;

/// What went wrong if output fails.
const STANDARD_OUTPUT: &str = "cannot write to standard output";

/// Does what there is to do.
///
/// # Errors
///
/// Fails with what a person should read.
pub fn run(task: &Task, terminal: &Terminal) -> Result<ExitCode> {
    match task {
        Task::Scan(task) => scan::run(task, terminal),
        Task::Export(task) => export::run(task, terminal),
        Task::Diff(task) => diff::run(task, terminal),
        Task::Report(task) => report::run(task, terminal),
    }
}
