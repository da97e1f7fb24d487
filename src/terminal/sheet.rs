//! Text for a person. What comes from files that others wrote is made harmless here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use laser_scan::output;

use super::width::{cut, end_of, folded};

/// How many characters of a text are shown at most. It is cut in the middle, because an error begins with the problem and ends
/// with the remedy.
const LONGEST: usize = 2000;

/// The spaces between columns.
const GAP: usize = 2;

/// How many of these characters follow the cut.
const TAIL: usize = 600;

/// Tables and lines for standard output.
#[derive(Default)]
pub struct Sheet {
    text: String,
    tables: Vec<Place>,
}

/// Where a table is in a text.
struct Place {
    /// Its lines, of which the first is the head.
    lines: Range<usize>,
    /// How many characters its first column has, with the gap after it.
    first: usize,
    /// How many its longest line has.
    width: usize,
}

/// How short the first column of a table may become, so that the others have room.
const NARROWEST: usize = 16;

impl Sheet {
    /// Adds a table whose second and fifth columns are numbers.
    pub fn table<const COLUMNS: usize>(&mut self, header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(header.to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP as u16));
            if [1, 4].contains(&column.index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.add_rows(rows.iter().map(|cells| cells.iter().map(|cell| harmless(cell))));
        let (text, start) = (table.trim_fmt(), self.text.lines().count());
        let characters = |line: &str| line.chars().count();
        self.tables.push(Place {
            lines: start..start + text.lines().count(),
            first: usize::from(table.column_max_content_widths().first().copied().unwrap_or(0)) + GAP,
            width: text.lines().map(characters).max().unwrap_or(0),
        });
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{text}");
    }

    /// Adds a table in Markdown.
    pub fn markdown<const COLUMNS: usize>(&mut self, header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) {
        // A bar would end its cell.
        let cell = |cell: &String| harmless(cell).replace('|', "\\|");
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let rule = vec!["---".to_owned(); COLUMNS];
        let header = header.map(str::to_owned).to_vec();
        let rows = rows.iter().map(|cells| cells.iter().map(cell).collect());
        for cells in [header, rule].into_iter().chain(rows) {
            let _ = writeln!(self.text, "{}", line(cells));
        }
    }

    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}", harmless(text));
    }

    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// The text without the last line end.
    pub fn text(&self) -> &str {
        self.text.trim_end()
    }

    /// How many characters its longest line has.
    pub fn width(&self) -> usize {
        self.text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    /// The text for a terminal of so many columns. Heads of tables stand out; where a table is too wide, of what its first column holds
    /// only the end is shown, because that is a name and the others are numbers.
    pub fn styled(&self, columns: usize) -> String {
        let head = Style::new().bold();
        let line = |(at, line): (usize, &str)| match self.tables.iter().find(|table| table.lines.contains(&at)) {
            None => folded(line, 0, columns),
            Some(table) if table.lines.start == at => format!("{head}{}{head:#}", table.narrowed(line, columns)),
            Some(table) => table.narrowed(line, columns),
        };
        self.text().lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Place {
    /// A line of the table in at most so many characters.
    fn narrowed(&self, line: &str, columns: usize) -> String {
        let first = self.first.saturating_sub(self.width.saturating_sub(columns)).max(NARROWEST.min(self.first));
        let at = line.char_indices().nth(self.first).map_or(line.len(), |(at, _)| at);
        let (name, others) = line.split_at(at);
        let name = end_of(name.trim_end(), first.saturating_sub(GAP));
        cut(format!("{name:first$}{others}").trim_end(), columns)
    }
}

/// Text on one line that cannot control a terminal or deceive its reader, and is not too long to be read.
pub fn harmless(text: &str) -> String {
    output::visible(&shortened(text))
}

/// The same for text of any length that keeps its line ends and tabs.
pub fn harmless_lines(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let content = line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line);
        let cells: Vec<String> = content.split('\t').map(output::visible).collect();
        cells.join("\t") + &line[content.len()..]
    });
    lines.collect()
}

fn shortened(text: &str) -> Cow<'_, str> {
    let place = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(place, _)| place);
    // A text has no more characters than bytes, so that most texts need no counting.
    let count = if text.len() > LONGEST { text.chars().count() } else { 0 };
    if count <= LONGEST {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (place(LONGEST - TAIL), place(count - TAIL));
    Cow::Owned(format!("{} … {} characters … {}", &text[..head], count - LONGEST, &text[tail..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(harmless("model.layers.0.ä"), "model.layers.0.ä");
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        let mut sheet = Sheet::default();
        sheet.table(["type"], vec![["\u{1b}]0;x\u{7}\nmlp.up  9 of 9".to_owned()]]);
        sheet.line("b\u{202e}\r");
        let lines: Vec<&str> = sheet.text().lines().collect();
        assert_eq!(lines[1..], ["\\u{1b}]0;x\\u{7}\\u{a}mlp.up  9 of 9", "b\\u{202e}\\u{d}"]);
    }

    #[test]
    fn a_table_that_is_too_wide_keeps_its_numbers() {
        let mut sheet = Sheet::default();
        let name = "model.layers.10.self_attn.q_proj".to_owned();
        sheet.table(["moved most", "rank", "snr"], vec![[name, "1".to_owned(), "2.5 -> 3.0".to_owned()]]);
        sheet.line("28 modules in 2 files, 143.3 Mflop; 0 B to download");
        let text = |columns| anstream::adapter::strip_str(&sheet.styled(columns)).to_string();
        assert_eq!(
            text(40).lines().collect::<Vec<_>>(),
            [
                "moved most              rank  snr",
                "…s.10.self_attn.q_proj     1  2.5 -> 3.0",
                "28 modules in 2 files, 143.3 Mflop; 0 B",
                "  to download"
            ]
        );
        assert_eq!(text(60).lines().nth(1), sheet.text().lines().nth(1), "there is room");
        assert!(text(12).lines().all(|line| line.chars().count() <= 12));
    }

    #[test]
    fn lines_and_tabs_of_a_document_stay() {
        assert_eq!(
            harmless_lines("-a:\t1 # \u{1b}[31m\r\n+b\u{200b}\n\r"),
            "-a:\t1 # \\u{1b}[31m\r\n+b\\u{200b}\n\\u{d}"
        );
        assert_eq!(harmless_lines("a\rb"), "a\\u{d}b");
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let (exact, long) = ("é".repeat(LONGEST), format!("cannot read '{}': give another", "é".repeat(100_000)));
        assert_eq!(harmless(&exact), exact);
        let short = harmless(&long);
        assert!(short.starts_with("cannot read 'é") && short.ends_with("é': give another"), "{short}");
        assert!(short.contains("é … 98028 characters … é") && short.chars().count() < LONGEST + 40, "{short}");
    }
}
