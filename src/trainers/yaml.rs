//! Values -> the YAML of a trainer's configuration.
//!
//! Axolotl and LLaMA-Factory read YAML 1.1, with PyYAML; other programs read 1.2. What is written here means the same in both.

use std::fmt::Write;

use crate::output;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Flag(bool),
    Number(u64),
    /// Any number; a whole one is written without a decimal point.
    Decimal(f64),
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, u64)>),
}

/// A value, or a section with values of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Value(Value),
    Section(Entries),
    Sections(Vec<Entries>),
}

/// What a section sets each key to.
pub type Entries = Vec<(&'static str, Node)>;

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// The quotes of a scalar. One that cannot be written without quotes, or without escapes, gets the next that can hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    None,
    Single,
    Double,
}

/// An item of a list, or a pair of a map, which has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub name: &'a str,
    pub number: Option<u64>,
}

impl Value {
    /// The value as it is written behind its key; `None` if it needs lines of its own.
    pub(crate) fn inline(&self, quotes: Quotes) -> Option<String> {
        match self {
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Decimal(number) => Some(decimal(*number)),
            Self::Text(text) => Some(scalar(text, quotes)),
            Self::List(items) => items.is_empty().then(|| "[]".to_owned()),
            Self::Map(pairs) => pairs.is_empty().then(|| "{}".to_owned()),
        }
    }

    /// The items of a list or the pairs of a map; a scalar has none.
    pub(crate) fn elements(&self) -> Vec<Element<'_>> {
        match self {
            Self::List(items) => items.iter().map(|name| Element { name, number: None }).collect(),
            Self::Map(pairs) => pairs.iter().map(|(name, number)| Element { name, number: Some(*number) }).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a scalar without quotes is read as this value, both by YAML 1.1 and by 1.2. `yes`, `on` and their opposites count
    /// as flags, because the trainers read 1.1.
    pub(crate) fn is_plain(&self, plain: &str) -> bool {
        match self {
            Self::Flag(true) => ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"].contains(&plain),
            Self::Flag(false) => ["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"].contains(&plain),
            Self::Number(number) => whole(plain) == Some(*number),
            Self::Decimal(number) => real(plain) == Some(*number) || plain == decimal(*number),
            Self::Text(text) => text == plain && reads_as_text(plain),
            Self::List(_) | Self::Map(_) => false,
        }
    }
}

impl Element<'_> {
    /// Its line, without indentation and line end. `dash` is written before the items of a list.
    pub(crate) fn line(&self, dash: &str) -> String {
        let name = scalar(self.name, Quotes::None);
        match self.number {
            None => format!("{dash}{name}"),
            Some(number) => format!("{name}: {number}"),
        }
    }
}

/// Lines that set each key to its value.
pub fn document(entries: &[(&str, Value)]) -> String {
    entries.iter().map(|(key, value)| entry(key, value)).collect()
}

