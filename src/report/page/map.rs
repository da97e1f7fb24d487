//! The map of all modules: a row for each type, a column for each layer, and a tile where they meet.
//!
//! A tile has a shade and a text for each thing that the map can show: ranks, shares above the threshold, and how ranks moved.
//! The style sheet shows one of them by the switch above the map, which works without a script.

use std::collections::BTreeSet;

use super::content::{Content, Module, Type};
use super::escape::{escape, join};
use crate::output::digits;

/// The number of shades. Each has a class in the style sheet.
pub const SHADES: usize = 9;

/// A move by more than these parts of a type's ranks has the next stronger shade.
const MOVES: [f64; 3] = [0.0, 0.1, 0.3];

/// The longest text that fits into a tile at the usual size.
const WIDE: usize = 2;

pub fn section(content: &Content<'_>) -> String {
    let (layered, others): (Vec<_>, Vec<_>) = content.types.iter().enumerate().partition(|(_, row)| row.is_layered);
    format!(
        "<section id='map'>\n<h2>Map</h2>\n{}{}{}{}</section>\n",
        modes(content),
        legends(content),
        map(content, &layered),
        strips(content, &others)
    )
}

/// The switch between what the map shows.
fn modes(content: &Content<'_>) -> String {
    let value = content.value_name();
    let mode = |key: &str, text: &str, checked: &str| {
        format!("<label><input type='radio' name='mode' id='by-{key}'{checked}> {text}</label>\n")
    };
    let shares = mode("share", "the share of singular values above the threshold", "");
    let moves = mode("move", "rank moves in the other scan", "");
    let others = [(content.has_shares, shares), (content.has_moves, moves)];
    let others: String = others.into_iter().filter(|(is_known, _)| *is_known).map(|(_, mode)| mode).collect();
    format!(
        "<fieldset class='modes'>\n<legend>The tiles show</legend>\n{}{others}</fieldset>\n",
        mode("rank", &format!("ranks by {value}"), " checked"),
    )
}

fn legends(content: &Content<'_>) -> String {
    let moves = if content.has_moves {
        "<ul class='legend of-moves'>\n<li>lower in the other scan <span class='ramp moves'></span> higher</li>\n\
         <li><span class='tile m6'>+3</span> by how many ranks</li>\n</ul>\n"
    } else {
        ""
    };
    format!(
        "<ul class='legend of-ranks'>\n<li>lowest of its row <span class='ramp'></span> highest</li>\n\
         <li><span class='tile s8'>2</span> rank within the type</li>\n<li><span class='tile s8 chosen'>1</span> chosen</li>\n\
         <li><span class='tile s8 infinite'>∞</span> infinite</li>\n<li><span class='tile none'>–</span> not ranked</li>\n\
         </ul>\n<ul class='legend of-shares'>\n<li>0 % <span class='ramp'></span> 100 %</li>\n<li><span class='tile s5'>61</span> \
         percent of the singular values are above laser-QLoRA's threshold</li>\n</ul>\n{moves}"
    )
}

/// The map of the types whose modules have layers.
fn map(content: &Content<'_>, rows: &[(usize, &Type<'_>)]) -> String {
    let layers: BTreeSet<usize> = rows.iter().flat_map(|(_, row)| row.columns.keys().copied()).collect();
    let several = rows.iter().any(|(_, row)| row.is_deep());
    let caption = if several { "Types by layer; of several modules in a layer, the best" } else { "Types by layer" };
    table(caption, &join(&layers, |layer| format!("<th scope='col'>{layer}</th>")), rows, |row| {
        let tile = |layer| row.columns.get(layer).map_or(String::new(), |column| tile(content, row, column));
        join(&layers, |layer| format!("<td>{}</td>", tile(layer)))
    })
}

/// The strips of the types whose modules have no layers.
fn strips(content: &Content<'_>, rows: &[(usize, &Type<'_>)]) -> String {
    table("Types without layers", "<th scope='col'>modules in the model's order</th>", rows, |row| {
        format!("<td><div class='strip'>{}</div></td>", join(row.columns.values(), |column| tile(content, row, column)))
    })
}

