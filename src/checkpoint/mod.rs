//! Reads a model's weight files.
//!
//! [`Checkpoint::open`] finds the files and reads little more than their headers, so that everything to scan is known before
//! the first weight is read or downloaded. It assembles the stored tensors, also quantised ones, to the weights of the model
//! ([`Weight`]), under the model's own names. If a folder has no weights, the error says what it contains instead.
//! [`Matrices`] then reads the weights as plain numbers while their files arrive.

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
mod lora;
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
mod sentence_transformers;
mod shard;
mod weight;
mod wrappers;

use std::borrow::Cow;
use std::sync::Arc;

pub use alike::Look;
pub(crate) use config::{Config, MAX_LAYERS};
pub use error::CheckpointError;
pub use header::TensorInfo;
pub(crate) use lora::Lora;
pub use lora::{LoraError, LowRank};
pub use matrices::Matrices;
pub use matrix::{Elements, Matrix};
pub(crate) use part::Part;
pub use quantization::{Coded, Undecodable};
#[cfg(feature = "cuda")]
pub(crate) use quantization::{Groups, Layout, Order};
pub use safetensors::Dtype;
pub use selection::Selection;
pub(crate) use selection::{Axis, Band};
pub(crate) use shard::Shard;
pub(crate) use weight::Storage;
pub use weight::Weight;
use wrappers::Wrappers;

/// A model's weights as the headers of its files describe them.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// One model, or the components of a pipeline.
    pub components: Vec<Component>,
    pub shards: Vec<Shard>,
    /// The folders of modules beside the model that have weights, too, but are not read: those that sentence-transformers puts
    /// after a transformer.
    pub beside: Vec<String>,
}

/// A model with a configuration of its own.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its folder in the pipeline; `None` for a model without components.
    pub name: Option<String>,
    pub config: Config,
    /// The name of the format if some weights are quantised.
    pub quantization: Option<String>,
    pub weights: Vec<Arc<Weight>>,
    /// The stored tensors that are no weights by themselves.
    pub others: Vec<OtherTensor>,
    /// What training tools have left in the stored names, and is taken off in all others.
    pub wrappers: Vec<&'static str>,
    /// Whether this may be only a part of the model, such as one shard of several.
    pub is_part: bool,
}

/// A stored tensor that is no weight by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherTensor {
    /// The model's own name for it.
    pub name: String,
    /// Its name in the file, if training tools have left something in it.
    pub stored: Option<String>,
    pub why: Other,
}

/// Why a stored tensor is no weight by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The index does not list it.
    Unlisted,
    /// It belongs to a quantised weight, such as its scales or zero points.
    Companion,
    /// It is a factor of an adapter that is stored beside the model's weights.
    Factor,
    /// It belongs to a module of which a trained copy is stored beside it.
    Replaced,
    /// Its type is not supported.
    Unreadable,
}

impl OtherTensor {
    /// A tensor that is stored under the model's own name.
    pub fn new(name: &str, why: Other) -> Self {
        Self { name: name.to_owned(), stored: None, why }
    }

    fn of_stored(stored: String, why: Other, wrappers: &Wrappers) -> Self {
        match wrappers.own(&stored) {
            Cow::Owned(name) => Self { name, stored: Some(stored), why },
            Cow::Borrowed(_) => Self { name: stored, stored: None, why },
        }
    }

    fn of_part(part: Part, why: Other) -> Self {
        Self { name: part.tensor.name, stored: part.stored, why }
    }
}

impl Component {
    /// The name of one of its tensors in the whole checkpoint.
    pub fn full_name(&self, name: &str) -> String {
        self.name.as_ref().map_or_else(|| name.to_owned(), |component| format!("{component}.{name}"))
    }

    pub fn tensor_names(&self) -> impl Iterator<Item = &str> + Clone {
        let weights = self.weights.iter().map(|weight| weight.name.as_str());
        weights.chain(self.others.iter().map(|other| other.name.as_str()))
    }
}

impl Checkpoint {
    /// The weights with their names in the whole checkpoint.
    pub fn weights(&self) -> impl Iterator<Item = (String, Arc<Weight>)> {
        self.components.iter().flat_map(|component| {
            component.weights.iter().map(|weight| (component.full_name(&weight.name), Arc::clone(weight)))
        })
    }
}
