//! Unsloth: the arguments of `FastLanguageModel.get_peft_model(model, **…)`.
//!
//! It takes the last segments of names, and layers: every module so called in every one of the layers is trained. That is
//! more than was chosen wherever types differ in their best layers, and is said.

use serde_json::json;

use super::resolve::{Rule, listed};
use super::{Choice, Export, ExportError, Format, peft};
use crate::report;

/// Its arguments.
pub fn export(choice: &Choice<'_>) -> Result<Export, ExportError> {
    if choice.lora.head_rank.is_some() {
        return Err(choice.unsupported("knows one rank for all modules: leave out --head-rank"));
    }
    let (mut leaves, mut layers): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
    for target in choice.chosen.iter().map(|place| choice.target(*place)) {
        if target.is_parameter {
            let what = format!(
                "cannot be told the layers of parameters such as '{}': choose others with --types",
                target.name
            );
            return Err(choice.unsupported(what));
        }
        let Some(layer) = target.layer else {
            let what = format!("cannot be told of '{}', which is in no layer: choose others with --types", target.name);
            return Err(choice.unsupported(what));
        };
        let leaf = target.name.rsplit('.').next().unwrap_or(&target.name).to_owned();
        if !leaves.contains(&leaf) {
            leaves.push(leaf);
        }
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    layers.sort_unstable();
    let strays =
        choice.universe.strays(Rule::InLayers { layers: &layers }, &leaves, &choice.chosen.iter().copied().collect());
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
    let documents = vec![choice.document(Format::Json, report::python_json_text(&arguments))];
    Ok(Export { documents, warnings, ..Export::default() })
}
