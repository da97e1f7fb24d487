//! A matrix that is folded to another width before lines far apart share a word, as HQQ does it.

use super::{Read, Undecodable, codes};
use crate::checkpoint::part::Part;

/// A matrix whose elements in row-major order are the lines of a folded one, each element `(code - zero) * scale` with the
/// scale and zero point of its line or of its place in the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    pub codes: Part,
    pub scale: Part,
    pub zero: Part,
    pub packing: Packing,
    /// The number of lines and their width.
    pub fold: [usize; 2],
    /// Whether each line has a scale, and not each place in a line.
    pub is_by_line: bool,
    /// The tensors that describe the weight, with the numbers that they must contain.
    pub settings: Vec<(Part, Vec<f64>)>,
}

/// How lines share words: the first of them are in the highest bits of all words, the next in those below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    pub dtype: &'static str,
    pub bits: u32,
    /// The number of codes in a word.
    pub fields: usize,
    /// The bytes of a word.
    pub word: usize,
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
    pub fn size(&self) -> Option<u64> {
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
