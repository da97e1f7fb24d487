//! Keys and values -> options for a trainer's command line.

use super::ExportError;
use super::resolve::is_literal;
use super::yaml::Value;
use crate::output::is_deceptive;

/// A line of options that a shell hands on to `trainer` unchanged. Names come from files that others wrote, and a person is to
/// paste the line: a name that would become an option, or that has invisible characters, is refused.
pub fn line(trainer: &'static str, settings: &[(&str, Value)]) -> Result<String, ExportError> {
    let option = |(key, value): &(&str, Value)| Ok(format!("--{key} {}", words(trainer, value)?));
    let options: Vec<String> = settings.iter().map(option).collect::<Result<_, ExportError>>()?;
    Ok(options.join(" ") + "\n")
}

fn words(trainer: &'static str, value: &Value) -> Result<String, ExportError> {
    let words: Vec<String> = match value {
        Value::Flag(flag) => return Ok(flag.to_string()),
        Value::Number(number) => return Ok(number.to_string()),
        Value::Decimal(number) => return Ok(number.to_string()),
        Value::Text(text) => vec![text.clone()],
        Value::List(items) => items.clone(),
        Value::Map(pairs) => pairs.iter().map(|(name, number)| format!("{name}={number}")).collect(),
    };
    Ok(words.iter().map(|text| word(trainer, text)).collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn word(trainer: &'static str, text: &str) -> Result<String, ExportError> {
    if text.starts_with('-') {
        return Err(ExportError::Option { trainer, name: text.to_owned() });
    }
    // LLaMA-Factory takes all names in one word, separated by commas.
    if let Some(name) = text.split(',').find(|name| name.chars().any(is_deceptive)) {
        return Err(ExportError::Invisible { trainer, name: name.to_owned() });
    }
    Ok(quoted(text))
}

/// Text as one word for a shell, in quotes where it needs them.
pub fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.split(',').all(is_literal);
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_the_words_as_they_are() {
        let line = |settings: &[(&str, Value)]| line("ms-swift", settings).expect("harmless");
        let names = ["model.layers.0.up", "a b", "$(id)", "it's", "~", "a=b", "模型"].map(str::to_owned).to_vec();
        let settings = [("lora_rank", Value::Number(8)), ("target_modules", Value::List(names))];
        let expected = "--lora_rank 8 --target_modules model.layers.0.up 'a b' '$(id)' 'it'\\''s' '~' 'a=b' '模型'\n";
        assert_eq!(line(&settings), expected);
        assert_eq!(line(&[("lora_target", Value::Text("a.b,c".into()))]), "--lora_target a.b,c\n");
        let pairs = [("a", 1), ("b c", 2)].map(|(name, number)| (name.to_owned(), number)).to_vec();
        assert_eq!(line(&[("x", Value::Map(pairs))]), "--x 'a=1' 'b c=2'\n");
    }

    #[test]
    fn no_name_becomes_an_option_or_hides() {
        let error = |name: &str| {
            let settings = [("target_modules", Value::List(vec!["a".to_owned(), name.to_owned()]))];
            line("ms-swift", &settings).expect_err(name).to_string()
        };
        for name in ["-x", "--output_dir=/etc", "-"] {
            assert!(error(name).starts_with(&format!("ms-swift would take '{name}' on a command line for an option")));
        }
        for name in ["a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}", "\u{e0041}"] {
            assert!(error(name).contains("cannot be seen"), "{}", error(name));
        }
        let settings = [("lora_target", Value::Text("model.a,b\u{200b},model.c".into()))];
        let error = line("LLaMA-Factory", &settings).expect_err("hidden").to_string();
        assert!(error.starts_with("'b\u{200b}' has"), "{error}");
    }
}
