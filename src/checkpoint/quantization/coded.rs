//! A quantised matrix as it is stored, with what makes numbers of its codes.
//!
//! An element is `(value - zero) * scale`, or `value * scale + zero`, with the value of its code and the scale and zero point
//! of its group, in float64. A GPU does the same with the same operations (`kernels.cu`), so that the numbers are the same.

use super::codes::{self, Order};
use crate::checkpoint::selection::Axis;
use crate::source::Bytes;

#[derive(Clone, Debug)]
pub struct Coded<'a> {
    pub codes: Bytes<'a>,
    pub layout: Layout,
    /// What each code stands for; empty if codes are numbers themselves.
    pub values: Vec<f64>,
    /// The rows and columns as stored.
    pub stored: [usize; 2],
    /// Whether the matrix is the transpose of what is stored.
    pub transposed: bool,
    pub groups: Groups,
    /// The scale of each group.
    pub scales: Vec<f64>,
    /// The zero point of each group, if there are any.
    pub zeros: Option<Vec<f64>>,
    /// Whether zero points are added after the scale is applied.
    pub is_zero_added: bool,
}

/// Where the code of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A byte each.
    Bytes,
    /// Two to a byte along an axis, the first in the low half.
    Pairs(Axis),
    /// Two to a byte in row-major order, the first in the high half.
    HighFirst,
    /// Unsigned integers that share words along an axis.
    Packed { bits: u32, axis: Axis, order: Order },
}

/// The group of an element.
#[derive(Clone, Debug)]
pub enum Groups {
    /// The sum of a number for its row and one for its column.
    OfLines { rows: Vec<usize>, columns: Vec<usize> },
    /// So many elements in row-major order are a group.
    OfElements(usize),
}

impl Coded<'_> {
    /// The rows and columns of the matrix.
    pub fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.stored;
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Whether all codes, what they stand for and the numbers of all groups are there.
    pub fn is_whole(&self) -> bool {
        let [rows, columns] = self.stored;
        let bytes = match self.layout {
            Layout::Bytes => rows * columns,
            Layout::Pairs(Axis::Columns) => rows * (columns / 2),
            Layout::Pairs(Axis::Rows) => rows.div_ceil(2) * columns,
            Layout::HighFirst => (rows * columns).div_ceil(2),
            Layout::Packed { bits, axis: Axis::Columns, .. } => 4 * rows * codes::word_count(columns, bits),
            Layout::Packed { bits, axis: Axis::Rows, .. } => 4 * codes::word_count(rows, bits) * columns,
        };
        let groups = match &self.groups {
            Groups::OfLines { rows: of_rows, columns: of_columns } => {
                let largest = |groups: &[usize]| groups.iter().max().copied().unwrap_or(0);
                let is_each = of_rows.len() == rows && of_columns.len() == columns;
                if is_each { largest(of_rows) + largest(of_columns) + 1 } else { usize::MAX }
            }
            Groups::OfElements(size) => (rows * columns).div_ceil(*size),
        };
        let values = match self.layout {
            Layout::Bytes => 256,
            Layout::Pairs(_) | Layout::HighFirst => 16,
            Layout::Packed { .. } => 0,
        };
        let is_paired = !matches!(self.layout, Layout::Pairs(Axis::Columns)) || columns.is_multiple_of(2);
        let has = |numbers: &[f64]| numbers.len() >= groups;
        let has_codes = self.codes.len() >= bytes && self.values.len() >= values;
        is_paired && has_codes && has(&self.scales) && self.zeros.as_deref().is_none_or(has)
    }

    /// The elements in float64, row after row.
    pub fn numbers(&self) -> Vec<f64> {
        let [rows, columns] = self.stored;
        let mut matrix = vec![0.0; rows * columns];
        let mut line = vec![0.0; columns];
        let is_packed = matches!(self.layout, Layout::Packed { .. });
        let words = if is_packed { codes::words(&self.codes) } else { Vec::new() };
        for row in 0..rows {
            self.values_of_row(row, &words, &mut line);
            match &self.groups {
                Groups::OfLines { rows: of_rows, columns: of_columns } => {
                    for (value, of_column) in line.iter_mut().zip(of_columns) {
                        *value = self.scaled(*value, of_rows[row] + of_column);
                    }
                }
                Groups::OfElements(size) => {
                    for (column, value) in line.iter_mut().enumerate() {
                        *value = self.scaled(*value, (row * columns + column) / size);
                    }
                }
            }
            if self.transposed {
                for (column, value) in line.iter().enumerate() {
                    matrix[column * rows + row] = *value;
                }
            } else {
                matrix[row * columns..][..columns].copy_from_slice(&line);
            }
        }
        matrix
    }

    fn scaled(&self, value: f64, group: usize) -> f64 {
        let zero = self.zeros.as_ref().map_or(0.0, |zeros| zeros[group]);
        let scale = self.scales[group];
        if self.is_zero_added { value * scale + zero } else { (value - zero) * scale }
    }

    /// What the codes of a stored row stand for.
    fn values_of_row(&self, row: usize, words: &[u32], line: &mut [f64]) {
        let columns = line.len();
        let value = |code: u8| self.values[usize::from(code)];
        match self.layout {
            Layout::Bytes => {
                for (number, code) in line.iter_mut().zip(&self.codes[row * columns..]) {
                    *number = value(*code);
                }
            }
            Layout::Pairs(Axis::Columns) => {
                let bytes = &self.codes[row * columns / 2..][..columns / 2];
                for (pair, byte) in line.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                    *pair = [value(byte & 15), value(byte >> 4)];
                }
            }
            Layout::Pairs(Axis::Rows) => {
                for (number, byte) in line.iter_mut().zip(&self.codes[row / 2 * columns..]) {
                    *number = value(if row.is_multiple_of(2) { byte & 15 } else { byte >> 4 });
                }
            }
            Layout::HighFirst => {
                for (column, number) in line.iter_mut().enumerate() {
                    let at = row * columns + column;
                    let byte = self.codes[at / 2];
                    *number = value(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 });
                }
            }
            Layout::Packed { bits, axis, order } => {
                for (column, number) in line.iter_mut().enumerate() {
                    *number = codes::packed(words, columns, [row, column], bits, axis, order).into();
                }
            }
        }
    }
}
