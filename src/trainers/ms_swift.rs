//! ms-swift: a configuration file for `swift sft`, and the same as options. See its `swift/arguments/tuner_args.py`.

use super::choice::Choice;
use super::peft::{self, Modules};
use super::profile::Profile;
use super::remedy::Remedy;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args};

/// Each of these stands for all modules of a kind, even beside other names.
const KEYWORDS: [&str; 3] = ["all-linear", "all-embedding", "all-router"];

#[derive(Debug)]
pub struct MsSwift;

impl Trainer for MsSwift {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "ms-swift",
            name: "ms-swift",
            formats: &[Format::Yaml, Format::Args],
            keys: &[
                "lora_rank",
                "lora_alpha",
                "lora_dropout",
                "target_modules",
                "target_regex",
                "target_parameters",
                "use_rslora",
            ],
            has_whole_alpha: true,
            rslora: Some("use_rslora"),
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::checked(choice)?;
        let modules = match names.modules {
            Modules::List(names) => ("target_modules", Value::List(listed(choice, names)?)),
            Modules::Expression(expression) => ("target_regex", Value::Text(expression)),
        };
        let mut settings = vec![
            ("lora_rank", Value::Number(choice.lora.rank)),
            ("lora_alpha", Value::Decimal(choice.lora.alpha)),
            modules,
        ];
        settings.extend(choice.lora.rslora.then_some(("use_rslora", Value::Flag(true))));
        if !names.parameters.is_empty() {
            settings.insert(2, ("lora_dropout", Value::Number(0)));
            settings.push(("target_parameters", Value::List(names.parameters)));
        }
        let documents = vec![
            self.document(choice, Format::Yaml, yaml::document(&settings)),
            self.document(choice, Format::Args, args::line(choice.trainer, &settings)?),
        ];
        Ok(Export { documents, notes: names.notes, ..Export::default() })
    }
}

/// The names as a list, if ms-swift takes such a list for these modules alone.
fn listed(choice: &Choice<'_>, names: Vec<String>) -> Result<Vec<String>, ExportError> {
    if names.is_empty() {
        // An empty list cannot be given, and without a list ms-swift takes all linear modules.
        return Err(choice.unsupported("takes parameters only beside a module", Remedy::AddModule));
    }
    match names.iter().find(|name| KEYWORDS.contains(&name.as_str())) {
        Some(name) => {
            let what = format!("takes '{name}' for all modules of a kind: leave that one out");
            Err(choice.unsupported(what, None))
        }
        None => Ok(names),
    }
}
