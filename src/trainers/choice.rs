//! The choice as a trainer sees it: targets in memory of one model.

use std::collections::HashSet;

use super::document::Remark;
use super::lora::Lora;
use super::remedy::Remedy;
use super::resolve::{self, Rule, Universe};
use super::targets::{Target, Targets, belongs};
use super::{Adapter, ExportError, Request, Trainer};
use crate::modules::Architecture;
use crate::output::grouped;
use crate::scan::Surroundings;
use crate::select::{Candidate, Selection};

const NOTHING_AROUND: &str = "nothing but the scan's own modules is known of the model, so that its head is not added and \
                              names are not tried on the rest of it";

pub struct Choice<'a> {
    /// The trainer's name in messages.
    pub trainer: &'static str,
    /// The component of the pipeline that it is made in; `None` if the model is no pipeline.
    pub component: Option<String>,
    pub targets: Targets,
    pub universe: Universe,
    /// The places of the chosen targets, in the order of the choice.
    pub chosen: Vec<usize>,
    /// The places of the heads that are trained with them.
    pub heads: Vec<usize>,
    pub lora: Lora,
    pub adapter: Adapter,
    pub selection: &'a Selection<'a>,
    pub around: Option<&'a Surroundings>,
}

impl<'a> Choice<'a> {
    /// What `request` chooses of the model, or of one `component` of a pipeline.
    pub fn new(trainer: &dyn Trainer, request: &Request<'a>, component: Option<&str>) -> Result<Self, ExportError> {
        let Request { selection, adapter } = *request;
        let around = selection.scan.surroundings.as_ref();
        let targets = Targets::new(selection.scan, component, &*trainer.naming(selection.scan, component)?);
        let trainer = trainer.profile();
        let mut chosen = targets.chosen(selection, trainer.name)?;
        chosen.retain(|place| adapter.head || !targets.all[*place].is_head);
        if chosen.is_empty() {
            return Err(ExportError::Nothing);
        }
        let heads = if adapter.head && trainer.takes_head { targets.heads() } else { Vec::new() };
        let heads: Vec<usize> = heads.into_iter().filter(|head| !chosen.contains(head)).collect();
        let (universe, lora) = (Universe::new(&targets), Lora::default());
        let trainer = trainer.name;
        let component = component.map(str::to_owned);
        Ok(Self { trainer, component, targets, universe, chosen, heads, lora, adapter, selection, around })
    }

    /// What is trained: the chosen targets, then the heads.
    pub fn trained(&self) -> impl Iterator<Item = usize> {
        self.chosen.iter().chain(&self.heads).copied()
    }

    pub fn target(&self, place: usize) -> &Target {
        &self.targets.all[place]
    }

    /// The places of [`Choice::trained`] as a set.
    pub fn wanted(&self) -> HashSet<usize> {
        self.trained().collect()
    }

    /// The `model_type`s of the model and its components.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        self.around.into_iter().flat_map(|around| &around.model_types).map(String::as_str)
    }

    /// The rows of the table of architectures for the model and its components.
    pub fn architectures(&self) -> impl Iterator<Item = &'static Architecture> {
        self.model_types().filter_map(Architecture::called)
    }

    pub fn is_of(&self, architectures: &[&str]) -> bool {
        self.model_types().any(|own| architectures.contains(&own))
    }

    /// The model's name in file names.
    pub fn model(&self) -> &str {
        self.around.map_or("model", |around| &around.model)
    }

    /// Makes sure that `patterns` hit the targets in `wanted` and nothing else.
    pub fn check(&self, rule: Rule<'_>, patterns: &[String], wanted: &HashSet<usize>) -> Result<(), ExportError> {
        self.universe.check(self.trainer, rule, patterns, wanted, &self.targets)
    }

    /// The error that the trainer cannot do `what`, with a remedy if `what` does not name one.
    pub fn unsupported(&self, what: impl Into<String>, remedy: impl Into<Option<Remedy>>) -> ExportError {
        ExportError::Unsupported { trainer: self.trainer, what: what.into(), remedy: remedy.into() }
    }

    /// The note on the head, which takes so many `parameters`, for every trainer.
    pub fn note(&self, parameters: Option<u64>) -> Option<Remark> {
        let heads: Vec<&str> = self.heads.iter().map(|head| self.target(*head).name.as_str()).collect();
        if self.adapter.head && self.is_tied() {
            Some("the head is left out: it shares the embedding's weight".to_owned().into())
        } else if !heads.is_empty() {
            let cost = parameters.map_or_else(String::new, |count| format!(", with {} parameters", grouped(count)));
            let text = format!("the head is trained too: {}{cost}", resolve::listed(&heads));
            Some(Remark::new(text, Remedy::NoHead))
        } else {
            None
        }
    }

    /// The names of what is trained.
    pub fn names(&self) -> Vec<String> {
        self.trained().map(|place| self.target(place).name.clone()).collect()
    }

    /// The same, if they have no sign that means something in a pattern.
    pub fn literal_names(&self) -> Result<Vec<String>, ExportError> {
        let names = self.names();
        match names.iter().find(|name| !resolve::is_literal(name)) {
            Some(name) => {
                let what = format!("takes patterns, and '{name}' has more in it than letters and digits");
                Err(self.unsupported(what, Remedy::LeaveOut))
            }
            None => Ok(names),
        }
    }

    /// The names of the parameters that are trained.
    pub fn parameters(&self) -> Vec<String> {
        self.trained().map(|place| self.target(place).parameter()).collect()
    }

    /// The note that biases are trained too, for a trainer that unfreezes whole modules, if there are any.
    pub fn biases(&self) -> Option<Remark> {
        let others: HashSet<&str> = self.targets.others.iter().map(String::as_str).collect();
        let biases: Vec<String> = self.trained().map(|place| format!("{}.bias", self.target(place).name)).collect();
        let names: Vec<&str> = biases.iter().map(String::as_str).filter(|name| others.contains(name)).collect();
        let text = |names| format!("{} trains biases with their weights: {names}", self.trainer);
        (!names.is_empty()).then(|| text(resolve::listed(&names)).into())
    }

    /// Whether the head shares the embedding's weight.
    fn is_tied(&self) -> bool {
        self.around.is_some_and(|around| around.ties_embeddings) && self.targets.heads().is_empty()
    }

    /// The warning that the model around the scan is unknown, for every trainer.
    pub fn warning(&self) -> Option<Remark> {
        self.around.is_none().then(|| Remark::new(NOTHING_AROUND.to_owned(), Remedy::GiveModel))
    }
}

/// The components of a pipeline that have chosen modules, in the order of the choice; none if the model is no pipeline.
pub fn components<'a>(request: &Request<'a>) -> Vec<&'a str> {
    let components = request.selection.scan.surroundings.as_ref().map_or(&[][..], |around| &around.components);
    let is_in = |module: &Candidate<'_>| components.iter().find(|component| belongs(module.name(), component));
    let mut found: Vec<&str> = Vec::new();
    for component in request.selection.chosen().filter_map(is_in) {
        if !found.contains(&component.as_str()) {
            found.push(component);
        }
    }
    found
}
