//! PEFT: the lists of modules and of parameters, and the JSON that `LoraConfig(**…)` takes.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::choice::Choice;
use super::document::Remark;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::Rule;
use super::targets::Target;
use super::{Export, ExportError, Format, Trainer};
use crate::modules::{Refused, WEIGHT, rewritten_by_peft};
use crate::output;

/// The last segments of the names of modules that PEFT refuses to adapt in a Mamba.
const REFUSED_OF_MAMBAS: [&str; 2] = ["out_proj", "conv1d"];

const NO_DROPOUT: &str = "lora_dropout is 0: parameters cannot be trained with any";

#[derive(Debug)]
pub struct Peft;

impl Trainer for Peft {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "peft",
            name: "PEFT",
            formats: &[Format::Json],
            keys: &[
                "r",
                "lora_alpha",
                "target_modules",
                "lora_dropout",
                "target_parameters",
                "rank_pattern",
                "alpha_pattern",
            ],
            has_rank_pattern: true,
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = Names::checked(choice)?;
        let pattern: Map<String, Value> =
            rank_pattern(choice).into_iter().map(|(pattern, rank)| (pattern, json!(rank))).collect();
        let mut config = Map::new();
        config.insert("r".into(), json!(choice.lora.rank));
        config.insert("lora_alpha".into(), choice.lora.alpha_in_json());
        config.insert("target_modules".into(), json!(names.modules));
        if !names.parameters.is_empty() {
            config.insert("lora_dropout".into(), json!(0));
            config.insert("target_parameters".into(), json!(names.parameters));
        }
        config.insert("rank_pattern".into(), Value::Object(pattern));
        config.insert("alpha_pattern".into(), json!({}));
        let text = output::python_json_text(&config);
        let documents = vec![self.document(choice, Format::Json, text)];
        Ok(Export { documents, notes: names.notes, ..Export::default() })
    }
}

/// The names that PEFT is given.
pub struct Names {
    pub modules: Vec<String>,
    pub parameters: Vec<String>,
    pub notes: Vec<Remark>,
}

impl Names {
    /// The names of what is trained, after a check that each hits exactly what it should.
    pub fn checked(choice: &Choice<'_>) -> Result<Self, ExportError> {
        let (mut modules, mut parameters) = (Vec::new(), Vec::new());
        let (mut as_modules, mut as_parameters) = (HashSet::new(), HashSet::new());
        let rewritten = rewritten(choice);
        for place in choice.trained() {
            let target = choice.target(place);
            let leaf = target.name.rsplit('.').next().unwrap_or(&target.name);
            if let Some(why) = refused(choice, target, leaf) {
                return Err(ExportError::Unadaptable { trainer: choice.trainer, name: target.name.clone(), why });
            }
            // In version 5 routers are not linear modules, so that PEFT gets their weights as parameters.
            let is_router = target.is_router && choice.around.is_none_or(|around| around.transformers >= 5);
            if target.is_parameter || is_router || rewritten.contains(&leaf) {
                parameters.push(target.parameter());
                as_parameters.insert(place);
            } else {
                modules.push(target.name.clone());
                as_modules.insert(place);
            }
        }
        choice.check(Rule::ModuleSuffix, &modules, &as_modules)?;
        choice.check(Rule::ParameterSuffix, &parameters, &as_parameters)?;
        let mut notes = Vec::new();
        if !parameters.is_empty() {
            notes.push(NO_DROPOUT.to_owned().into());
        }
        // PEFT's wrapper takes the shape of the stored tensor, which differs in 4 bits.
        let linear = as_parameters.iter().copied().filter(|place| !choice.target(*place).is_parameter).min();
        if let Some(first) = linear.map(|place| &choice.target(place).name) {
            let text = format!(
                "PEFT gets '{first}' and others like it as parameters, which may fail on weights loaded in 4 bits"
            );
            notes.push(Remark::new(text, Remedy::LeaveTypesOut));
        }
        Ok(Self { modules, parameters, notes })
    }

    /// The names for a trainer that can give PEFT only modules.
    pub fn modules_only(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
        let Self { modules, parameters, .. } = Self::checked(choice)?;
        let Some(first) = parameters.first() else { return Ok(modules) };
        let is_parameter =
            |name: &str| choice.targets.all.iter().any(|target| target.is_parameter && target.name == name);
        let (name, why) = match parameters.iter().find(|name| is_parameter(name)) {
            Some(name) => (name.as_str(), "is one in memory"),
            None => (
                first.strip_suffix(WEIGHT).unwrap_or(first),
                "must be given as one: PEFT takes its name for all layers",
            ),
        };
        let what = format!("cannot be given parameters, and '{name}' {why}");
        Err(choice.unsupported(what, Remedy::OtherTypesOrTrainer))
    }
}

fn refused(choice: &Choice<'_>, target: &Target, leaf: &str) -> Option<&'static str> {
    let is_refused = |what| choice.architectures().any(|architecture| architecture.refused == Some(what));
    if REFUSED_OF_MAMBAS.contains(&leaf) && is_refused(Refused::MambaKernels) {
        Some("it refuses those of a Mamba, whose kernels take the weights by themselves")
    } else if target.is_parameter && is_refused(Refused::Experts) {
        Some("the experts of DBRX fail under an adapter")
    } else {
        None
    }
}

/// The last segments of names that PEFT itself rewrites for this model if they are in a list of modules.
fn rewritten(choice: &Choice<'_>) -> Vec<&'static str> {
    if choice.around.is_none_or(|around| around.transformers < 5) {
        return Vec::new();
    }
    choice.model_types().flat_map(rewritten_by_peft).copied().collect()
}

/// The modules with a rank of their own, as regular expressions, and those ranks.
pub fn rank_pattern(choice: &Choice<'_>) -> Vec<(String, u64)> {
    let Some(rank) = choice.lora.head_rank else { return Vec::new() };
    let heads = choice.trained().map(|place| choice.target(place)).filter(|target| target.is_head);
    heads.map(|head| (expression(&head.name), rank)).collect()
}

/// The regular expression of Python that matches this name and nothing else.
fn expression(name: &str) -> String {
    const MARKS: &str = r"\.^$*+?{}[]|()";
    let escaped = |character: char| MARKS.contains(character).then_some('\\').into_iter().chain([character]);
    name.chars().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_the_name_and_nothing_else() {
        // python3 -c 'import re; print(re.fullmatch(…, …))' finds each in its own expression.
        assert_eq!(expression("model.lm_head-1"), r"model\.lm_head-1");
        assert_eq!(expression(r"a\b^c$(d|e)[f]*{g}+?.ä"), r"a\\b\^c\$\(d\|e\)\[f\]\*\{g\}\+\?\.ä");
    }
}
