//! Selects the part of a weight that is measured, such as one expert of a stack, or the query rows of a fused projection.

use std::ops::Range;

/// Selects a matrix of a weight. A weight with more than two dimensions, such as a convolution, is flattened to the matrix
/// `[first, product of the others]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The index of the matrix along the first dimension of a stack.
    pub index: Option<usize>,
    /// Selects some of the matrix's rows or columns.
    pub band: Option<Band>,
}

/// Selects the rows or columns whose index modulo `period` is in `range`.
///
/// If the period is the whole extent, this is one block; shorter periods select lines that are interleaved head by head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    pub axis: Axis,
    /// The pattern repeats after so many lines. It divides the extent.
    pub period: usize,
    pub range: Range<usize>,
    pub repeats: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Rows,
    Columns,
}

impl Band {
    /// Whether the band is one block of rows, which is contiguous in memory.
    pub fn is_block_of_rows(&self) -> bool {
        self.axis == Axis::Rows && self.repeats == 1
    }

    fn len(&self) -> usize {
        self.range.len() * self.repeats
    }
}

impl Selection {
    pub fn at(index: usize) -> Self {
        Self { index: Some(index), band: None }
    }

    /// Selects the whole matrix that contains the band.
    pub fn without_band(&self) -> Self {
        Self { index: self.index, band: None }
    }

    /// The numbers of selected rows and columns of a weight of this shape.
    pub fn shape(&self, weight: &[usize]) -> [usize; 2] {
        let matrix = if self.index.is_some() { &weight[1..] } else { weight };
        let (first, rest) = matrix.split_first().map_or((1, &[][..]), |(first, rest)| (*first, rest));
        let mut shape = [first, rest.iter().product()];
        if let Some(band) = &self.band {
            shape[usize::from(band.axis == Axis::Columns)] = band.len();
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_a_shape() {
        assert_eq!(Selection::default().shape(&[8, 3, 2, 2]), [8, 12]);
        assert_eq!(Selection::at(3).shape(&[4, 8, 6]), [8, 6]);
        let band = |axis, period, range, repeats| Some(Band { axis, period, range, repeats });
        let queries = Selection { index: None, band: band(Axis::Rows, 6, 0..2, 4) };
        assert_eq!(queries.shape(&[24, 10]), [8, 10]);
        let columns = Selection { index: Some(0), band: band(Axis::Columns, 10, 5..10, 1) };
        assert_eq!(columns.shape(&[4, 24, 10]), [24, 5]);
    }
}
