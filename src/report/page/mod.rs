//! A selection -> the page that shows it: one HTML file that asks nothing of any server.
//!
//! `content.rs` gathers what is shown of each module, and a file for each part of the page turns it into HTML and SVG, which are
//! complete without scripting. `data.rs` embeds the numbers once more for the script, which adds what moves: a module's
//! spectrum, the slider, the search. Names come from files that others wrote, so that all text gets into the page through
//! `escape.rs`, and a policy in the page's head forbids the browser to run any other script and to request anything.

mod against;
mod chart;
mod choice;
mod content;
mod data;
mod escape;
mod experts;
mod facts;
mod fan;
mod head;
mod histogram;
mod map;
mod number;
mod ratios;
mod table;
#[cfg(test)]
mod tests;

pub use head::is_page;

use super::Diff;
use crate::select::Selection;
use content::{Content, Type};
use escape::{escape, join};

/// What a page is made from.
pub struct Page<'a> {
    /// The model's or the file's name.
    pub title: &'a str,
    /// The name of the scan's file.
    pub file: &'a str,
    /// What is chosen of a scan. Its spectra and other statistics are shown if they are at hand.
    pub selection: &'a Selection<'a>,
    pub against: Option<Against<'a>>,
}

/// The scan that the page's own is compared with.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    /// The name of its file.
    pub file: &'a str,
    /// How it differs; A is the page's own scan.
    pub diff: &'a Diff,
}

/// The page as HTML. The same input gives the same bytes.
pub fn page(page: &Page<'_>) -> String {
    let content = Content::new(page);
    let head = head::head(&escape(page.title));
    let sections = [
        facts::facts(page, &content),
        map::section(&content),
        choice::section(&content),
        experts::section(&content),
        page.against.map_or_else(String::new, |against| against::section(&against)),
        types(&content),
        table::section(&content),
    ];
    let (body, data, script) = (sections.concat(), data::data(page, &content), head::SCRIPT);
    format!(
        "{head}<body>\n<main>\n{body}</main>\n{PANEL}<script type='application/json' id='data'>{data}</script>\n\
         <script>{script}</script>\n</body>\n</html>\n"
    )
}

/// Where the script shows a module. It stays hidden without a script.
const PANEL: &str = "<aside id='panel' aria-label='The module that was clicked' aria-live='polite' hidden></aside>\n";

/// The types one by one, each with its charts.
fn types(content: &Content<'_>) -> String {
    let fan = if content.has_spectra { fan::LEGEND } else { "" };
    let cards = join(content.types.iter().enumerate(), |(place, row)| card(content, place, row));
    format!("<section>\n<h2>Types</h2>\n{fan}<div class='types'>\n{cards}</div>\n</section>\n")
}

fn card(content: &Content<'_>, place: usize, row: &Type<'_>) -> String {
    let (kind, count) = (escape(row.kind), row.sorted.len());
    let failed = if row.measured < count { format!(", {} not ranked", count - row.measured) } else { String::new() };
    let charts = [ratios::chart(content, row), fan::chart(content, row)];
    let charts: String = charts.into_iter().flatten().collect();
    format!(
        "<article id='t{place}'>\n<h3>{kind}</h3>\n<p class='sub'><span data-chosen='{place}'>{}</span> of {count} chosen{failed}</p>\n{charts}</article>\n",
        row.chosen
    )
}
