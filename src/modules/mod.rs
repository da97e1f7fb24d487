//! Tensor names -> linear modules.
//!
//! Which weights are those of linear modules, what such a module is called, which layer it belongs to and which modules
//! are compared with each other (its type) is decided from names, shapes and the model's configuration alone: by rules
//! that hold across architectures (`name.rs`, `class.rs`, `model.rs`), and by a table for what differs between them
//! (`architectures`).

mod architectures;
mod class;
mod discovery;
mod filter;
mod fused;
mod gaps;
mod info;
mod layers;
mod left_out;
mod missing;
mod model;
pub(crate) mod name;
mod pattern;
mod runtime;
mod siblings;
mod sorted;
mod tied;

use std::sync::Arc;

pub(crate) use architectures::{Architecture, Refused};
pub use class::Class;
pub(crate) use class::{by_name as class_by_name, is_head, is_output};
pub use discovery::discover;
pub(crate) use filter::compile;
pub use filter::{Filter, FilterError};
pub use info::{InMemory, Info};
pub use left_out::{LeftOut, Reason};
pub use missing::{Cause, Missing, UnreadableError, check as check_readable, warnings};
pub(crate) use model::without_expert;
pub(crate) use pattern::meant;
pub use runtime::Line;
pub use tied::Alike;

use crate::checkpoint::{Selection, Weight};

/// The end of the name of a module's weight.
pub(crate) const WEIGHT: &str = ".weight";

/// A matrix that is measured: the weight of a linear module, of one expert, or of a part of a fused module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// What it is.
    pub info: Info,
    /// The weight that it is, or is in.
    pub weight: Arc<Weight>,
    /// The name by which the whole checkpoint knows the weight.
    pub tensor: String,
    /// Where in the weight it is.
    pub selection: Selection,
}

impl Module {
    /// Rows and columns, as stored. Of a missing module they are those of what is stored in its place.
    pub fn shape(&self) -> [usize; 2] {
        self.selection.shape(&self.weight.shape)
    }
}

/// What is to be measured beside the linear modules within the layers, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Heads, routers and embeddings' projections too.
    pub all_linear: bool,
    /// Convolutions too, in models where they are not measured anyway.
    pub convolutions: bool,
    /// The parts of fused modules too.
    pub parts: bool,
    /// The line of transformers whose names in memory are given.
    pub line: Line,
}

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Its linear modules, in model order: by layer, and within a layer as the model runs through them.
    pub modules: Vec<Module>,
    /// All its other tensors.
    pub left_out: Vec<LeftOut>,
    /// The linear modules among those: heads, routers, and what a filter keeps out.
    pub others: Vec<Module>,
    /// What the rest of those is called in memory: a trainer's patterns meet it too.
    pub names: Vec<String>,
    /// The linear modules that are to be measured, but cannot be: their weights are not there, or not as matrices that can
    /// be read.
    pub missing: Vec<Missing>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: bool,
    /// The architectures for which there is no row in the table, so that general rules had to do.
    pub unknown: Vec<String>,
}
