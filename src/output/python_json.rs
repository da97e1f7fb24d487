//! Writes JSON as Python does.

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

/// `value` as Python's `json.dump(value, file, indent=4)` writes it, except for the digits of some numbers.
pub fn python_json(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    // Writing to memory cannot fail, and the values here have only strings as keys.
    value.serialize(&mut serializer).expect("plain data has a JSON form");
    // Nearly all of what is written is plain already.
    if bytes.iter().all(|byte| is_plain(char::from(*byte))) {
        return bytes;
    }
    escape_all_but_ascii(&String::from_utf8_lossy(&bytes)).into_bytes()
}

/// The same as text, with a final newline.
pub fn python_json_text(value: &(impl Serialize + ?Sized)) -> String {
    String::from_utf8(python_json(value)).expect("only ASCII is written") + "\n"
}

/// Escapes all but printable ASCII in strings, as Python does, with UTF-16 for other characters. Outside of strings JSON has
/// only printable ASCII and newlines.
fn escape_all_but_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_python_does() {
        // python3 -c 'import json; print(json.dumps("q\"\\/\b\f\n\r\t\x00\x1f\x7f é ☃ 😀"))'
        let text = "q\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f} é ☃ 😀";
        let expected = r#""q\"\\/\b\f\n\r\t\u0000\u001f\u007f \u00e9 \u2603 \ud83d\ude00""#;
        assert_eq!(String::from_utf8(python_json(&text)).expect("ASCII"), expected);
    }

    #[test]
    fn the_layout_is_that_of_indent_4() {
        // python3 -c 'import json; print(json.dumps({"a": ["x", "y"], "b": []}, indent=4))'
        let types = serde_json::json!({ "a": ["x", "y"], "b": [] });
        let expected = "{\n    \"a\": [\n        \"x\",\n        \"y\"\n    ],\n    \"b\": []\n}";
        assert_eq!(String::from_utf8(python_json(&types)).expect("ASCII"), expected);
    }
}
