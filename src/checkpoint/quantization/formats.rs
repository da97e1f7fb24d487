//! The quantisation formats: how the tensors of a weight represent its numbers.

use safetensors::Dtype;

use super::assemble::{Stored, WEIGHT};
use super::codes::Order;
use super::grid::{Code, Factor, Grid, Grouping, ZeroCode};
use super::lookup::{Lookup, Nested, State};
use super::method::Kind;
use super::{QuantizationError, Quantized, Scheme, codes};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::checkpoint::weight::{Storage, Weight};

/// The widths of packed integers with their names, the most frequent first.
const WIDTHS: [(usize, &str); 4] = [(4, "INT4"), (8, "INT8"), (2, "INT2"), (3, "INT3")];

/// Names of the scales of one-byte codes, after the module's name.
const SCALES: [&str; 5] = ["weight_scale_inv", "weight_scale", "scale", "qscale_weight", "scale_weight"];

impl Stored<'_> {
    /// 8-bit floats and integers, and 4-bit floats two to a byte; `None` if `part` is none of these.
    pub fn bytes(&self, part: &Part, base: &str) -> Result<Option<Weight>, QuantizationError> {
        let Some(mut shape) = matrix(part) else { return Ok(None) };
        let bitsandbytes = self.find(&format!("{base}.SCB")).filter(|_| part.tensor.dtype == Dtype::I8);
        if let Some(scale) = bitsandbytes {
            // Zero is the usual order of rows; the other formats are for inference kernels.
            let check = self.find(&format!("{base}.weight_format")).map(|format| (format.clone(), vec![0.0]));
            let plain = grid(part, shape, Some(scale), [shape[0], 1]);
            let grid = Grid { factor: Factor::Divisor(127.0), check, ..plain };
            return Ok(Some(weight(base, "INT8", grid)));
        }
        let scale = SCALES.iter().find_map(|ending| self.find(&format!("{base}.{ending}")));
        let (code, dtype) = match part.tensor.dtype {
            Dtype::U8 if self.find(&format!("{base}.weight_scale_2")).is_some() => {
                shape[1] *= 2;
                (Code::E2m1, "NVFP4")
            }
            // In fp8 models, integer bytes are pairs of 4-bit floats in a special layout.
            Dtype::I8 if self.method.is_none_or(|method| method.kind == Kind::Fp8) => return Ok(None),
            dtype @ Dtype::I8 => (Code::Byte(dtype), "INT8"),
            dtype @ Dtype::F8_E4M3 => (Code::Byte(dtype), "F8_E4M3"),
            dtype @ Dtype::F8_E5M2 => (Code::Byte(dtype), "F8_E5M2"),
            dtype @ Dtype::F8_E4M3FNUZ => (Code::Byte(dtype), "F8_E4M3FNUZ"),
            dtype @ Dtype::F8_E5M2FNUZ => (Code::Byte(dtype), "F8_E5M2FNUZ"),
            _ => return Ok(None),
        };
        let is_float = matches!(code, Code::Byte(dtype) if dtype != Dtype::I8);
        let Some(scale) = scale else {
            // Floats without scales may have been cast only. But if the configuration announces a quantisation, scales are missing.
            return match (is_float, self.method) {
                (true, None) if self.has_other_scale(base) => Ok(None),
                (true, None) => Ok(Some(weight(base, dtype, grid(part, shape, None, [1, 1])))),
                _ => Err(part.undecodable("is quantised, but there is no tensor with its scales").into()),
            };
        };
        let default = if code == Code::E2m1 { Some(16) } else { None };
        let (groups, grouping) = self.grouping(scale, shape, default)?;
        let mut grid = Grid { code, grouping, ..grid(part, shape, Some(scale), groups) };
        grid.zero = self.find(&format!("{base}.weight_zero_point")).map(|zero| (zero.clone(), ZeroCode::Numbers));
        if let Some(factor) = self.find(&format!("{base}.weight_scale_2")) {
            if scale.tensor.dtype != Dtype::F8_E4M3 {
                return Err(scale.undecodable("is not of 8-bit floats, as scales of NVFP4 are").into());
            }
            grid.factor = Factor::Times(factor.clone());
        }
        let dtype = if grid.scale_is_exponent && grouping_is_mx(&grid) { "MXFP8" } else { dtype };
        Ok(Some(weight(base, dtype, grid)))
    }

    /// The packed integers and 4-bit floats of compressed-tensors.
    pub fn compressed(&self, part: &Part, base: &str) -> Result<Weight, QuantizationError> {
        let Some(packed) = matrix(part) else { return Err(part.undecodable("is no matrix").into()) };
        let scale = self.need(&format!("{base}.weight_scale"), part)?;
        match part.tensor.dtype {
            Dtype::U8 => self.packed_floats(part, base, packed, scale),
            Dtype::I32 | Dtype::U32 => self.packed_integers(part, base, packed, scale),
            dtype => Err(part.undecodable(&format!("is {dtype}, which no codes are packed into")).into()),
        }
    }

    /// NVFP4, in which 16 4-bit floats share an 8-bit float as their scale, or MXFP4, in which 32 share a power of two.
    fn packed_floats(
        &self,
        part: &Part,
        base: &str,
        [rows, bytes]: [usize; 2],
        scale: &Part,
    ) -> Result<Weight, QuantizationError> {
        let shape = [rows, 2 * bytes];
        let is_nv = scale.tensor.dtype == Dtype::F8_E4M3;
        let (groups, grouping) = self.grouping(scale, shape, Some(if is_nv { 16 } else { 32 }))?;
        let mut grid = Grid { code: Code::E2m1, grouping, ..grid(part, shape, Some(scale), groups) };
        if is_nv {
            grid.factor = Factor::Over(self.need(&format!("{base}.weight_global_scale"), part)?.clone());
        }
        Ok(weight(base, if is_nv { "NVFP4" } else { "MXFP4" }, grid))
    }

    fn packed_integers(
        &self,
        part: &Part,
        base: &str,
        [rows, words]: [usize; 2],
        scale: &Part,
    ) -> Result<Weight, QuantizationError> {
        let shape_part = self.need(&format!("{base}.weight_shape"), part)?;
        let shape = self.described_shape(shape_part, part, [rows, 32 * words])?;
        // Versions of compressed-tensors differ in how they pack other widths.
        let fits = |bits: usize| 32 % bits == 0 && (shape[1] * bits).div_ceil(32) == words;
        let Some((bits, dtype)) = WIDTHS.into_iter().find(|(bits, _)| fits(*bits)) else {
            return Err(part.undecodable("does not have the width of any known integer").into());
        };
        let (groups, mut grouping) = self.grouping(scale, shape, None)?;
        if let Some(list) = self.find(&format!("{base}.weight_g_idx")) {
            grouping[1] = Grouping::Listed(list.clone());
        }
        let zero = match self.find(&format!("{base}.weight_zero_point")) {
            Some(zero)
                if !has_words_of_32_bits(zero) || zero.tensor.shape != [(groups[0] * bits).div_ceil(32), groups[1]] =>
            {
                return Err(zero.undecodable("is not packed as zero points are").into());
            }
            zero => zero,
        };
        let bits = bits as u32;
        // Zero points are stored with the same offset as the codes, which cancels out.
        let zero_code = ZeroCode::Packed { bits, axis: Axis::Rows, order: Order::Sequential, offset: 0 };
        let grid = Grid {
            code: Code::Packed { bits, axis: Axis::Columns, order: Order::Sequential },
            grouping,
            zero: zero.map(|zero| (zero.clone(), zero_code)),
            check: Some((shape_part.clone(), shape.map(|extent| extent as f64).to_vec())),
            ..grid(part, shape, Some(scale), groups)
        };
        Ok(weight(base, dtype, grid))
    }

    /// The shape in the small tensor `shape_part`, which must have the rows of `most` and at most as many columns.
    fn described_shape(
        &self,
        shape_part: &Part,
        codes: &Part,
        most: [usize; 2],
    ) -> Result<[usize; 2], QuantizationError> {
        let bytes = self.describe(shape_part, codes)?;
        match codes::numbers(shape_part.tensor.dtype, &bytes).unwrap_or_default()[..] {
            [rows, columns]
                if rows == most[0] as f64 && columns.fract() == 0.0 && (1.0..=most[1] as f64).contains(&columns) =>
            {
                Ok([most[0], columns as usize])
            }
            _ => Err(shape_part.undecodable("does not have the shape of the codes in it").into()),
        }
    }

    /// GPTQ and AWQ, whose matrices are stored as `[in, out]`, with codes packed along the input or the output.
    pub fn packed_columns(&self, part: &Part, base: &str) -> Result<Weight, QuantizationError> {
        let Some(method) = self.method else {
            return Err(QuantizationError::Undescribed("GPTQ or AWQ".into()));
        };
        let scale = self.need(&format!("{base}.scales"), part)?;
        let zero = self.need(&format!("{base}.qzeros"), part)?;
        let (Some([rows, columns]), Some([groups, out]), Some([zero_rows, zero_words])) =
            (matrix(part), matrix(scale), matrix(zero))
        else {
            return Err(part.undecodable("and its scales and zero points are no matrices").into());
        };
        if !has_words_of_32_bits(part) || !has_words_of_32_bits(zero) || zero_rows != groups {
            return Err(part.undecodable("and its zero points are not packed as codes are").into());
        }
        // The zero points determine the width of a code, because there is one for each output.
        let fits = |bits: usize| (out * bits).div_ceil(32) == zero_words;
        let configured = WIDTHS.into_iter().find(|(bits, _)| Some(*bits) == method.bits && fits(*bits));
        let Some((bits, dtype)) = configured.or_else(|| WIDTHS.into_iter().find(|(bits, _)| fits(*bits))) else {
            return Err(zero.undecodable("does not have the width of any known integer").into());
        };
        let (stored, axis, order, offset) = match method.kind {
            Kind::Gptq { less_one } => {
                ([rows * 32 / bits, columns], Axis::Rows, Order::Sequential, u32::from(less_one))
            }
            Kind::Awq if bits == 4 => ([rows, columns * 32 / bits], Axis::Columns, Order::Awq, 0),
            _ => return Err(part.undecodable(&format!("is not what '{}' stores", method.name)).into()),
        };
        if stored[1] != out {
            return Err(part.undecodable("does not have the shape of its scales").into());
        }
        let bits = bits as u32;
        let along_input = match self.find(&format!("{base}.g_idx")) {
            Some(list) if list.tensor.shape == [stored[0]] => Grouping::Listed(list.clone()),
            Some(list) => return Err(list.undecodable("does not have one entry for each input").into()),
            None => Grouping::Every(group_size(stored[0], groups, scale, self.group_sizes())?),
        };
        let zero = (zero.clone(), ZeroCode::Packed { bits, axis: Axis::Columns, order, offset });
        let grid = Grid {
            code: Code::Packed { bits, axis, order },
            transposed: true,
            zero: Some(zero),
            grouping: [along_input, Grouping::Every(1)],
            ..grid(part, stored, Some(scale), [groups, out])
        };
        Ok(weight(base, dtype, grid))
    }

    /// MXFP4 of a stack of experts, in blocks of 32 along the input.
    pub fn mxfp4(&self, part: &Part, base: &str) -> Result<Weight, QuantizationError> {
        let scale = self.need(&format!("{base}_scales"), part)?;
        let (count, rows, blocks) = match part.tensor.shape[..] {
            [count, rows, blocks, 16] => (count, rows, blocks),
            [rows, blocks, 16] => (1, rows, blocks),
            _ => return Err(part.undecodable("does not have the shape of blocks of 32").into()),
        };
        if scale.tensor.dtype != Dtype::U8 || scale.tensor.shape != part.tensor.shape[..part.tensor.shape.len() - 1] {
            return Err(scale.undecodable("does not fit to its blocks").into());
        }
        let shape = [rows, 32 * blocks];
        let grid = Grid {
            code: Code::E2m1,
            count,
            scale_is_exponent: true,
            grouping: [Grouping::Every(1), Grouping::Every(32)],
            ..grid(part, shape, Some(scale), [rows, blocks])
        };
        let mut weight = weight(base, "MXFP4", grid);
        // The weight of a stack of experts is a parameter of its own, without the ending `.weight`.
        weight.name = base.to_owned();
        if part.tensor.shape.len() == 4 {
            weight.shape.insert(0, count);
        }
        Ok(weight)
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

    /// The numbers of groups along the rows and columns of a matrix, and their assignment to the lines.
    fn grouping(
        &self,
        scale: &Part,
        shape: [usize; 2],
        default: Option<usize>,
    ) -> Result<([usize; 2], [Grouping; 2]), QuantizationError> {
        let groups = match scale.tensor.shape[..] {
            [] | [1] => [1, 1],
            [rows] if rows == shape[0] => [rows, 1],
            [rows, columns] => [rows, columns],
            _ => return Err(scale.undecodable("does not have the shape of scales").into()),
        };
        let block = self.method.and_then(|method| method.block);
        let rows = group_size(shape[0], groups[0], scale, block.map(|block| block[0]))?;
        let along_input = block.map(|block| block[1]).or(default).into_iter().chain(self.group_sizes());
        let columns = group_size(shape[1], groups[1], scale, along_input)?;
        Ok((groups, [Grouping::Every(rows), Grouping::Every(columns)]))
    }

    fn group_sizes(&self) -> impl Iterator<Item = usize> {
        self.method.into_iter().flat_map(|method| method.group_sizes.iter().copied())
    }
}

