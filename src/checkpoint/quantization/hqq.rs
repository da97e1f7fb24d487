//! The tensors of a weight in HQQ's format (Badri and Shaji, 2023).

use super::assemble::{Stored, WEIGHT};
use super::folded::{Folded, Packing};
use super::{QuantizationError, Quantized, Scheme, codes};
use crate::checkpoint::part::Part;
use crate::checkpoint::weight::{Storage, Weight};

const PACKINGS: [(f64, Packing); 5] = [
    (8.0, Packing { dtype: "INT8", bits: 8, fields: 1, word: 1 }),
    (4.0, Packing { dtype: "INT4", bits: 4, fields: 2, word: 1 }),
    (3.0, Packing { dtype: "INT3", bits: 3, fields: 10, word: 4 }),
    (2.0, Packing { dtype: "INT2", bits: 2, fields: 4, word: 1 }),
    (1.0, Packing { dtype: "INT1", bits: 1, fields: 8, word: 1 }),
];

impl Stored<'_> {
    /// The weight whose codes are `part`. All about it is in tensors of one number or two.
    pub fn hqq(&self, part: &Part, base: &str) -> Result<Weight, QuantizationError> {
        let mut settings = Vec::new();
        let mut setting = |name: &str| -> Result<Option<Vec<f64>>, QuantizationError> {
            let Some(setting) = self.find(&format!("{base}.{name}")) else { return Ok(None) };
            let bytes = self.describe(setting, part)?;
            let numbers = codes::numbers(setting.tensor.dtype, &bytes).unwrap_or_default();
            settings.push((setting.clone(), numbers.clone()));
            Ok(Some(numbers))
        };
        for flag in ["quant_scale", "quant_zero"] {
            if setting(flag)?.is_some_and(|numbers| numbers != [0.0]) {
                return Err(QuantizationError::Unsupported("hqq, with quantised scales or zero points".into()));
            }
        }
        let [bits, axis, size, shape] = ["nbits", "axis", "group_size", "shape"].map(setting);
        let (bits, axis, size, shape) = (bits?, axis?, size?, shape?);
        let packing = bits.and_then(|bits| PACKINGS.into_iter().find(|(width, _)| bits == [*width]));
        let Some((_, packing)) = packing else {
            return Err(part.undecodable("has no width that HQQ packs").into());
        };
        let is_by_line = axis.is_some_and(|axis| axis == [1.0]);
        let shape = shape.as_deref().and_then(extents::<2>);
        let size = size.as_deref().map(extents::<1>);
        let fold = shape.and_then(|shape| fold(shape, size, is_by_line));
        let (Some(shape), Some(fold)) = (shape, fold) else {
            return Err(part.undecodable("has no shape that can be folded").into());
        };
        let folded = Folded {
            codes: part.clone(),
            scale: self.need(&format!("{base}.scale"), part)?.clone(),
            zero: self.need(&format!("{base}.zero"), part)?.clone(),
            packing,
            fold,
            is_by_line,
            settings,
        };
        if folded.size() != Some(part.tensor.size()) {
            return Err(part.undecodable("does not fit to the tensors that describe it").into());
        }
        let storage = Storage::Quantized(Box::new(Quantized { dtype: packing.dtype, scheme: Scheme::Folded(folded) }));
        Ok(Weight { name: format!("{base}{WEIGHT}"), shape: shape.to_vec(), storage })
    }
}

/// Numbers that are extents; `None` if they are not `N` positive whole numbers.
fn extents<const N: usize>(numbers: &[f64]) -> Option<[usize; N]> {
    let numbers: [f64; N] = numbers.try_into().ok()?;
    let is_extent = |number: &f64| number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(number);
    numbers.iter().all(is_extent).then(|| numbers.map(|number| number as usize))
}

/// The lines and the width of the folded matrix. Without groups of a `size` it is not folded.
fn fold([rows, columns]: [usize; 2], size: Option<Option<[usize; 1]>>, is_by_line: bool) -> Option<[usize; 2]> {
    let Some(size) = size else { return Some([rows, columns]) };
    let [size] = size?;
    let count = rows.checked_mul(columns).filter(|count| count.is_multiple_of(size))?;
    Some(if is_by_line { [count / size, size] } else { [size, count / size] })
}
