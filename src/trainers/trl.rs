//! TRL: what its `ModelConfig` reads from a YAML file (`trl sft --config FILE`) or from options, and gives to PEFT.
//!
//! verl (`actor_rollout_ref.model.target_modules`) and OpenRLHF (`--ds.lora.target_modules`) hand the same list to PEFT.

use std::collections::HashSet;

use super::choice::Choice;
use super::peft::{self, Modules};
use super::profile::{AdapterKeys, Profile, UserConfig};
use super::remedy::Remedy;
use super::resolve::Rule;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args, expression};

/// Keys that change which modules are trained, or how.
const CONFLICTS: [&str; 1] = ["lora_modules_to_save"];

#[derive(Debug)]
pub struct Trl;

impl Trainer for Trl {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "trl",
            name: "TRL",
            formats: &[Format::Yaml, Format::Args],
            keys: &[
                "use_peft",
                "lora_r",
                "lora_alpha",
                "lora_dropout",
                "lora_target_modules",
                "lora_target_parameters",
                "use_rslora",
            ],
            has_whole_alpha: true,
            rslora: Some("use_rslora"),
            user_config: Some(UserConfig {
                adapter: Some(AdapterKeys { rank: "lora_r", alpha: "lora_alpha", rslora: "use_rslora" }),
                conflicts: &CONFLICTS,
                naming: &[],
                needs: None,
                foreign: &["base_model", "lora_rank", "finetuning_type", "unfrozen_parameters"],
            }),
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::checked(choice)?;
        let modules = match names.modules {
            Modules::List(names) => listed(choice, names)?,
            // A list of one is the one expression that PEFT then gets.
            Modules::Expression(expression) => vec![expression],
        };
        let mut settings = vec![
            // Without it TRL trains the whole model, and says nothing of the list.
            ("use_peft", Value::Flag(true)),
            ("lora_r", Value::Number(choice.lora.rank)),
            ("lora_alpha", Value::Decimal(choice.lora.alpha)),
            ("lora_target_modules", Value::List(modules)),
        ];
        let mut resets = Vec::new();
        if names.parameters.is_empty() {
            resets.push(("lora_target_parameters", Value::List(Vec::new())));
        } else {
            settings.insert(3, ("lora_dropout", Value::Number(0)));
            settings.push(("lora_target_parameters", Value::List(names.parameters)));
        }
        settings.extend(choice.lora.rslora.then_some(("use_rslora", Value::Flag(true))));
        let documents = vec![
            self.document(choice, Format::Yaml, yaml::document(&settings)),
            self.document(choice, Format::Args, args::line(choice.trainer, &settings)?),
        ];
        Ok(Export { documents, settings, resets, notes: names.notes, ..Export::default() })
    }
}

/// The names as TRL takes them: of a list of one it makes the expression that PEFT matches with whole names.
fn listed(choice: &Choice<'_>, names: Vec<String>) -> Result<Vec<String>, ExportError> {
    match names.as_slice() {
        [] => Err(choice.unsupported("trains parameters only beside a module", Remedy::AddModule)),
        [name] => {
            let expression = [expression::literally(name)];
            let wanted: HashSet<usize> = choice.trained().filter(|place| choice.target(*place).name == *name).collect();
            if !peft::keeps_expressions(choice) {
                let what =
                    format!("hands '{name}' alone to PEFT as an expression, of which PEFT keeps only the end here");
                return Err(choice.unsupported(what, Remedy::AddModule));
            }
            choice.check(Rule::ModuleExpression, &expression, &wanted)?;
            Ok(expression.to_vec())
        }
        _ => Ok(names),
    }
}
