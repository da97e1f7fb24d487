//! Singular values -> numbers that modules are ranked by. Pure arithmetic on `f64`.
//!
//! `laser.rs` has the statistic of laser-QLoRA, and `vouch.rs` decides whether the error bounds of the singular values
//! leave it in doubt. Another statistic would be another file beside `laser.rs`.

mod laser;
mod vouch;

pub use laser::Statistic;
pub use vouch::{Doubt, vouch};
