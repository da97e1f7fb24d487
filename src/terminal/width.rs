//! How wide a terminal is, and text that fits.

use std::io;
use std::io::IsTerminal as _;

use terminal_size::{Width, terminal_size_of};

/// The columns of the terminal that standard output is; `None` if it is none.
pub fn of_output() -> Option<usize> {
    let output = io::stdout();
    let size = output.is_terminal().then(|| terminal_size_of(&output)).flatten();
    size.map(|(Width(columns), _)| usize::from(columns))
}

/// The same for standard error.
pub fn of_messages() -> Option<usize> {
    let messages = io::stderr();
    let size = messages.is_terminal().then(|| terminal_size_of(&messages)).flatten();
    size.map(|(Width(columns), _)| usize::from(columns))
}

/// `text` with line ends in place of spaces, so that no line has more than `width` characters unless a word has. Lines after the
/// first are indented. `before` characters are on the first line already.
pub fn folded(text: &str, before: usize, width: usize) -> String {
    const INDENT: &str = "  ";
    let mut folded = String::with_capacity(text.len() + 16);
    let mut column = before;
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > width && column > INDENT.len() {
            folded.push('\n');
            folded.push_str(INDENT);
            column = INDENT.len();
        } else if at > 0 {
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += length;
    }
    folded
}

/// `line` in at most `width` characters.
pub fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The end of a `name` in at most `width` characters: all names begin alike.
pub fn end_of(name: &str, width: usize) -> String {
    let count = name.chars().count();
    if count <= width {
        return name.to_owned();
    }
    std::iter::once('…').chain(name.chars().skip(count + 1 - width.max(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        let text = "wrote 'a.json', 'b.json' and a-word-that-is-longer-than-a-line in 0.8 s";
        let lines = folded(text, 0, 20);
        let expected = ["wrote 'a.json',", "  'b.json' and", "  a-word-that-is-longer-than-a-line", "  in 0.8 s"];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
        assert_eq!(lines.replace("\n  ", " "), text);
        assert_eq!(folded("all on one", 9, 19), "all on one");
        assert_eq!(folded("not all on one", 9, 19), "not all on\n  one");
    }

    #[test]
    fn lines_are_cut_where_they_are_too_long() {
        assert_eq!((cut("mlp.up_proj  4 of 4", 12), cut("mlp", 3)), ("mlp.up_proj…".to_owned(), "mlp".to_owned()));
    }
}
