//! Codes on a grid of scales: every format here but bitsandbytes' 4-bit one.
//!
//! An element is `(code - zero) * scale * factor`. Scale and zero point are those of the element's group: a block of rows
//! by a block of columns, or the group that a list gives.

use std::borrow::Cow;

use safetensors::Dtype;

use super::codes::{self, Order};
use super::{Read, Undecodable};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;

/// A quantised matrix, or a stack of such, with a scale for each group of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The codes.
    pub codes: Part,
    /// How the codes stand for numbers.
    pub code: Code,
    /// How many matrices there are, one after the other.
    pub count: usize,
    /// Rows and columns of one matrix, as stored.
    pub stored: [usize; 2],
    /// Whether the matrix is stored as `[in, out]`.
    pub transposed: bool,
    /// The scales, a matrix of one number a group; none if codes are the numbers themselves.
    pub scale: Option<Part>,
    /// Whether the scales, stored as bytes, are exponents of two.
    pub scale_is_exponent: bool,
    /// The zero points, one a group; none where they are zero.
    pub zero: Option<(Part, ZeroCode)>,
    /// How many groups there are along rows and along columns.
    pub groups: [usize; 2],
    /// Which group a row and a column belong to.
    pub grouping: [Grouping; 2],
    /// What the scales are multiplied with.
    pub factor: Factor,
    /// A tensor whose numbers must be these: a stored copy of the shape, or the number of a variant.
    pub check: Option<(Part, Vec<f64>)>,
}

/// How the codes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// One byte each, of this type.
    Byte(Dtype),
    /// 4-bit floats, two to a byte, the first in the low half.
    E2m1,
    /// Unsigned integers of so many bits, packed into words along an axis.
    Packed {
        /// The width of a code.
        bits: u32,
        /// The axis along which codes share a word.
        axis: Axis,
        /// Their order in it.
        order: Order,
    },
}

/// How zero points are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroCode {
    /// As numbers of the tensor's own type.
    Numbers,
    /// As unsigned integers, packed as codes are, each less by `offset` than it should be, modulo its range.
    Packed {
        /// The width of a zero point.
        bits: u32,
        /// The axis along which they share a word.
        axis: Axis,
        /// Their order in it.
        order: Order,
        /// What is to be added.
        offset: u32,
    },
}

/// Which group a line belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Grouping {
    /// So many lines after each other make a group.
    Every(usize),
    /// As a stored list says, line by line.
    Listed(Part),
}

/// What all scales are multiplied with, or divided by.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// Divided by a constant.
    Divisor(f64),
    /// Multiplied with a stored number.
    Times(Part),
    /// Divided by a stored number.
    Over(Part),
}

impl Grid {
    /// The stored tensors.
    pub fn parts(&self) -> Vec<&Part> {
        let mut parts = vec![&self.codes];
        parts.extend(&self.scale);
        parts.extend(self.zero.iter().map(|(part, _)| part));
        parts.extend(self.grouping.iter().filter_map(|grouping| match grouping {
            Grouping::Listed(part) => Some(part),
            Grouping::Every(_) => None,
        }));
        match &self.factor {
            Factor::Times(part) | Factor::Over(part) => parts.push(part),
            Factor::Divisor(_) => {}
        }
        parts.extend(self.check.iter().map(|(part, _)| part));
        parts
    }

    /// What of the grid does not stand in the stored tensors.
    pub fn description(&self) -> String {
        let grouping = self.grouping.each_ref().map(|grouping| match grouping {
            Grouping::Every(lines) => Some(*lines),
            Grouping::Listed(_) => None,
        });
        let factor = match &self.factor {
            Factor::Divisor(divisor) => divisor.to_string(),
            Factor::Times(_) => "times".to_owned(),
            Factor::Over(_) => "over".to_owned(),
        };
        let zero = self.zero.as_ref().map(|(_, code)| code);
        format!(
            "{:?} {:?} {:?} {grouping:?} {zero:?} {factor} {}",
            self.code, self.stored, self.groups, self.scale_is_exponent
        )
    }

