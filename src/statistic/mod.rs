//! From singular values to the laser-QLoRA statistic. Pure arithmetic on `f64`.
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

/// The largest relative error of [`Statistic::snr`] that [`vouch`] accepts.
pub const TOLERANCE: f64 = 1e-9;

/// Standard deviations of a normal distribution between its first and third quartile.
const NORMAL_IQR: f64 = 1.349;

/// What the formula yields for one weight matrix. Every field but the counts has the unit of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// The largest singular value, S\[0\].
    pub sigma_max: f64,
    /// The noise level estimated from the inter-quartile range.
    pub sigma: f64,
    /// The Marchenko–Pastur edge: singular values above it are signal.
    pub threshold: f64,
    /// The sum of the singular values above the threshold.
    pub signal: f64,
    /// The sum of the singular values at or below the threshold.
    pub noise: f64,
    /// How many singular values are above the threshold.
    pub signal_count: usize,
    /// How many singular values are at or below the threshold.
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

    /// The signal-to-noise ratio over the largest singular value; infinite where the noise is zero.
    pub fn snr(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { self.signal / self.noise / self.sigma_max }
    }
}

/// Why the singular values, known only to within their error bounds, do not determine the statistic.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// Every singular value may be zero, so that there is nothing to divide by.
    #[error("every weight is zero")]
    Zero,
    /// A singular value's error bound meets the threshold's: it may be signal or noise.
    #[error("singular value {} of {count} cannot be told from the threshold in double precision", .index + 1)]
    AtThreshold {
        /// Its place, counted from zero, in descending order.
        index: usize,
        /// How many singular values there are.
        count: usize,
    },
    /// The error bounds add up to more than [`TOLERANCE`].
    #[error("rounding errors may add up to {relative:.0e} of it, more than {TOLERANCE:.0e}")]
    Imprecise {
        /// How far off the ratio may be, relatively; infinite where all noise may be zero.
        relative: f64,
    },
}

/// Checks that `statistic` is within [`TOLERANCE`] of the one that exact arithmetic would give.
///
/// `lower[i]` and `upper[i]` enclose the exact i-th singular value; both are sorted, largest first. Interval arithmetic
/// carries them through the formula in O(n): the quartiles are monotone in the values, and so are the sums once every
/// value is known to be on one side of the threshold.
///
/// # Errors
///
/// A [`Doubt`] says what the enclosure leaves open.
pub fn vouch(statistic: &Statistic, lower: &[f64], upper: &[f64], shape: [usize; 2]) -> Result<(), Doubt> {
    if lower[0] <= 0.0 {
        return Err(Doubt::Zero);
    }
    let factor = edge_factor(shape) / NORMAL_IQR;
    let threshold_low = (quantile(lower, 0.75) - quantile(upper, 0.25)).max(0.0) * factor;
    let threshold_high = (quantile(upper, 0.75) - quantile(lower, 0.25)) * factor;
    let split = statistic.signal_count;
    let count = lower.len();
    if let Some(index) = (0..split).find(|&i| lower[i] <= threshold_high) {
        return Err(Doubt::AtThreshold { index, count });
    }
    if let Some(index) = (split..count).find(|&i| upper[i] > threshold_low) {
        return Err(Doubt::AtThreshold { index, count });
    }
    if split == 0 || upper[split..].iter().all(|value| *value == 0.0) {
        // No signal, a ratio of zero; or no noise, an infinite one.
        return Ok(());
    }
    let ratio =
        |signal: &[f64], noise: &[f64], largest: f64| signal.iter().sum::<f64>() / noise.iter().sum::<f64>() / largest;
    let low = ratio(&lower[..split], &upper[split..], upper[0]);
    let high = ratio(&upper[..split], &lower[split..], lower[0]);
    let snr = statistic.snr();
    let relative = if high.is_finite() { (high - snr).max(snr - low) / snr } else { f64::INFINITY };
    if relative <= TOLERANCE { Ok(()) } else { Err(Doubt::Imprecise { relative }) }
}

/// The sum of `values`; that of none is zero, not the negative zero of [`Iterator::sum`].
fn sum(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value)
}

/// sqrt((1 + sqrt(beta))^2), evaluated as the formula is written.
fn edge_factor([rows, cols]: [usize; 2]) -> f64 {
    let beta = rows.min(cols) as f64 / rows.max(cols) as f64;
    (1.0 + beta.sqrt()).powi(2).sqrt()
}

/// The quantile `q` of `descending`, interpolated linearly between neighbours as `torch.quantile` does.
fn quantile(descending: &[f64], q: f64) -> f64 {
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

    #[test]
    fn the_bound_refuses_what_it_cannot_vouch_for() {
        let values = [10.0, 3.0, 1.0, 0.5, 0.25];
        let shape = [5, 9];
        let statistic = Statistic::new(&values, shape);
        let within = |radius: f64| {
            let lower: Vec<f64> = values.iter().map(|v| (v - radius).max(0.0)).collect();
            let upper: Vec<f64> = values.iter().map(|v| v + radius).collect();
            vouch(&statistic, &lower, &upper, shape)
        };
        assert_eq!(within(1e-12), Ok(()));
        assert!(matches!(within(1e-8), Err(Doubt::Imprecise { .. })));
        assert!(matches!(within(0.4), Err(Doubt::AtThreshold { .. })));
        assert_eq!(within(20.0), Err(Doubt::Zero));
    }

    #[test]
    fn noise_that_may_be_zero_is_not_vouched_for() {
        // Rank 3 of 4: the fourth value is zero to within rounding, and it is all the noise there is.
        let values = [9.0, 5.0, 4.9, 1e-16];
        let shape = [4, 1000];
        let statistic = Statistic::new(&values, shape);
        assert_eq!(statistic.noise_count, 1);
        let lower = [9.0, 5.0, 4.9, 0.0];
        let upper = [9.0, 5.0, 4.9, 1e-15];
        let doubt = Doubt::Imprecise { relative: f64::INFINITY };
        assert_eq!(vouch(&statistic, &lower, &upper, shape), Err(doubt));
        // Where it is known to be zero, the ratio is infinite.
        let exact = [9.0, 5.0, 4.9, 0.0];
        let statistic = Statistic::new(&exact, shape);
        assert_eq!((statistic.noise_count, statistic.snr()), (1, f64::INFINITY));
        assert_eq!(vouch(&statistic, &exact, &exact, shape), Ok(()));
    }
}
