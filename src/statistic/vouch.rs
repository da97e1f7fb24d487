//! Whether singular values are known well enough for their statistic.

use super::Statistic;
use super::bounds::{Bounds, TOLERANCE};
use super::laser::{NORMAL_IQR, edge_factor, quantile};
use crate::spectrum::Spectrum;

/// Why the singular values, known only to within their error bounds, do not determine the statistic.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Doubt {
    #[error("every weight is zero")]
    Zero,
    /// A singular value's interval meets the threshold's, so that it may be signal or noise. Singular values are
    /// counted from zero, largest first.
    #[error("singular value {} of {count} cannot be told from the threshold in double precision", .index + 1)]
    AtThreshold { index: usize, count: usize },
    /// The relative error of the statistic may be more than `TOLERANCE`; it is infinite if all noise may be zero.
    #[error("rounding errors may add up to {relative:.0e} of it, more than {TOLERANCE:.0e}")]
    Imprecise { relative: f64 },
}

impl Statistic {
    /// The statistic of the weight that has this spectrum.
    ///
    /// # Errors
    ///
    /// Fails if the spectrum's error bounds leave it in doubt, as [`vouch`] finds.
    pub fn of(spectrum: &Spectrum) -> Result<Self, Doubt> {
        let statistic = Self::new(&spectrum.values, spectrum.shape);
        let (lower, upper) = spectrum.enclosure();
        vouch(&statistic, &lower, &upper, spectrum.shape).map(|()| statistic)
    }
}

/// Checks that `statistic` is within `TOLERANCE` of the one that exact arithmetic would give.
///
/// `lower[i]` and `upper[i]` enclose the exact i-th singular value; both are sorted, largest first. Interval arithmetic
/// carries them through the formula in O(n): the quartiles are monotone in the values, and so are the sums once every
/// value is known to be on one side of the threshold.
///
/// # Errors
///
/// Fails with a [`Doubt`] that says what the intervals leave open.
pub fn vouch(statistic: &Statistic, lower: &[f64], upper: &[f64], shape: [usize; 2]) -> Result<(), Doubt> {
    if lower[0] <= 0.0 {
        return Err(Doubt::Zero);
    }
    let factor = edge_factor(shape) / NORMAL_IQR;
    let threshold_low = (quantile(lower, 0.75) - quantile(upper, 0.25)).max(0.0) * factor;
    let threshold_high = (quantile(upper, 0.75) - quantile(lower, 0.25)) * factor;
    let split = statistic.signal_count;
    Bounds { lower, upper }.tell_apart(split, [threshold_low, threshold_high])?;
    if split == 0 || upper[split..].iter().all(|value| *value == 0.0) {
        // Without signal the ratio is exactly zero, and without noise it is infinite.
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

#[cfg(test)]
mod tests {
    use super::*;

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
