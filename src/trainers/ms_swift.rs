//! ms-swift: a configuration file for `swift sft`, and the same as options. See its `swift/arguments/tuner_args.py`.

use super::choice::Choice;
use super::profile::Profile;
use super::remedy::Remedy;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args, peft};

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
            keys: &["lora_rank", "lora_alpha", "lora_dropout", "target_modules", "target_parameters"],
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::checked(choice)?;
        if names.modules.is_empty() {
            // An empty list cannot be given, and without a list ms-swift takes all linear modules.
            return Err(choice.unsupported("takes parameters only beside a module", Remedy::AddModule));
        }
        if let Some(name) = names.modules.iter().find(|name| KEYWORDS.contains(&name.as_str())) {
            let what = format!("takes '{name}' for all modules of a kind: leave that one out");
            return Err(choice.unsupported(what, None));
        }
        let mut settings = vec![
            ("lora_rank", Value::Number(choice.lora.rank)),
            ("lora_alpha", Value::Decimal(choice.lora.alpha)),
            ("target_modules", Value::List(names.modules)),
        ];
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
