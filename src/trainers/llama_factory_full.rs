//! LLaMA-Factory without adapters, `finetuning_type: freeze`: blocks of the first or of the last layers are trained, each with all
//! that is in it. See `_setup_freeze_tuning` in its `model/adapter.py`.

use std::collections::{BTreeMap, BTreeSet};

use super::choice::Choice;
use super::llama_factory;
use super::profile::{Profile, UserConfig};
use super::remedy::Remedy;
use super::resolve::Rule;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args};
use crate::modules::name::number;

/// Keys that change what is trained.
const CONFLICTS: [&str; 4] =
    ["adapter_name_or_path", "freeze_extra_modules", "freeze_multi_modal_projector", "use_llama_pro"];

#[derive(Debug)]
pub struct LlamaFactoryFull;

/// Blocks of some layers: the same in each.
struct Blocks<'a> {
    layers: BTreeSet<usize>,
    /// The first segments of names within a layer, such as `self_attn`.
    modules: BTreeSet<&'a str>,
}

impl Trainer for LlamaFactoryFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "llama-factory-full",
            name: "LLaMA-Factory",
            formats: &[Format::Yaml, Format::Args],
            keys: &["finetuning_type", "freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"],
            has_adapters: false,
            user_config: Some(UserConfig {
                adapter: None,
                conflicts: &CONFLICTS,
                naming: &[],
                needs: None,
                foreign: llama_factory::FOREIGN,
            }),
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let blocks = Blocks::of(choice)?;
        let heads: Vec<String> = choice.heads.iter().map(|head| choice.target(*head).name.clone()).collect();
        let mut patterns = heads.clone();
        for layer in &blocks.layers {
            patterns.extend(blocks.modules.iter().map(|module| format!(".{layer}.{module}")));
        }
        let forbidden = llama_factory::frozen(choice);
        choice.check(Rule::ParameterSubstring { forbidden: &forbidden }, &patterns, &choice.wanted())?;
        let modules: Vec<&str> = blocks.modules.iter().copied().collect();
        let mut settings = vec![
            ("finetuning_type", Value::Text("freeze".into())),
            ("freeze_trainable_layers", Value::Decimal(blocks.count(choice)?)),
            ("freeze_trainable_modules", Value::Text(modules.join(","))),
        ];
        if !heads.is_empty() {
            settings.push(("freeze_extra_modules", Value::Text(heads.join(","))));
        }
        let documents = vec![
            self.document(choice, Format::Yaml, yaml::document(&settings)),
            self.document(choice, Format::Args, args::line(choice.trainer, &settings)?),
        ];
        Ok(Export { documents, settings, notes: choice.biases().into_iter().collect(), ..Export::default() })
    }
}

impl<'a> Blocks<'a> {
    /// The blocks that hold what is chosen, if those of all layers are the same.
    fn of(choice: &'a Choice<'_>) -> Result<Self, ExportError> {
        let mut by_layer: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for place in &choice.chosen {
            let name = &choice.target(*place).name;
            let (layer, module) = block(name).ok_or_else(|| cannot(choice, &format!("'{name}' is in no layer")))?;
            by_layer.entry(layer).or_default().insert(module);
        }
        let layers: BTreeSet<usize> = by_layer.keys().copied().collect();
        let mut blocks = by_layer.into_values();
        let modules = blocks.next().unwrap_or_default();
        if blocks.any(|other| other != modules) {
            return Err(cannot(choice, "the choice has other blocks in other layers"));
        }
        Ok(Self { layers, modules })
    }

    /// How many layers are trained from the end, or from the beginning as a negative number.
    fn count(&self, choice: &Choice<'_>) -> Result<f64, ExportError> {
        let names = choice.targets.all.iter().map(|target| &target.name).chain(&choice.targets.others);
        let last = names.filter_map(|name| block(name)).map(|(layer, _)| layer).max().unwrap_or(0);
        let is_run = |first: usize| self.layers.iter().copied().eq(first..first + self.layers.len());
        if is_run(last + 1 - self.layers.len()) {
            Ok(self.layers.len() as f64)
        } else if is_run(0) {
            Ok(-(self.layers.len() as f64))
        } else {
            Err(cannot(choice, "the choice has neither the first layers nor the last ones"))
        }
    }
}

/// The layer of a name, which is its first number, and the first segment behind that.
fn block(name: &str) -> Option<(usize, &str)> {
    let mut segments = name.split('.');
    let layer = segments.find_map(number)?;
    segments.next().map(|module| (layer, module))
}

fn cannot(choice: &Choice<'_>, why: &str) -> ExportError {
    let what = format!("freezes all but whole blocks of the first or the last layers, and {why}");
    choice.unsupported(what, Remedy::OtherTypesOrTrainer)
}
