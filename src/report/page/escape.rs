//! Makes text harmless within a page.

use serde_json::Value;

use crate::output::is_deceptive;

/// Makes text harmless for HTML: it cannot open an element or end an attribute, and deceptive characters are escaped.
pub fn escape(text: &str) -> String {
    join(text.chars(), |character| match character {
        '&' | '<' | '>' | '"' | '\'' => format!("&#{};", u32::from(character)),
        _ if is_deceptive(character) => character.escape_unicode().to_string(),
        _ => character.to_string(),
    })
}

/// A value as JSON within a script element, which it cannot close, without deceptive characters. In JSON all these stand only in
/// strings, where an escape means the same.
pub fn json(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if matches!(character, '<' | '>' | '&') || is_deceptive(character) {
            text.push_str(&join(character.encode_utf16(&mut [0; 2]).iter(), |unit| format!("\\u{unit:04x}")));
        } else {
            text.push(character);
        }
    }
    text
}

pub fn join<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    items.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("ä<b>\"'&\0\u{202e}\n"), "ä&#60;b&#62;&#34;&#39;&#38;\\u{0}\\u{202e}\\u{a}");
    }

    #[test]
    fn json_cannot_end_its_element() {
        let names = Value::from(vec!["</script><!--&", "\u{2028}\u{2029}\"\\", "\u{202e}\u{e0001}\n模"]);
        let text = json(&names);
        assert!(!text.contains(['<', '>', '&']) && !text.chars().any(is_deceptive), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), names);
    }
}
