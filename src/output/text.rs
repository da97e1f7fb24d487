//! Formats numbers and names for people to read.

use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// The longest model name within a file name, in bytes. File systems allow 255, which a prefix and an extension share.
const LONGEST_NAME: usize = 180;

pub fn digits(ratio: f64, count: usize) -> String {
    let scientific = format!("{ratio:.*e}", count - 1);
    match scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()) {
        None => "∞".to_owned(),
        Some(exponent @ -4..6) => format!("{ratio:.*}", (count as i32 - 1 - exponent).max(0) as usize),
        Some(_) => scientific,
    }
}

/// Whether a character could deceive a reader: control characters could move a terminal's cursor or set its title, and
/// characters that cannot be seen or that change the direction of writing could make a name look like another.
///
/// Beside the control characters these are the line and paragraph separators, the interlinear annotation marks and Unicode's
/// `Default_Ignorable_Code_Point`, which includes `Bidi_Control`, the variation selectors and the tags, as listed in
/// `DerivedCoreProperties.txt` and `PropList.txt` of Unicode 17.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Writes every deceptive character of a text as its number, such as `\u{1b}`.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            visible.extend(character.escape_unicode());
        } else {
            visible.push(character);
        }
    }
    visible
}

/// Makes a model's name safe as the middle of a file name for every file system and shell. A dash at its beginning, a dot at
/// its end and the names that Windows reserves do no harm there.
pub fn in_file_name(name: &str) -> String {
    let is_unsafe = |character| is_deceptive(character) || "/\\:*?\"<>|".contains(character);
    let safe: String = name.chars().map(|character| if is_unsafe(character) { '_' } else { character }).collect();
    if safe.len() <= LONGEST_NAME {
        return safe;
    }
    // The hash distinguishes names that differ only at their ends.
    let hash = &sha256(name.as_bytes())[..8];
    format!("{}-{hash}", &safe[..safe.floor_char_boundary(LONGEST_NAME - 9)])
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment in RFC 3339 format, in UTC and whole seconds, such as `2026-11-28T23:59:59Z`. Times before 1970 are written as
/// the beginning of 1970.
pub fn timestamp(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 83_886_080].map(grouped), ["0", "999", "1,000", "83,886,080"]);
    }

    #[test]
    fn names_are_safe_in_file_names() {
        for name in ["Mistral-7B-v0.1", "a-checkpoint-500", "Modell größer", "模型", "-rf", "CON", "a=b,c"] {
            assert_eq!(in_file_name(name), name);
        }
        assert_eq!(in_file_name("a:b\\c/d\u{1b}[2J\n\u{202e}e*?"), "a_b_c_d_[2J__e__");
        let long = |end: &str| in_file_name(&format!("{}{end}", "é".repeat(200)));
        assert!(long("a").len() <= LONGEST_NAME && long("a").starts_with("éé"));
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn ratios_have_their_digits() {
        let numbers = [0.017_431_6, 3.034_71, 123.456_7, 99_999.0, 9.999_96, 2e-7, 3.1e199, f64::INFINITY];
        let written = numbers.map(|ratio| digits(ratio, 5));
        assert_eq!(written, ["0.017432", "3.0347", "123.46", "99999", "10.000", "2.0000e-7", "3.1000e199", "∞"]);
    }

    #[test]
    fn what_cannot_be_seen_is_written_as_its_number() {
        assert_eq!(visible("model.layers.0.ä 模型 \\ 😀"), "model.layers.0.ä 模型 \\ 😀");
        assert_eq!(visible("a\u{1b}[2Jb\r\n\t\u{7f}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{9}\\u{7f}");
        // One or two of each kind: C1, soft hyphen, Arabic letter mark, Hangul fillers, zero width, separators, embeddings,
        // isolates, variation selectors, byte order mark, tags.
        let unseen = "\u{9b}\u{ad}\u{61c}\u{115f}\u{3164}\u{200b}\u{200f}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{2069}\u{fe0f}\
                      \u{feff}\u{e0001}\u{e0041}\u{e0100}";
        for character in unseen.chars() {
            assert_eq!(visible(&character.to_string()), format!("\\u{{{:x}}}", u32::from(character)));
        }
    }
}
