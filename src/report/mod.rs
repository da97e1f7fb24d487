//! A scan -> files for people and programs.

mod files;
mod json;
mod manifest;

pub use files::{Destination, OutputError, Outputs};
pub use json::{dry_run, full, top};
pub use manifest::{Failure, Manifest, ManifestFile, Methods, Options, Seconds};
