//! Tensor names -> linear modules.
//!
//! Names, shapes and the model's configuration alone decide which weights belong to linear modules, what such a module
//! is called, to which layer it belongs, and with which modules it is compared (its type). Rules that hold for all
//! architectures are in `places.rs`, `name.rs`, `role.rs` and `model.rs`; what differs between architectures is in a table
//! (`architectures`).

mod adapted;
mod architectures;
mod change;
mod convolution;
mod discovery;
mod filter;
mod fused;
mod gaps;
mod info;
mod layers;
mod left_out;
mod loading;
mod missing;
mod model;
pub(crate) mod name;
mod nothing;
mod pattern;
pub(crate) mod places;
mod role;
mod siblings;
mod sorted;
mod tied;
mod transposed;

use std::sync::Arc;

pub(crate) use adapted::{Adapted, AdaptedNames};
pub(crate) use architectures::{Architecture, Refused};
pub use change::Change;
pub use discovery::discover;
pub(crate) use filter::compile;
pub use filter::{Filter, FilterError};
pub use info::{InMemory, Info};
pub use left_out::{LeftOut, Reason};
pub use loading::{KnownBy, Line};
pub(crate) use loading::{is_renamed_elsewhere, rewritten_by_peft};
pub use missing::{Cause, Missing, UnreadableError, check as check_readable, warnings};
pub(crate) use model::{attention_input, is_expert, without_expert};
pub use nothing::{NoModuleError, check as check_any};
pub(crate) use pattern::meant;
pub use role::Role;
pub(crate) use role::{by_name as role_by_name, is_head, is_output};
pub use tied::Alike;

use crate::checkpoint::{Selection, Weight};

/// The ending of the name of a module's weight.
pub(crate) const WEIGHT: &str = ".weight";

/// A matrix that is measured: the weight of a linear module, of one expert, or of a part of a fused module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    pub info: Info,
    /// The weight that holds the matrix.
    pub weight: Arc<Weight>,
    /// The weight's name in the whole checkpoint.
    pub tensor: String,
    /// Where in the weight the matrix is.
    pub selection: Selection,
    /// What a fine-tuned model makes of the matrix, if this is what is measured.
    pub change: Option<Change>,
}

impl Module {
    /// Rows and columns as stored; for a missing module, those of what is stored in its place.
    pub fn shape(&self) -> [usize; 2] {
        self.selection.shape(&self.weight.shape)
    }

    /// The stored matrices that are read to measure it.
    pub fn matrices(&self) -> impl Iterator<Item = (&Weight, &Selection)> {
        let own = (&*self.weight, &self.selection);
        std::iter::once(own).chain(self.change.iter().flat_map(Change::matrices))
    }

    /// The indices of the shards that are read to measure it, in ascending order.
    pub fn shards(&self) -> Vec<usize> {
        let mut shards: Vec<usize> = self.matrices().flat_map(|(weight, _)| weight.shards()).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The bytes of memory for the measured matrix, including those for reading it.
    pub fn bytes_in_memory(&self) -> u64 {
        let read = self.matrices().map(|(weight, selection)| weight.bytes_in_memory(selection)).sum::<u64>();
        // A difference is computed in float64.
        read + if self.change.is_some() { 8 * self.shape().iter().product::<usize>() as u64 } else { 0 }
    }

    /// What one of its names, or that of its weight, is in the file, if training tools have left something in it.
    pub fn stored_as(&self, name: &str) -> Option<String> {
        let part = self.weight.parts().into_iter().next()?;
        let stored = part.stored.as_deref()?;
        let component = self.tensor.strip_suffix(&self.weight.name)?;
        let (component, within) = name.strip_prefix(component).map_or(("", name), |within| (component, within));
        let leaf = part.tensor.name.strip_prefix(within).filter(|leaf| leaf.is_empty() || leaf.starts_with('.'))?;
        Some(format!("{component}{}", stored.strip_suffix(leaf)?))
    }
}

/// What is to be measured besides the linear modules within the layers, and how modules are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Measure heads, routers and projections of embeddings too.
    pub all_linear: bool,
    /// Measure convolutions too, also in models where they are not measured by default.
    pub convolutions: bool,
    /// Measure the parts of fused modules too.
    pub parts: bool,
    /// The line of transformers whose names in memory are used.
    pub line: Line,
}

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The linear modules to measure, in model order: by layer, and within a layer in the order of computation.
    pub modules: Vec<Module>,
    /// All other tensors.
    pub left_out: Vec<LeftOut>,
    /// The linear modules among the tensors that are left out: heads, routers, and what a filter excludes.
    pub others: Vec<Module>,
    /// The names in memory of the rest of those tensors, because a trainer's patterns may match them too.
    pub names: Vec<String>,
    /// The linear modules that should be measured, but have no weight that can be read as a matrix.
    pub missing: Vec<Missing>,
    pub ties_embeddings: bool,
    /// The architectures without a row in the table, for which only the general rules were used.
    pub unknown: Vec<String>,
}
