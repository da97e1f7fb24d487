//! Codes with a scale for each group, as in all formats except bitsandbytes' 4-bit one.
//!
//! An element is `(code - zero) * scale * factor`, or `code * scale + zero`, with the scale and zero point of its group. A group
//! is a block of rows by a block of columns, or given by a list.

use safetensors::Dtype;

use super::coded::{Coded, Groups, Layout};
use super::codes::{self, Order};
use super::{Read, Undecodable};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::source::Bytes;

/// A quantised matrix, or a stack of them, with a scale for each group of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub codes: Part,
    pub code: Code,
    pub count: usize,
    /// The rows and columns of one matrix as stored.
    pub stored: [usize; 2],
    /// Whether the matrix is stored as `[in, out]`.
    pub transposed: bool,
    /// The scales, one for each group; `None` if the codes are the numbers themselves.
    pub scale: Option<Part>,
    /// Whether the scales are stored as E8M0 exponents of two.
    pub scale_is_exponent: bool,
    /// The zero points, one for each group; `None` if the format has none or they are in the middle of the range.
    pub zero: Option<(Part, ZeroCode)>,
    /// The number of groups along the rows and along the columns.
    pub groups: [usize; 2],
    /// Whether scales and zero points are stored as `[groups along the columns, groups along the rows]`.
    pub turned: bool,
    /// The assignment of rows and of columns to groups.
    pub grouping: [Grouping; 2],
    pub factor: Factor,
    /// A tensor that must contain these numbers, such as a stored copy of the shape.
    pub check: Option<(Part, Vec<f64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// One byte of this type.
    Byte(Dtype),
    /// Numbers of four bits, two to a byte along an axis, the first in the low half.
    Pairs { number: Nibble, axis: Axis },
    /// Unsigned integers that share words along an axis.
    Packed { bits: u32, axis: Axis, order: Order },
}

/// What four bits stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nibble {
    /// A float with two exponent bits and one mantissa bit.
    E2m1,
    /// A signed integer.
    Int,
}

impl Nibble {
    fn values(self) -> &'static [f64; 16] {
        match self {
            Self::E2m1 => &codes::E2M1,
            Self::Int => &codes::INT4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroCode {
    /// Numbers of the tensor's own type.
    Numbers,
    /// Numbers of the tensor's own type that are added after the scale is applied.
    Added,
    /// Unsigned integers packed like codes, to which `offset` must be added modulo 2^`bits`.
    Packed { bits: u32, axis: Axis, order: Order, offset: u32 },
}

/// The assignment of lines, which are rows or columns, to groups.
#[derive(Clone, Debug, PartialEq)]
pub enum Grouping {
    /// So many consecutive lines are a group.
    Every(usize),
    /// A stored list gives the group of each line.
    Listed(Part),
}

/// A number for all scales.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// The scales are divided by a constant.
    Divisor(f64),
    /// The scales are multiplied by a stored number.
    Times(Part),
    /// The scales are divided by a stored number.
    Over(Part),
}

impl Grid {
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

