//! The table of all modules. The script sorts and filters it, and writes the rows that are left out here.

use super::content::{Content, Module};
use super::escape::{escape, join};
use super::map::signed;
use crate::output::digits;

/// The table of more modules than this has only the first [`ROWS_SHOWN`] of each type.
const LONG: usize = 3000;
const ROWS_SHOWN: usize = 200;

/// The table's columns: what the script knows them by, and their heads.
const COLUMNS: [(&str, &str); 8] = [
    ("rank", "rank"),
    ("name", "module"),
    ("type", "type"),
    ("layer", "layer"),
    ("shape", "shape"),
    ("value", ""),
    ("share", "above"),
    ("chosen", "chosen"),
];

pub fn section(content: &Content<'_>) -> String {
    let is_long = content.modules.len() > LONG;
    let most = if is_long { ROWS_SHOWN } else { usize::MAX };
    let shown = content.types.iter().flat_map(|row| row.sorted.iter().take(most));
    let rows = join(shown, |place| row(content, *place, &content.modules[*place]));
    let cut =
        if is_long { format!("<noscript>, the first {ROWS_SHOWN} of each type</noscript>") } else { String::new() };
    let mut columns: Vec<(&str, &str)> = COLUMNS.to_vec();
    if content.has_moves {
        columns.insert(7, ("rise", "moves"));
    }
    let head = join(columns, |(key, text)| {
        let text = if key == "value" { content.value_name() } else { text };
        format!("<th scope='col' data-sort='{key}'>{text}</th>")
    });
    format!(
        "<section id='modules'>\n<h2>Modules</h2>\n{}<p class='caption'>By type and rank{cut}. The column “above” has the share of \
         singular values above laser-QLoRA's threshold.</p>\n<div class='scroll' tabindex='0' role='region' aria-label='all modules'>\n\
         <table class='list' id='table'>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n\
         <p><button type='button' id='more' hidden></button></p>\n</section>\n",
        tools(content)
    )
}

/// The search and the filters, which stay hidden without a script.
fn tools(content: &Content<'_>) -> String {
    let kinds = join(content.types.iter().enumerate(), |(place, row)| {
        format!("<option value='{place}'>{}</option>", escape(row.kind))
    });
    let layers = content.modules.iter().filter_map(|module| module.info.layer);
    let last = layers.max().map_or(String::new(), |last| last.to_string());
    format!(
        "<div class='tools' id='tools' hidden>\n<label>Search <input type='search' id='search' placeholder='part of a name'></label>\n\
         <label>Type <select id='of-type'><option value=''>all</option>{kinds}</select></label>\n\
         <label>Layers <input type='number' id='from' min='0' max='{last}' placeholder='0' aria-label='from layer'></label>\n\
         <label>to <input type='number' id='to' min='0' max='{last}' placeholder='{last}' aria-label='to layer'></label>\n\
         <span id='found' role='status'></span>\n</div>\n"
    )
}

/// A module's row. The script writes the same.
fn row(content: &Content<'_>, place: usize, module: &Module<'_>) -> String {
    let cell = |text: Option<String>| format!("<td>{}</td>", text.as_deref().unwrap_or("–"));
    let rank = cell((module.rank > 0).then(|| module.rank.to_string()));
    let layer = cell(module.info.layer.map(|layer| layer.to_string()));
    let shape = cell(module.info.shape.map(|[rows, columns]| format!("{rows} × {columns}")));
    let value = cell(Some(module.value.map_or("not ranked".to_owned(), |value| digits(value, 5))));
    let share = cell(module.share().map(|share| format!("{:.0} %", 100.0 * share)));
    let rise = cell(module.rise().map(signed));
    let rise = if content.has_moves { rise } else { String::new() };
    let (class, chosen) = if module.is_chosen { (" class='chosen'", "chosen") } else { ("", "") };
    format!(
        "<tr{class} data-module='{place}'>{rank}<th scope='row'><button type='button'>{}</button></th><td>{}</td>{layer}{shape}\
         {value}{share}{rise}<td>{chosen}</td></tr>\n",
        escape(module.name).replace('.', ".<wbr>"),
        escape(content.types[module.kind].kind),
    )
}
