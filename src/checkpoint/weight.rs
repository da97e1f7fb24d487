//! Stored tensors -> the tensors of the model.
//!
//! Most are stored as they are; a quantised one is made of several stored tensors and has the name and the shape that it
//! had before.

use safetensors::Dtype;

use super::part::Part;
use super::quantization::Quantized;
use super::selection::Selection;

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
