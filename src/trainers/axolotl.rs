//! Axolotl with adapters, LoRA or QLoRA, as its `loaders/adapter.py` reads them.

use super::choice::Choice;
use super::peft::{self, Modules};
use super::profile::{AdapterKeys, Profile, UserConfig};
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer};

/// Keys that change which modules are trained. An adapter that is trained further keeps its own modules, and replicated layers
/// shift the numbers of those above them.
const CONFLICTS: [&str; 10] = [
    "lora_model_dir",
    "peft_layers_to_transform",
    "peft_layers_pattern",
    "peft_layer_replication",
    "peft_trainable_token_indices",
    "lora_exclude_modules",
    "lora_modules_to_save",
    "unfrozen_parameters",
    "spectrum_top_fraction",
    "spectrum_model_name",
];

/// This plugin replaces `unfrozen_parameters` by its own choice when the model is loaded, even if none of its keys is set, as
/// its `integrations/spectrum/__init__.py` says.
pub const NAMING: &[(&str, &str)] = &[("plugins", "SpectrumPlugin")];

/// Keys by which a configuration of LLaMA-Factory is recognised.
pub const FOREIGN: &[&str] = &["model_name_or_path", "lora_rank", "lora_target", "finetuning_type"];

const ROUNDED: &str = "Axolotl takes only whole numbers for alpha, so that modules with a lower rank are scaled only nearly as the others";

#[derive(Debug)]
pub struct Axolotl;

impl Trainer for Axolotl {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "axolotl",
            name: "Axolotl",
            formats: &[Format::Yaml],
            keys: &[
                "lora_r",
                "lora_alpha",
                "lora_dropout",
                "lora_target_linear",
                "lora_target_modules",
                "lora_target_parameters",
                "lora_rank_pattern",
                "lora_alpha_pattern",
                "peft_use_rslora",
            ],
            has_rank_pattern: true,
            has_whole_alpha: true,
            rslora: Some("peft_use_rslora"),
            user_config: Some(UserConfig {
                adapter: Some(AdapterKeys { rank: "lora_r", alpha: "lora_alpha", rslora: "peft_use_rslora" }),
                conflicts: &CONFLICTS,
                naming: NAMING,
                needs: Some((
                    "adapter",
                    "without which Axolotl trains the weights themselves: set it to lora or qlora",
                )),
                foreign: FOREIGN,
            }),
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::checked(choice)?;
        let (ranks, alphas) = (names.rank_pattern(choice), names.alpha_pattern(choice));
        let modules = match names.modules {
            Modules::List(names) => Value::List(names),
            Modules::Expression(expression) => Value::Text(expression),
        };
        let mut settings = vec![
            ("lora_r", Value::Number(choice.lora.rank)),
            ("lora_alpha", Value::Decimal(choice.lora.alpha)),
            // It would add all linear modules of every layer.
            ("lora_target_linear", Value::Flag(false)),
            ("lora_target_modules", modules),
        ];
        let mut resets = Vec::new();
        if names.parameters.is_empty() {
            resets.push(("lora_target_parameters", Value::List(Vec::new())));
        } else {
            settings.insert(2, ("lora_dropout", Value::Number(0)));
            settings.push(("lora_target_parameters", Value::List(names.parameters)));
        }
        // Axolotl takes only whole alphas.
        let mut notes = names.notes;
        if alphas.iter().any(|(_, alpha)| alpha.fract() != 0.0) {
            notes.push(ROUNDED.to_owned().into());
        }
        let alphas = alphas.into_iter().map(|(name, alpha)| (name, alpha.round().max(1.0) as u64));
        for (key, pattern) in [("lora_rank_pattern", ranks), ("lora_alpha_pattern", alphas.collect())] {
            if pattern.is_empty() {
                resets.push((key, Value::Map(Vec::new())));
            } else {
                settings.push((key, Value::Map(pattern)));
            }
        }
        settings.extend(choice.lora.rslora.then_some(("peft_use_rslora", Value::Flag(true))));
        let documents = vec![self.document(choice, Format::Yaml, yaml::document(&settings))];
        Ok(Export { documents, settings, resets, notes, ..Export::default() })
    }
}
