//! A scan -> a page for people; two scans -> what moved between them.

mod diff;
mod html;
mod json;
mod manifest;

pub use diff::{Diff, Move, TypeDiff, diff};
pub use html::{Cell, Page, TypeRow, html, is_page};
pub use json::{dry_run, full, top};
pub use manifest::{Failure, Manifest, ManifestFile, ManifestOutputs, Methods, Options, Processors, Seconds};
