//! Unsloth: the arguments of `FastLanguageModel.get_peft_model(model, **…)`.
//!
//! It hands a list of whole names to PEFT as it is. Only where it builds an expression of its own, for models of vision and for
//! those that load with `FastModel`, does it take the last segments of names and layers apart; there it refuses whole names, and
//! takes one expression instead.

use serde_json::{Map, json};

use super::choice::Choice;
use super::peft;
use super::profile::Profile;
use super::{Export, ExportError, Format, Trainer};
use crate::output;

const ONE_EXPRESSION: &str = "where FastModel or FastVisionModel loads the model, it refuses whole names: give it one expression \
                              instead, target_modules=\"|\".join(map(re.escape, target_modules))";

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
            // Earlier exports had layers apart.
            keys: &["r", "lora_alpha", "target_modules", "layers_to_transform", "use_rslora"],
            rslora: Some("use_rslora"),
            takes_head: false,
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::modules_only(choice)?;
        let mut warnings = Vec::new();
        if choice.adapter.head && !choice.targets.heads().is_empty() {
            warnings.push(NO_HEAD.to_owned().into());
        }
        let mut notes = Vec::new();
        if peft::keeps_expressions(choice) {
            notes.push(ONE_EXPRESSION.to_owned().into());
        }
        let mut arguments = Map::new();
        arguments.insert("r".into(), json!(choice.lora.rank));
        arguments.insert("lora_alpha".into(), choice.lora.alpha_in_json());
        arguments.insert("target_modules".into(), json!(names));
        if choice.lora.rslora {
            arguments.insert("use_rslora".into(), json!(true));
        }
        let documents = vec![self.document(choice, Format::Json, output::python_json_text(&arguments))];
        Ok(Export { documents, notes, warnings, ..Export::default() })
    }
}