/// Lines that set each key to its value or to its section.
pub fn nested(entries: &[(&'static str, Node)]) -> String {
    let lines = |(key, node): &(&'static str, Node)| match node {
        Node::Value(value) => entry(key, value),
        Node::Section(entries) => format!("{key}:\n{}", indented("  ", "  ", &nested(entries))),
        Node::Sections(sections) => {
            let sections = sections.iter().map(|entries| indented("  - ", "    ", &nested(entries)));
            format!("{key}:\n{}", sections.collect::<String>())
        }
    };
    entries.iter().map(lines).collect()
}

/// These lines with something before the first, and something before the others.
fn indented(first: &str, others: &str, lines: &str) -> String {
    let start = |at| if at == 0 { first } else { others };
    lines.lines().enumerate().map(|(at, line)| format!("{}{line}\n", start(at))).collect()
}

fn entry(key: &str, value: &Value) -> String {
    let mut lines = scalar(key, Quotes::None);
    match value.inline(Quotes::None) {
        Some(value) => lines.extend([": ", &value, "\n"]),
        None => lines.push_str(":\n"),
    }
    for element in value.elements() {
        lines.extend(["  ", &element.line("- "), "\n"]);
    }
    lines
}

/// A string as a scalar on one line.
pub(crate) fn scalar(text: &str, quotes: Quotes) -> String {
    if quotes == Quotes::Double || !text.chars().all(is_printable) {
        return escaped(text);
    }
    if quotes == Quotes::None && can_be_plain(text) && reads_as_text(text) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a character is written without an escape. U+0085, U+2028 and U+2029 end lines in YAML 1.1, a byte order mark is not
/// allowed inside a document, and other invisible characters are escaped so that people see them.
fn is_printable(character: char) -> bool {
    !output::is_deceptive(character) && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// Whether printable text without quotes is read as one scalar.
fn can_be_plain(text: &str) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@`";
    !text.starts_with(|first| first == ' ' || INDICATORS.contains(first))
        && !text.starts_with("...")
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// Whether a scalar without quotes is read as text, neither as a keyword nor as a number or a time.
pub(crate) fn reads_as_text(plain: &str) -> bool {
    const KEYWORDS: [&str; 13] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<", "="];
    /// The characters of numbers to any base, of dates and of times.
    const OF_NUMBERS: &str = "0123456789abcdefotxz.:_+- ";
    let lower = plain.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    let is_number = unsigned.starts_with(|first: char| matches!(first, '.' | '_' | '0'..='9'))
        && (unsigned.chars().all(|character| OF_NUMBERS.contains(character)) || matches!(unsigned, ".inf" | ".nan"));
    !is_number && !KEYWORDS.contains(&lower.as_str())
}

/// A whole number that both versions of YAML read as decimal: a leading zero would make it octal in 1.1.
pub(crate) fn whole(plain: &str) -> Option<u64> {
    let is_decimal = plain.bytes().all(|byte| byte.is_ascii_digit()) && (plain == "0" || !plain.starts_with('0'));
    plain.parse().ok().filter(|_| is_decimal)
}

/// A number that both versions of YAML read as such: `5e-2` has no decimal point and is text in 1.1.
fn real(plain: &str) -> Option<f64> {
    let is_real =
        plain.contains('.') && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    let is_whole = whole(plain.strip_prefix('-').unwrap_or(plain)).is_some();
    plain.parse().ok().filter(|_| is_real || is_whole)
}

/// A number without an exponent, because PyYAML reads one only after a decimal point and with a sign.
fn decimal(number: f64) -> String {
    match number {
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        number if number.is_nan() => ".nan".to_owned(),
        number => number.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        // Writing to a string does not fail.
        let _ = match (character, u32::from(character)) {
            ('"' | '\\', _) => write!(quoted, "\\{character}"),
            ('\n', _) => write!(quoted, "\\n"),
            ('\t', _) => write!(quoted, "\\t"),
            ('\r', _) => write!(quoted, "\\r"),
            (character, _) if is_printable(character) => write!(quoted, "{character}"),
            (_, code @ ..=0xff) => write!(quoted, "\\x{code:02x}"),
            (_, code @ ..=0xffff) => write!(quoted, "\\u{code:04x}"),
            (_, code) => write!(quoted, "\\U{code:08x}"),
        };
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        scalar(text, Quotes::None)
    }

    #[test]
    fn values_have_their_forms() {
        let entries = [
            ("adapter", Value::Text("qlora".to_owned())),
            ("lora_r", Value::Number(64)),
            ("lora_dropout", Value::Decimal(0.05)),
            ("zero", Value::Decimal(0.0)),
            ("small", Value::Decimal(1e-7)),
            ("lora_target_linear", Value::Flag(false)),
            ("lora_target_modules", Value::List(vec!["layers.0.mlp.up_proj".to_owned(), "no".to_owned()])),
            ("empty", Value::List(vec![])),
            (
                "rank_pattern",
                Value::Map(vec![("^model.layers.0.mlp.up_proj.weight$".to_owned(), 8), ("1".to_owned(), 2)]),
            ),
            ("alpha_pattern", Value::Map(vec![])),
        ];
        let expected = "adapter: qlora\nlora_r: 64\nlora_dropout: 0.05\nzero: 0\nsmall: 0.0000001\n\
            lora_target_linear: false\nlora_target_modules:\n  - layers.0.mlp.up_proj\n  - 'no'\nempty: []\n\
            rank_pattern:\n  ^model.layers.0.mlp.up_proj.weight$: 8\n  '1': 2\nalpha_pattern: {}\n";
        assert_eq!(document(&entries), expected);
    }

    #[test]
    fn sections_are_indented() {
        let list = || Node::Value(Value::List(vec!["a.b".to_owned(), "no".to_owned()]));
        let of = |text: &str| vec![("path", Node::Value(Value::Text(text.to_owned())))];
        let inner = vec![("rank", Value::Number(8).into()), ("keys", list())];
        let entries = [
            ("plain", Value::Flag(true).into()),
            ("lora", Node::Section(inner)),
            ("freeze", Node::Section(vec![("all", Node::Sections(vec![of("*"), [of("b"), of("c")].concat()]))])),
        ];
        let expected = "plain: true\nlora:\n  rank: 8\n  keys:\n    - a.b\n    - 'no'\nfreeze:\n  all:\n    - path: '*'\n    \
            - path: b\n      path: c\n";
        assert_eq!(nested(&entries), expected);
    }

    #[test]
    fn names_stand_without_quotes() {
        let long = "x".repeat(5000);
        let names =
            ["model.layers.30.self_attn.q_proj", "^model.layers.0.mlp.up_proj.weight$", "lm_head", "0.mlp", "./a"];
        for name in names.into_iter().chain(["a:b", "a#b", "é☃", "yes sir", "a, b [c]", "7b-laser", &long]) {
            assert_eq!(text(name), name);
        }
    }

    #[test]
    fn what_would_be_read_otherwise_is_quoted() {
        let words =
            ["yes", "No", "ON", "off", "null", "~", "y", "TRUE", "<<", "=", "", ".inf", "-.INF", ".NaN", "+1", "."];
        let numbers =
            ["1e3", "0x1f", "0o17", "0b1", "1_000", "12:30:45", "2001-12-14", "2001-12-14t21:59:43.10-05:00", ".5"];
        let marks =
            ["- a", "-", "?x", "a: b", "a:", "a #b", " a", "a ", "#a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a"];
        let more = ["[a", "{a", "\"a", "...", "---", "2001-12-14 21:59:43 -5", ",a", "}"];
        for word in words.into_iter().chain(numbers).chain(marks).chain(more) {
            assert_eq!(text(word), format!("'{word}'"));
        }
        assert_eq!(text("'a'"), "'''a'''");
    }

    #[test]
    fn control_characters_are_escaped() {
        let odd = "\"\\\n\t\r\0\u{85}\u{2028}\u{feff}\u{ad}\u{202e}\u{e0041}é😀";
        assert_eq!(text(odd), r#""\"\\\n\t\r\x00\x85\u2028\ufeff\xad\u202e\U000e0041é😀""#);
    }
}
