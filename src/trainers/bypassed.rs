//! Modules that LoRA cannot train whichever trainer is asked.

use super::choice::Choice;
use super::resolve::listed;

/// What is said of modules beside which an adapter does nothing.
pub fn bypassed(choice: &Choice<'_>) -> Option<String> {
    let endings: Vec<&str> = choice.architectures().flat_map(|architecture| architecture.bypassed).copied().collect();
    let names = choice.trained().map(|place| choice.target(place).name.as_str());
    let names: Vec<&str> = names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    let text =
        |names| format!("the model reads these weights by itself, so that adapters beside them do nothing: {names}");
    (!names.is_empty()).then(|| text(listed(&names)))
}