    /// The matrix at `index` of the stack, rows as the model has them, in float64.
    pub fn decode(&self, index: usize, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        self.verify(read)?;
        let [rows, columns] = self.stored;
        let codes = self.slice(&self.codes, index, read)?;
        let scales = self.scales(index, read)?;
        let zeros = self.zeros(index, read)?;
        let row_groups = self.line_groups(Axis::Rows, read)?;
        let column_groups = self.line_groups(Axis::Columns, read)?;
        let mut matrix = vec![0.0; rows * columns];
        let mut line = vec![0.0; columns];
        let packed = matches!(self.code, Code::Packed { .. }).then(|| codes::words(&codes)).unwrap_or_default();
        let table = self.byte_table()?;
        for row in 0..rows {
            self.decode_row(row, &codes, &packed, &table, &mut line);
            let first = row_groups[row] * self.groups[1];
            for (value, group) in line.iter_mut().zip(&column_groups) {
                let zero = zeros.as_ref().map_or(0.0, |zeros| zeros[first + group]);
                let scale = scales.as_ref().map_or(1.0, |scales| scales[first + group]);
                *value = (*value - zero) * scale;
            }
            if self.transposed {
                for (column, value) in line.iter().enumerate() {
                    matrix[column * rows + row] = *value;
                }
            } else {
                matrix[row * columns..][..columns].copy_from_slice(&line);
            }
        }
        Ok(matrix)
    }

