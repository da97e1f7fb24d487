//! 8-bit floats and integers, and 4-bit floats two to a byte, in a tensor with the rows and columns of the weight.

use safetensors::Dtype;

use super::QuantizationError;
use super::assemble::{Stored, WEIGHT};
use super::formats::{grid, stacked, weight};
use super::grid::{Code, Factor, Grid, Grouping, Nibble, ZeroCode};
use super::method::Kind;
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::checkpoint::weight::Weight;

/// Names of the scales, after the module's or the stack's name.
const SCALES: [&str; 6] = ["weight_scale_inv", "weight_scale", "scale_inv", "scale", "qscale_weight", "scale_weight"];

/// How many numbers of a row share a scale in NVFP4 and in the microscaling (MX) formats.
const NV: usize = 16;
const MX: usize = 32;

/// What the elements of a tensor stand for.
struct Elements {
    code: Code,
    dtype: &'static str,
    /// How many numbers along the rows and along the columns share a scale, if the format prescribes it.
    sizes: [Option<usize>; 2],
}

impl Stored<'_> {
    /// The weight in the matrix `part`, or in a stack of matrices; `None` if its elements are no codes of a known format.
    pub fn bytes(&self, part: &Part) -> Result<Option<Weight>, QuantizationError> {
        let name = part.tensor.name.as_str();
        let (stack, shape) = match part.tensor.shape[..] {
            [rows, columns] => (None, [rows, columns]),
            [count, rows, columns] => (Some(count), [rows, columns]),
            _ => return Ok(None),
        };
        // A stack of experts may be a parameter of its own, without the ending `.weight`, which the names of its scales continue.
        let (module, prefix) = match (name.strip_suffix(WEIGHT), stack) {
            (Some(module), _) => (module, format!("{module}.")),
            // The scales of a stack may be 8-bit floats themselves.
            (None, Some(_)) if !name.ends_with("scale") => {
                (name.rsplit_once('.').map_or("", |(module, _)| module), format!("{name}_"))
            }
            _ => return Ok(None),
        };
        let companion = |ending: &str| self.find(&format!("{prefix}{ending}"));
        if let Some(scale) = companion("SCB").filter(|_| part.tensor.dtype == Dtype::I8 && stack.is_none()) {
            return Ok(Some(self.bitsandbytes_int8(part, module, shape, scale)));
        }
        let scale = SCALES.iter().find_map(|ending| companion(ending));
        let factor = companion("weight_scale_2");
        let Some(Elements { code, dtype, sizes }) = self.elements(part, scale, factor)? else { return Ok(None) };
        let Some(scale) = scale else { return self.cast(part, module, shape, stack, dtype) };
        let mut stored = shape;
        if let Code::Pairs { axis, .. } = code {
            stored[usize::from(axis == Axis::Columns)] *= 2;
        }
        let (groups, grouping) = self.grouping(scale, stored, stack, sizes)?;
        let zero = companion("weight_zero_point").map(|zero| (zero.clone(), ZeroCode::Numbers));
        let mut grid = Grid { code, zero, grouping, ..grid(part, stored, Some(scale), groups) };
        if let Some(factor) = factor {
            if scale.tensor.dtype != Dtype::F8_E4M3 {
                return Err(scale.undecodable("is not of 8-bit floats, as scales of NVFP4 are").into());
            }
            grid.factor = Factor::Times(factor.clone());
        }
        let is_mx = grid.scale_is_exponent && grid.grouping == [Grouping::Every(1), Grouping::Every(MX)];
        let dtype = if is_mx && matches!(code, Code::Byte(_)) { "MXFP8" } else { dtype };
        Ok(Some(stacked(name, dtype, grid, stack)))
    }

    /// What the elements of `part` are by their type and by the tensors of its scales.
    fn elements(
        &self,
        part: &Part,
        scale: Option<&Part>,
        factor: Option<&Part>,
    ) -> Result<Option<Elements>, QuantizationError> {
        let is_fp8 = self.method.is_some_and(|method| matches!(method.kind, Kind::Fp8 | Kind::Fbgemm));
        // In fp8 models, signed bytes are pairs of 4-bit floats, also where their scales are no powers of two.
        let is_of_pairs = |scale: &&Part| match scale.tensor.dtype {
            Dtype::U8 | Dtype::F8_E8M0 => true,
            _ => is_fp8 && part.tensor.dtype == Dtype::I8,
        };
        let mx = scale.filter(is_of_pairs).and_then(|scale| pairs(part, scale, MX, "MXFP4"));
        let byte = |dtype: &'static str| Elements { code: Code::Byte(part.tensor.dtype), dtype, sizes: [None; 2] };
        Ok(match part.tensor.dtype {
            Dtype::U8 if let (Some(scale), Some(_)) = (scale, factor) => {
                let elements = pairs(part, scale, NV, "NVFP4");
                let unfit = || scale.undecodable("does not have one scale for each 16 numbers, as NVFP4 has");
                Some(elements.ok_or_else(unfit)?)
            }
            Dtype::U8 | Dtype::I8 if mx.is_some() => mx,
            Dtype::I8 if self.method.is_some() && !is_fp8 => Some(byte("INT8")),
            Dtype::F8_E4M3 => Some(byte("F8_E4M3")),
            Dtype::F8_E5M2 => Some(byte("F8_E5M2")),
            Dtype::F8_E4M3FNUZ => Some(byte("F8_E4M3FNUZ")),
            Dtype::F8_E5M2FNUZ => Some(byte("F8_E5M2FNUZ")),
            _ => None,
        })
    }

    /// A weight without scales. Floats may have been cast only, but if the configuration announces a quantisation, scales are
    /// missing.
    fn cast(
        &self,
        part: &Part,
        module: &str,
        shape: [usize; 2],
        stack: Option<usize>,
        dtype: &'static str,
    ) -> Result<Option<Weight>, QuantizationError> {
        let is_float = part.tensor.dtype != Dtype::I8;
        match self.method {
            None if is_float && self.has_other_scale(module) => Ok(None),
            None if is_float => {
                let grid = grid(part, shape, None, [1, 1]);
                Ok(Some(stacked(&part.tensor.name, dtype, grid, stack)))
            }
            // Convolutions are not quantised with linear modules, and integers in a parameter may count something.
            _ if stack.is_some() && (!is_float || part.tensor.name.ends_with(WEIGHT)) => Ok(None),
            _ => Err(part.undecodable("is quantised, but there is no tensor with its scales").into()),
        }
    }

    fn bitsandbytes_int8(&self, part: &Part, module: &str, shape: [usize; 2], scale: &Part) -> Weight {
        // Zero is the usual order of rows; the other formats are for inference kernels.
        let check = self.find(&format!("{module}.weight_format")).map(|format| (format.clone(), vec![0.0]));
        let plain = grid(part, shape, Some(scale), [shape[0], 1]);
        weight(&part.tensor.name, "INT8", Grid { factor: Factor::Divisor(127.0), check, ..plain })
    }
}

/// 4-bit floats of which `size` along a row, or along a column, share a scale; `None` if neither fits.
fn pairs(part: &Part, scale: &Part, size: usize, dtype: &'static str) -> Option<Elements> {
    let ([.., rows, columns], [.., row_groups, column_groups]) = (&part.tensor.shape[..], &scale.tensor.shape[..])
    else {
        return None;
    };
    let fits =
        |bytes: usize, groups: usize| bytes.checked_mul(2).is_some_and(|numbers| numbers.div_ceil(size) == groups);
    let (axis, sizes) = if rows == row_groups && fits(*columns, *column_groups) {
        (Axis::Columns, [None, Some(size)])
    } else if columns == column_groups && fits(*rows, *row_groups) {
        (Axis::Rows, [Some(size), None])
    } else {
        return None;
    };
    Some(Elements { code: Code::Pairs { number: Nibble::E2m1, axis }, dtype, sizes })
}
