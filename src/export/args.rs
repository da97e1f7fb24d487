//! Keys and values as options for a command line.

use super::resolve::is_literal;
use super::yaml::Value;

/// A line of options that a shell hands on as they are.
pub fn line(settings: &[(&str, Value)]) -> String {
    let options: Vec<String> = settings.iter().map(|(key, value)| format!("--{key} {}", words(value))).collect();
    options.join(" ") + "\n"
}

fn words(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Text(text) => word(text),
        Value::List(items) => items.iter().map(|item| word(item)).collect::<Vec<_>>().join(" "),
        Value::Map(pairs) => pairs.iter().map(|(name, number)| word(&format!("{name}={number}"))).collect(),
    }
}

/// A word in quotes, if a shell would take it for something else: names come from files that others wrote.
fn word(text: &str) -> String {
    let is_plain = !text.is_empty() && text.split(',').all(is_literal);
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_the_words_as_they_are() {
        let names = ["model.layers.0.up", "a b", "$(id)", "it's"].map(str::to_owned).to_vec();
        let settings = [("lora_rank", Value::Number(8)), ("target_modules", Value::List(names))];
        let expected = "--lora_rank 8 --target_modules model.layers.0.up 'a b' '$(id)' 'it'\\''s'\n";
        assert_eq!(line(&settings), expected);
        assert_eq!(line(&[("lora_target", Value::Text("a.b,c".into()))]), "--lora_target a.b,c\n");
    }
}
