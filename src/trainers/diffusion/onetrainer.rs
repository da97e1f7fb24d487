//! OneTrainer: keys of its JSON configuration. See its `modules/util/ModuleFilter.py`.
//!
//! It splits a filter at commas; an empty part, such as after a last comma, would match everything. It has the names of diffusers for
//! every model, without that of the component.

use serde_json::{Map, json};

use super::{Family, Form};
use crate::modules::name::number;
use crate::output;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::expression::literally;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::{Export, ExportError, Format, Trainer};

/// With adapters.
#[derive(Debug)]
pub struct OneTrainer;

/// Without adapters.
#[derive(Debug)]
pub struct OneTrainerFull;

const KEYS: &[&str] =
    &["training_method", "lora_rank", "lora_alpha", "layer_filter", "layer_filter_preset", "layer_filter_regex"];

/// It trains no Wan.
fn form(family: &Family) -> Option<Form> {
    (family.key != "wan").then_some(Form::Diffusers)
}

impl Trainer for OneTrainer {
    fn profile(&self) -> &'static Profile {
        &Profile { key: "onetrainer", name: "OneTrainer", formats: &[Format::Json], keys: KEYS, ..super::USUAL }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, form)
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = choice.names();
        let patterns = anchored(choice, names.iter().map(|name| literally(name)))?;
        choice.check(Rule::ModuleExpression, &patterns, &choice.wanted())?;
        let mut config = Map::new();
        config.insert("training_method".into(), json!("LORA"));
        config.insert("lora_rank".into(), json!(choice.lora.rank));
        config.insert("lora_alpha".into(), json!(choice.lora.alpha));
        let mut export = self.filtered(choice, config, &patterns);
        export.notes.extend(super::divided(choice).map(|whole| {
            let text = format!(
                "keep OneTrainer's own output format: KOHYA_LORA, ORIGINAL_LORA and COMFY_LORA fail where only a part of '{whole}' is \
                 trained"
            );
            text.into()
        }));
        Ok(export)
    }
}

impl Trainer for OneTrainerFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "onetrainer-full",
            name: "OneTrainer",
            formats: &[Format::Json],
            keys: KEYS,
            has_adapters: false,
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, form)
    }

    /// With `compile`, blocks are wrapped before the filter is applied, and the wrapper's name stands in those of parameters.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let parameters = choice.parameters();
        let patterns = anchored(choice, parameters.iter().map(|name| with_wrapper(name)))?;
        choice.check(Rule::ParameterExpression, &patterns, &choice.wanted())?;
        let mut config = Map::new();
        config.insert("training_method".into(), json!("FINE_TUNE"));
        Ok(self.filtered(choice, config, &patterns))
    }
}

/// Adds the filter to a configuration.
trait Filtered: Trainer {
    fn filtered(&self, choice: &Choice<'_>, mut config: Map<String, serde_json::Value>, patterns: &[String]) -> Export {
        config.insert("layer_filter".into(), json!(patterns.join(",")));
        // With another preset the program writes that one's filter over this one.
        config.insert("layer_filter_preset".into(), json!("custom"));
        config.insert("layer_filter_regex".into(), json!(true));
        let text = output::python_json_text(&config);
        Export { documents: vec![self.document(choice, Format::Json, text)], ..Export::default() }
    }
}

impl<T: Trainer> Filtered for T {}

/// Expressions that match from a name's beginning to its end. None may have a comma.
fn anchored(choice: &Choice<'_>, expressions: impl Iterator<Item = String>) -> Result<Vec<String>, ExportError> {
    let patterns: Vec<String> = expressions.map(|expression| format!("^{expression}$")).collect();
    match patterns.iter().find(|pattern| pattern.contains(',')) {
        Some(pattern) => {
            let what = format!("splits its filter at commas, and '{pattern}' has one");
            Err(choice.unsupported(what, Remedy::LeaveOut))
        }
        None => Ok(patterns),
    }
}

/// The expression for a parameter in whose name the wrapper of a compiled block may stand behind the block's number.
fn with_wrapper(parameter: &str) -> String {
    let mut is_first = true;
    let segments = parameter.split('.').map(|segment| {
        let is_block = is_first && number(segment).is_some();
        is_first &= !is_block;
        format!("{}{}", literally(segment), if is_block { r"(\.checkpoint)?" } else { "" })
    });
    segments.collect::<Vec<_>>().join(r"\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_block_may_be_wrapped() {
        let expression = with_wrapper("transformer_blocks.1.ff.net.2.weight");
        assert_eq!(expression, r"transformer_blocks\.1(\.checkpoint)?\.ff\.net\.2\.weight");
        assert_eq!(with_wrapper("proj_out.weight"), r"proj_out\.weight");
    }
}