/// The number of lines in a group: the first of `sizes` that divides `lines` into `groups`, unless only one size is possible.
fn group_size(
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
fn grid(codes: &Part, stored: [usize; 2], scale: Option<&Part>, groups: [usize; 2]) -> Grid {
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
        grouping: [every(0), every(1)],
        factor: Factor::Divisor(1.0),
        check: None,
    }
}

/// Whether there is one scale for 32 elements of a row, as in microscaling (MX) formats.
fn grouping_is_mx(grid: &Grid) -> bool {
    grid.grouping == [Grouping::Every(1), Grouping::Every(32)]
}

fn weight(base: &str, dtype: &'static str, grid: Grid) -> Weight {
    let [rows, columns] = grid.stored;
    let shape = if grid.transposed { vec![columns, rows] } else { vec![rows, columns] };
    let storage = Storage::Quantized(Box::new(Quantized { dtype, scheme: Scheme::Grid(grid) }));
    Weight { name: format!("{base}{WEIGHT}"), shape, storage }
}

fn has_words_of_32_bits(part: &Part) -> bool {
    matches!(part.tensor.dtype, Dtype::I32 | Dtype::U32)
}

fn matrix(part: &Part) -> Option<[usize; 2]> {
    part.tensor.shape.as_slice().try_into().ok()
}
