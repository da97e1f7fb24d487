//! Singular values -> numbers that modules are ranked by. Pure arithmetic on `f64`.
//!
//! `laser.rs` has the statistic of laser-QLoRA, which is the default, and `vouch.rs` decides whether the error bounds of the
//! singular values leave it in doubt. The other statistics come from the same spectrum: `mp.rs` at the edge that the law of
//! Marchenko and Pastur (`law.rs`) gives, `entropy.rs` and `hill.rs` from the spectrum's shape. `bounds.rs` carries error
//! bounds through them, `others.rs` computes them all, `delta.rs` has the size of a change, and `ranking.rs` says by which of them modules are ranked.

mod bounds;
mod delta;
mod entropy;
mod hill;
mod laser;
mod law;
mod mp;
mod others;
mod ranking;
mod vouch;

pub use delta::Delta;
pub use laser::Statistic;
pub(crate) use laser::quantile;
pub use law::MarchenkoPastur;
pub use mp::MpEdge;
pub use others::{Statistics, Undefined};
pub use ranking::{Criterion, Ranking, Score, Ties};
pub use vouch::{Doubt, vouch};
