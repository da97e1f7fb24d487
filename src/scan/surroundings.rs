//! The model around a scan, as far as its trainer needs it: the names that a pattern meets beside those of the scan.

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::modules::{Class, Module};

/// What is known of a model beside the modules of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The model as trainers know it: a Hub id, or a folder's name.
    pub model: String,
    /// What the architecture of each of its components is called, where that is known.
    pub model_types: Vec<String>,
    /// The line of transformers whose names in memory these are: 4 or 5.
    pub transformers: u8,
    /// Its components, if it is a pipeline of several.
    #[serde(default)]
    pub components: Vec<String>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: bool,
    /// Its linear modules that are not in the scan: heads, routers, and what was kept out.
    pub modules: Vec<Other>,
    /// The modules of the scan that could not be measured.
    #[serde(default)]
    pub unmeasured: Vec<Other>,
    /// What its other tensors are called in memory.
    pub names: Vec<String>,
}

/// A linear module that is not in the scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Other {
    /// Its name on disk.
    pub module: String,
    /// The type that it would be ranked within.
    pub r#type: String,
    /// What it is for.
    pub class: Class,
    /// The layer that it belongs to.
    pub layer: Option<usize>,
    /// Rows and columns, where they are known.
    pub shape: Option<[usize; 2]>,
    /// What a trainer sees in memory.
    pub target: Vec<String>,
    /// Whether the target is a parameter of a module that is not linear itself.
    pub target_is_parameter: bool,
    /// Whether that parameter is a matrix, of which this is a block of rows.
    #[serde(default)]
    pub target_is_matrix: bool,
}

impl Other {
    /// What is told of `module`.
    pub fn new(module: &Module) -> Self {
        Self {
            module: module.name.clone(),
            r#type: module.kind.clone(),
            class: module.class,
            layer: module.layer,
            shape: module.known_shape(),
            target: module.targets_in_memory().to_vec(),
            target_is_parameter: module.is_parameter,
            target_is_matrix: module.is_matrix(),
        }
    }

    /// The module as an entry without a ratio.
    pub fn entry(&self) -> Entry {
        Entry {
            name: self.module.clone(),
            kind: self.r#type.clone(),
            layer: self.layer,
            snr: None,
            shape: self.shape,
            targets: self.target.clone(),
            is_parameter: self.target_is_parameter,
            is_matrix: self.target_is_matrix,
            part_of: None,
        }
    }
}
