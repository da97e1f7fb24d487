//! The effective rank of Roy and Vetterli (2007): how many singular values a spectrum spreads over.
//!
//! ```text
//! s = S / sum of S
//! effective rank = exp(-sum of s ln s) / p
//! ```
//!
//! Divided by the number p of singular values it is 1 where all are equal, and 1/p where all but one are zero. It is the same
//! for rescaled weights.

use super::Doubt;
use super::bounds::{Bounds, Interval};

/// The effective rank, as a share, of a weight with these singular values.
pub fn effective_rank(values: &[f64], bounds: Bounds<'_>) -> Result<f64, Doubt> {
    let entropy = entropy(sum_of(values, values[0]), weighted(values, values[0]));
    let count = values.len() as f64;
    let rank = entropy.exp() / count;
    let bounds = entropy_bounds(bounds, values[0]);
    Interval { low: bounds.low.exp() / count, high: bounds.high.exp() / count }.vouch(rank)?;
    Ok(rank)
}

/// -sum of s ln s, from the sums of x and of x ln x over x = S / S\[0\].
fn entropy(sum: f64, weighted: f64) -> f64 {
    sum.ln() - weighted / sum
}

/// Bounds of the entropy. Each of its terms is monotone in x on either side of 1/e, where x ln x is least.
fn entropy_bounds(bounds: Bounds<'_>, largest: f64) -> Interval {
    let least = (-1.0f64).exp();
    let pairs = || bounds.lower.iter().zip(bounds.upper).map(|(low, high)| (low / largest, high / largest));
    let (mut low, mut high) = (0.0, 0.0);
    for (below, above) in pairs() {
        let (one, other) = (term(below), term(above));
        low += if below < least && above > least { -least } else { one.min(other) };
        high += one.max(other);
    }
    let sums = [sum_of(bounds.lower, largest), sum_of(bounds.upper, largest)];
    // x ln x is negative but for the largest values, so that the sum of all may have either sign.
    let of = |sum: f64, weighted: f64| entropy(sum, weighted);
    let corners = [of(sums[0], low), of(sums[0], high), of(sums[1], low), of(sums[1], high)];
    Interval {
        low: corners.iter().copied().fold(f64::INFINITY, f64::min),
        high: corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

fn sum_of(values: &[f64], largest: f64) -> f64 {
    values.iter().map(|value| value / largest).sum()
}

fn weighted(values: &[f64], largest: f64) -> f64 {
    values.iter().map(|value| term(value / largest)).sum()
}

/// x ln x, which is 0 at 0.
fn term(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}
