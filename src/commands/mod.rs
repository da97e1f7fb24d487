//! The commands: a file for each, and the parts that several of them need.

mod advice;
mod caution;
mod diff;
mod edit;
mod emit;
mod export;
mod merge;
mod options;
mod prepare;
mod protected;
mod publish;
mod ranked;
mod remedy;
mod remote;
mod report;
mod reuse;
mod scan;
mod show;
pub mod task;
mod write;

use std::process::ExitCode;

use anyhow::Result;

use crate::terminal::Terminal;
use task::Task;

const STANDARD_OUTPUT: &str = "cannot write to standard output";

pub fn run(task: &Task, terminal: &Terminal) -> Result<ExitCode> {
    let result = match task {
        Task::Scan(task) => scan::run(task, terminal),
        Task::Merge(task) => merge::run(task, terminal),
        Task::Export(task) => export::run(task, terminal),
        Task::Diff(task) => diff::run(task, terminal),
        Task::Report(task) => report::run(task, terminal),
        Task::Show(task) => show::run(task, terminal),
    };
    result.map_err(options::with_options)
}
