//! Modules whose weights the model reads without calling them, so that no trainer's LoRA has an effect on them.

use super::choice::Choice;
use super::resolve::listed;

/// The warning about chosen modules of that sort, if there are any.
pub fn bypassed(choice: &Choice<'_>) -> Option<String> {
    let endings: Vec<&str> = choice.architectures().flat_map(|architecture| architecture.bypassed).copied().collect();
    let names = choice.trained().map(|place| choice.target(place).name.as_str());
    let names: Vec<&str> = names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    let text =
        |names| format!("the model reads these weights by itself, so that adapters beside them do nothing: {names}");
    (!names.is_empty()).then(|| text(listed(&names)))
}
