//! NVIDIA's NeMo Automodel: the sections `peft` and `freeze_config` of a recipe's YAML. See its `components/_peft/module_matcher.py`
//! and `components/utils/model_utils.py`.
//!
//! A target is a whole name, or a pattern with stars. A bare `q_proj` finds nothing, although its documentation says so.

use super::choice::Choice;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::Rule;
use super::yaml::{self, Node, Value};
use super::{Export, ExportError, Format, Trainer};

/// With adapters.
#[derive(Debug)]
pub struct NemoAutomodel;

/// Without adapters: everything is frozen but the chosen modules.
#[derive(Debug)]
pub struct NemoAutomodelFull;

impl Trainer for NemoAutomodel {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "nemo-automodel",
            name: "NeMo Automodel",
            formats: &[Format::Yaml],
            sections: &[("peft", &["_target_", "dim", "alpha", "target_modules"])],
            has_whole_alpha: true,
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let peft = vec![
            ("_target_", Value::Text("nemo_automodel.components._peft.lora.PeftConfig".into()).into()),
            ("dim", Value::Number(choice.lora.rank).into()),
            ("alpha", Value::Decimal(choice.lora.alpha).into()),
            ("target_modules", Value::List(names(choice)?).into()),
        ];
        let text = yaml::nested(&[("peft", Node::Section(peft))]);
        Ok(Export { documents: vec![self.document(choice, Format::Yaml, text)], ..Export::default() })
    }
}

impl Trainer for NemoAutomodelFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "nemo-automodel-full",
            name: "NeMo Automodel",
            formats: &[Format::Yaml],
            sections: &[("freeze_config", &["freeze_modules", "unfreeze_modules"])],
            has_adapters: false,
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let of = |key: &'static str, name: String| vec![(key, Value::Text(name).into())];
        let frozen = Node::Sections(vec![of("glob", "*".into())]);
        let trained = Node::Sections(names(choice)?.into_iter().map(|name| of("path", name)).collect());
        let config = Node::Section(vec![("freeze_modules", frozen), ("unfreeze_modules", trained)]);
        let text = yaml::nested(&[("freeze_config", config)]);
        let notes = choice.biases().into_iter().collect();
        Ok(Export { documents: vec![self.document(choice, Format::Yaml, text)], notes, ..Export::default() })
    }
}

/// The whole names of the modules that are trained.
fn names(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
    let mut targets = choice.trained().map(|place| choice.target(place));
    if let Some(parameter) = targets.find(|target| target.is_parameter) {
        let what = format!("cannot be given parameters, and '{}' is one in memory", parameter.name);
        return Err(choice.unsupported(what, Remedy::OtherTypesOrTrainer));
    }
    let names = choice.literal_names()?;
    choice.check(Rule::ModuleName, &names, &choice.wanted())?;
    Ok(names)
}
