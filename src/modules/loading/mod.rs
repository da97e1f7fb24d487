//! Names on disk -> names in memory.
//!
//! A trainer sees the modules of a model that a library has loaded, whose names may differ from those on disk: version 5 of
//! transformers stacks experts into one parameter, multimodal models and vision encoders were renamed over time, and a
//! model with a head may be stored without one. How transformers and diffusers do this is data (`tables.rs`). For models
//! that neither knows, there are general rules, and nobody vouches for the names.

mod older;
mod registered;
mod rules;
mod search;
mod tables;
#[cfg(test)]
mod tests;
mod tree;

use std::borrow::Cow;
use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use tables::Kind;

use self::older::Older;
use self::registered::rules_of;
use self::rules::{Applied, Surveyed};
use self::tables::{Action, Rule, Table};
use self::tree::Tree;
use super::WEIGHT;
use crate::checkpoint::Config;

/// A line of versions of transformers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// Version 4.57, the last of version 4.
    Four,
    #[default]
    Five,
}

impl Line {
    pub fn version(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }
}

/// By what a module's name in memory is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// A row of the table of architectures, which a person has written.
    Row,
    /// The library's own classes and rules.
    Table,
    /// A rule that holds for all models of a library.
    Rule,
    /// It was guessed, because no library has the architecture.
    Nothing,
    /// It was guessed, because the library has the architecture, but no such name in it.
    NoFit,
    /// The scan's file does not say.
    #[default]
    Unsaid,
}

/// How experts are stacked by version 5 if it is not known otherwise: the projections of a gated block become one parameter
/// each for the way in and the way out.
const EXPERTS: [(&[&str], &str); 4] = [
    (&[r"\.experts.*.gate_proj.weight", r"\.experts.*.up_proj.weight"], ".experts.gate_up_proj"),
    (&[r"\.experts.*.down_proj.weight"], ".experts.down_proj"),
    (&[r"\.experts.*.w1.weight", r"\.experts.*.w3.weight"], ".experts.gate_up_proj"),
    (&[r"\.experts.*.w2.weight"], ".experts.down_proj"),
];

/// Classes of diffusers whose old files have attention under other names, and those names
/// (`_fix_state_dict_keys_on_load` in `models/modeling_utils.py`).
const OLD_ATTENTION: [&str; 4] = ["AsymmetricAutoencoderKL", "AutoencoderKL", "UNet2DModel", "VQModel"];
const ATTENTION: [(&str, &str); 4] = [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// Beginnings of names under which checkpoints have modules that transformers is known to load under other names.
const RENAMED: [&str; 3] = ["language_model.model.", "thinker.model.", "text_model.model."];

/// Ends of names of which the same is known.
const RENAMED_WITHIN: [&str; 3] =
    [".attention.attention.query", ".attention.attention.key", ".attention.attention.value"];

/// What a library makes of the names of one model.
pub struct Loader<'n> {
    origin: Origin,
    tree: Option<Tree>,
    /// The name of the base model within the class that version 5 loads, or an empty one.
    base: &'static str,
    /// The rules of version 5.
    rules: Vec<Applied>,
    surveyed: Surveyed,
    older: Older,
    /// What the model's tensors become: the largest models have 100,000, of which each is asked for several times.
    known: HashMap<&'n str, Known>,
}

/// What a stored tensor becomes.
#[derive(Clone)]
pub struct Known {
    /// The names in memory of the parameter that it becomes, or of all parameters if it is divided.
    pub parameters: Vec<String>,
    pub known_by: KnownBy,
    kind: Option<Kind>,
}

/// From where the names are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Transformers,
    Diffusers,
    /// Neither library has the model. Its own code is loaded, or it is newer than the tables.
    Unknown,
}

impl<'n> Loader<'n> {
    /// The names for a model with this configuration under a `line` of transformers. `names` are those of all its tensors.
    pub fn new(config: &Config, names: impl Iterator<Item = &'n str> + Clone, line: Line) -> Self {
        let mut loader = Self::by_configuration(config, names.clone(), line);
        let names: Vec<&str> = names.collect();
        loader.known = names.into_par_iter().map(|name| (name, loader.found(name))).collect();
        loader
    }

