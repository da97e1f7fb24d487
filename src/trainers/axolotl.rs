//! Axolotl: LoRA and QLoRA (`loaders/adapter.py`), and the training of the weights themselves (`utils/freeze.py`).

use super::choice::Choice;
use super::resolve::{Rule, is_literal};
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, peft};

/// What narrows or widens a choice of modules beside the keys that are set: an adapter that is trained further keeps its own
/// modules, and layers that are replicated shift the numbers of those above them.
const ADAPTER_CONFLICTS: [&str; 12] = [
    "lora_model_dir",
    "peft_layers_to_transform",
    "peft_layers_pattern",
    "peft_layer_replication",
    "peft_trainable_token_indices",
    "lora_exclude_modules",
    "lora_modules_to_save",
    "lora_rank_pattern",
    "lora_alpha_pattern",
    "unfrozen_parameters",
    "spectrum_top_fraction",
    "spectrum_model_name",
];

/// What trains something else than single weights, or other weights in turn.
const FULL_CONFLICTS: [&str; 6] = [
    "adapter",
    "freeze_mm_modules",
    "lisa_n_layers",
    "lisa_step_interval",
    "spectrum_top_fraction",
    "spectrum_model_name",
];

/// The plugin that puts a choice of its own in the place of `unfrozen_parameters` as the model is loaded, with or without keys
/// of its own. (`integrations/spectrum/__init__.py`)
const NAMING: [(&str, &str); 1] = [("plugins", "SpectrumPlugin")];

/// What tells a configuration of LLaMA-Factory.
const FOREIGN: [&str; 4] = ["model_name_or_path", "lora_rank", "lora_target", "finetuning_type"];

/// The keys for an adapter. `lora_target_linear` would add all linear modules whatever their layer.
pub fn adapter(choice: &Choice<'_>) -> Result<Export, ExportError> {
    let names = peft::Names::checked(choice)?;
    let mut settings = vec![
        ("lora_r", Value::Number(choice.lora.rank)),
        ("lora_alpha", Value::Decimal(choice.lora.alpha)),
        ("lora_target_linear", Value::Flag(false)),
        ("lora_target_modules", Value::List(names.modules)),
    ];
    let mut resets = Vec::new();
    if names.parameters.is_empty() {
        resets.push(("lora_target_parameters", Value::List(Vec::new())));
    } else {
        settings.insert(2, ("lora_dropout", Value::Number(0)));
        settings.push(("lora_target_parameters", Value::List(names.parameters)));
    }
    let pattern = peft::rank_pattern(choice);
    if pattern.is_empty() {
        resets.push(("lora_rank_pattern", Value::Map(Vec::new())));
    } else {
        settings.push(("lora_rank_pattern", Value::Map(pattern)));
    }
    let text = yaml::document(&settings);
    let documents = vec![choice.document(Format::Yaml, text)];
    let needs = Some(("adapter", "without which Axolotl trains the weights themselves: set it to lora or qlora"));
    let conflicts = &ADAPTER_CONFLICTS;
    Ok(Export {
        documents,
        settings,
        resets,
        conflicts,
        naming: &NAMING,
        needs,
        foreign: &FOREIGN,
        notes: names.notes,
        ..Export::default()
    })
}

/// The keys for training the weights themselves. Patterns are anchored at both ends. Axolotl itself puts a backslash before
/// each dot, so that one more would make it a backslash and any character.
pub fn full(choice: &Choice<'_>) -> Result<Export, ExportError> {
    let names: Vec<String> = choice.trained().map(|place| choice.target(place).parameter()).collect();
    if let Some(name) = names.iter().find(|name| !is_literal(name)) {
        return Err(choice.unsupported(format!("takes expressions, and '{name}' cannot be written as one")));
    }
    let patterns: Vec<String> = names.iter().map(|name| format!("^{name}$")).collect();
    choice.check(Rule::ParameterMatch, &patterns, &choice.wanted())?;
    let settings = vec![("unfrozen_parameters", Value::List(patterns))];
    let documents = vec![choice.document(Format::Yaml, yaml::document(&settings))];
    Ok(Export {
        documents,
        settings,
        conflicts: &FULL_CONFLICTS,
        naming: &NAMING,
        foreign: &FOREIGN,
        ..Export::default()
    })
}
