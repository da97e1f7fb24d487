//! The parameters of the model that a configuration describes, as far as the tables know them.

use std::collections::HashMap;

use serde_json::Value;

use super::super::WEIGHT;
use super::super::name::number;
use super::tables::{Class, Kind, Table};

/// The deepest that models are within each other.
const MAX_DEPTH: usize = 8;

/// A model within another one, or the whole model, whose path is empty.
pub struct Node {
    pub path: String,
    pub class_name: &'static str,
    pub model_type: String,
    pub prefix: &'static str,
}

pub struct Tree {
    /// The whole model first, then the models within in the order of its modules.
    pub nodes: Vec<Node>,
    /// The names of parameters with their kinds, and all paths to them, with stars for numbers.
    names: HashMap<String, Option<Kind>>,
}

impl Tree {
    /// The model of the class called `name` with this configuration, whose `model_type` is the first argument.
    pub fn new(table: &Table<'static>, model_type: &str, name: &'static str, config: &Value) -> Option<Self> {
        let mut tree = Self { nodes: Vec::new(), names: HashMap::new() };
        let place = Place { path: String::new(), class_name: name, model_type: model_type.to_owned(), depth: 0 };
        tree.add(table, place, config)?;
        Some(tree)
    }

    fn add(&mut self, table: &Table<'static>, place: Place, config: &Value) -> Option<()> {
        let Place { path, class_name, model_type, depth } = place;
        let class = table.class(class_name).filter(|_| depth < MAX_DEPTH)?;
        let prefix = class.prefix;
        self.nodes.push(Node { path: path.clone(), class_name, model_type: model_type.clone(), prefix });
        self.add_parameters(&path, &class);
        for inner in &class.models {
            let (within, usual) = (join(&path, inner[0]), inner[1]);
            let section = inner.get(2).and_then(|key| config.get(key)).filter(|section| section.is_object());
            let own_type = section.and_then(|section| section.get("model_type")).and_then(Value::as_str);
            let usual_type = table.class(usual).map_or("", |class| class.model_type);
            let other = own_type.filter(|own| *own != usual_type);
            let chosen = other.and_then(|own| table.class_of(own, inner.get(3).copied().unwrap_or("base")));
            let inner_type = own_type.unwrap_or(if usual_type == class.model_type { &model_type } else { usual_type });
            let place = Place {
                path: within,
                class_name: chosen.unwrap_or(usual),
                model_type: inner_type.to_owned(),
                depth: depth + 1,
            };
            self.add(table, place, section.unwrap_or(config));
        }
        Some(())
    }

    fn add_parameters(&mut self, path: &str, class: &Class<'static>) {
        for (kind, names) in &class.parameters {
            for (within, leaves) in names {
                leaves.split(' ').for_each(|leaf| self.add_parameter(&join(path, within), leaf, *kind));
            }
        }
        for first in &class.vectors {
            self.names.entry(join(path, first)).or_insert(None);
        }
        self.add_paths(&join(path, "*"));
    }

    /// Adds the parameter of the module `leaf`, or the parameter that is called so if it ends in `!`.
    fn add_parameter(&mut self, path: &str, leaf: &str, kind: Kind) {
        let name = match leaf.strip_suffix('!') {
            Some(parameter) => join(path, parameter),
            None => format!("{}{WEIGHT}", join(path, leaf)),
        };
        self.add_paths(&name);
        self.names.insert(name, Some(kind));
    }

    fn add_paths(&mut self, name: &str) {
        for (at, _) in name.match_indices('.') {
            if !self.names.contains_key(&name[..at]) {
                self.names.insert(name[..at].to_owned(), None);
            }
        }
    }

    /// The kind of a parameter.
    pub fn kind(&self, parameter: &str) -> Option<Kind> {
        let by = |name: &str| self.names.get(name).copied().flatten();
        by(parameter).or_else(|| by(&starred(parameter)))
    }

    /// Whether a module or a parameter of this name is known.
    pub fn has_path(&self, name: &str) -> bool {
        self.names.contains_key(&starred(name))
    }

    /// How many of a name's segments are not known, counted from its end.
    pub fn unknown(&self, parameter: &str) -> usize {
        if self.kind(parameter).is_some() {
            return 0;
        }
        let name = starred(parameter);
        let mut path = name.as_str();
        let mut unknown = 0;
        while let Some((shorter, _)) = path.rsplit_once('.') {
            unknown += 1;
            path = shorter;
            if self.names.contains_key(path) {
                return unknown;
            }
        }
        unknown + 1
    }

    /// Whether a parameter of this name may be in the model: it is known, or it is in a module that is and whose settings may
    /// add it. The modules directly in a model are those that its class has.
    pub fn fits(&self, parameter: &str) -> bool {
        let unknown = self.unknown(parameter);
        if unknown == 0 {
            return true;
        }
        let name = starred(parameter);
        let known = name.split('.').count().saturating_sub(unknown);
        let known = name.split('.').take(known).collect::<Vec<_>>().join(".");
        !self.nodes.iter().any(|node| node.path == known)
    }
}

/// Where a model is within the whole model.
struct Place {
    path: String,
    class_name: &'static str,
    model_type: String,
    depth: usize,
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

/// A name with stars for its numbers.
fn starred(name: &str) -> String {
    let mut starred = String::with_capacity(name.len());
    for (at, segment) in name.split('.').enumerate() {
        starred.push_str(if at > 0 { "." } else { "" });
        starred.push_str(if number(segment).is_some() { "*" } else { segment });
    }
    starred
}
