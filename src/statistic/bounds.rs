//! Error bounds of singular values, carried through formulas by interval arithmetic.

use super::Doubt;

/// The largest relative error of a statistic that is accepted.
pub const TOLERANCE: f64 = 1e-9;

/// Bounds of the exact singular values of a weight, each largest first.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    pub lower: &'a [f64],
    pub upper: &'a [f64],
}

/// Bounds of a statistic.
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Bounds<'_> {
    /// Fails unless the first `split` singular values are above a threshold between `low` and `high`, and the others are not.
    pub fn tell_apart(&self, split: usize, [low, high]: [f64; 2]) -> Result<(), Doubt> {
        let count = self.lower.len();
        let signal = (0..split).find(|at| self.lower[*at] <= high);
        let noise = || (split..count).find(|at| self.upper[*at] > low);
        match signal.or_else(noise) {
            Some(index) => Err(Doubt::AtThreshold { index, count }),
            None => Ok(()),
        }
    }
}

impl Interval {
    /// Fails unless every number in the interval is as good as `value` within the tolerance.
    pub fn vouch(&self, value: f64) -> Result<(), Doubt> {
        let error = (self.high - value).max(value - self.low);
        if error == 0.0 {
            return Ok(());
        }
        let relative = if self.high.is_finite() { error / value } else { f64::INFINITY };
        if relative <= TOLERANCE { Ok(()) } else { Err(Doubt::Imprecise { relative }) }
    }
}

/// Bounds of the sum of the first `split` singular values over the sum of the others.
pub fn ratio_of_sums(bounds: Bounds<'_>, split: usize) -> Interval {
    let ratio = |signal: &[f64], noise: &[f64]| signal.iter().sum::<f64>() / noise.iter().sum::<f64>();
    Interval {
        low: ratio(&bounds.lower[..split], &bounds.upper[split..]),
        high: ratio(&bounds.upper[..split], &bounds.lower[split..]),
    }
}
