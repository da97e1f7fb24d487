//! The model around a scan, as far as its trainer needs it: the names that a pattern meets beside those of the scan.

use crate::modules::Info;

/// What is known of a model beside the modules of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The model as trainers know it: a Hub id, or a folder's name.
    pub model: String,
    /// What the architecture of each of its components is called, where that is known.
    pub model_types: Vec<String>,
    /// The line of transformers whose names in memory these are: 4 or 5.
    pub transformers: u8,
    /// Its components, if it is a pipeline of several.
    pub components: Vec<String>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: bool,
    /// Its linear modules that are not in the scan: heads, routers, and what was kept out.
    pub modules: Vec<Info>,
    /// What its other tensors are called in memory.
    pub names: Vec<String>,
}
