//! Codes that share words: compressed-tensors' packed formats, GPTQ and AWQ.

use safetensors::Dtype;

use super::assemble::{Stored, WEIGHT};
use super::codes::Order;
use super::formats::{E2M1_ALONG_ROWS, WIDTHS, grid, group_size, has_words_of_32_bits, matrix, weight};
use super::grid::{Code, Factor, Grid, Grouping, ZeroCode};
use super::method::Kind;
use super::{QuantizationError, codes};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::checkpoint::weight::Weight;

impl Stored<'_> {
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
        let (groups, grouping) = self.grouping(scale, shape, None, [None, Some(if is_nv { 16 } else { 32 })])?;
        let mut grid = Grid { code: E2M1_ALONG_ROWS, grouping, ..grid(part, shape, Some(scale), groups) };
        if is_nv {
            grid.factor = Factor::Over(self.need(&format!("{base}.weight_global_scale"), part)?.clone());
        }
        Ok(weight(&format!("{base}{WEIGHT}"), if is_nv { "NVFP4" } else { "MXFP4" }, grid))
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
        let (groups, mut grouping) = self.grouping(scale, shape, None, [None; 2])?;
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
        Ok(weight(&format!("{base}{WEIGHT}"), dtype, grid))
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
        Ok(weight(&format!("{base}{WEIGHT}"), dtype, grid))
    }
}
