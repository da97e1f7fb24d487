//! Heads that share the embedding's weight.
//!
//! A head whose bytes are the same stored bytes as the embedding's shares its weight, whatever `config.json` says. If
//! the two are stored separately, and the configuration or its class ties them, or nothing is known, their numbers
//! decide, as in transformers: different numbers make the head a weight of its own, except under version 4, which
//! overwrites it. If the configuration says that they are two weights, the loaded model has two, whatever their numbers
//! are. A head that is not stored is tied if the configuration or its class says so.

use std::collections::HashSet;

use super::name::module_name;
use super::{Line, Role, role as by_name};
use crate::checkpoint::{Component, Config, Look, Weight};
use crate::source::SourceError;

/// Tells whether two weights have the same numbers, if this is known before the scan.
pub type Alike<'a> = dyn Fn(&Weight, &Weight, Look) -> Result<Option<bool>, SourceError> + 'a;

/// Parts of the names of classes that always project onto the vocabulary.
const GENERATIVE: [&str; 4] = ["CausalLM", "LMHead", "ConditionalGeneration", "MaskedLM"];

/// Which heads of a model share the embedding's weight.
#[derive(Debug, Default)]
pub struct Ties {
    /// The names of stored heads that share it.
    stored: HashSet<String>,
    /// Whether the model's head shares it, stored or not.
    pub any: bool,
}

impl Ties {
    /// Finds the ties in a component with this completed `config`, whose weights' modules have these `roles`, for a `line` of
    /// transformers. Fails if weights that must be compared cannot be read.
    pub fn find(
        component: &Component,
        config: &Config,
        roles: &[Role],
        line: Line,
        is_alike: &Alike<'_>,
    ) -> Result<Self, SourceError> {
        let with_roles = || component.weights.iter().zip(roles);
        let of = |wanted: Role| with_roles().filter(move |(_, role)| **role == wanted).map(|(weight, _)| weight);
        let mut stored = HashSet::new();
        let mut has_head = false;
        for head in of(Role::Head).filter(|weight| by_name::is_output(module_name(&weight.name))) {
            has_head = true;
            let embeddings = of(Role::Embedding).filter(|embedding| embedding.shape == head.shape);
            if is_tied(head, embeddings.map(AsRef::as_ref), config, line, is_alike)? {
                stored.insert(module_name(&head.name).to_owned());
            }
        }
        let without =
            || config.ties_embeddings.unwrap_or_else(|| is_generative(config) && of(Role::Embedding).count() > 0);
        let is_tied = if has_head { !stored.is_empty() } else { without() };
        Ok(Self { stored, any: is_tied && has_vocabulary_head(config) })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.stored.contains(name)
    }
}

/// Whether a stored head shares the weight of one of the `embeddings`, which are all those of its shape.
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

fn is_generative(config: &Config) -> bool {
    let is_in = |class: &str| GENERATIVE.iter().any(|part| class.contains(part));
    config.architecture.as_deref().is_some_and(is_in)
}

/// Whether the model that a trainer loads projects onto the vocabulary, unlike a bare model or a classifier.
fn has_vocabulary_head(config: &Config) -> bool {
    let other = ["Classification", "QuestionAnswering", "MultipleChoice"];
    let is_bare =
        |class: &str| class.ends_with("Model") && !class.ends_with("HeadModel") && !class.ends_with("HeadsModel");
    let is_other = |class: &str| is_bare(class) || other.iter().any(|task| class.contains(task));
    !config.architecture.as_deref().is_some_and(is_other)
}
