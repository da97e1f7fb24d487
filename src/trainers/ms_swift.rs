//! ms-swift: a configuration file for `swift sft`, and the same as options. (`swift/arguments/tuner_args.py`)

use super::choice::Choice;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, args, peft};

/// What it takes for all modules of a kind, in any list.
const KEYWORDS: [&str; 3] = ["all-linear", "all-embedding", "all-router"];

/// Its configuration.
pub fn export(choice: &Choice<'_>) -> Result<Export, ExportError> {
    let names = peft::Names::checked(choice)?;
    if names.modules.is_empty() {
        // An empty list of modules is no option, and without one ms-swift takes all linear modules.
        return Err(
            choice.unsupported("takes parameters only beside a module: choose one too, or do without --no-head")
        );
    }
    if let Some(name) = names.modules.iter().find(|name| KEYWORDS.contains(&name.as_str())) {
        return Err(choice.unsupported(format!("takes '{name}' for all modules of a kind: leave that one out")));
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
        choice.document(Format::Yaml, yaml::document(&settings)),
        choice.document(Format::Args, args::line(choice.trainer, &settings)?),
    ];
    Ok(Export { documents, notes: names.notes, ..Export::default() })
}