    /// The numbers that the codes of one row stand for.
    fn decode_row(&self, row: usize, codes: &[u8], packed: &[u32], table: &[f64; 256], line: &mut [f64]) {
        let columns = line.len();
        match self.code {
            Code::Byte(_) => {
                for (value, code) in line.iter_mut().zip(&codes[row * columns..]) {
                    *value = table[usize::from(*code)];
                }
            }
            Code::E2m1 => {
                let bytes = &codes[row * columns / 2..][..columns / 2];
                for (pair, byte) in line.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
                    *pair = [codes::E2M1[usize::from(byte & 15)], codes::E2M1[usize::from(byte >> 4)]];
                }
            }
            Code::Packed { bits, axis, order } => {
                for (column, value) in line.iter_mut().enumerate() {
                    let code = match axis {
                        Axis::Rows => codes::field(packed, column, columns, row, bits, order),
                        Axis::Columns => {
                            let words = (columns * bits as usize).div_ceil(32);
                            codes::field(packed, row * words, 1, column, bits, order)
                        }
                    };
                    *value = f64::from(code);
                }
            }
        }
    }

    fn byte_table(&self) -> Result<[f64; 256], Undecodable> {
        match self.code {
            Code::Byte(dtype) => codes::table(dtype).ok_or_else(|| self.codes.undecodable("has no numbers in it")),
            _ => Ok([0.0; 256]),
        }
    }

    /// The scales of one matrix, the factor with them.
    fn scales(&self, index: usize, read: &Read<'_>) -> Result<Option<Vec<f64>>, Undecodable> {
        let Some(part) = &self.scale else { return Ok(None) };
        let bytes = self.slice(part, index, read)?;
        let mut scales = if self.scale_is_exponent {
            let powers = codes::powers();
            bytes.iter().map(|code| powers[usize::from(*code)]).collect()
        } else {
            codes::numbers(part.tensor.dtype, &bytes).ok_or_else(|| part.undecodable("has no numbers in it"))?
        };
        if scales.len() != self.groups[0] * self.groups[1] {
            return Err(part.undecodable("has not one number for each group"));
        }
        let scalar = |part: &Part| -> Result<f64, Undecodable> {
            match part.numbers(read)?[..] {
                [number] => Ok(number),
                _ => Err(part.undecodable("is not one number")),
            }
        };
        match &self.factor {
            Factor::Divisor(divisor) => scales.iter_mut().for_each(|scale| *scale /= divisor),
            Factor::Times(part) => {
                let factor = scalar(part)?;
                scales.iter_mut().for_each(|scale| *scale *= factor);
            }
            Factor::Over(part) => {
                let divisor = scalar(part)?;
                scales.iter_mut().for_each(|scale| *scale /= divisor);
            }
        }
        Ok(Some(scales))
    }

    fn zeros(&self, index: usize, read: &Read<'_>) -> Result<Option<Vec<f64>>, Undecodable> {
        let (part, code) = match &self.zero {
            None => return self.midpoint(),
            Some(zero) => zero,
        };
        let bytes = self.slice(part, index, read)?;
        let [rows, columns] = self.groups;
        let zeros = match *code {
            ZeroCode::Numbers => codes::numbers(part.tensor.dtype, &bytes).unwrap_or_default(),
            ZeroCode::Packed { bits, axis, order, offset } => {
                let words = codes::words(&bytes);
                let along = |lines: usize| (lines * bits as usize).div_ceil(32);
                let needed = match axis {
                    Axis::Rows => along(rows) * columns,
                    Axis::Columns => rows * along(columns),
                };
                if words.len() < needed {
                    return Err(part.undecodable("is too short for its zero points"));
                }
                let zero = |row: usize, column: usize| {
                    let stored = match axis {
                        Axis::Rows => codes::field(&words, column, columns, row, bits, order),
                        Axis::Columns => codes::field(&words, row * along(columns), 1, column, bits, order),
                    };
                    f64::from(stored.wrapping_add(offset) & (u32::MAX >> (32 - bits)))
                };
                (0..rows * columns).map(|at| zero(at / columns, at % columns)).collect()
            }
        };
        if zeros.len() == rows * columns {
            Ok(Some(zeros))
        } else {
            Err(part.undecodable("has not one zero point for each group"))
        }
    }

    /// Packed codes without stored zero points have theirs in the middle of the range.
    fn midpoint(&self) -> Result<Option<Vec<f64>>, Undecodable> {
        Ok(match self.code {
            Code::Packed { bits, .. } => Some(vec![f64::from(1u32 << (bits - 1)); self.groups[0] * self.groups[1]]),
            _ => None,
        })
    }

    /// The group of each row, or of each column.
    fn line_groups(&self, axis: Axis, read: &Read<'_>) -> Result<Vec<usize>, Undecodable> {
        let at = usize::from(axis == Axis::Columns);
        let (lines, groups) = (self.stored[at], self.groups[at]);
        match &self.grouping[at] {
            Grouping::Every(lines_each) => Ok((0..lines).map(|line| (line / lines_each).min(groups - 1)).collect()),
            Grouping::Listed(part) => {
                let numbers = part.numbers(read)?;
                let listed: Vec<usize> = numbers
                    .iter()
                    .filter(|group| (0.0..groups as f64).contains(group))
                    .map(|group| *group as usize)
                    .collect();
                if listed.len() == lines {
                    Ok(listed)
                } else {
                    Err(part.undecodable("names groups that there are not"))
                }
            }
        }
    }

    /// The bytes of a tensor that belong to the matrix at `index`.
    fn slice<'a>(&self, part: &Part, index: usize, read: &Read<'a>) -> Result<Cow<'a, [u8]>, Undecodable> {
        let each = (part.tensor.bytes.end - part.tensor.bytes.start) / self.count as u64;
        read(part, index as u64 * each..(index as u64 + 1) * each)
    }

    fn verify(&self, read: &Read<'_>) -> Result<(), Undecodable> {
        let Some((part, expected)) = &self.check else { return Ok(()) };
        if part.numbers(read)? == *expected {
            Ok(())
        } else {
            Err(part.undecodable(&format!("does not say {expected:?}, as it does for other modules of the type")))
        }
    }
}