    /// The settings that are not in the stored tensors.
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
            "{:?} {:?} {:?} {grouping:?} {zero:?} {factor} {} {}",
            self.code, self.stored, self.groups, self.scale_is_exponent, self.turned
        )
    }

    /// Reads the matrix at `index` of the stack, or all of them. Matrices have the rows of the model, even if they are stored
    /// transposed.
    pub fn read<'a>(&self, index: Option<usize>, read: &Read<'a>) -> Result<Vec<Coded<'a>>, Undecodable> {
        self.verify(read)?;
        index.map_or(0..self.count, |index| index..index + 1).map(|index| self.matrix(index, read)).collect()
    }

    fn matrix<'a>(&self, index: usize, read: &Read<'a>) -> Result<Coded<'a>, Undecodable> {
        let codes = self.slice(&self.codes, index, read)?;
        let count = self.groups[0] * self.groups[1];
        let scales = self.scales(index, read)?.unwrap_or_else(|| vec![1.0; count]);
        let [row_step, column_step] = if self.turned { [1, self.groups[0]] } else { [self.groups[1], 1] };
        let places = |axis, step: usize| -> Result<Vec<usize>, Undecodable> {
            Ok(self.line_groups(axis, read)?.into_iter().map(|group| group * step).collect())
        };
        let groups =
            Groups::OfLines { rows: places(Axis::Rows, row_step)?, columns: places(Axis::Columns, column_step)? };
        let (layout, values) = match self.code {
            Code::Byte(dtype) => {
                let table = codes::table(dtype).ok_or_else(|| self.codes.undecodable("has no numbers in it"))?;
                (Layout::Bytes, table.to_vec())
            }
            Code::Pairs { number, axis } => (Layout::Pairs(axis), number.values().to_vec()),
            Code::Packed { bits, axis, order } => (Layout::Packed { bits, axis, order }, Vec::new()),
        };
        let coded = Coded {
            codes,
            layout,
            values,
            stored: self.stored,
            transposed: self.transposed,
            groups,
            scales,
            zeros: self.zeros(index, read)?,
            is_zero_added: matches!(self.zero, Some((_, ZeroCode::Added))),
        };
        if coded.is_whole() { Ok(coded) } else { Err(self.codes.undecodable("is too short for its codes")) }
    }

    /// The scales of one matrix, including the factor.
    fn scales(&self, index: usize, read: &Read<'_>) -> Result<Option<Vec<f64>>, Undecodable> {
        let Some(part) = &self.scale else { return Ok(None) };
        let bytes = self.slice(part, index, read)?;
        let mut scales = if self.scale_is_exponent {
            bytes.iter().map(|code| codes::power(*code)).collect()
        } else {
            codes::numbers(part.tensor.dtype, &bytes).ok_or_else(|| part.undecodable("has no numbers in it"))?
        };
        if scales.len() != self.groups[0] * self.groups[1] {
            return Err(part.undecodable("has not one number for each group"));
        }
        let scalar = |part: &Part| -> Result<f64, Undecodable> {
            match codes::numbers(part.tensor.dtype, &self.slice(part, index, read)?).as_deref() {
                Some(&[number]) => Ok(number),
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
            ZeroCode::Numbers | ZeroCode::Added => codes::numbers(part.tensor.dtype, &bytes).unwrap_or_default(),
            ZeroCode::Packed { bits, axis, order, offset } => {
                let words = codes::words(&bytes);
                let needed = match axis {
                    Axis::Rows => codes::word_count(rows, bits) * columns,
                    Axis::Columns => rows * codes::word_count(columns, bits),
                };
                if words.len() < needed {
                    return Err(part.undecodable("is too short for its zero points"));
                }
                let zero = |at: usize| {
                    let stored = codes::packed(&words, columns, [at / columns, at % columns], bits, axis, order);
                    f64::from(stored.wrapping_add(offset) & (u32::MAX >> (32 - bits)))
                };
                (0..rows * columns).map(zero).collect()
            }
        };
        if zeros.len() == rows * columns {
            Ok(Some(zeros))
        } else {
            Err(part.undecodable("has not one zero point for each group"))
        }
    }

    /// The zero points of packed codes without stored ones, which are in the middle of the range.
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
                let mut numbers = part.numbers(read)?;
                numbers.retain(|group| (0.0..groups as f64).contains(group));
                let listed: Vec<usize> = numbers.into_iter().map(|group| group as usize).collect();
                if listed.len() == lines {
                    Ok(listed)
                } else {
                    Err(part.undecodable("names groups that there are not"))
                }
            }
        }
    }

    /// Reads the bytes of a tensor that belong to the matrix at `index`: all of them if the matrices share the tensor.
    fn slice<'a>(&self, part: &Part, index: usize, read: &Read<'a>) -> Result<Bytes<'a>, Undecodable> {
        if part.tensor.shape.first() != Some(&self.count) {
            return part.read(read);
        }
        let each = part.tensor.size() / self.count as u64;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::TensorInfo;
    use crate::checkpoint::quantization::formats::grid;

    #[test]
    fn a_stack_is_decoded_by_matrix_or_as_a_whole() {
        let part = |name: &str, dtype, shape: &[usize]| Part {
            stored: None,
            shard: 0,
            tensor: TensorInfo {
                name: name.into(),
                dtype,
                shape: shape.to_vec(),
                bytes: 0..shape.iter().product::<usize>() as u64,
            },
        };
        let (codes, scales) = (part("codes", Dtype::U8, &[2, 1, 2]), part("scales", Dtype::F8_E8M0, &[2]));
        let read = |part: &Part, range: std::ops::Range<u64>| {
            let bytes: &[u8] = if part.tensor.name == "codes" { &[0x21, 0x43, 0x65, 0x87] } else { &[127, 128] };
            Ok(Bytes::from(bytes[range.start as usize..range.end as usize].to_vec()))
        };
        let code = Code::Pairs { number: Nibble::Int, axis: Axis::Rows };
        let stack = Grid { code, count: 2, ..grid(&codes, [2, 2], Some(&scales), [1, 1]) };
        let decoded = |stack: &Grid, index, read: &Read<'_>| -> Vec<f64> {
            stack.read(index, read).expect("read").iter().flat_map(Coded::numbers).collect()
        };
        assert_eq!(decoded(&stack, Some(0), &read), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(decoded(&stack, Some(1), &read), [10.0, 14.0, 12.0, -16.0]);
        assert_eq!(decoded(&stack, None, &read), [1.0, 3.0, 2.0, 4.0, 10.0, 14.0, 12.0, -16.0]);
        let shared = Grid { scale: Some(part("scales", Dtype::F8_E8M0, &[])), ..stack };
        let read = |part: &Part, range: std::ops::Range<u64>| match part.tensor.name.as_str() {
            "codes" => Ok(Bytes::from(vec![0x11; (range.end - range.start) as usize])),
            _ => Ok(Bytes::from(vec![126; 1])),
        };
        assert_eq!(decoded(&shared, None, &read), [0.5; 8]);
    }
}
