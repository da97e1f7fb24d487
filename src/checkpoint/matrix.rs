//! A matrix as plain data, either as stored or decoded.

use std::borrow::Cow;

use safetensors::Dtype;

use super::quantization::{Coded, numbers};
use super::selection::{Axis, Band};
use crate::source::Bytes;

#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    /// The numbers of rows and columns.
    pub shape: [usize; 2],
    /// In row-major order.
    pub elements: Elements<'a>,
}

#[derive(Clone, Debug)]
pub enum Elements<'a> {
    /// Little-endian numbers of this type as they are stored.
    Stored(Dtype, Bytes<'a>),
    /// Codes of a quantised matrix of this shape.
    Coded(Box<Coded<'a>>),
    Decoded(Vec<f64>),
}

impl Matrix<'_> {
    /// All elements in float64, row after row; `None` if they are of a type that has no numbers by itself.
    pub(crate) fn numbers(self) -> Option<Vec<f64>> {
        match self.elements {
            Elements::Stored(dtype, bytes) => numbers(dtype, &bytes),
            Elements::Coded(coded) => Some(coded.numbers()),
            Elements::Decoded(numbers) => Some(numbers),
        }
    }

    /// The elements of a row in float64; `None` as for [`Matrix::numbers`], or if the matrix is quantised: decode it before.
    pub(crate) fn row(&self, row: usize) -> Option<Cow<'_, [f64]>> {
        let columns = self.shape[1];
        match &self.elements {
            Elements::Stored(dtype, bytes) => {
                let length = columns * dtype.bitsize() / 8;
                numbers(*dtype, bytes.get(row * length..(row + 1) * length)?).map(Cow::Owned)
            }
            // Its rows are not by themselves in memory.
            Elements::Coded(_) => None,
            Elements::Decoded(numbers) => numbers.get(row * columns..(row + 1) * columns).map(Cow::Borrowed),
        }
    }

    /// Itself, in float64 if it is quantised.
    pub(crate) fn decoded(self) -> Self {
        let elements = match self.elements {
            Elements::Coded(coded) => Elements::Decoded(coded.numbers()),
            elements => elements,
        };
        Self { elements, ..self }
    }

    /// The rows or columns in `band`. Those after the last whole period are left out.
    pub(super) fn narrow(self, band: &Band) -> Self {
        let [rows, columns] = self.shape;
        let line = match band.axis {
            Axis::Rows => columns,
            Axis::Columns => 1,
        };
        let elements = match self.elements {
            Elements::Stored(dtype, bytes) => {
                Elements::Stored(dtype, pick(&bytes, band, line * dtype.bitsize() / 8).into())
            }
            Elements::Coded(coded) => Elements::Decoded(pick(&coded.numbers(), band, line)),
            Elements::Decoded(numbers) => Elements::Decoded(pick(&numbers, band, line)),
        };
        let lines = band.repeats * band.range.len();
        let shape = match band.axis {
            Axis::Rows => [lines, columns],
            Axis::Columns => [rows, lines],
        };
        Self { shape, elements }
    }
}

/// The lines in `band`, where each line has `line` of the `items`.
fn pick<T: Copy>(items: &[T], band: &Band, line: usize) -> Vec<T> {
    let mut picked = Vec::with_capacity(items.len() / band.period.max(1) * band.range.len());
    for period in items.chunks_exact((band.period * line).max(1)) {
        picked.extend_from_slice(&period[band.range.start * line..band.range.end * line]);
    }
    picked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_band_has_the_lines_whose_number_modulo_its_period_lies_in_its_range(
            axis in prop::sample::select(vec![Axis::Rows, Axis::Columns]),
            (period, start, length) in (1usize..7).prop_flat_map(|period| (Just(period), 0..period, 1..=period)),
            repeats in 1usize..4,
            across in 1usize..6,
        ) {
            let range = start..(start + length).min(period);
            let extent = period * repeats;
            let shape = if axis == Axis::Rows { [extent, across] } else { [across, extent] };
            let is_picked = |at: &usize| {
                let line = if axis == Axis::Rows { at / shape[1] } else { at % shape[1] };
                range.contains(&(line % period))
            };
            let expected: Vec<usize> = (0..shape[0] * shape[1]).filter(is_picked).collect();
            let band = Band { axis, period, range: range.clone(), repeats };
            let bytes: Vec<u8> = (0..shape[0] * shape[1]).flat_map(|at| (at as f32).to_le_bytes()).collect();
            let stored = Matrix { shape, elements: Elements::Stored(Dtype::F32, bytes.as_slice().into()) }.narrow(&band);
            let numbers = (0..shape[0] * shape[1]).map(|at| at as f64).collect();
            let decoded = Matrix { shape, elements: Elements::Decoded(numbers) }.narrow(&band);
            prop_assert_eq!(stored.shape, decoded.shape);
            prop_assert_eq!(stored.shape[0] * stored.shape[1], expected.len());
            let Elements::Stored(Dtype::F32, bytes) = stored.elements else { panic!("another type") };
            let expected_bytes: Vec<u8> = expected.iter().flat_map(|at| (*at as f32).to_le_bytes()).collect();
            prop_assert_eq!(&bytes[..], &expected_bytes[..]);
            let Elements::Decoded(numbers) = decoded.elements else { panic!("another kind") };
            prop_assert_eq!(numbers, expected.iter().map(|at| *at as f64).collect::<Vec<_>>());
        }
    }
}
