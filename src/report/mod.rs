//! A scan -> files for people and programs.

mod error;
mod files;
mod html;
mod json;
mod manifest;
mod ownership;
mod places;
mod python_json;
mod temporary;
mod text;

pub use error::OutputError;
pub use files::{Destination, Outputs, manifest_of, replace_keeping, write_all};
pub use html::{Cell, Page, TypeRow, html, is_page};
pub use json::{dry_run, full, top};
pub use manifest::{Failure, Manifest, ManifestFile, ManifestOutputs, Methods, Options, Processors, Seconds};
pub use python_json::python_json_text;
pub use temporary::sweep;
pub use text::{digits, in_file_name, is_deceptive, visible};
