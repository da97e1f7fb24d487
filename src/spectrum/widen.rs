//! Weights in their stored precision, widened to float64 piece by piece.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// How many elements are widened at a time: a piece and its intermediate stay in the first-level cache.
const PIECE: usize = 1024;

/// An element type that float64 holds exactly.
pub trait Widen: Copy + Sync {
    /// Writes `source`, widened, to `target` of the same length.
    fn widen(source: &[Self], target: &mut [f64]);
}

impl Widen for f64 {
    fn widen(source: &[Self], target: &mut [f64]) {
        target.copy_from_slice(source);
    }
}

impl Widen for f32 {
    fn widen(source: &[Self], target: &mut [f64]) {
        for (wide, &narrow) in target.iter_mut().zip(source) {
            *wide = f64::from(narrow);
        }
    }
}

impl Widen for bf16 {
    fn widen(source: &[Self], target: &mut [f64]) {
        for (wide, &narrow) in target.iter_mut().zip(source) {
            // BF16 is the upper half of an F32.
            *wide = f64::from(f32::from_bits(u32::from(narrow.to_bits()) << 16));
        }
    }
}

impl Widen for f16 {
    fn widen(source: &[Self], target: &mut [f64]) {
        let mut single = [0f32; PIECE];
        for (narrow, wide) in source.chunks(PIECE).zip(target.chunks_mut(PIECE)) {
            let single = &mut single[..narrow.len()];
            narrow.convert_to_f32_slice(single);
            f32::widen(single, wide);
        }
    }
}

/// A matrix in row-major order, in its stored precision.
pub struct Weight<'a, T> {
    data: &'a [T],
    pub rows: usize,
    pub columns: usize,
}

/// What is found out about a weight before any arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Survey {
    /// The largest absolute value.
    pub largest: f64,
    /// An upper bound of the rank: the number of rows, or of columns if that is smaller, that are not all zero.
    pub rank: usize,
}

impl Survey {
    /// The survey of a matrix whose rows and columns have these largest absolute values; `None` if one is NaN or
    /// infinite.
    #[cfg(feature = "cuda")]
    pub fn of_maxima(rows: &[f64], columns: &[f64]) -> Option<Self> {
        let rank = |maxima: &[f64]| maxima.iter().filter(|largest| **largest > 0.0).count();
        let is_finite = rows.iter().all(|largest| largest.is_finite());
        let largest = rows.iter().copied().fold(0.0, f64::max);
        is_finite.then(|| Self { largest, rank: rank(rows).min(rank(columns)) })
    }
}

impl<'a, T: Widen> Weight<'a, T> {
    /// The matrix of shape `[rows, columns]` whose elements are `data`, row after row.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns);
        Self { data, rows, columns }
    }

    /// `None` if an element is NaN or infinite.
    pub fn survey(&self) -> Option<Survey> {
        let mut wide = [0.0; PIECE];
        let mut largest = 0f64;
        let mut finite = true;
        let mut rows = 0;
        let mut largest_in_column = vec![0f64; self.columns];
        for row in self.data.chunks(self.columns) {
            let mut largest_in_row = 0f64;
            for (piece, in_columns) in row.chunks(PIECE).zip(largest_in_column.chunks_mut(PIECE)) {
                let wide = &mut wide[..piece.len()];
                T::widen(piece, wide);
                for (value, in_column) in wide.iter().zip(in_columns) {
                    let magnitude = value.abs();
                    largest_in_row = if magnitude > largest_in_row { magnitude } else { largest_in_row };
                    *in_column = if magnitude > *in_column { magnitude } else { *in_column };
                    finite &= value.is_finite();
                }
            }
            rows += usize::from(largest_in_row > 0.0);
            largest = largest.max(largest_in_row);
        }
        let columns = largest_in_column.iter().filter(|largest| **largest > 0.0).count();
        finite.then_some(Survey { largest, rank: rows.min(columns) })
    }

    /// Writes elements `columns` of row `row`, divided by the power of two `scale`, to `target`.
    pub fn row(&self, row: usize, columns: std::ops::Range<usize>, scale: f64, target: &mut [f64]) {
        let start = row * self.columns;
        T::widen(&self.data[start + columns.start..start + columns.end], target);
        if scale != 1.0 {
            let factor = 1.0 / scale;
            for value in target {
                *value *= factor;
            }
        }
    }
}

/// The largest power of two that is at most `magnitude`, a positive number, limited so that its reciprocal is normal
/// too.
pub fn power_of_two_near(magnitude: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    f64::from_bits(magnitude.to_bits() & !MANTISSA).clamp(f64::MIN_POSITIVE, 1.0 / f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_widens_exactly() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let halves: Vec<f16> = all.iter().map(|&bits| f16::from_bits(bits)).collect();
        let brains: Vec<bf16> = all.iter().map(|&bits| bf16::from_bits(bits)).collect();
        let (mut from_half, mut from_brain) = (vec![0.0; all.len()], vec![0.0; all.len()]);
        f16::widen(&halves, &mut from_half);
        bf16::widen(&brains, &mut from_brain);
        for i in 0..all.len() {
            let same = |wide: f64, exact: f64| wide == exact || (wide.is_nan() && exact.is_nan());
            assert!(same(from_half[i], halves[i].to_f64()), "F16 {:#06x}", all[i]);
            assert!(same(from_brain[i], brains[i].to_f64()), "BF16 {:#06x}", all[i]);
        }
    }

    #[test]
    fn the_scale_is_a_power_of_two_with_a_normal_reciprocal() {
        assert_eq!(power_of_two_near(1.0), 1.0);
        assert_eq!(power_of_two_near(3.9), 2.0);
        assert_eq!(power_of_two_near(0.3), 0.25);
        for extreme in [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1)] {
            let scale = power_of_two_near(extreme);
            assert!(scale.is_normal() && (1.0 / scale).is_normal(), "{extreme:e}");
            assert_eq!(scale.to_bits() & ((1 << 52) - 1), 0);
        }
    }

    #[test]
    fn a_nan_or_an_infinity_anywhere_is_found() {
        let mut data = vec![0.5f32; 3000];
        data[7] = -2.0;
        assert_eq!(Weight::new(&data, 30, 100).survey(), Some(Survey { largest: 2.0, rank: 30 }));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            data[2999] = bad;
            assert_eq!(Weight::new(&data, 30, 100).survey(), None);
        }
    }

    #[test]
    fn rows_and_columns_of_zeros_bound_the_rank() {
        let data: Vec<f32> = (0..70 * 50).map(|at| if at / 50 < 40 && at % 50 > 20 { 1.0 } else { 0.0 }).collect();
        assert_eq!(Weight::new(&data, 70, 50).survey(), Some(Survey { largest: 1.0, rank: 29 }));
        assert_eq!(Weight::new(&data, 50, 70).survey().map(|survey| survey.rank <= 50), Some(true));
        assert_eq!(Weight::new(&[0f32; 6], 2, 3).survey(), Some(Survey { largest: 0.0, rank: 0 }));
    }
}
