//! Quantised weights: which stored tensors belong together, and what numbers they stand for.
//!
//! [`Method::of`] reads from the configuration how a model was quantised, [`assemble`] finds the tensors of each
//! quantised weight by their names and checks that they fit each other, and [`Quantized::decode`] computes the numbers in
//! float64 from the stored ones by the format's own formula. What is not understood is refused: singular values of codes
//! would be numbers without meaning.

mod assemble;
mod codes;
mod formats;
mod grid;
mod lookup;
mod method;

use std::borrow::Cow;
use std::ops::Range;

use grid::Grid;
use lookup::Lookup;

pub use assemble::assemble;
pub use method::Method;

use super::part::Part;

/// What reads a range of a stored tensor's bytes.
pub type Read<'a> = dyn Fn(&Part, Range<u64>) -> Result<Cow<'a, [u8]>, Undecodable> + 'a;

/// A weight that is stored as codes.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    dtype: &'static str,
    scheme: Scheme,
}

#[derive(Clone, Debug, PartialEq)]
enum Scheme {
    Grid(Grid),
    Lookup(Lookup),
}

/// A tensor does not hold what its format says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the tensor '{tensor}' {reason}")]
pub struct Undecodable {
    /// The tensor.
    pub tensor: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a quantised model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QuantizationError {
    /// A format that is not known here.
    #[error("is quantised ({0}), which laser-scan cannot read: scan the model that it was made from")]
    Unsupported(String),
    /// Codes without the configuration that says what they are.
    #[error(
        "holds quantised weights ({0}), but no config.json that describes them: put the model's own beside them and name the folder, or scan the model that it was made from"
    )]
    Undescribed(String),
    /// Tensors do not fit each other.
    #[error(
        "holds quantised weights that cannot be read: {0}; download or copy the model again, or scan the model that it was made from"
    )]
    Undecodable(#[from] Undecodable),
}

impl Part {
    fn undecodable(&self, reason: &str) -> Undecodable {
        Undecodable { tensor: self.tensor.name.clone(), reason: reason.to_owned() }
    }

    /// All of the tensor's bytes.
    fn read<'a>(&self, read: &Read<'a>) -> Result<Cow<'a, [u8]>, Undecodable> {
        read(self, 0..self.tensor.bytes.end - self.tensor.bytes.start)
    }

    /// The tensor's numbers.
    fn numbers(&self, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        codes::numbers(self.tensor.dtype, &self.read(read)?).ok_or_else(|| self.undecodable("has no numbers in it"))
    }
}

impl Quantized {
    /// The name of the codes' type, such as `INT4`.
    pub fn dtype(&self) -> &'static str {
        self.dtype
    }

    /// The stored tensors, the codes first.
    pub fn parts(&self) -> Vec<&Part> {
        match &self.scheme {
            Scheme::Grid(grid) => grid.parts(),
            Scheme::Lookup(lookup) => lookup.parts(),
        }
    }

    /// What the numbers depend on beside the bytes of the stored tensors: the format, and what the configuration says.
    pub fn description(&self) -> String {
        match &self.scheme {
            Scheme::Grid(grid) => format!("{} {}", self.dtype, grid.description()),
            Scheme::Lookup(_) => self.dtype.to_owned(),
        }
    }

    /// The numbers of the matrix at `index` of a stack, or of the only one, row after row, in float64. `read` gives the
    /// bytes of a stored tensor.
    ///
    /// # Errors
    ///
    /// Fails if a tensor cannot be read, or does not hold what the format says.
    pub fn decode(&self, index: usize, read: &Read<'_>) -> Result<Vec<f64>, Undecodable> {
        match &self.scheme {
            Scheme::Grid(grid) => grid.decode(index, read),
            Scheme::Lookup(lookup) => lookup.decode(read),
        }
    }
}
