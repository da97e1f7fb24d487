//! A scan -> a page for people, a table for other programs, and what to be careful about; two scans -> what moved between them.

mod cautions;
mod csv;
mod diff;
mod page;

pub use cautions::{Caution, cautions};
pub use csv::csv;
pub use diff::{Diff, Move, TypeDiff, diff};
pub use page::{Against, Page, is_page, page};
