//! Names on disk -> names in memory, as version 4 of transformers has it: the first rule of the model's class that says anything
//! about a name, and the base model's name for all or none (`_get_key_renaming_mapping` in `modeling_utils.py`).

use fancy_regex::Regex;

use super::tables::{Class, Rule};
use super::tree::Tree;

/// What version 4 does with names.
#[derive(Default)]
pub struct Older {
    rules: Vec<(Regex, String)>,
    /// What is put before all names, or taken off them, with its dot.
    added: Option<String>,
    dropped: Option<String>,
}

impl Older {
    /// What version 4 does with the names of a model of this class.
    pub fn new<'n>(class: &Class<'_>, tree: Option<&Tree>, mut names: impl Iterator<Item = &'n str>) -> Self {
        let rule = |rule: &Rule| {
            let (from, to) = (rule.from.first()?, rule.to.first()?);
            Some((Regex::new(from).ok()?, to.replace('$', "$$").replace("\\1", "${1}")))
        };
        let base = format!("{}.", class.prefix);
        let tree = tree.filter(|_| !class.prefix.is_empty());
        let has_base = names.any(|name| name.starts_with(class.prefix));
        let expects_base = tree.is_some_and(|tree| tree.has_path(class.prefix));
        Self {
            rules: class.rules.iter().filter_map(rule).collect(),
            added: (tree.is_some() && !has_base && expects_base).then(|| base.clone()),
            dropped: (tree.is_some() && has_base && !expects_base).then_some(base),
        }
    }

    /// The name after the first rule that says anything about it, with or without the base model's name.
    pub fn renamed(&self, name: &str) -> String {
        let by = |(from, to): &(Regex, String)| {
            from.is_match(name).unwrap_or(false).then(|| from.replace_all(name, to.as_str()).into_owned())
        };
        let name = self.rules.iter().find_map(by).unwrap_or_else(|| name.to_owned());
        match (&self.added, &self.dropped) {
            (Some(base), _) => format!("{base}{name}"),
            (None, Some(base)) => name.strip_prefix(base.as_str()).map_or(name.clone(), str::to_owned),
            (None, None) => name,
        }
    }
}
