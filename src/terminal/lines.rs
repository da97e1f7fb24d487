//! Lines on standard error.

use std::io::Write as _;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use super::log::{LogFormat, json_line};
use super::{harmless, width};

/// How a line stands out.
pub type Label = (&'static str, AnsiColor);

/// Writes lines on standard error. There is nowhere to report that it is closed.
#[derive(Clone, Copy)]
pub struct Lines {
    pub format: LogFormat,
}

impl Lines {
    /// Writes a message. The text may contain names and messages from files that others wrote.
    pub fn say(self, label: Option<Label>, text: &str) {
        match self.format {
            LogFormat::Json => self.event(label.map_or("note", |(label, _)| label), json!({"message": harmless(text)})),
            LogFormat::Text => match label {
                Some((label, color)) => {
                    let style = color.on_default().bold();
                    write(&format!("{style}{label}{style:#}: {}", fitted(text, label.len() + 2)));
                }
                None => self.text(text),
            },
        }
    }

    pub fn text(self, text: &str) {
        write(&fitted(text, 0));
    }

    /// Writes a command for a shell, which reads it whole also where it is broken for a narrow terminal.
    pub fn command(self, text: &str) {
        const END: &str = " \\";
        let text = harmless(text);
        let folded = width::of_messages().map(|columns| width::folded(&text, 2, columns.saturating_sub(END.len())));
        write(&format!("  {}", folded.unwrap_or(text).replace('\n', &format!("{END}\n  "))));
    }

    pub fn event(self, name: &str, fields: Value) {
        write(&json_line(name, fields));
    }
}

/// The text, on several lines if a terminal is too narrow for it after so many characters.
fn fitted(text: &str, before: usize) -> String {
    let text = harmless(text);
    width::of_messages().map_or_else(|| text.clone(), |columns| width::folded(&text, before, columns))
}

fn write(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
