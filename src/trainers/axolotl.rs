//! Axolotl with adapters: LoRA and QLoRA. (`loaders/adapter.py`)

use super::choice::Choice;
use super::trainer::{AdapterKeys, UserConfig};
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, peft};

/// What narrows or widens a choice of modules beside the keys that are set: an adapter that is trained further keeps its own
/// modules, and layers that are replicated shift the numbers of those above them.
const CONFLICTS: [&str; 12] = [
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

/// The plugin that puts a choice of its own in the place of `unfrozen_parameters` as the model is loaded, with or without keys
/// of its own. (`integrations/spectrum/__init__.py`)
pub const NAMING: &[(&str, &str)] = &[("plugins", "SpectrumPlugin")];

/// What tells a configuration of LLaMA-Factory.
pub const FOREIGN: &[&str] = &["model_name_or_path", "lora_rank", "lora_target", "finetuning_type"];

/// Axolotl with adapters.
#[derive(Debug)]
pub struct Axolotl;

impl Trainer for Axolotl {
    fn key(&self) -> &'static str {
        "axolotl"
    }

    fn name(&self) -> &'static str {
        "Axolotl"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Yaml]
    }

    fn keys(&self) -> &'static [&'static str] {
        &[
            "lora_r",
            "lora_alpha",
            "lora_dropout",
            "lora_target_linear",
            "lora_target_modules",
            "lora_target_parameters",
            "lora_rank_pattern",
        ]
    }

    fn has_rank_pattern(&self) -> bool {
        true
    }

    fn user_config(&self) -> Option<&'static UserConfig> {
        Some(&UserConfig {
            adapter: Some(AdapterKeys { rank: "lora_r", alpha: "lora_alpha" }),
            conflicts: &CONFLICTS,
            naming: NAMING,
            needs: Some(("adapter", "without which Axolotl trains the weights themselves: set it to lora or qlora")),
            foreign: FOREIGN,
        })
    }

    /// The keys for an adapter. `lora_target_linear` would add all linear modules whatever their layer.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
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
        let documents = vec![self.document(choice, Format::Yaml, yaml::document(&settings))];
        Ok(Export { documents, settings, resets, notes: names.notes, ..Export::default() })
    }
}
