//! How the tensors of a weight represent its numbers: what the formats have in common, and the formats of gpt-oss and of
//! bitsandbytes.

use safetensors::Dtype;

use super::assemble::Stored;
use super::grid::{Code, Factor, Grid, Grouping, Nibble};
use super::lookup::{Lookup, Nested, State};
use super::method::Kind;
use super::{QuantizationError, Quantized, Scheme};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::checkpoint::weight::{Storage, Weight};

/// The widths of packed integers with their names, the most frequent first.
pub const WIDTHS: [(usize, &str); 4] = [(4, "INT4"), (8, "INT8"), (2, "INT2"), (3, "INT3")];

/// 4-bit floats of which two neighbours in a row share a byte.
pub const E2M1_ALONG_ROWS: Code = Code::Pairs { number: Nibble::E2m1, axis: Axis::Columns };

impl Stored<'_> {
    /// MXFP4 of a stack of experts, in blocks of 32 along the input.
    pub fn mxfp4(&self, part: &Part, base: &str) -> Result<Weight, QuantizationError> {
        let scale = self.need(&format!("{base}_scales"), part)?;
        let (stack, rows, blocks) = match part.tensor.shape[..] {
            [count, rows, blocks, 16] => (Some(count), rows, blocks),
            [rows, blocks, 16] => (None, rows, blocks),
            _ => return Err(part.undecodable("does not have the shape of blocks of 32").into()),
        };
        if scale.tensor.dtype != Dtype::U8 || scale.tensor.shape != part.tensor.shape[..part.tensor.shape.len() - 1] {
            return Err(scale.undecodable("does not fit to its blocks").into());
        }
        let grid = Grid {
            code: E2M1_ALONG_ROWS,
            scale_is_exponent: true,
            grouping: [Grouping::Every(1), Grouping::Every(32)],
            ..grid(part, [rows, 32 * blocks], Some(scale), [rows, blocks])
        };
        // The weight of a stack of experts is a parameter of its own, without the ending `.weight`.
        Ok(stacked(base, "MXFP4", grid, stack))
    }

    pub fn bitsandbytes(&self, part: &Part) -> Result<Weight, QuantizationError> {
        let name = part.tensor.name.as_str();
        let state_name = |kind: &str| format!("{name}.quant_state.bitsandbytes__{kind}");
        let Some(state_part) = ["nf4", "fp4"].iter().find_map(|kind| self.find(&state_name(kind))) else {
            return Err(part.undecodable("is quantised by bitsandbytes, but its quant_state is missing").into());
        };
        let bytes = self.describe(state_part, part)?;
        let state: State = serde_json::from_slice(&bytes)
            .map_err(|error| state_part.undecodable(&format!("is no description of a weight: {error}")))?;
        let count = state.shape.iter().try_fold(1usize, |count, extent| count.checked_mul(*extent));
        // Codes can be stored as any type, so their bytes are counted.
        if state.shape.len() != 2 || count.is_none_or(|count| count.div_ceil(2) as u64 != part.tensor.size()) {
            return Err(state_part.undecodable("gives a shape that does not fit to the codes").into());
        }
        let nested = match self.find(&format!("{name}.nested_absmax")) {
            Some(absmax) => {
                let map = self.need(&format!("{name}.nested_quant_map"), part)?;
                Some(Nested { map: map.clone(), absmax: absmax.clone() })
            }
            None => None,
        };
        let lookup = Lookup {
            codes: part.clone(),
            map: self.need(&format!("{name}.quant_map"), part)?.clone(),
            absmax: self.need(&format!("{name}.absmax"), part)?.clone(),
            nested,
            state_part: state_part.clone(),
            state,
        };
        let dtype = if lookup.state.quant_type == "nf4" { "NF4" } else { "FP4" };
        let shape = lookup.state.shape.clone();
        let storage = Storage::Quantized(Box::new(Quantized { dtype, scheme: Scheme::Lookup(lookup) }));
        Ok(Weight { name: name.to_owned(), shape, storage })
    }

    /// The numbers of groups along the rows and columns of a matrix, or of each in a stack of so many, and their assignment to the
    /// lines. `sizes` are those that the format prescribes along each.
    pub fn grouping(
        &self,
        scale: &Part,
        shape: [usize; 2],
        stack: Option<usize>,
        sizes: [Option<usize>; 2],
    ) -> Result<([usize; 2], [Grouping; 2]), QuantizationError> {
        let Some(groups) = self.groups(&scale.tensor.shape, shape, stack) else {
            return Err(scale.undecodable("does not have the shape of scales").into());
        };
        let block = self.method.and_then(|method| method.block);
        let of_block = |at: usize| block.map(|block| block[at]);
        // Where experts have no blocks, gate and up still have a scale each.
        let halves = (stack.is_some() && groups[0] == 2 && shape[0].is_multiple_of(2)).then_some(shape[0] / 2);
        let rows = group_size(shape[0], groups[0], scale, sizes[0].into_iter().chain(of_block(0)).chain(halves))?;
        let along_input = sizes[1].into_iter().chain(of_block(1)).chain(self.group_sizes());
        let columns = group_size(shape[1], groups[1], scale, along_input)?;
        Ok((groups, [Grouping::Every(rows), Grouping::Every(columns)]))
    }

    /// The numbers of groups along the rows and columns of a matrix by the shape of the tensor of its scales.
    fn groups(&self, scales: &[usize], [rows, columns]: [usize; 2], stack: Option<usize>) -> Option<[usize; 2]> {
        let is_fbgemm = self.method.is_some_and(|method| method.kind == Kind::Fbgemm);
        match (stack, scales) {
            (_, [] | [1]) => Some([1, 1]),
            // FBGEMM's scales belong to the outputs, which are the columns of its experts.
            (Some(count), &[first, lines, 1]) if first == count && is_fbgemm && lines == columns => Some([1, columns]),
            (Some(count), &[first]) if first == count => Some([1, 1]),
            (Some(count), &[first, rows, columns]) if first == count => Some([rows, columns]),
            (None, &[lines]) if lines == rows => Some([rows, 1]),
            (None, &[rows, columns]) => Some([rows, columns]),
            _ => None,
        }
    }

    pub fn group_sizes(&self) -> impl Iterator<Item = usize> {
        self.method.into_iter().flat_map(|method| method.group_sizes.iter().copied())
    }
}

