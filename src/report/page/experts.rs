//! The map of a type that has many modules in each layer, as experts are: a row for each layer, a column for each expert.
//!
//! It is one drawing, because thousands of tiles would be slow. Cells of one shade are one path, in which a row's neighbours are
//! one line.

use std::collections::HashSet;

use super::content::{Content, Module, Type};
use super::escape::{escape, join};
use super::map::{SHADES, shade, shade_of_move, shade_of_share};

/// Where the cells begin: the margins have the numbers of layers and of experts.
const MARGIN: [usize; 2] = [30, 18];

/// The number of shades of moves.
const MOVES: usize = 7;

/// A cell of the drawing: its column, its row and its module.
type Cell = (usize, usize, usize);

/// The section of all such types; empty text if there are none.
pub fn section(content: &Content<'_>) -> String {
    let deep = content.types.iter().enumerate().filter(|(_, row)| row.is_layered && row.is_deep());
    let maps = join(deep, |(place, row)| map(content, place, row));
    if maps.is_empty() {
        return maps;
    }
    format!(
        "<section id='experts'>\n<h2>Experts</h2>\n<p class='sub'>Each row is a layer and each column an expert, in the shades of \
         the map above; dots mark what is chosen.</p>\n{maps}</section>\n"
    )
}

fn map(content: &Content<'_>, place: usize, row: &Type<'_>) -> String {
    let cells = cells(content, row);
    let columns = cells.iter().map(|(x, ..)| x + 1).max().unwrap_or(0);
    let rows = row.columns.len();
    let size = match columns {
        0..=128 => 8,
        129..=256 => 6,
        _ => 4,
    };
    let (width, height) = (MARGIN[0] + columns * size, MARGIN[1] + rows * size);
    let kind = escape(row.kind);
    let layer = |(y, layer): (usize, &usize)| {
        let step = 32usize.div_ceil(size);
        let at = MARGIN[1] + y * size + size / 2 + 3;
        if y % step == 0 {
            format!("<text x='{}' y='{at}' class='end'>{layer}</text>", MARGIN[0] - 5)
        } else {
            String::new()
        }
    };
    let layers = join(row.columns.keys().enumerate(), layer);
    let experts = join((0..columns).step_by(16), |x| {
        format!("<text x='{}' y='{}'>{x}</text>", MARGIN[0] + x * size, MARGIN[1] - 6)
    });
    let groups = groups(content, row, &cells);
    format!(
        "<figure>\n<figcaption><a href='#t{place}'>{kind}</a>, <span data-chosen='{place}'>{}</span> of {} chosen</figcaption>\n\
         <div class='scroll' tabindex='0' role='region' aria-label='experts of {kind}'>\n\
         <svg class='experts' width='{width}' height='{height}' data-type='{place}' data-size='{size}' role='img' \
         aria-label='{kind}: {rows} layers by {columns} experts'>{layers}{experts}\n\
         <g transform='translate({} {}) scale({size})'>\n{groups}</g></svg>\n</div>\n</figure>\n",
        row.chosen,
        row.sorted.len(),
        MARGIN[0],
        MARGIN[1]
    )
}

/// The cells row by row. A column is the expert's number, the last one in the module's name, if that tells the modules of each
/// layer apart, and otherwise the module's place within its layer.
fn cells(content: &Content<'_>, row: &Type<'_>) -> Vec<Cell> {
    let number = |module: usize| {
        let segments = content.modules[module].name.rsplit('.');
        segments.filter_map(|segment| segment.parse::<usize>().ok()).next()
    };
    let most = row.columns.values().map(Vec::len).max().unwrap_or(0);
    let is_numbered = row.columns.values().all(|column| {
        let numbers: HashSet<usize> = column.iter().filter_map(|module| number(*module)).collect();
        numbers.len() == column.len() && numbers.iter().all(|number| *number < 2 * most)
    });
    let mut cells = Vec::new();
    for (y, column) in row.columns.values().enumerate() {
        let mut modules = column.clone();
        modules.sort_unstable();
        let x = |(order, module): (usize, usize)| number(module).filter(|_| is_numbered).unwrap_or(order);
        cells.extend(modules.iter().enumerate().map(|(order, module)| (x((order, *module)), y, *module)));
    }
    cells.sort_unstable_by_key(|(x, y, _)| (*y, *x));
    cells
}

/// The cells in the shades of each thing that the map can show, what is chosen, and the module of every cell for the script.
fn groups(content: &Content<'_>, row: &Type<'_>, cells: &[Cell]) -> String {
    let group = |class: &str, letter: char, shades: usize, shade: &dyn Fn(&Module<'_>) -> Option<usize>| {
        let path = |wanted: usize| {
            let of = cells.iter().filter(|(.., module)| shade(&content.modules[*module]) == Some(wanted));
            let line = line(of);
            if line.is_empty() { line } else { format!("<path class='{letter}{wanted}' d='{line}'/>\n") }
        };
        format!("<g class='{class}'>\n{}</g>\n", join(0..shades, path))
    };
    let worst = row.measured.saturating_sub(1);
    let by_rank = |module: &Module<'_>| (module.rank > 0).then(|| shade(row.measured - module.rank, worst));
    let by_share = |module: &Module<'_>| module.share().map(shade_of_share);
    let by_move = |module: &Module<'_>| module.rise().map(|rise| shade_of_move(rise, row.paired));
    let mut groups = group("of-ranks", 's', SHADES, &by_rank) + &group("of-shares", 'f', SHADES, &by_share);
    if content.has_moves {
        groups += &group("of-moves", 'm', MOVES, &by_move);
    }
    let chosen = cells.iter().filter(|(.., module)| content.modules[*module].is_chosen);
    let dots = join(chosen, |(x, y, _)| format!("M{x}.5 {y}.5h0"));
    format!("{groups}<path class='picked halo' d='{dots}'/><path class='picked' d='{dots}'/>")
}

/// A path through the middles of these cells, row by row.
fn line<'c>(cells: impl Iterator<Item = &'c Cell>) -> String {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for (x, y, _) in cells {
        match runs.last_mut() {
            Some((start, row, length)) if row == y && *start + *length == *x => *length += 1,
            _ => runs.push((*x, *y, 1)),
        }
    }
    join(runs, |(x, y, length)| format!("M{x} {y}.5h{length}"))
}

/// The columns of all expert maps for the script: for each module its place in its row of such a map.
pub fn columns(content: &Content<'_>) -> Vec<Option<usize>> {
    let mut columns = vec![None; content.modules.len()];
    for row in content.types.iter().filter(|row| row.is_layered && row.is_deep()) {
        cells(content, row).into_iter().for_each(|(x, _, module)| columns[module] = Some(x));
    }
    columns
}
