//! Heads that are the embedding a second time.
//!
//! A head that is stored as one with the embedding shares its weight whatever `config.json` says. Where the two are stored
//! apart and the configuration or its class ties them, or nothing is known, their numbers decide, as they do for transformers:
//! other ones make a head of its own, but for version 4, which overwrites it. Where the configuration says that they are two,
//! the loaded model has two, whatever is in them. A head that is not stored is tied if the configuration or its class says so.

use std::collections::HashSet;

use super::architectures::Architecture;
use super::name::module_name;
use super::{Class, Line, class, runtime};
use crate::checkpoint::{Component, Config, Look, Weight};
use crate::source::SourceError;

/// What tells whether two weights are the same numbers, if that can be told before the scan.
pub type Alike<'a> = dyn Fn(&Weight, &Weight, Look) -> Result<Option<bool>, SourceError> + 'a;

/// The classes of models that project onto the vocabulary in any case.
const GENERATIVE: [&str; 4] = ["CausalLM", "LMHead", "ConditionalGeneration", "MaskedLM"];

/// Which heads of a model share the embedding's weight.
#[derive(Debug, Default)]
pub struct Ties {
    /// Those that are stored, by their modules' names.
    stored: HashSet<String>,
    /// Whether the head shares it, stored or not.
    pub any: bool,
}

impl Ties {
    /// Finds them in a component of this `architecture`, with this completed `config`, for a `line` of transformers.
    ///
    /// # Errors
    ///
    /// Fails if the weights that are to be compared cannot be read.
    pub fn find(
        component: &Component,
        config: &Config,
        architecture: &Architecture,
        line: Line,
        is_alike: &Alike<'_>,
    ) -> Result<Self, SourceError> {
        let is = |weight: &Weight, wanted: Class| Class::of(module_name(&weight.name), architecture, config) == wanted;
        let of = |wanted: Class| component.weights.iter().filter(move |weight| is(weight, wanted));
        let mut stored = HashSet::new();
        let mut has_head = false;
        for head in of(Class::Head).filter(|weight| class::is_output(module_name(&weight.name))) {
            has_head = true;
            let embeddings = of(Class::Embedding).filter(|embedding| embedding.shape == head.shape);
            if is_tied(head, embeddings.map(AsRef::as_ref), config, line, is_alike)? {
                stored.insert(module_name(&head.name).to_owned());
            }
        }
        let without =
            || config.ties_embeddings.unwrap_or_else(|| is_generative(config) && of(Class::Embedding).count() > 0);
        let is_tied = if has_head { !stored.is_empty() } else { without() };
        Ok(Self { stored, any: is_tied && runtime::has_vocabulary_head(config) })
    }

    /// Whether the module called `name` is a stored head that shares the embedding's weight.
    pub fn contains(&self, name: &str) -> bool {
        self.stored.contains(name)
    }
}

/// Whether a head that is stored shares the weight of one of the `embeddings`, which are all that have its shape.
fn is_tied<'a>(
    head: &Weight,
    embeddings: impl Iterator<Item = &'a Weight>,
    config: &Config,
    line: Line,
    is_alike: &Alike<'_>,
) -> Result<bool, SourceError> {
    let look = if config.ties_embeddings == Some(false) { Look::Storage } else { Look::Bytes };
    let mut is_compared = false;
    for embedding in embeddings {
        match is_alike(head, embedding, look)? {
            Some(true) => return Ok(true),
            Some(false) => is_compared = true,
            None => {}
        }
    }
    Ok(config.ties_embeddings == Some(true) && (line == Line::Four || !is_compared))
}

/// Whether a model's class tells that it projects onto the vocabulary.
fn is_generative(config: &Config) -> bool {
    let is_in = |class: &str| GENERATIVE.iter().any(|part| class.contains(part));
    config.architecture.as_deref().is_some_and(is_in)
}
