//! Which rules version 5 of transformers applies to a model (`get_model_conversion_mapping` in `conversion_mapping.py`).

use super::rules::{Applied, Scope};
use super::tables::Table;
use super::tree::Tree;

/// The rules for all models within a model. A model's own rules are those of its class or, without any, of its
/// `model_type`; they hold for all models within of the same class or type too.
pub fn rules_of(table: &Table<'static>, tree: Option<&Tree>, model_type: &str) -> Vec<Applied> {
    let mut found = Vec::new();
    let mut seen: Vec<(String, &str)> = Vec::new();
    let Some(tree) = tree else {
        let own = table.rules(model_type).unwrap_or_default();
        return own.into_iter().filter_map(|rule| Applied::new(rule, None)).collect();
    };
    let base = tree.nodes[0].prefix;
    for node in &tree.nodes {
        let is_seen = |seen: &[(String, &str)], key: &str| {
            seen.iter().any(|(known, path)| known == key && is_within(&node.path, path))
        };
        if is_seen(&seen, node.class_name) {
            continue;
        }
        let by_class = table.rules(node.class_name);
        let is_of_class = by_class.is_some();
        if !is_of_class && is_seen(&seen, &node.model_type) {
            continue;
        }
        let Some(own) = by_class.or_else(|| table.rules(&node.model_type)) else { continue };
        let scope =
            (!node.path.is_empty()).then(|| Scope { path: without_base(&node.path, base), base: base.to_owned() });
        found.extend(own.into_iter().filter_map(|rule| Applied::new(rule, scope.clone())));
        seen.push((node.class_name.to_owned(), &node.path));
        if !is_of_class {
            seen.push((node.model_type.clone(), &node.path));
        }
    }
    found.extend(table.rules("legacy").into_iter().flatten().filter_map(|rule| Applied::new(rule, None)));
    found
}

fn is_within(path: &str, outer: &str) -> bool {
    outer.is_empty() || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

/// A path within the base model. transformers takes off the letters, whether or not a segment ends after them.
fn without_base(path: &str, base: &str) -> String {
    let rest = path.strip_prefix(base).unwrap_or(path);
    rest.strip_prefix('.').unwrap_or(rest).to_owned()
}
