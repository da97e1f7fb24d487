//! Unsloth: the arguments of `FastLanguageModel.get_peft_model(model, **…)`.
//!
//! Unsloth takes the last segments of names, and layers, and trains every module with such a name in each of the layers. That
//! is more than was chosen where the best layers of two types differ; a warning says so.

use serde_json::json;

use super::choice::Choice;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::{Rule, listed};
use super::{Export, ExportError, Format, Trainer};
use crate::output;

const NO_HEAD: &str =
    "Unsloth gives the head no adapter: modules_to_save=[\"lm_head\"] trains it whole, if that is wanted";

#[derive(Debug)]
pub struct Unsloth;

impl Trainer for Unsloth {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "unsloth",
            name: "Unsloth",
            formats: &[Format::Json],
            keys: &["r", "lora_alpha", "target_modules", "layers_to_transform"],
            takes_head: false,
            exceeds_budgets: Some("trains more than is chosen"),
            ..Profile::USUAL
        }
    }

    fn trains(&self, choice: &Choice<'_>) -> Vec<usize> {
        let (leaves, layers) = apart(choice);
        choice.universe.targets(Rule::InLayers { layers: &layers }, &leaves)
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        for target in choice.chosen.iter().map(|place| choice.target(*place)) {
            let why = match target.layer {
                _ if target.is_parameter => "a parameter, of which it cannot be told the layers",
                None => "in no layer",
                Some(_) => continue,
            };
            let what = format!("cannot train '{}' by itself, which is {why}", target.name);
            return Err(choice.unsupported(what, Remedy::OtherTypes));
        }
        let (leaves, layers) = apart(choice);
        let wanted = choice.chosen.iter().copied().collect();
        let strays = choice.universe.strays(Rule::InLayers { layers: &layers }, &leaves, &wanted);
        let mut warnings = Vec::new();
        if !strays.is_empty() {
            let text = format!(
                "Unsloth takes layers and names apart, so that it trains {} modules beside the {} that are chosen: {}",
                strays.len(),
                choice.chosen.len(),
                listed(&strays)
            );
            warnings.push(text.into());
        }
        if choice.adapter.head && !choice.targets.heads().is_empty() {
            warnings.push(NO_HEAD.to_owned().into());
        }
        let arguments = json!({
            "r": choice.lora.rank,
            "lora_alpha": choice.lora.alpha_in_json(),
            "target_modules": leaves,
            "layers_to_transform": layers,
        });
        let documents = vec![self.document(choice, Format::Json, output::python_json_text(&arguments))];
        Ok(Export { documents, warnings, ..Export::default() })
    }
}

/// The last segments of the chosen targets' names, and their layers, each once.
fn apart(choice: &Choice<'_>) -> (Vec<String>, Vec<usize>) {
    let mut leaves: Vec<String> = Vec::new();
    let mut layers: Vec<usize> = choice.chosen.iter().filter_map(|place| choice.target(*place).layer).collect();
    for place in &choice.chosen {
        let name = &choice.target(*place).name;
        let leaf = name.rsplit('.').next().unwrap_or(name);
        if !leaves.iter().any(|known| known == leaf) {
            leaves.push(leaf.to_owned());
        }
    }
    layers.sort_unstable();
    layers.dedup();
    (leaves, layers)
}
