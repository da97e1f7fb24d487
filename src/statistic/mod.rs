//! Singular values -> numbers that modules are ranked by. Pure arithmetic on `f64`.
//!
//! `laser.rs` holds the seed's statistic, and `vouch.rs` decides whether the error bounds of the singular values leave it in
//! doubt. Another statistic is another file beside `laser.rs`.

mod laser;
mod vouch;

pub use laser::Statistic;
pub use vouch::{Doubt, TOLERANCE, vouch};