    fn by_configuration(config: &Config, names: impl Iterator<Item = &'n str> + Clone, line: Line) -> Self {
        if config.is_of_diffusers {
            return Self::of_diffusers(config);
        }
        let table = Table::of(line);
        let Some((model_type, class)) = class_of(table, config) else { return Self::of_unknown(config, line) };
        let tree = class.and_then(|class| Tree::new(table, model_type, class, &config.root));
        let mut loader = Self { tree, ..Self::empty(Origin::Transformers) };
        match line {
            Line::Five => {
                loader.base = loader.tree.as_ref().map_or("", |tree| tree.nodes[0].prefix);
                loader.rules = rules_of(table, loader.tree.as_ref(), model_type);
                loader.surveyed = Surveyed::new(&loader.rules, names);
            }
            Line::Four => {
                let class = class.and_then(|class| table.class(class)).unwrap_or_default();
                loader.older = Older::new(&class, loader.tree.as_ref(), names);
            }
        }
        loader
    }

    fn empty(origin: Origin) -> Self {
        let (rules, surveyed, older) = (Vec::new(), Surveyed::default(), Older::default());
        Self { origin, tree: None, base: "", rules, surveyed, older, known: HashMap::new() }
    }

    /// diffusers loads what is stored under the names that its classes have.
    fn of_diffusers(config: &Config) -> Self {
        let table = Table::diffusers();
        let class = config.model_type.as_deref().and_then(|class| table.class_name(class));
        let tree = class.and_then(|class| Tree::new(table, class, class, &config.root));
        let is_old = class.is_some_and(|class| OLD_ATTENTION.contains(&class));
        let rule =
            |(from, to): (&str, &str)| Rule::renaming(&format!(r"(attentions\.\d+)\.{from}\."), &format!(r"\1.{to}."));
        let rules = if is_old {
            ATTENTION.map(rule).into_iter().filter_map(|rule| Applied::new(rule, None)).collect()
        } else {
            Vec::new()
        };
        Self { tree, rules, ..Self::empty(Origin::Diffusers) }
    }

    fn of_unknown(config: &Config, line: Line) -> Self {
        let mut loader = Self::empty(Origin::Unknown);
        // Code that comes with the model is loaded as it is.
        if line == Line::Five && !config.has_own_code {
            let rule = |(from, to): (&[&str], &str)| Rule {
                from: from.iter().map(|from| (*from).to_owned()).collect(),
                action: Action::Merge,
                ..Rule::renaming("", to)
            };
            loader.rules = EXPERTS.into_iter().filter_map(|known| Applied::new(rule(known), None)).collect();
        }
        loader
    }

    /// The names in memory of the parameter that the stored `tensor` becomes, or of all parameters if it is divided.
    pub fn parameters(&self, tensor: &str) -> Vec<String> {
        self.known(tensor).into_owned().parameters
    }

