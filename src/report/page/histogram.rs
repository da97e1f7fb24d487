//! A spectrum -> a small histogram over the logarithm of the singular values.

use std::f64::consts::PI;

use serde_json::{Value, json};

use super::number::rounded;
use crate::statistic::{MarchenkoPastur, quantile};

/// The number of bars.
pub const BINS: usize = 48;

/// The digits of the heights, from none to the highest bar.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// The axis begins below all but this part of the singular values. The others are in the first bar.
const LEFT_OUT: f64 = 0.02;

/// The axis spans no more than this factor.
const LONGEST: f64 = 1e9;

/// The number of points of a curve of noise.
const POINTS: usize = 40;

/// The bars of a spectrum.
#[derive(Debug, PartialEq)]
pub struct Histogram {
    /// Where the axis begins and where it ends.
    pub low: f64,
    pub high: f64,
    /// How many singular values are in the highest bar.
    pub peak: usize,
    /// One digit a bar: its height in 63rds of the highest, rounded up so that no singular value disappears.
    pub bars: String,
}

impl Histogram {
    /// The histogram of these singular values, largest first, on an axis that `shown` is on, too. `None` if there are none
    /// but zeros.
    pub fn new(values: &[f64], shown: &[f64]) -> Option<Self> {
        let largest = values.first().copied().filter(|largest| *largest > 0.0)?;
        let marks = || shown.iter().copied().filter(|mark| *mark > 0.0);
        let high = marks().fold(largest, f64::max);
        let least = quantile(values, LEFT_OUT).max(largest / LONGEST);
        // A margin, so that nothing stands on the axis's ends.
        let low = (marks().fold(least, f64::min) / 1.08).max(high / LONGEST);
        let high = high * 1.04;
        let width = (high / low).ln() / BINS as f64;
        let mut counts = [0usize; BINS];
        for value in values {
            let bin = if *value > low { ((value / low).ln() / width) as usize } else { 0 };
            counts[bin.min(BINS - 1)] += 1;
        }
        let peak = counts.iter().copied().max().unwrap_or(1);
        let digit = |count: &usize| char::from(DIGITS[(count * (DIGITS.len() - 1)).div_ceil(peak)]);
        Some(Self { low, high, peak, bars: counts.iter().map(digit).collect() })
    }
}

/// How noise of a `shape` is distributed: points of the law of Marchenko and Pastur, each singular value over sigma and the square
/// root of the long side, and its density over the logarithm.
pub fn curve(shape: [usize; 2]) -> Value {
    let law = MarchenkoPastur::of(shape);
    let high = law.upper_edge();
    // The lower edge is 0 for a square matrix, where the density over the logarithm vanishes as well.
    let low = (2.0 - high).max(high / 100.0);
    // The points are close to each other near the edges, where the curve is steep.
    let part = |point: usize| (1.0 - (PI * point as f64 / POINTS as f64).cos()) / 2.0;
    let points = (0..=POINTS).map(|point| low + (high - low) * part(point));
    let points = points.map(|value| json!([rounded(value, 4), rounded(value * law.density(value), 4)]));
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_singular_value_is_in_a_bar() {
        let values: Vec<f64> = (0..1000).map(|place| 0.99f64.powi(place)).collect();
        let histogram = Histogram::new(&values, &[2.0, 0.0]).expect("bars");
        assert_eq!(histogram.bars.len(), BINS);
        assert!(histogram.high > 2.0 && histogram.low < quantile(&values, LEFT_OUT));
        assert!(histogram.bars.contains('_') && histogram.bars.ends_with('0'), "{histogram:?}");
    }

    #[test]
    fn odd_spectra_have_histograms() {
        for values in [&[1.0][..], &[3.0, 3.0, 3.0], &[1.0, 0.0, 0.0], &[1e200, 1e-200]] {
            let histogram = Histogram::new(values, &[]).expect("bars");
            assert!(
                histogram.low > 0.0 && histogram.low < histogram.high && histogram.high.is_finite(),
                "{histogram:?}"
            );
        }
        assert_eq!(Histogram::new(&[0.0], &[]), None);
        assert_eq!(Histogram::new(&[], &[]), None);
    }

    #[test]
    fn a_curve_of_noise_has_the_area_one() {
        for shape in [[64, 64], [64, 256]] {
            let curve = curve(shape);
            let points: Vec<[f64; 2]> = serde_json::from_value(curve).expect("points");
            let area = |pair: &[[f64; 2]]| (pair[1][0] / pair[0][0]).ln() * (pair[0][1] + pair[1][1]) / 2.0;
            let area: f64 = points.windows(2).map(area).sum();
            assert!((area - 1.0).abs() < 0.02, "{shape:?}: {area}");
        }
    }
}
