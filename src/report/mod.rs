//! A scan -> a page for people; two scans -> what moved between them.

mod diff;
mod html;
mod page;

pub use diff::{Diff, Move, TypeDiff, diff};
pub use html::is_page;
pub use page::page;
