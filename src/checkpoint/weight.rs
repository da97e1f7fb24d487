//! Stored tensors -> the tensors of the model, and the matrices within them.
//!
//! A [`Weight`] is a tensor as the model knows it. Most are stored as they are; a quantised one is made of several stored
//! tensors and has the name and the shape that it had before. A [`Selection`] picks one matrix out of a weight: one expert
//! of a stack, or the rows of a fused projection that make its queries.

use std::ops::Range;

use safetensors::Dtype;

use super::header::TensorInfo;
use super::quantization::Quantized;

/// A stored tensor and where it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which shard holds it, by its place among the checkpoint's shards.
    pub shard: usize,
    /// The tensor.
    pub tensor: TensorInfo,
}

/// A tensor as the model knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Its name; that of a quantised one is what it was before.
    pub name: String,
    /// Its extents, slowest first; those of a quantised one are what they were before.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub storage: Storage,
}

/// How a weight is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    /// As it is.
    Plain(Part),
    /// As codes with what turns them into numbers.
    Quantized(Box<Quantized>),
}

impl Weight {
    /// The weight that is stored as it is in `part`.
    pub fn plain(part: Part) -> Self {
        Self { name: part.tensor.name.clone(), shape: part.tensor.shape.clone(), storage: Storage::Plain(part) }
    }

    /// The name of the elements' type, such as `BF16` or `NF4`.
    pub fn dtype(&self) -> String {
        match &self.storage {
            Storage::Plain(part) => part.tensor.dtype.to_string(),
            Storage::Quantized(quantized) => quantized.dtype().to_owned(),
        }
    }

    /// Whether singular values of the weight mean something: it is stored as floating-point numbers, or as codes that
    /// are turned into such.
    pub fn is_floating(&self) -> bool {
        match &self.storage {
            Storage::Plain(part) => {
                matches!(part.tensor.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
            }
            Storage::Quantized(_) => true,
        }
    }

    /// The stored tensors that it is made of.
    pub fn parts(&self) -> Vec<&Part> {
        match &self.storage {
            Storage::Plain(part) => vec![part],
            Storage::Quantized(quantized) => quantized.parts(),
        }
    }

    /// The shards that it needs, in ascending order.
    pub fn shards(&self) -> Vec<usize> {
        let mut shards: Vec<usize> = self.parts().iter().map(|part| part.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The bytes of memory that the matrix `selection` of the weight takes once it is read, with those that reading it
    /// takes on the way.
    pub fn bytes_in_memory(&self, selection: &Selection) -> u64 {
        let matrix = |selection: &Selection| selection.shape(&self.shape).iter().product::<usize>() as u64;
        match &self.storage {
            Storage::Plain(part) => {
                let element = part.tensor.dtype.bitsize() as u64 / 8;
                let copies = if selection.band.as_ref().is_some_and(|band| !band.is_block_of_rows()) { 2 } else { 1 };
                copies * element * matrix(&selection.without_band())
            }
            Storage::Quantized(quantized) => {
                let whole = 8 * matrix(&selection.without_band());
                let stored = |part: &&Part| part.tensor.bytes.end - part.tensor.bytes.start;
                let parts: u64 = quantized.parts().iter().map(stored).sum();
                let count = if selection.index.is_some() { self.shape[0].max(1) as u64 } else { 1 };
                // Scales and zero points are widened; codes are looked at twice.
                whole + 2 * parts / count + if selection.band.is_some() { 8 * matrix(selection) } else { 0 }
            }
        }
    }
}

/// Which matrix of a weight is meant. Of a weight with more than two dimensions the whole is the matrix
/// `[first, product of the others]`, as a convolution is flattened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of a stack, the matrix at this place of the first dimension.
    pub index: Option<usize>,
    /// Some of its rows or columns only.
    pub band: Option<Band>,
}

/// Some rows, or some columns, of a matrix: those whose number modulo `period` lies in `range`.
///
/// With the period of the whole extent that is one block; with a shorter one, what is interleaved head by head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Whether rows or columns are picked.
    pub axis: Axis,
    /// After how many lines the pattern repeats; it divides the extent.
    pub period: usize,
    /// The lines of each period that are meant.
    pub range: Range<usize>,
    /// How many periods there are.
    pub repeats: usize,
}

/// A direction in a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// From row to row.
    Rows,
    /// From column to column.
    Columns,
}

impl Band {
    /// Whether the band is one block of whole rows, which lies in one piece in memory.
    pub fn is_block_of_rows(&self) -> bool {
        self.axis == Axis::Rows && self.repeats == 1
    }

    /// How many lines it has.
    fn len(&self) -> usize {
        self.range.len() * self.repeats
    }
}

impl Selection {
    /// The matrix at `index` of a stack.
    pub fn at(index: usize) -> Self {
        Self { index: Some(index), band: None }
    }

    /// The whole matrix of which the band is a part.
    pub fn without_band(&self) -> Self {
        Self { index: self.index, band: None }
    }

    /// Rows and columns of the matrix that is meant, of a weight of this shape.
    pub fn shape(&self, weight: &[usize]) -> [usize; 2] {
        let matrix = if self.index.is_some() { &weight[1..] } else { weight };
        let (first, rest) = matrix.split_first().map_or((1, &[][..]), |(first, rest)| (*first, rest));
        let mut shape = [first, rest.iter().product()];
        if let Some(band) = &self.band {
            shape[usize::from(band.axis == Axis::Columns)] = band.len();
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_has_a_shape() {
        assert_eq!(Selection::default().shape(&[8, 3, 2, 2]), [8, 12]);
        assert_eq!(Selection::at(3).shape(&[4, 8, 6]), [8, 6]);
        let band = |axis, period, range, repeats| Some(Band { axis, period, range, repeats });
        let queries = Selection { index: None, band: band(Axis::Rows, 6, 0..2, 4) };
        assert_eq!(queries.shape(&[24, 10]), [8, 10]);
        let columns = Selection { index: Some(0), band: band(Axis::Columns, 10, 5..10, 1) };
        assert_eq!(columns.shape(&[4, 24, 10]), [24, 5]);
    }
}
