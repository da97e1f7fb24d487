//! Quotes text from a file in a message.

use std::fmt::Display;

const MAX_CHARACTERS: usize = 200;

/// The beginning of a text from a file, which may have a megabyte in place of a word.
pub fn excerpt(text: &dyn Display) -> String {
    let mut text = text.to_string();
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt(&"model.embed_tokens.weight"), "model.embed_tokens.weight");
        assert_eq!(excerpt(&"ü".repeat(MAX_CHARACTERS)), "ü".repeat(MAX_CHARACTERS));
        assert_eq!(excerpt(&"ü".repeat(1 << 20)), "ü".repeat(MAX_CHARACTERS) + "…");
    }
}
