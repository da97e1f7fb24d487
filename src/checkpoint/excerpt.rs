//! What a file says, in a message about it.

use std::fmt::Display;

/// The most characters of a file that a message repeats.
const MAX_CHARACTERS: usize = 200;

/// The beginning of a text that came from a file, as a message can repeat it: a file can hold a megabyte where a word
/// should stand.
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
