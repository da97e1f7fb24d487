//! Which matrix of a weight is measured: one expert of a stack, or the rows of a fused projection that make its queries.

use std::ops::Range;

/// Which matrix of a weight is meant. Of a weight with more than two dimensions the whole is the matrix
/// `[first, product of the others]`, as a convolution is flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of a stack, the matrix at this place of the first dimension.
    pub index: Option<usize>,
    /// Some of its rows or columns only.
    pub band: Option<Band>,
}

/// Some rows, or some columns, of a matrix: those whose number modulo `period` lies in `range`.
///
/// With the period of the whole extent that is one block; with a shorter one, what is interleaved head by head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Whether rows or columns are picked.
    pub axis: Axis,
    /// After how many lines the pattern repeats; it divides the extent.
    pub period: usize,
    /// The lines of each period that are meant.
    pub range: Range<usize>,
    /// How many periods there are.
    pub repeats: usize,
}

/// A direction in a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// From row to row.
    Rows,
    /// From column to column.
    Columns,
}

impl Band {
    /// Whether the band is one block of whole rows, which lies in one piece in memory.
    pub fn is_block_of_rows(&self) -> bool {
        self.axis == Axis::Rows && self.repeats == 1
    }

    /// How many lines it has.
    fn len(&self) -> usize {
        self.range.len() * self.repeats
    }
}

impl Selection {
    /// The matrix at `index` of a stack.
    pub fn at(index: usize) -> Self {
        Self { index: Some(index), band: None }
    }

    /// The whole matrix of which the band is a part.
    pub fn without_band(&self) -> Self {
        Self { index: self.index, band: None }
    }

    /// Rows and columns of the matrix that is meant, of a weight of this shape.
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
