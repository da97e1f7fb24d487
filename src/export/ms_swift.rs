//! ms-swift: a configuration file for `swift sft`, and the same as options. (`swift/arguments/tuner_args.py`)

use super::yaml::{self, Value};
use super::{Choice, Export, ExportError, Format, peft};

/// Its configuration.
pub fn export(choice: &Choice<'_>) -> Result<Export, ExportError> {
    if choice.lora.head_rank.is_some() {
        return Err(choice.unsupported("knows one rank for all modules: leave out --head-rank"));
    }
    let names = peft::Names::checked(choice)?;
    let mut settings = vec![
        ("lora_rank", Value::Number(choice.lora.rank)),
        ("lora_alpha", Value::Decimal(choice.lora.alpha)),
        ("target_modules", Value::List(names.modules)),
    ];
    if !names.parameters.is_empty() {
        settings.insert(2, ("lora_dropout", Value::Number(0)));
        settings.push(("target_parameters", Value::List(names.parameters)));
    }
    let options: Vec<String> = settings.iter().map(|(key, value)| option(key, value)).collect();
    let documents = vec![
        choice.document(Format::Yaml, yaml::document(&settings)),
        choice.document(Format::Args, options.join(" ") + "\n"),
    ];
    Ok(Export { documents, settings, ..Export::default() })
}

/// A key and its value as an option; the names of modules need no quotes in a shell.
pub fn option(key: &str, value: &Value) -> String {
    let value = match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(items) => items.join(" "),
        Value::Map(_) => String::new(),
    };
    format!("--{key} {value}")
}
