//! Modules whose weights the model reads without calling them, so that no trainer's LoRA has an effect on them.

use std::collections::HashSet;

use super::choice::Choice;
use super::resolve::listed;
use crate::modules::attention_input;

/// The warning about chosen modules of that sort, if there are any.
pub fn bypassed(choice: &Choice<'_>) -> Option<String> {
    let endings: Vec<&str> = choice.architectures().flat_map(|architecture| architecture.bypassed).copied().collect();
    let names = choice.trained().map(|place| choice.target(place).name.as_str());
    // torch.nn.MultiheadAttention takes the weight of its own `out_proj`.
    let all = choice.targets.all.iter().map(|target| &target.name).chain(&choice.targets.others);
    let attentions: HashSet<&str> = all.filter_map(|name| attention_input(name)).collect();
    let is_output = |name: &str| name.strip_suffix("out_proj").is_some_and(|path| attentions.contains(path));
    let is_bypassed = |name: &&str| endings.iter().any(|ending| name.ends_with(ending)) || is_output(name);
    let names: Vec<&str> = names.filter(is_bypassed).collect();
    let text =
        |names| format!("the model reads these weights by itself, so that adapters beside them do nothing: {names}");
    (!names.is_empty()).then(|| text(listed(&names)))
}
