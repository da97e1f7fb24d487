//! Files -> tensors.
//!
//! [`Checkpoint::open`] finds out which files hold a model's weights and reads their headers, and hardly anything else
//! of them: what there is to scan is known before the first weight is read or downloaded. It says what the stored
//! tensors are to the model ([`Weight`]), quantised ones too, and of a folder without weights, what it holds instead
//! ([`Absence`]). [`Matrices`] reads the weights, as far as their bytes are there, as plain data.

mod absence;
mod adapter;
mod alike;
mod config;
mod description;
mod entries;
mod error;
mod excerpt;
mod explain;
mod files;
mod header;
mod index;
mod matrices;
mod matrix;
mod numbered;
mod open;
mod outline;
mod part;
mod pickle;
mod pipeline;
mod quantization;
mod selection;
mod shard;
mod weight;

use std::sync::Arc;

pub use absence::Absence;
pub use alike::Look;
pub use config::{Config, MAX_LAYERS};
pub use error::CheckpointError;
pub use header::{HeaderError, TensorInfo};
pub use index::{Index, IndexError};
pub use matrices::Matrices;
pub use matrix::{Elements, Matrix};
pub use part::Part;
pub use pickle::PickleError;
pub use quantization::{QuantizationError, Quantized, Undecodable};
pub use safetensors::Dtype;
pub use selection::{Axis, Band, Selection};
pub use shard::Shard;
pub use weight::{Storage, Weight};

/// A model's weight files, headers read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The models that the checkpoint is made of: one, or the components of a pipeline.
    pub components: Vec<Component>,
    /// The files that hold weights.
    pub shards: Vec<Shard>,
}

/// A model with a configuration of its own.
#[derive(Debug)]
pub struct Component {
    /// Its folder in the pipeline; none where it is the whole model.
    pub name: Option<String>,
    /// What its config.json says.
    pub config: Config,
    /// The name of the format that its weights are quantised in, if some are.
    pub quantization: Option<String>,
    /// Its tensors.
    pub weights: Vec<Arc<Weight>>,
    /// Stored tensors that are no weights, with what they are instead.
    pub others: Vec<(String, Other)>,
    /// Whether what is read may be a part of it only, as one shard of several is: then nothing tells what else it has.
    pub is_part: bool,
}

/// What a stored tensor is that is no weight by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It is in a shard, but not in the index.
    Unlisted,
    /// It is a part of a quantised weight: scales, zero points and the like.
    Companion,
    /// It is a factor of an adapter that is stored beside the model's weights.
    Factor,
    /// It is stored in a way that is not read.
    Unreadable,
}

impl Component {
    /// The name by which the whole checkpoint knows what the component calls `name`.
    pub fn full_name(&self, name: &str) -> String {
        self.name.as_ref().map_or_else(|| name.to_owned(), |component| format!("{component}.{name}"))
    }

    /// The names of all its stored tensors, whatever they are.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        let weights = self.weights.iter().map(|weight| weight.name.as_str());
        weights.chain(self.others.iter().map(|(name, _)| name.as_str()))
    }
}

impl Checkpoint {
    /// The weights by the names under which the whole checkpoint knows them.
    pub fn weights(&self) -> impl Iterator<Item = (String, Arc<Weight>)> {
        self.components.iter().flat_map(|component| {
            component.weights.iter().map(|weight| (component.full_name(&weight.name), Arc::clone(weight)))
        })
    }
}
