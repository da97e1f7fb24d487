//! Writes files atomically, JSON as Python does, and names and numbers for people to read.

mod error;
mod files;
pub(crate) mod json;
mod places;
mod python_json;
mod temporary;
mod text;

/// How the name of a scan's file of spectra ends.
pub(crate) const SPECTRA_ENDING: &str = "_spectra.safetensors";

pub use error::OutputError;
pub use files::write_all;
pub(crate) use files::{beside_of, followed, replace_keeping};
pub(crate) use python_json::python_json;
pub use python_json::python_json_text;
pub(crate) use temporary::{folder_of, sweep, temporary};
pub(crate) use text::in_file_name;
pub use text::{counted, digits, grouped, is_deceptive, sha256, timestamp, visible};
