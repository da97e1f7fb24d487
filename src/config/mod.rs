//! A configuration that a person wrote -> the same with the choice in it.
//!
//! `edit.rs` sets keys in its text (`layout.rs` and `replace.rs` are its parts); `file.rs` knows the file and what a trainer makes
//! of its other keys.

mod edit;
mod error;
mod file;
mod layout;
mod replace;

pub use edit::{Change, Edited, edit};
pub use error::{ConfigError, EditError};
pub use file::{Asked, Config};
