//! What is chosen, as a trainer sees it.

use std::collections::HashSet;

use super::lora::{self, Lora};
use super::resolve::{self, Rule, Universe};
use super::targets::{Target, Targets, belongs};
use super::{Adapter, Document, ExportError, Format, Request, Trainer, peft, unsloth};
use crate::scan::Surroundings;
use crate::select::{Counted, Selection};

/// What a scan without its model means for an export.
const NOTHING_AROUND: &str = "nothing but the scan's own modules is known of the model, so that its head is not added and \
                              names are not tried on the rest of it: give the model with --model";

/// What is chosen, as a trainer sees it.
pub struct Choice<'a> {
    pub trainer: Trainer,
    pub targets: Targets,
    pub universe: Universe,
    /// The places of the chosen targets, in the order of the choice.
    pub chosen: Vec<usize>,
    /// Those of the heads that come with them.
    pub heads: Vec<usize>,
    /// All that the trainer will train.
    adapted: Vec<usize>,
    pub lora: Lora,
    pub adapter: Adapter,
    pub selection: &'a Selection<'a>,
    pub around: Option<&'a Surroundings>,
}

impl<'a> Choice<'a> {
    /// What `request` chooses, as `trainer` sees it.
    pub fn new(trainer: Trainer, request: &Request<'a>) -> Result<Self, ExportError> {
        let Request { selection, adapter } = *request;
        let around = selection.scan.surroundings.as_ref();
        if adapter.head_rank.is_some() && !trainer.has_rank_pattern() {
            let what = "knows one rank for all modules: leave out --head-rank".to_owned();
            return Err(ExportError::Unsupported { trainer, what });
        }
        let component = component(request)?;
        let targets = Targets::new(selection.scan, component);
        let mut chosen = targets.chosen(selection)?;
        chosen.retain(|place| adapter.head || !targets.all[*place].is_head);
        if chosen.is_empty() {
            return Err(ExportError::Nothing);
        }
        let takes_head = adapter.head && trainer != Trainer::Unsloth;
        let heads = if takes_head { targets.heads() } else { Vec::new() };
        let heads: Vec<usize> = heads.into_iter().filter(|head| !chosen.contains(head)).collect();
        let universe = Universe::new(&targets);
        let adapted = if trainer == Trainer::Unsloth {
            unsloth::adapted(&universe, &targets, &chosen)
        } else {
            chosen.iter().chain(&heads).copied().collect()
        };
        let lora = match trainer.counted(0) {
            Counted::Lora { .. } => Lora::new(adapter, &targets, &adapted)?,
            Counted::Weights => Lora::default(),
        };
        Ok(Self { trainer, targets, universe, chosen, heads, adapted, lora, adapter, selection, around })
    }

    /// What is trained: the chosen targets, then the heads.
    pub fn trained(&self) -> impl Iterator<Item = usize> {
        self.chosen.iter().chain(&self.heads).copied()
    }

    /// The target in a place.
    pub fn target(&self, place: usize) -> &Target {
        &self.targets.all[place]
    }

    /// The same as a set.
    pub fn wanted(&self) -> HashSet<usize> {
        self.trained().collect()
    }

    /// Whether the model is of one of these architectures, which have spaces between them.
    pub fn is_of(&self, architectures: &str) -> bool {
        let own = self.around.map_or(&[][..], |around| &around.model_types);
        architectures.split_whitespace().any(|known| own.iter().any(|own| own == known))
    }

    /// The model's name for files, if it is known.
    pub fn model(&self) -> &str {
        self.around.map_or("model", |around| &around.model)
    }

    /// Makes sure that `patterns` hit the targets in `wanted` and nothing else.
    pub fn check(&self, rule: Rule<'_>, patterns: &[String], wanted: &HashSet<usize>) -> Result<(), ExportError> {
        self.universe.check(self.trainer, rule, patterns, wanted, &self.targets)
    }

    /// An error about what the trainer cannot do.
    pub fn unsupported(&self, what: impl Into<String>) -> ExportError {
        ExportError::Unsupported { trainer: self.trainer, what: what.into() }
    }

    /// What a person should know of the choice, whoever trains.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = match self.trainer.counted(0) {
            Counted::Lora { .. } => self.lora.notes(self.adapter, &self.targets, &self.adapted),
            Counted::Weights => lora::weights(&self.targets, &self.adapted).into_iter().collect(),
        };
        let heads: Vec<&str> = self.heads.iter().map(|head| self.target(*head).name.as_str()).collect();
        if self.adapter.head && self.is_tied() {
            notes.push("the head is left out: it shares the embedding's weight".to_owned());
        } else if !heads.is_empty() {
            notes.push(format!("the head is trained too: {}; --no-head leaves it out", resolve::listed(&heads)));
        }
        notes
    }

    /// Whether the model's head is its embedding.
    fn is_tied(&self) -> bool {
        self.around.is_some_and(|around| around.ties_embeddings) && self.targets.heads().is_empty()
    }

    /// What a person must know of the choice, whoever trains.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.around.is_none() {
            warnings.push(NOTHING_AROUND.to_owned());
        }
        if matches!(self.trainer.counted(0), Counted::Lora { .. }) {
            warnings.extend(peft::bypassed(self));
        }
        warnings
    }

    /// The configuration in one form.
    pub fn document(&self, format: Format, text: String) -> Document {
        Document { file: self.trainer.file(self.model(), format), format, text }
    }
}

/// The component of a pipeline that everything chosen is in; `None` if the model is no pipeline.
fn component<'a>(request: &Request<'a>) -> Result<Option<&'a str>, ExportError> {
    let components = request.selection.scan.surroundings.as_ref().map_or(&[][..], |around| &around.components);
    let chosen = request.selection.chosen();
    let mut found = chosen.filter_map(|module| components.iter().find(|component| belongs(module.name(), component)));
    let Some(first) = found.next() else { return Ok(None) };
    match found.find(|other| *other != first) {
        Some(other) => Err(ExportError::Components(first.clone(), other.clone())),
        None => Ok(Some(first)),
    }
}
