//! The laser-QLoRA statistic.
//!
//! For a weight matrix of shape n x m with singular values S, largest first:
//!
//! ```text
//! sigma     = (quantile(S, 0.75) - quantile(S, 0.25)) / 1.349
//! beta      = min(n, m) / max(n, m)
//! threshold = sigma * sqrt((1 + sqrt(beta))^2)
//! signal    = sum of S where S > threshold
//! noise     = sum of S where S <= threshold
//! snr       = (signal / noise) / S[0]         infinite where noise is 0
//! ```
//!
//! The inter-quartile range of a normal distribution is 1.349 standard deviations, which makes `sigma` a
//! robust estimate of the noise level; the threshold is the upper edge that Marchenko and Pastur (1967) give for
//! the spectrum of noise of that level. The formula is that of the laser-QLoRA notebook (Fernandes Neto,
//! Golchinfar, Hartford, 2024), reproduced as it stands there: rankings made with it stay comparable.

use serde::{Deserialize, Serialize};

/// The inter-quartile range of a normal distribution, in standard deviations.
pub(super) const NORMAL_IQR: f64 = 1.349;

/// What the formula yields for one weight matrix. Every field but the counts has the unit of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// The largest singular value, S\[0\].
    pub sigma_max: f64,
    /// The noise level estimated from the inter-quartile range.
    pub sigma: f64,
    /// The Marchenko–Pastur edge. Singular values above it are signal.
    pub threshold: f64,
    pub signal: f64,
    pub noise: f64,
    /// How many singular values are above the threshold; [`Self::signal`] is their sum.
    pub signal_count: usize,
    /// How many singular values are at or below the threshold; [`Self::noise`] is their sum.
    pub noise_count: usize,
}

impl Statistic {
    /// The statistic of a matrix of `shape` whose singular values, largest first, are `values`.
    ///
    /// # Panics
    ///
    /// Panics if `values` is empty: a matrix without elements has no statistic.
    pub fn new(values: &[f64], shape: [usize; 2]) -> Self {
        let sigma = (quantile(values, 0.75) - quantile(values, 0.25)) / NORMAL_IQR;
        let threshold = sigma * edge_factor(shape);
        let (signal, noise): (Vec<f64>, Vec<f64>) = values.iter().partition(|value| **value > threshold);
        Self {
            sigma_max: values[0],
            sigma,
            threshold,
            signal: sum(&signal),
            noise: sum(&noise),
            signal_count: signal.len(),
            noise_count: noise.len(),
        }
    }

    /// The signal-to-noise ratio over the largest singular value; infinite where the noise is zero, and 0 for a matrix of zeros, which
    /// has no signal. Only a change can be one that is measured.
    pub fn snr(&self) -> f64 {
        match (self.noise, self.sigma_max) {
            (_, 0.0) => 0.0,
            (0.0, _) => f64::INFINITY,
            (noise, largest) => self.signal / noise / largest,
        }
    }
}

/// The sum of `values`. Without values it is zero, not the negative zero of [`Iterator::sum`].
pub(super) fn sum(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value)
}

/// sqrt((1 + sqrt(beta))^2), evaluated as the formula is written.
pub(super) fn edge_factor([rows, cols]: [usize; 2]) -> f64 {
    let beta = rows.min(cols) as f64 / rows.max(cols) as f64;
    (1.0 + beta.sqrt()).powi(2).sqrt()
}

/// The quantile `q` of `descending`, interpolated linearly between neighbours as `torch.quantile` does.
pub fn quantile(descending: &[f64], q: f64) -> f64 {
    let last = descending.len() - 1;
    let rank = q * last as f64;
    let below = rank.floor() as usize;
    let weight = rank - below as f64;
    let ascending = |i: usize| descending[last - i.min(last)];
    let (low, high) = (ascending(below), ascending(below + 1));
    // torch.lerp: anchored at the nearer end.
    if weight < 0.5 { low + weight * (high - low) } else { high - (high - low) * (1.0 - weight) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistic::vouch;

    #[test]
    fn quantiles_interpolate_as_torch_does() {
        // torch.quantile(torch.tensor([1., 2., 4., 8.], dtype=torch.float64), …)
        let values = [8.0, 4.0, 2.0, 1.0];
        assert_eq!(quantile(&values, 0.25), 1.75);
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert_eq!(quantile(&values, 0.75), 5.0);
        assert_eq!(quantile(&[3.0], 0.75), 3.0);
    }

    #[test]
    fn a_value_on_the_threshold_is_noise() {
        // Quartiles 0 and 0.6745 make sigma 0.5, and beta = 1/4 makes the factor 1.5.
        let values = [9.0, 0.75, 0.6745, 0.5, 0.25, 0.125, 0.0, 0.0, 0.0];
        let statistic = Statistic::new(&values, [36, 9]);
        assert_eq!(statistic.threshold, 0.75);
        assert_eq!((statistic.signal_count, statistic.noise_count), (1, 8));
        assert_eq!(statistic.signal, 9.0);
    }

    #[test]
    fn all_noise_is_a_ratio_of_zero() {
        let values = [5.0, 5.0, 4.0, 1.0, 1.0];
        let statistic = Statistic::new(&values, [5, 5]);
        assert_eq!((statistic.signal_count, statistic.snr().to_bits()), (0, 0));
        assert_eq!(vouch(&statistic, &values, &values, [5, 5]), Ok(()));
    }

    #[test]
    fn nothing_below_the_threshold_is_infinite() {
        let statistic = Statistic::new(&[1.0; 8], [8, 8]);
        assert_eq!(statistic.threshold, 0.0);
        assert_eq!((statistic.signal_count, statistic.noise_count), (8, 0));
        assert_eq!(statistic.snr(), f64::INFINITY);
        let (lower, upper) = (vec![1.0 - 1e-12; 8], vec![1.0 + 1e-12; 8]);
        assert_eq!(vouch(&statistic, &lower, &upper, [8, 8]), Ok(()));
    }
}
