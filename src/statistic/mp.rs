//! Signal over noise at the edge of Marchenko and Pastur, with the noise level from the median.
//!
//! ```text
//! sigma     = median(S) / sqrt(q mu(beta))                 the standard deviation of an entry of the noise
//! threshold = median(S) (1 + sqrt(beta)) / sqrt(mu(beta))  = sigma sqrt(q) (1 + sqrt(beta))
//! signal    = sum of S where S > threshold
//! noise     = sum of S where S <= threshold
//! ratio     = signal / noise                               not divided by S[0]: rescaled weights have the same ratio
//! ```
//!
//! q is the long side, and mu the median of the law of Marchenko and Pastur (Gavish and Donoho, IEEE Transactions on Information
//! Theory 60, 2014). The threshold is above the median, so that at least half of the singular values are noise, and the ratio is
//! finite unless half of them are zero.

use serde::Serialize;

use super::Undefined;
use super::bounds::{Bounds, ratio_of_sums};
use super::laser::{quantile, sum};
use super::law::MarchenkoPastur;
use crate::spectrum::Spectrum;

/// What the formula yields for one weight matrix. `value` and `share` have no unit, the others but the counts that of the weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MpEdge {
    /// Signal over noise.
    pub value: f64,
    /// The standard deviation of an entry of the noise.
    pub sigma: f64,
    /// The edge. Singular values above it are signal.
    pub threshold: f64,
    pub signal: f64,
    pub noise: f64,
    pub signal_count: usize,
    pub noise_count: usize,
    /// The share of the signal in the sum of all squares.
    pub share: f64,
}

impl MpEdge {
    /// The statistic of a weight with this `spectrum`, whose exact singular values are within `bounds`.
    pub(super) fn of(spectrum: &Spectrum, bounds: Bounds<'_>) -> Result<Self, Undefined> {
        let (values, shape) = (&spectrum.values, spectrum.shape);
        let factor = edge_over_median(shape);
        let median = quantile(values, 0.5);
        if median == 0.0 {
            return Err(Undefined::HalfZero);
        }
        let threshold = median * factor;
        let split = values.partition_point(|value| *value > threshold);
        let (signal, noise) = (sum(&values[..split]), sum(&values[split..]));
        if noise == 0.0 {
            return Err(Undefined::HalfZero);
        }
        let limits = [bounds.lower, bounds.upper].map(|bound| quantile(bound, 0.5) * factor);
        bounds.tell_apart(split, limits)?;
        let value = signal / noise;
        ratio_of_sums(bounds, split).vouch(value)?;
        // Squares are taken relative to the largest value, so that none leaves the range of float64.
        let squares = |some: &[f64]| some.iter().map(|value| (value / values[0]).powi(2)).sum::<f64>();
        Ok(Self {
            value,
            sigma: threshold / ((shape[0].max(shape[1]) as f64).sqrt() * MarchenkoPastur::of(shape).upper_edge()),
            threshold,
            signal,
            noise,
            signal_count: split,
            noise_count: values.len() - split,
            share: squares(&values[..split]) / squares(values),
        })
    }
}

/// The edge of noise over its median.
fn edge_over_median(shape: [usize; 2]) -> f64 {
    let law = MarchenkoPastur::of(shape);
    law.upper_edge() / law.median()
}
