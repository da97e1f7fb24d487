//! Numbers and names as people read them.

/// A ratio in `count` significant digits.
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
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_their_digits() {
        let numbers = [0.017_431_6, 3.034_71, 123.456_7, 99_999.0, 9.999_96, 2e-7, 3.1e199, f64::INFINITY];
        let written = numbers.map(|ratio| digits(ratio, 5));
        assert_eq!(written, ["0.017432", "3.0347", "123.46", "99999", "10.000", "2.0000e-7", "3.1000e199", "∞"]);
    }
}
