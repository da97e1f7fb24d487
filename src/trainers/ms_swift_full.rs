//! ms-swift without adapters: everything is frozen but the parameters that one expression finds. See its
//! `swift/utils/transformers_utils.py`.

use super::choice::Choice;
use super::profile::Profile;
use super::resolve::Rule;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args, expression};

#[derive(Debug)]
pub struct MsSwiftFull;

impl Trainer for MsSwiftFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "ms-swift-full",
            name: "ms-swift",
            formats: &[Format::Yaml, Format::Args],
            keys: &["tuner_type", "freeze_parameters_ratio", "trainable_parameters_regex"],
            has_adapters: false,
            ..Profile::USUAL
        }
    }

    /// The expression is anchored at both ends, because ms-swift looks for it anywhere in a name. One that it cannot read, or that
    /// finds nothing, leaves everything frozen.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let expression = expression::exactly(&choice.parameters());
        choice.check(Rule::ParameterExpression, std::slice::from_ref(&expression), &choice.wanted())?;
        let settings = [
            ("tuner_type", Value::Text("full".into())),
            ("freeze_parameters_ratio", Value::Decimal(1.0)),
            ("trainable_parameters_regex", Value::Text(expression)),
        ];
        let documents = vec![
            self.document(choice, Format::Yaml, yaml::document(&settings)),
            self.document(choice, Format::Args, args::line(choice.trainer, &settings)?),
        ];
        Ok(Export { documents, ..Export::default() })
    }
}
