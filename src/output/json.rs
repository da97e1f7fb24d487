//! Reads JSON as Python's `json.dump` writes it, with `Infinity`, `-Infinity` and `NaN`, which standard JSON does not have,
//! and after a byte order mark, which some editors write.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Python's names of numbers that standard JSON does not have; `-Infinity` comes before `Infinity`, which is a part of it.
const NON_FINITE: [(&str, f64); 3] = [("-Infinity", f64::NEG_INFINITY), ("Infinity", f64::INFINITY), ("NaN", f64::NAN)];

/// Finds the names of such numbers, in strings too.
static NAMES: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(NON_FINITE.map(|(name, _)| name)).expect("three short words"));

/// Placeholders for such numbers are strings of this control character, which does not occur in real names.
const FILLER: u8 = 0x7f;

/// Deserialises `bytes` with `seed`, which sees a placeholder string in place of each non-finite number; [`placeholder_value`]
/// recognises it.
pub fn read<V, S: for<'de> DeserializeSeed<'de, Value = V>>(bytes: &[u8], seed: S) -> serde_json::Result<V> {
    let text = with_placeholders(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A JSON value. All pairs of an object are kept in their order, so that duplicate names can be detected.
#[derive(Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        read(bytes, PhantomData)
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// The pairs of an object; empty if the value is no object.
    pub fn pairs(&self) -> &[(String, Self)] {
        if let Self::Object(pairs) = self { pairs } else { &[] }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The value if it is a natural number below 10^15.
    pub fn whole(&self) -> Option<usize> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && (0.0..1e15).contains(number) => Some(*number as usize),
            _ => None,
        }
    }

    /// The type of the value, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The text without a byte order mark, with a placeholder for every non-finite number. The placeholder is as long as the
/// number, so that errors later in the text name the right column.
fn with_placeholders(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(without_mark(bytes));
    // Few files have such numbers, and most are told at the speed of memory.
    if !NAMES.is_match(&*text) {
        return text;
    }
    let (mut at, mut in_string) = (0, false);
    while at < text.len() {
        let non_finite = NON_FINITE.iter().find(|(name, _)| !in_string && text[at..].starts_with(name.as_bytes()));
        if let Some((name, _)) = non_finite {
            text.to_mut()[at..at + name.len()].copy_from_slice(placeholder(name).as_bytes());
            at += name.len();
            continue;
        }
        in_string ^= text[at] == b'"';
        // An escaped quotation mark does not end a string.
        at += if in_string && text[at] == b'\\' { 2 } else { 1 };
    }
    text
}

/// The text after its byte order mark, if it has one.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// A JSON string of the same length as `name`.
fn placeholder(name: &str) -> String {
    format!("\"{}\"", char::from(FILLER).to_string().repeat(name.len() - 2))
}

/// The number that a placeholder stands for; `None` for any other string.
pub fn placeholder_value(text: &str) -> Option<f64> {
    let is_placeholder = text.bytes().all(|byte| byte == FILLER);
    NON_FINITE.iter().find_map(|(name, number)| (is_placeholder && text.len() + 2 == name.len()).then_some(*number))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(placeholder_value(text).map_or_else(|| Json::Text(text.to_owned()), Json::Number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            if placeholder_value(&key).is_some() {
                return Err(A::Error::custom("key must be a string"));
            }
            pairs.push((key, object.next_value()?));
        }
        Ok(Json::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> f64 {
        match Json::parse(text.as_bytes()).expect(text) {
            Json::List(items) => match items.as_slice() {
                [Json::Number(number)] => *number,
                other => panic!("{text}: {other:?}"),
            },
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_read_as_python_writes_them() {
        let cases = [
            ("[Infinity]", f64::INFINITY),
            ("[ -Infinity\r\n]", f64::NEG_INFINITY),
            ("[1.5e-07]", 1.5e-7),
            ("[1E+2]", 100.0),
            ("[18446744073709551616]", 18_446_744_073_709_551_616.0),
            ("[-3]", -3.0),
            // The nearest float64, not a neighbour.
            ("[2.2250738585072011e-308]", 2.225_073_858_507_201e-308),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
        assert!(number("[NaN]").is_nan());
    }

    #[test]
    fn strings_are_left_alone() {
        let text = r#"{"NaN": ["Infinity", "a\"NaN", "\\", NaN, "-Infinity\\\"", 1e5, "é NaN"]}"#;
        let parsed = Json::parse(text.as_bytes()).expect("JSON");
        let Some(Json::List(items)) = parsed.get("NaN") else { panic!("{parsed:?}") };
        let texts: Vec<&str> = items.iter().filter_map(Json::text).collect();
        assert_eq!(texts, ["Infinity", "a\"NaN", "\\", "-Infinity\\\"", "é NaN"]);
        assert!(matches!(items[3], Json::Number(number) if number.is_nan()));
    }

    #[test]
    fn errors_name_the_place_in_the_file() {
        let cases = [
            ("{\"a\": [Infinity, -Infinity, NaN],\n \"b\" 1}", (2, 6)),
            ("{\"a\": NaN, x}", (1, 12)),
            ("{\"a\": [NaN", (1, 10)),
            ("{\"a\": \"NaN", (1, 10)),
            ("{\"a\\", (1, 4)),
            ("[NaN] NaN", (1, 7)),
            ("[-NaN]", (1, 3)),
            ("[NaNs]", (1, 5)),
            ("[nan]", (1, 3)),
        ];
        for (text, place) in cases {
            let error = Json::parse(text.as_bytes()).expect_err(text);
            assert_eq!((error.line(), error.column()), place, "{text}: {error}");
        }
        assert!(Json::parse(b"{Infinity: 1}").is_err());
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