    /// What the stored `tensor` becomes, which may be none of those that the model has.
    pub fn known(&self, tensor: &str) -> Cow<'_, Known> {
        self.known.get(tensor).map_or_else(|| Cow::Owned(self.found(tensor)), Cow::Borrowed)
    }

    fn found(&self, tensor: &str) -> Known {
        let parameters = self.loaded(tensor);
        let kind = parameters.first().and_then(|parameter| self.kind(parameter));
        Known { known_by: self.known_by(&parameters), parameters, kind }
    }

    fn loaded(&self, tensor: &str) -> Vec<String> {
        let Some(tree) = &self.tree else { return self.renamed(tensor) };
        let renamed: Vec<String> = self.renamed(tensor).into_iter().map(|name| self.based(name, tree)).collect();
        // A name that is not to be renamed.
        let is_known = renamed.iter().all(|name| tree.kind(name).is_some());
        if !is_known && tree.kind(tensor).is_some() { vec![tensor.to_owned()] } else { renamed }
    }

    /// The names after the rules.
    fn renamed(&self, tensor: &str) -> Vec<String> {
        let mut name = self.older.renamed(tensor);
        let apply = |at: usize, name: &str| self.rules[at].apply(name, tensor, at, &self.surveyed);
        for at in (0..self.rules.len()).filter(|at| !self.rules[*at].converts()) {
            if let Some(renamed) = apply(at, &name) {
                name = renamed.concat();
            }
        }
        let mut converters = (0..self.rules.len()).filter(|at| self.rules[*at].converts());
        converters.find_map(|at| apply(at, &name)).unwrap_or_else(|| vec![name])
    }

    /// The name with the base model's name added or taken off, whichever the model has.
    fn based(&self, name: String, tree: &Tree) -> String {
        if self.base.is_empty() {
            return name;
        }
        let shorter = name.strip_prefix(self.base).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
        let longer = format!("{}.{name}", self.base);
        let mut all: Vec<String> = shorter.into_iter().chain([longer]).collect();
        if let Some(known) = all.iter().position(|name| tree.kind(name).is_some()) {
            return all.swap_remove(known);
        }
        if tree.kind(&name).is_some() {
            return name;
        }
        // What the table lacks is where most of its path is.
        all.insert(0, name);
        let nearest = (0..all.len()).min_by_key(|at| tree.unknown(&all[*at])).unwrap_or(0);
        all.swap_remove(nearest)
    }

    /// Whether a library has the model.
    pub fn is_of_library(&self) -> bool {
        self.origin != Origin::Unknown
    }

    /// What the parameter of this name in memory is for, if the library's class has one.
    pub fn kind(&self, parameter: &str) -> Option<Kind> {
        self.tree.as_ref()?.kind(parameter)
    }

    /// What the stored `tensor` is for.
    pub fn kind_of_stored(&self, tensor: &str) -> Option<Kind> {
        self.tree.as_ref()?;
        self.known(tensor).kind
    }

    /// Whether blocks of attention and of a gated unit, in turn, become the halves of layers.
    pub fn pairs_layers(&self) -> bool {
        self.rules.iter().any(Applied::pairs)
    }

    /// Whether the library's class has a module that holds the stored `tensor` and whose weight is a vector.
    pub fn is_vector(&self, tensor: &str) -> bool {
        let holds = |name: &String| self.kind(name).is_none() && self.has_module(name.strip_suffix(WEIGHT));
        self.parameters(tensor).iter().all(holds)
    }

    fn has_module(&self, name: Option<&str>) -> bool {
        name.zip(self.tree.as_ref()).is_some_and(|(name, tree)| tree.has_path(name))
    }

    /// By what the names in memory are known.
    fn known_by(&self, parameters: &[String]) -> KnownBy {
        match (&self.tree, self.origin) {
            (_, Origin::Unknown) => KnownBy::Nothing,
            (Some(tree), _) if parameters.iter().all(|name| tree.fits(name)) => KnownBy::Table,
            (_, Origin::Diffusers) => KnownBy::Rule,
            (Some(_), Origin::Transformers) => KnownBy::NoFit,
            (None, Origin::Transformers) => KnownBy::Table,
        }
    }
}

/// The `model_type` and the class of a model that the library has: the class that the configuration names, or else the usual one
/// of its type. A class of another type counts only if the library has the type too.
fn class_of<'c>(table: &Table<'static>, config: &'c Config) -> Option<(&'c str, Option<&'static str>)> {
    let model_type = config.model_type.as_deref()?;
    let own = config.architecture.as_deref().and_then(|class| table.class_name(class));
    let is_of_type = || own.and_then(|own| table.class(own)).is_some_and(|class| class.model_type == model_type);
    (table.has_type(model_type) || is_of_type())
        .then(|| (model_type, own.or_else(|| table.class_of(model_type, "any"))))
}

/// Whether a module has a name on disk that transformers is known to change when it loads other models.
pub fn is_renamed_elsewhere(name: &str) -> bool {
    RENAMED.iter().any(|start| name.starts_with(start)) || RENAMED_WITHIN.iter().any(|end| name.ends_with(end))
}

/// The last segments of the names of modules that PEFT turns into parameters of every layer under version 5, for a model of
/// this `model_type` (`peft/utils/transformers_weight_conversion.py`).
pub fn rewritten_by_peft(model_type: &str) -> &'static [&'static str] {
    match Table::of(Line::Five).peft_scheme(model_type) {
        Some("mixtral") => &["gate", "w1", "w2", "w3"],
        Some(_) => &["gate", "gate_proj", "up_proj", "down_proj"],
        None => &[],
    }
}
