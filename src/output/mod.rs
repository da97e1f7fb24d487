//! Writes files atomically, JSON as Python does, and names and numbers for people to read.

mod error;
mod files;
pub(crate) mod json;
mod places;
mod python_json;
mod temporary;
mod text;

pub use error::OutputError;
pub(crate) use files::followed;
pub use files::{replace_keeping, write_all};
pub use python_json::{python_json, python_json_text};
pub use temporary::sweep;
pub(crate) use temporary::{folder_of, temporary};
pub use text::{counted, digits, in_file_name, is_deceptive, sha256, timestamp, visible};
