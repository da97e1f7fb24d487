//! Decodes quantised weights.
//!
//! [`Method::of`] reads from the configuration how a model was quantised, [`assemble`] finds the tensors of each quantised
//! weight by their names and checks that they fit together, and [`Quantized::read`] reads the codes, of which [`Coded`] makes
//! numbers in float64 by the format's own formula. Unknown formats are refused, because the singular values of undecoded codes would be meaningless.

mod assemble;
mod bytes;
mod coded;
mod codes;
mod folded;
mod formats;
mod grid;
mod hqq;
mod lookup;
mod method;
mod packed;
mod torchao;

use std::ops::Range;

use folded::Folded;
use grid::Grid;
use lookup::Lookup;

pub use assemble::assemble;
pub use coded::Coded;
#[cfg(feature = "cuda")]
pub use coded::{Groups, Layout};
#[cfg(feature = "cuda")]
pub use codes::Order;
pub use codes::numbers;
pub use method::Method;

use super::part::Part;
use crate::source::Bytes;

pub type Read<'a> = dyn Fn(&Part, Range<u64>) -> Result<Bytes<'a>, Undecodable> + 'a;

/// What is read of a quantised matrix.
pub enum Codes<'a> {
    Coded(Box<Coded<'a>>),
    /// The numbers, of a stack that is read as a whole or of a format whose codes have no other form.
    Numbers(Vec<f64>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    dtype: &'static str,
    scheme: Scheme,
}

#[derive(Clone, Debug, PartialEq)]
enum Scheme {
    Grid(Grid),
    Lookup(Lookup),
    Folded(Folded),
}

/// Why a tensor cannot be decoded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the tensor '{tensor}' {reason}")]
pub struct Undecodable {
    pub tensor: String,
    /// The predicate of a sentence about the tensor.
    pub reason: String,
}

/// Why a quantised model cannot be read, as the predicate of a sentence about the model.
#[derive(Debug, thiserror::Error)]
pub enum QuantizationError {
    #[error("is quantised ({0}), which laser-scan cannot read: scan the model that it was made from")]
    Unsupported(String),
    #[error(
        "holds quantised weights ({0}), but no config.json that describes them: put the model's own beside them and name the folder, or scan the model that it was made from"
    )]
    Undescribed(String),
    #[error("holds quantised weights in a form that laser-scan cannot read: {0}; scan the model that it was made from")]
    Undecodable(#[from] Undecodable),
}

impl Part {
    fn undecodable(&self, reason: &str) -> Undecodable {
        Undecodable { tensor: self.stored_name().to_owned(), reason: reason.to_owned() }
    }

    fn read<'a>(&self, read: &Read<'a>) -> Result<Bytes<'a>, Undecodable> {
        read(self, 0..self.tensor.size())
    }

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
            Scheme::Folded(folded) => folded.parts(),
        }
    }

    /// Everything that the numbers depend on except for the stored bytes: the format and the settings from the configuration.
    pub fn description(&self) -> String {
        match &self.scheme {
            Scheme::Grid(grid) => format!("{} {}", self.dtype, grid.description()),
            Scheme::Lookup(_) | Scheme::Folded(_) => self.dtype.to_owned(),
        }
    }

    /// Reads the matrix at `index` of a stack, or the whole weight.
    pub fn read<'a>(&self, index: Option<usize>, read: &Read<'a>) -> Result<Codes<'a>, Undecodable> {
        let coded = match &self.scheme {
            Scheme::Grid(grid) => grid.read(index, read)?,
            Scheme::Lookup(lookup) => vec![lookup.read(read)?],
            Scheme::Folded(folded) => return folded.decode(read).map(Codes::Numbers),
        };
        Ok(match <[Coded<'a>; 1]>::try_from(coded) {
            Ok([one]) => Codes::Coded(Box::new(one)),
            Err(all) => Codes::Numbers(all.iter().flat_map(Coded::numbers).collect()),
        })
    }
}
