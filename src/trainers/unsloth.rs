//! Unsloth: the arguments of `FastLanguageModel.get_peft_model(model, **…)`.
//!
//! It takes the last segments of names, and layers: every module so called in every one of the layers is trained. That is
//! more than was chosen wherever types differ in their best layers, and is said.

use serde_json::json;

use super::choice::Choice;
use super::resolve::{Rule, Universe, listed};
use super::targets::Targets;
use super::{Export, ExportError, Format, peft};
use crate::output;

/// Its arguments.
pub fn export(choice: &Choice<'_>) -> Result<Export, ExportError> {
    for target in choice.chosen.iter().map(|place| choice.target(*place)) {
        let why = match target.layer {
            _ if target.is_parameter => "a parameter, of which it cannot be told the layers",
            None => "in no layer",
            Some(_) => continue,
        };
        let what = format!("cannot train '{}' by itself, which is {why}: choose others with --types", target.name);
        return Err(choice.unsupported(what));
    }
    let (leaves, layers) = apart(&choice.targets, &choice.chosen);
    let wanted = choice.chosen.iter().copied().collect();
    let strays = choice.universe.strays(Rule::InLayers { layers: &layers }, &leaves, &wanted);
    let mut warnings = Vec::new();
    if !strays.is_empty() {
        warnings.push(format!(
            "Unsloth takes layers and names apart, so that it trains {} modules beside the {} that are chosen: {}",
            strays.len(),
            choice.chosen.len(),
            listed(&strays)
        ));
    }
    if choice.adapter.head && !choice.targets.heads().is_empty() {
        warnings.push(
            "Unsloth gives the head no adapter: modules_to_save=[\"lm_head\"] trains it whole, if that is wanted"
                .to_owned(),
        );
    }
    let arguments = json!({
        "r": choice.lora.rank,
        "lora_alpha": peft::number(choice.lora.alpha),
        "target_modules": leaves,
        "layers_to_transform": layers,
    });
    let documents = vec![choice.document(Format::Json, output::python_json_text(&arguments))];
    Ok(Export { documents, warnings, ..Export::default() })
}

/// The last segments of the targets' names, and their layers, each once.
fn apart(targets: &Targets, chosen: &[usize]) -> (Vec<String>, Vec<usize>) {
    let mut leaves: Vec<String> = Vec::new();
    let mut layers: Vec<usize> = chosen.iter().filter_map(|place| targets.all[*place].layer).collect();
    for place in chosen {
        let name = &targets.all[*place].name;
        let leaf = name.rsplit('.').next().unwrap_or(name);
        if !leaves.iter().any(|known| known == leaf) {
            leaves.push(leaf.to_owned());
        }
    }
    layers.sort_unstable();
    layers.dedup();
    (leaves, layers)
}

/// All targets that are trained where these are chosen.
pub fn adapted(universe: &Universe, targets: &Targets, chosen: &[usize]) -> Vec<usize> {
    let (leaves, layers) = apart(targets, chosen);
    universe.targets(Rule::InLayers { layers: &layers }, &leaves)
}
