//! What the program does: one file for each command.

mod diff;
mod export;
mod report;
mod scan;

pub use diff::run as diff;
pub use export::run as export;
pub use report::run as report;
pub use scan::run as scan;

/// What went wrong if output fails.
const STANDARD_OUTPUT: &str = "cannot write to standard output";
