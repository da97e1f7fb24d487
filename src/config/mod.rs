//! A configuration that a person wrote -> the same with the choice in it.
//!
//! `edit.rs` sets keys in its text, with `layout.rs` and `replace.rs`. `file.rs` reads and writes the file, and warns of other
//! keys that change what is trained.

mod edit;
mod error;
mod file;
mod layout;
mod replace;

pub use edit::{Change, Edited, edit};
pub use error::{ConfigError, EditError};
pub use file::{Config, Given};
