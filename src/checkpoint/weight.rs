//! The tensors of a model. Most are stored directly; a quantised one consists of several stored tensors and has the name and
//! the shape that it had before quantisation.

use safetensors::Dtype;

use super::part::Part;
use super::quantization::Quantized;
use super::selection::Selection;

#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    pub name: String,
    /// The extents, the slowest dimension first.
    pub shape: Vec<usize>,
    pub storage: Storage,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Storage {
    Plain(Part),
    Quantized(Box<Quantized>),
}

impl Weight {
    pub fn plain(part: Part) -> Self {
        Self { name: part.tensor.name.clone(), shape: part.tensor.shape.clone(), storage: Storage::Plain(part) }
    }

    /// Its name in the file, if it is stored as it is, and training tools have left something in its name.
    pub fn stored_name(&self) -> Option<&str> {
        let stored = self.parts().into_iter().next().filter(|part| part.tensor.name == self.name)?;
        stored.stored.as_deref()
    }

    /// The name of the stored type, such as `BF16` or `NF4`.
    pub fn dtype(&self) -> String {
        match &self.storage {
            Storage::Plain(part) => part.tensor.dtype.to_string(),
            Storage::Quantized(quantized) => quantized.dtype().to_owned(),
        }
    }

    /// Everything that its numbers depend on except for its shape and the stored bytes.
    pub fn description(&self) -> String {
        match &self.storage {
            Storage::Plain(_) => self.dtype(),
            Storage::Quantized(quantized) => quantized.description(),
        }
    }

    /// Whether the weight has floating-point numbers, stored or decoded; only their singular values are meaningful.
    pub fn is_floating(&self) -> bool {
        match &self.storage {
            Storage::Plain(part) => matches!(part.tensor.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16),
            Storage::Quantized(_) => true,
        }
    }

    pub fn parts(&self) -> Vec<&Part> {
        match &self.storage {
            Storage::Plain(part) => vec![part],
            Storage::Quantized(quantized) => quantized.parts(),
        }
    }

    /// The indices of the shards that contain the weight, in ascending order.
    pub fn shards(&self) -> Vec<usize> {
        let mut shards: Vec<usize> = self.parts().iter().map(|part| part.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The memory in bytes for the matrix `selection` of the weight, including that for reading it.
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
                let parts: u64 = quantized.parts().iter().map(|part| part.tensor.size()).sum();
                let count = if selection.index.is_some() { self.shape[0].max(1) as u64 } else { 1 };
                // Stored parts count twice: scales and zero points are converted to wider types, and packed codes are copied.
                whole + 2 * parts / count + if selection.band.is_some() { 8 * matrix(selection) } else { 0 }
            }
        }
    }
}
