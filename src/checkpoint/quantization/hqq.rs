//! HQQ's format (Badri and Shaji, 2023): the matrix is folded to another width before lines far apart share a word.

use super::assemble::{Stored, WEIGHT};
use super::{QuantizationError, Quantized, Read, Scheme, Undecodable, codes};
use crate::checkpoint::part::Part;
use crate::checkpoint::weight::{Storage, Weight};

/// A matrix whose elements in row-major order are the lines of a folded one, each element `(code - zero) * scale` with the
/// scale and zero point of its line or of its place in the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    codes: Part,
    scale: Part,
    zero: Part,
    packing: Packing,
    /// The number of lines and their width.
    fold: [usize; 2],
    /// Whether each line has a scale, and not each place in a line.
    is_by_line: bool,
    /// The tensors that describe the weight, with the numbers that they must contain.
    settings: Vec<(Part, Vec<f64>)>,
}

/// How lines share words: the first of them are in the highest bits of all words, the next in those below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packing {
    dtype: &'static str,
    bits: u32,
    /// The number of codes in a word.
    fields: usize,
    /// The bytes of a word.
    word: usize,
}

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

impl Folded {
    pub fn parts(&self) -> Vec<&Part> {
        let settings = self.settings.iter().map(|(part, _)| part);
        [&self.codes, &self.scale, &self.zero].into_iter().chain(settings).collect()
    }

    /// The number of lines that have a word each.
    fn step(&self) -> usize {
        self.fold[0].div_ceil(self.packing.fields)
    }

    /// The bytes of the codes.
    fn size(&self) -> Option<u64> {
        let bytes = self.step().checked_mul(self.fold[1])?.checked_mul(self.packing.word)?;
        u64::try_from(bytes).ok()
    }

    pub fn decode(&self, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        for (part, expected) in &self.settings {
            if part.numbers(read)? != *expected {
                let reason = format!("does not say {expected:?}, as it does for other modules of the type");
                return Err(part.undecodable(&reason));
            }
        }
        let [lines, width] = self.fold;
        let Packing { bits, fields, word, .. } = self.packing;
        let (scales, zeros) = (self.of_groups(&self.scale, read)?, self.of_groups(&self.zero, read)?);
        let bytes = self.codes.read(read)?;
        let words: Vec<u32> =
            if word == 1 { bytes.iter().map(|byte| u32::from(*byte)).collect() } else { codes::words(&bytes) };
        let mut matrix = Vec::with_capacity(lines * width);
        for line in 0..lines {
            let shift = bits * (fields - 1 - line / self.step()) as u32;
            let first = line % self.step() * width;
            for (at, word) in words[first..][..width].iter().enumerate() {
                let code = word >> shift & (u32::MAX >> (32 - bits));
                let group = if self.is_by_line { line } else { at };
                matrix.push((f64::from(code) - zeros[group]) * scales[group]);
            }
        }
        Ok(matrix)
    }

    /// The number of each group in `part`, which may hold one for all.
    fn of_groups(&self, part: &Part, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        let groups = self.fold[usize::from(!self.is_by_line)];
        let numbers = part.numbers(read)?;
        match numbers[..] {
            [number] => Ok(vec![number; groups]),
            _ if numbers.len() == groups => Ok(numbers),
            _ => Err(part.undecodable("has not one number for each group")),
        }
    }
}
