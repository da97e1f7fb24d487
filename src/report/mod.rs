//! A scan -> a page for people, a table for other programs, and what to be careful about; two scans -> what moved between them.

mod cautions;
mod csv;
mod diff;
mod html;
mod page;

pub use cautions::{Caution, cautions};
pub use csv::csv;
pub use diff::{Diff, Move, TypeDiff, diff};
pub use html::is_page;
pub use page::page;
