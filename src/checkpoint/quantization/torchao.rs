//! torchao's tensors as its `flatten_tensor_state_dict` names them, which transformers saves: `module._weight_qdata` and others
//! with the same beginning.

use safetensors::Dtype;

use super::QuantizationError;
use super::assemble::Stored;
use super::formats::{grid, stacked};
use super::grid::{Code, Grid, Nibble, ZeroCode};
use crate::checkpoint::part::Part;
use crate::checkpoint::selection::Axis;
use crate::checkpoint::weight::Weight;

impl Stored<'_> {
    /// `Int8Tensor`, `IntxUnpackedToInt8Tensor`, `Float8Tensor` and `Int4Tensor`.
    pub fn torchao(&self, part: &Part, module: &str, parameter: &str) -> Result<Weight, QuantizationError> {
        let companion = |ending: &str| format!("{module}._{parameter}_{ending}");
        let unsupported = |what: &str| QuantizationError::Unsupported(format!("torchao, {what}"));
        if self.find(&companion("scale_and_zero")).is_some() || part.tensor.dtype == Dtype::I32 {
            return Err(unsupported("int4 in the tiles of a device's kernels"));
        }
        if self.find(&companion("act_pre_scale")).is_some() {
            return Err(unsupported("with scales of the inputs in the weights"));
        }
        let scale = self.need(&companion("scale"), part)?;
        if matches!(scale.tensor.dtype, Dtype::F8_E8M0 | Dtype::F8_E4M3 | Dtype::U8) {
            return Err(unsupported("MX or NVFP4"));
        }
        let zero = self.find(&companion("zero_point"));
        let name = format!("{module}.{parameter}");
        let (stack, shape) = match part.tensor.shape[..] {
            [rows, columns] => (None, [rows, columns]),
            [count, rows, columns] => (Some(count), [rows, columns]),
            _ => return Err(part.undecodable("is no matrix").into()),
        };
        let dtype = match part.tensor.dtype {
            // `Int4Tensor` alone has the outputs last, and never integers for zero points.
            Dtype::I8 if let Some(zero) = zero.filter(|zero| !is_integer(zero) && ends_in_outputs(scale, shape[0])) => {
                if is_square(scale) {
                    let reason = "is square, so that it is not known which of its lines belong to outputs";
                    return Err(scale.undecodable(reason).into());
                }
                return self.torchao_int4(part, &name, stack, shape, [scale, zero]);
            }
            Dtype::I8 => "INT8",
            Dtype::F8_E4M3 => "F8_E4M3",
            Dtype::F8_E5M2 => "F8_E5M2",
            dtype => return Err(unsupported(&dtype.to_string())),
        };
        let (groups, grouping) = self.grouping(scale, shape, stack, even(scale, shape))?;
        let zero = zero.map(|zero| (zero.clone(), ZeroCode::Numbers));
        Ok(stacked(&name, dtype, Grid { zero, grouping, ..grid(part, shape, Some(scale), groups) }, stack))
    }

    /// Two signed codes to a byte, with scales and zero points as `[groups, out]`.
    fn torchao_int4(
        &self,
        part: &Part,
        name: &str,
        stack: Option<usize>,
        [rows, bytes]: [usize; 2],
        [scale, zero]: [&Part; 2],
    ) -> Result<Weight, QuantizationError> {
        let shape = [rows, 2 * bytes];
        let mut turned = scale.clone();
        let last = turned.tensor.shape.len().saturating_sub(2);
        turned.tensor.shape[last..].reverse();
        let (groups, grouping) = self.grouping(&turned, shape, stack, even(&turned, shape))?;
        let grid = Grid {
            code: Code::Pairs { number: Nibble::Int, axis: Axis::Columns },
            turned: true,
            zero: Some((zero.clone(), ZeroCode::Added)),
            grouping,
            ..grid(part, shape, Some(scale), groups)
        };
        Ok(stacked(name, "INT4", grid, stack))
    }
}

fn ends_in_outputs(scale: &Part, outputs: usize) -> bool {
    scale.tensor.shape.len() > 1 && scale.tensor.shape.last() == Some(&outputs)
}

fn is_square(scale: &Part) -> bool {
    matches!(scale.tensor.shape[..], [.., rows, columns] if rows == columns)
}

fn is_integer(part: &Part) -> bool {
    matches!(part.tensor.dtype, Dtype::I8 | Dtype::U8 | Dtype::I16 | Dtype::I32 | Dtype::I64)
}

/// The rows and columns of a group, which torchao lets divide the matrix.
fn even(scale: &Part, shape: [usize; 2]) -> [Option<usize>; 2] {
    let [.., rows, columns] = scale.tensor.shape[..] else { return [None; 2] };
    let size = |lines: usize, groups: usize| (groups > 0 && lines.is_multiple_of(groups)).then(|| lines / groups);
    [size(shape[0], rows), size(shape[1], columns)]
}