/// A table of types that scrolls by itself; empty text if it has no rows. Lines may break at the dots of type names.
fn table(caption: &str, head: &str, rows: &[(usize, &Type<'_>)], tiles: impl Fn(&Type<'_>) -> String) -> String {
    let body = join(rows, |(place, row)| {
        let name = escape(row.kind).replace('.', ".<wbr>");
        let count = format!("<small><span data-chosen='{place}'>{}</span> of {}</small>", row.chosen, row.sorted.len());
        format!("<tr><th scope='row'><a href='#t{place}'>{name}</a> {count}</th>{}</tr>\n", tiles(row))
    });
    let table = format!(
        "<p class='caption'>{caption}</p>\n<p class='hint'>Where this map is wider than the window, it scrolls sideways.</p>\n\
         <div class='scroll' role='region' aria-label='{caption}' tabindex='0'>\n<table class='map'>\n\
         <thead><tr><th scope='col'>type</th>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table>\n</div>\n"
    );
    if rows.is_empty() { String::new() } else { table }
}

/// The tile of a column, which stands for its best module.
fn tile(content: &Content<'_>, row: &Type<'_>, column: &[usize]) -> String {
    let best = &content.modules[column[0]];
    let rank = match best.value {
        None => "–".to_owned(),
        Some(f64::INFINITY) => "∞".to_owned(),
        Some(_) => best.rank.to_string(),
    };
    let share = best.share().map_or("–".to_owned(), |share| format!("{:.0}", 100.0 * share));
    let rise = best.rise().map_or("–".to_owned(), signed);
    let texts = [("i", &rank), ("b", &share), ("u", &rise)];
    let shown = if content.has_moves { &texts[..] } else { &texts[..2] };
    let text = join(shown, |(tag, text)| {
        let class = if text.chars().count() > WIDE { " class='wide'" } else { "" };
        format!("<{tag}{class}>{text}</{tag}>")
    });
    let count = column.iter().filter(|place| content.modules[**place].is_chosen).count();
    let (classes, label) = (classes(content, row, best, count > 0), label(content, row, column, count));
    format!(
        "<button type='button' class='tile {classes}' data-module='{}' aria-label='{label}' title='{label}'>{text}</button>",
        column[0]
    )
}

/// The shades of a tile, and whether it is chosen.
fn classes(content: &Content<'_>, row: &Type<'_>, best: &Module<'_>, is_chosen: bool) -> String {
    let rank = match best.value {
        None => "none".to_owned(),
        Some(f64::INFINITY) => format!("s{} infinite", shade_in_row(row, best.rank)),
        Some(_) => format!("s{}", shade_in_row(row, best.rank)),
    };
    let share = best.share().map_or("fx".to_owned(), |share| format!("f{}", shade_of_share(share)));
    let rise = best.rise().map_or("mx".to_owned(), |rise| format!("m{}", shade_of_move(rise, row.paired)));
    let moved = if content.has_moves { format!(" {rise}") } else { String::new() };
    format!("{rank} {share}{moved}{}", if is_chosen { " chosen" } else { "" })
}

/// What a tile says in words.
fn label(content: &Content<'_>, row: &Type<'_>, column: &[usize], chosen: usize) -> String {
    let best = &content.modules[column[0]];
    let layer = best.info.layer.map_or(String::new(), |layer| format!(", layer {layer}"));
    let value = best.value.map_or(", not ranked".to_owned(), |value| {
        format!(", {} {}, rank {} of {}", content.value_name(), digits(value, 5), best.rank, row.measured)
    });
    let share = best.share().map_or(String::new(), |share| format!(", {:.0} % above the threshold", 100.0 * share));
    let several = match column.len() {
        1 if chosen > 0 => ", chosen".to_owned(),
        1 => String::new(),
        count => format!("; the best of {count}, {chosen} chosen"),
    };
    format!("{}{layer}{value}{share}{several}", escape(best.name))
}

/// The shade of a column by its order among the columns, so that neither an outlier nor the best of many experts hides the other
/// differences. A single column has the middle shade.
fn shade_in_row(row: &Type<'_>, rank: usize) -> usize {
    let worse = row.best.len() - row.best.partition_point(|best| *best <= rank);
    shade(worse, row.best.len().saturating_sub(1))
}

/// The shade of a part of a whole.
pub fn shade(part: usize, whole: usize) -> usize {
    (part * (SHADES - 1) + whole / 2).checked_div(whole).unwrap_or(SHADES / 2)
}

pub fn shade_of_share(share: f64) -> usize {
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

/// The shade of a move among `paired` modules: 3 if it is none, up to 6 if it is a rise, down to 0 if it is a fall.
pub fn shade_of_move(rise: i64, paired: usize) -> usize {
    let part = rise.unsigned_abs() as f64 / paired.saturating_sub(1).max(1) as f64;
    let strength = MOVES.iter().filter(|least| part > **least).count();
    if rise > 0 { MOVES.len() + strength } else { MOVES.len() - strength }
}

/// A move with its sign.
pub fn signed(rise: i64) -> String {
    if rise == 0 { "0".to_owned() } else { format!("{rise:+}").replace('-', "−") }
}
