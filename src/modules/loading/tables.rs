//! What transformers and diffusers load, as data: their classes, the parameters of each, and the rules for names.
//!
//! `tests/catalogue/make_loading.py` writes the tables, and its head says what they hold. A scan needs a few of their
//! thousand entries, so that an entry is parsed only when it is asked for.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Line;

/// What a parameter of a library's class is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Linear,
    Convolution,
    /// A table that is looked up.
    Embedding,
    /// The fused projections of `nn.MultiheadAttention`.
    Attention,
    /// A stack of matrices, one for each expert.
    Experts,
    /// A matrix that chooses among experts and is not the weight of a linear module.
    Router,
    Other,
}

/// The last segments of names by their path. A segment that ends in `!` is a parameter's own name; the others are modules
/// with a parameter called `weight`.
pub type Names<'t> = HashMap<&'t str, &'t str>;

/// A class of models, built with its default configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Class<'t> {
    #[serde(rename = "type")]
    pub model_type: &'t str,
    /// The name of the base model within a model with a head.
    pub prefix: &'t str,
    /// A class with the same parameters.
    like: Option<&'t str>,
    /// The models within: path, class, and, where the configuration may put another class in its place, the section that
    /// does so and the kind of class.
    #[serde(borrow)]
    pub models: Vec<Vec<&'t str>>,
    /// The class's own rules, in version 4.
    pub rules: Vec<Rule>,
    /// The parameters of two or more dimensions by their kind.
    #[serde(borrow)]
    pub parameters: HashMap<Kind, Names<'t>>,
    /// First segments of the names of further parameters, which are vectors.
    #[serde(borrow)]
    pub vectors: Vec<&'t str>,
}

/// A rule by which names on disk become names in memory.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// Regular expressions of Python.
    pub from: Vec<String>,
    pub to: Vec<String>,
    #[serde(default, rename = "do")]
    pub action: Action,
    /// What is added to the number in a name.
    #[serde(default)]
    pub by: i64,
}

impl Rule {
    /// The rule that what `from` matches becomes `to`.
    pub fn renaming(from: &str, to: &str) -> Self {
        Self { from: vec![from.to_owned()], to: vec![to.to_owned()], action: Action::Rename, by: 0 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    #[default]
    Rename,
    /// The first pattern must occur in the checkpoint for the others to count.
    Group,
    /// Blocks of attention and of a gated unit in turn become the halves of layers.
    Pair,
    Offset,
    /// One tensor becomes several parameters.
    Divide,
    /// The experts' first half becomes one parameter, the second half another.
    Halve,
    /// Several tensors become one parameter.
    Merge,
}

impl Action {
    /// Whether the rule makes parameters of tensors, and does not only rename them. At most one such rule is applied.
    pub fn converts(self) -> bool {
        matches!(self, Self::Divide | Self::Halve | Self::Merge)
    }
}

/// The classes of a `model_type`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Classes<'t> {
    any: Option<&'t str>,
    base: Option<&'t str>,
    text: Option<&'t str>,
    backbone: Option<&'t str>,
}

/// What a version of a library loads.
#[derive(Debug, Deserialize)]
pub struct Table<'t> {
    #[serde(borrow, default)]
    rules: HashMap<&'t str, &'t RawValue>,
    #[serde(borrow)]
    classes: HashMap<&'t str, &'t RawValue>,
    #[serde(borrow, default)]
    types: HashMap<&'t str, Classes<'t>>,
    /// The scheme by which PEFT rewrites the names of experts, by `model_type`.
    #[serde(borrow, default)]
    peft: HashMap<&'t str, &'t str>,
}

static FIVE: LazyLock<Table<'static>> = LazyLock::new(|| table(include_str!("transformers5.json")));
static FOUR: LazyLock<Table<'static>> = LazyLock::new(|| table(include_str!("transformers4.json")));
static DIFFUSERS: LazyLock<Table<'static>> = LazyLock::new(|| table(include_str!("diffusers.json")));

fn table(text: &'static str) -> Table<'static> {
    serde_json::from_str(text).expect("the tables are part of the program, and its tests read all of them")
}

impl Table<'static> {
    pub fn of(line: Line) -> &'static Self {
        match line {
            Line::Four => &FOUR,
            Line::Five => &FIVE,
        }
    }

    pub fn diffusers() -> &'static Self {
        &DIFFUSERS
    }

    pub fn class(&self, name: &str) -> Option<Class<'static>> {
        let class: Class<'static> = serde_json::from_str(self.classes.get(name)?.get()).ok()?;
        match class.like {
            Some(like) => {
                let Class { model_type, prefix, rules, .. } = class;
                Some(Class { model_type, prefix, rules, ..self.class(like)? })
            }
            None => Some(class),
        }
    }

    /// The table's own spelling of a class's name, if it has the class.
    pub fn class_name(&self, name: &str) -> Option<&'static str> {
        self.classes.get_key_value(name).map(|(name, _)| *name)
    }

    /// Whether the library has this `model_type`.
    pub fn has_type(&self, model_type: &str) -> bool {
        self.types.contains_key(model_type)
    }

    /// The class of a `model_type`: `base` is the bare model, `text` one for language, `backbone` one for features; any
    /// other word means what a checkpoint of the type most likely is.
    pub fn class_of(&self, model_type: &str, kind: &str) -> Option<&'static str> {
        let classes = self.types.get(model_type)?;
        match kind {
            "base" => classes.base,
            "text" => classes.text,
            "backbone" => classes.backbone,
            _ => None,
        }
        .or(classes.any)
    }

    /// The rules that are registered for a class or a `model_type`.
    pub fn rules(&self, name: &str) -> Option<Vec<Rule>> {
        let entry = self.rules.get(name)?.get();
        match serde_json::from_str::<&str>(entry) {
            Ok(same) => self.rules(same),
            Err(_) => serde_json::from_str(entry).ok(),
        }
    }

    /// The scheme by which PEFT rewrites the names of experts in a list of modules for this `model_type`.
    pub fn peft_scheme(&self, model_type: &str) -> Option<&'static str> {
        self.peft.get(model_type).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_read() {
        for table in [Table::of(Line::Four), Table::of(Line::Five), Table::diffusers()] {
            for name in table.classes.keys() {
                let class = table.class(name).unwrap_or_else(|| panic!("{name}"));
                for inner in &class.models {
                    assert!(matches!(inner.len(), 2 | 4), "{name}: {inner:?}");
                }
            }
            for name in table.rules.keys() {
                assert!(table.rules(name).is_some(), "{name}");
            }
            for classes in table.types.values() {
                assert!(classes.any.is_some());
            }
        }
    }
}