/// The number of lines in a group: the first of `sizes` that divides `lines` into `groups`, unless only one size is possible.
pub fn group_size(
    lines: usize,
    groups: usize,
    scale: &Part,
    sizes: impl IntoIterator<Item = usize>,
) -> Result<usize, QuantizationError> {
    if groups == 1 || groups == lines {
        return Ok(if groups == 1 { lines } else { 1 });
    }
    let fits = |size: &usize| *size > 0 && lines.div_ceil(*size) == groups;
    sizes.into_iter().find(fits).ok_or_else(|| {
        let reason = format!("has {groups} groups for {lines} lines, for which config.json gives no fitting size");
        scale.undecodable(&reason).into()
    })
}

/// The grid of one matrix with default settings.
pub fn grid(codes: &Part, stored: [usize; 2], scale: Option<&Part>, groups: [usize; 2]) -> Grid {
    let every = |at: usize| Grouping::Every(if groups[at] == 1 { stored[at].max(1) } else { 1 });
    Grid {
        codes: codes.clone(),
        code: Code::Byte(codes.tensor.dtype),
        count: 1,
        stored,
        transposed: false,
        scale: scale.cloned(),
        scale_is_exponent: scale.is_some_and(|scale| matches!(scale.tensor.dtype, Dtype::U8 | Dtype::F8_E8M0)),
        zero: None,
        groups,
        turned: false,
        grouping: [every(0), every(1)],
        factor: Factor::Divisor(1.0),
        check: None,
    }
}

/// The weight in one matrix.
pub fn weight(name: &str, dtype: &'static str, grid: Grid) -> Weight {
    let [rows, columns] = grid.stored;
    let shape = if grid.transposed { vec![columns, rows] } else { vec![rows, columns] };
    let storage = Storage::Quantized(Box::new(Quantized { dtype, scheme: Scheme::Grid(grid) }));
    Weight { name: name.to_owned(), shape, storage }
}

/// The weight in a stack of so many matrices, or in one matrix.
pub fn stacked(name: &str, dtype: &'static str, grid: Grid, stack: Option<usize>) -> Weight {
    let mut weight = weight(name, dtype, Grid { count: stack.unwrap_or(1), ..grid });
    weight.shape.splice(0..0, stack);
    weight
}

pub fn has_words_of_32_bits(part: &Part) -> bool {
    matches!(part.tensor.dtype, Dtype::I32 | Dtype::U32)
}

pub fn matrix(part: &Part) -> Option<[usize; 2]> {
    part.tensor.shape.as_slice().try_into().ok()
}
