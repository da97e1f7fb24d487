//! A scan -> one HTML file without scripts that refers to nothing else. Names come from files that others wrote, so that all text
//! gets into the page through [`escape`].

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::Info;
use crate::output::{digits, is_deceptive};

/// The number of shades of the heat map. Each has a class in the style sheet.
const SHADES: usize = 9;

/// The table of a type with more modules than this shows only the first [`ROWS_SHOWN`].
const LONG_TYPE: usize = 3000;
const ROWS_SHOWN: usize = 1000;

/// A chart has a logarithmic scale if the largest number is more than this many times the smallest.
const LOG_FROM: f64 = 20.0;

/// The left and right, and the upper and lower edge of the plot in a chart of 340 x 104.
const X: [f64; 2] = [44.0, 332.0];
const Y: [f64; 2] = [16.0, 82.0];

pub struct Page<'a> {
    /// The model's or the file's name.
    pub title: &'a str,
    pub subtitle: &'a str,
    pub types: Vec<TypeRow<'a>>,
}

pub struct TypeRow<'a> {
    pub kind: &'a str,
    /// The modules of the type, in model order.
    pub modules: Vec<Cell<'a>>,
}

/// A module, or a pool of them.
pub struct Cell<'a> {
    pub name: &'a str,
    /// The module, or the first one of the pool.
    pub info: &'a Info,
    /// `None` if it was not measured.
    pub snr: Option<f64>,
    pub chosen: bool,
    /// The rank within the type, from 1; 0 if it was not measured.
    pub rank: usize,
}

/// The first lines of every page.
const HEAD: &str = "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n\
    <meta name='viewport' content='width=device-width, initial-scale=1'>\n";

/// The line by which a page of laser-scan is recognised.
const GENERATOR: &str = "<meta name='generator' content='laser-scan'>";

/// That line is within this many bytes of a page's beginning.
const LONGEST_HEAD: usize = 1000;

/// What the numbers mean, for a reader who does not know them.
const EXPLANATION: &str = "A weight matrix is signal on top of noise. Most of its singular values are no larger than \
    those of random numbers would be; a few stand out. The signal-to-noise ratio (snr) is the sum of those that stand \
    out, divided by the sum of the rest and by the largest of all. A module with a high ratio carries much signal: \
    such are the ones to train. Each is compared only with others of its type, and the best of a type are chosen.";

const LEGEND: &str = "<ul class='legend'>\n<li>lowest of its row <span class='ramp'></span> highest</li>\n\
    <li><span class='tile s8'>2</span> rank within the type</li>\n\
    <li><span class='tile s8 chosen'>1</span> chosen</li>\n<li><span class='tile s8 infinite'>∞</span> infinite: no \
    noise</li>\n<li><span class='tile none'>–</span> not measured</li>\n</ul>\n";

/// Whether a file is a page that laser-scan wrote.
pub fn is_page(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LONGEST_HEAD)];
    head.windows(GENERATOR.len()).any(|part| part == GENERATOR.as_bytes()) || is_early(bytes)
}

/// Whether a file is a page of the first version, which is recognised by its subtitle.
fn is_early(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(HEAD.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok());
    let body =
        rest.filter(|rest| rest.starts_with("<title>")).and_then(|rest| rest.split_once("</h1>\n<p class='sub'>"));
    let subtitle = body.and_then(|(_, body)| body.lines().next());
    subtitle.is_some_and(|subtitle| subtitle.contains(" chosen; from a file of "))
}

pub fn html(page: &Page<'_>) -> String {
    let rows: Vec<Row<'_>> = page.types.iter().enumerate().map(|(anchor, row)| Row::new(anchor, row)).collect();
    let (layered, others): (Vec<&Row<'_>>, Vec<&Row<'_>>) = rows.iter().partition(|row| row.is_layered);
    let (title, subtitle, cards) = (escape(page.title), escape(page.subtitle), join(&rows, Row::card));
    let (map, strips, style) = (map(&layered), strips(&others), include_str!("report.css"));
    format!(
        "{HEAD}{GENERATOR}\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n<p class='sub'>{subtitle}</p>\n<p class='lead'>{EXPLANATION}</p>\n<h2>Ranks\
         </h2>\n{LEGEND}{map}{strips}<h2>Types</h2>\n<div class='types'>\n{cards}</div>\n</main>\n</body>\n</html>\n"
    )
}

impl Cell<'_> {
    fn measured(&self) -> Option<f64> {
        self.snr.filter(|snr| self.rank > 0 && !snr.is_nan())
    }

    fn finite(&self) -> Option<f64> {
        self.measured().filter(|snr| snr.is_finite())
    }

    /// The row in the type's table.
    fn entry(&self) -> String {
        let number = |text: Option<String>| format!("<td>{}</td>", text.as_deref().unwrap_or("–"));
        let (name, rank) = (escape(self.name), number(self.measured().map(|_| self.rank.to_string())));
        let layer = number(self.info.layer.map(|layer| layer.to_string()));
        let shape = number(self.info.shape.map(|[rows, cols]| format!("{rows} × {cols}")));
        let snr = number(Some(self.measured().map_or("not measured".to_owned(), |snr| digits(snr, 5))));
        let (class, chosen) = if self.chosen { (" class='c'", "chosen") } else { ("", "") };
        format!("<tr{class}>{rank}<th scope='row'>{name}</th>{layer}{shape}{snr}<td>{chosen}</td></tr>\n")
    }
}

/// A type as it is drawn. Its columns are layers, or single modules if one of them is in no layer.
struct Row<'a> {
    anchor: usize,
    kind: String,
    /// The modules with their places in the model, best first; those that were not measured come last.
    sorted: Vec<(usize, &'a Cell<'a>)>,
    is_layered: bool,
    /// The modules of each column, in the same order. No column is empty.
    columns: BTreeMap<usize, Vec<&'a Cell<'a>>>,
    /// The best rank of each column, in ascending order.
    best: Vec<usize>,
    measured: usize,
    chosen: usize,
}

impl<'a> Row<'a> {
    fn new(anchor: usize, row: &'a TypeRow<'a>) -> Self {
        let is_layered = row.modules.iter().all(|cell| cell.info.layer.is_some());
        let mut sorted: Vec<(usize, &Cell<'_>)> = row.modules.iter().enumerate().collect();
        sorted.sort_by_key(|(_, cell)| (cell.measured().is_none(), cell.rank));
        let mut columns: BTreeMap<usize, Vec<&Cell<'_>>> = BTreeMap::new();
        for (index, cell) in &sorted {
            columns.entry(cell.info.layer.filter(|_| is_layered).unwrap_or(*index)).or_default().push(cell);
        }
        let mut best: Vec<usize> = columns.values().map(|cells| cells[0].rank).filter(|rank| *rank > 0).collect();
        best.sort_unstable();
        let measured = sorted.iter().filter(|(_, cell)| cell.measured().is_some()).count();
        let chosen = sorted.iter().filter(|(_, cell)| cell.chosen).count();
        Self { anchor, kind: escape(row.kind), sorted, is_layered, columns, best, measured, chosen }
    }

    /// The shade of a column by its order among the columns, so that neither an outlier nor the best of many experts hides the
    /// other differences. A single column has the middle shade.
    fn shade(&self, rank: usize) -> usize {
        let worse = self.best.len() - self.best.partition_point(|best| *best <= rank);
        let most = self.best.len().saturating_sub(1);
        (worse * (SHADES - 1) + most / 2).checked_div(most).unwrap_or(SHADES / 2)
    }

    /// The square of a column, with its best rank.
    fn tile(&self, cells: &[&Cell<'_>]) -> String {
        let (best, rank) = (cells[0], cells[0].rank);
        let (class, text) = match best.measured() {
            None => ("none".to_owned(), "–".to_owned()),
            Some(f64::INFINITY) => (format!("s{} infinite", self.shade(rank)), "∞".to_owned()),
            Some(_) => (format!("s{}{}", self.shade(rank), if rank > 999 { " wide" } else { "" }), rank.to_string()),
        };
        let number = |snr| format!("snr {}, rank {rank} of {}", digits(snr, 5), self.measured);
        let snr = best.measured().map_or("not measured".to_owned(), number);
        let (name, layer) =
            (escape(best.name), best.info.layer.map_or(String::new(), |layer| format!("layer {layer}, ")));
        let (count, chosen) = (cells.len(), cells.iter().filter(|cell| cell.chosen).count());
        let ring = if chosen > 0 { " chosen" } else { "" };
        let note = if count > 1 { format!("&#10;best of {count}, {chosen} chosen") } else { ring.replace(' ', ", ") };
        format!("<span class='tile {class}{ring}' title='{name}&#10;{layer}{snr}{note}'>{text}</span>")
    }

    /// A chart of the type and a table of its modules.
    fn card(&self) -> String {
        let Self { anchor, kind, chosen, measured, .. } = self;
        let (chart, count) = (self.chart().unwrap_or_default(), self.sorted.len());
        let shown = if count > LONG_TYPE { ROWS_SHOWN } else { count };
        let entries = join(&self.sorted[..shown], |(_, cell)| cell.entry());
        let cut = if shown < count { format!(", the first {shown} of {count}") } else { String::new() };
        let failed = if *measured < count { format!(", {} not measured", count - measured) } else { String::new() };
        format!(
            "<article id='t{anchor}'>\n<h3>{kind}</h3>\n<p class='sub'>{chosen} of {count} chosen{failed}</p>\n{chart}\
             <details>\n<summary>Table{cut}</summary>\n<div class='scroll'>\n<table class='list'>\n<caption>{kind}, by \
             rank{cut}</caption>\n<thead><tr><th scope='col'>rank</th><th scope='col'>module</th><th scope='col'>layer\
             </th><th scope='col'>shape</th><th scope='col'>snr</th><th scope='col'>chosen</th></tr></thead>\n<tbody>\n\
             {entries}</tbody>\n</table>\n</div>\n</details>\n</article>\n"
        )
    }

    /// The chart of the ratios over the columns, if there are at least two.
    fn chart(&self) -> Option<String> {
        let ratios = || self.sorted.iter().filter_map(|(_, cell)| cell.finite());
        let (low, high) = (ratios().next_back()?, ratios().next()?);
        let (first, last) = (*self.columns.first_key_value()?.0, *self.columns.last_key_value()?.0);
        let is_log = low > 0.0 && high / low > LOG_FROM;
        let scale = |snr: f64| if is_log { snr.ln() } else { snr };
        let part = |value: f64, from: f64, to: f64| if from < to { (value - from) / (to - from) } else { 0.5 };
        let x = |column: usize| X[0] + (X[1] - X[0]) * part(column as f64, first as f64, last as f64);
        let y = |snr: f64| Y[1] - (Y[1] - Y[0]) * part(scale(snr), scale(low), scale(high));
        let layers = format!("layers {first} to {last}");
        let over = if self.is_layered { &layers } else { "modules in the model's order" };
        let over = format!("{over}{}", if is_log { ", log scale" } else { "" });
        let text = join([high, low], |snr| label([X[0] - 8.0, y(snr) + 3.0], "end", &digits(snr, 3)))
            + &label([(X[0] + X[1]) / 2.0, Y[1] + 18.0], "middle", &over);
        let (plot, name) = (self.plot(x, y), format!("{}: snr over {over}", self.kind));
        let svg = || format!("<svg viewBox='0 0 340 104' role='img' aria-label=\"{name}\">\n{plot}{text}\n</svg>\n");
        (first < last).then(svg)
    }

    /// The inside of a chart: for each column a dot, or a bar from the best to the worst module; rings around the chosen; marks
    /// above for infinite and missing ratios; and a line from layer to layer.
    fn plot(&self, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
        let [mut line, mut bars, mut rings, mut marks]: [String; 4] = Default::default();
        for (column, cells) in &self.columns {
            let at = |snr: f64| format!("{:.1} {:.1}", x(*column), y(snr));
            let finite = || cells.iter().filter_map(|cell| Some((at(cell.finite()?), cell.chosen)));
            if let Some(((best, _), (worst, _))) = finite().next().zip(finite().next_back()) {
                line += &format!("{}{best}", if self.is_layered && !line.is_empty() { "L" } else { "M" });
                bars += &format!("M{best}L{worst}");
            }
            rings += &join(finite().filter(|(_, chosen)| *chosen), |(at, _)| format!("M{at}h0"));
            let mark = cells[0].measured().map_or(Some("×"), |snr| snr.is_infinite().then_some("∞"));
            marks += &mark.map_or(String::new(), |mark| label([x(*column), Y[0] - 5.0], "mark", mark));
        }
        let axis = format!("M{0} {2}H{1}M{0} {3}H{1}", X[0], X[1], Y[0], Y[1]);
        let paths = [("axis", &axis), ("line", &line), ("bars", &bars), ("ring", &rings), ("hole", &rings)];
        join(paths, |(class, path)| format!("<path class='{class}' d='{path}'/>")) + &marks
    }
}

/// A text in a chart. Its class sets where it is anchored.
fn label([x, y]: [f64; 2], class: &str, text: &str) -> String {
    format!("<text x='{x:.1}' y='{y:.1}' class='{class}'>{text}</text>")
}

/// The heat map of the types whose modules have layers.
fn map(rows: &[&Row<'_>]) -> String {
    let layers: BTreeSet<usize> = rows.iter().flat_map(|row| row.columns.keys().copied()).collect();
    let several = rows.iter().any(|row| row.columns.len() < row.sorted.len());
    let caption = if several { "Types by layer; of several modules in a layer, the best" } else { "Types by layer" };
    table(caption, &join(&layers, |layer| format!("<th scope='col'>{layer}</th>")), rows, |row| {
        let tile = |layer| row.columns.get(layer).map_or(String::new(), |cells| row.tile(cells));
        join(&layers, |layer| format!("<td>{}</td>", tile(layer)))
    })
}

/// The strips of the types whose modules have no layers.
fn strips(rows: &[&Row<'_>]) -> String {
    table("Types without layers", "<th scope='col'>modules in the model's order</th>", rows, |row| {
        format!("<td><div class='strip'>{}</div></td>", join(row.columns.values(), |cells| row.tile(cells)))
    })
}

/// A table of types that scrolls by itself; empty text if it has no rows. Lines may break at the dots of type names.
fn table(caption: &str, head: &str, rows: &[&Row<'_>], cells: impl Fn(&Row<'_>) -> String) -> String {
    let body = join(rows, |row| {
        let (name, Row { anchor, chosen, .. }) = (row.kind.replace('.', ".<wbr>"), row);
        let count = format!("<small>{chosen} of {}</small>", row.sorted.len());
        format!("<tr><th scope='row'><a href='#t{anchor}'>{name}</a> {count}</th>{}</tr>\n", cells(row))
    });
    let table = format!(
        "<div class='scroll' role='region' aria-label='{caption}' tabindex='0'>\n<table class='map'>\n\
         <caption>{caption}</caption>\n<thead><tr><th scope='col'>type</th>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table>\n</div>\n"
    );
    if rows.is_empty() { String::new() } else { table }
}

fn join<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    items.into_iter().map(text).collect()
}

/// Makes text harmless for a page: it cannot open an element or end an attribute, and deceptive characters are escaped.
fn escape(text: &str) -> String {
    join(text.chars(), |character| match character {
        '&' | '<' | '>' | '"' | '\'' => format!("&#{};", u32::from(character)),
        _ if is_deceptive(character) => character.escape_unicode().to_string(),
        _ => character.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str, layer: impl Into<Option<usize>>, snr: impl Into<Option<f64>>, rank: usize) -> Cell<'_> {
        let info = Info { layer: layer.into(), shape: Some([8, 4]), ..Info::of_name(name, String::new()) };
        Cell { name, info: Box::leak(Box::new(info)), snr: snr.into(), chosen: rank == 1, rank }
    }

    fn page<'a>(types: impl IntoIterator<Item = (&'a str, Vec<Cell<'a>>)>) -> String {
        let types = types.into_iter().map(|(kind, modules)| TypeRow { kind, modules }).collect();
        html(&Page { title: "a <model>", subtitle: "of \"someone\"", types })
    }

    fn full() -> String {
        let experts = vec![cell("e.0.0", 0, 9.0, 1), cell("e.0.1", 0, None, 0), cell("e.1.0", 2, 0.1, 2)];
        let conv = vec![cell("a", None, f64::INFINITY, 1), cell("b", 7, 3.0, 2), cell("c", None, None, 0)];
        page([("e.*", experts), ("conv", conv), ("empty", vec![])])
    }

    #[test]
    fn rows_of_the_map_and_of_the_table() {
        let page = page([("q", vec![cell("m.0.q", 0, 1.5, 2), cell("m.1.q", 1, 2.0, 1)])]);
        let row = "<tr><th scope='row'><a href='#t0'>q</a> <small>1 of 2</small></th>\
            <td><span class='tile s0' title='m.0.q&#10;layer 0, snr 1.5000, rank 2 of 2'>2</span></td>\
            <td><span class='tile s8 chosen' title='m.1.q&#10;layer 1, snr 2.0000, rank 1 of 2, chosen'>1</span></td>";
        let entry = "<tr class='c'><td>1</td><th scope='row'>m.1.q</th><td>1</td>\
            <td>8 × 4</td><td>2.0000</td><td>chosen</td></tr>";
        assert!(page.contains(row) && page.contains(entry), "{page}");
    }

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escape("ä<b>\"'&\0\u{202e}\n"), "ä&#60;b&#62;&#34;&#39;&#38;\\u{0}\\u{202e}\\u{a}");
        let evil = "</style><script>\"'\u{202e}";
        let page = page([(evil, vec![cell(evil, 0, 1.0, 1), cell(evil, 1, 2.0, 2)])]);
        assert!(!page.contains("<script") && !page.contains('\u{202e}') && page.contains("<h1>a &#60;model&#62;</h1>"));
    }

    #[test]
    fn infinite_and_missing_ratios_are_said() {
        let page = full();
        assert!(page.contains("title='a&#10;snr ∞, rank 1 of 2, chosen'>∞</span>"), "{page}");
        assert!(page.contains("<span class='tile none' title='c&#10;not measured'>–</span>"), "{page}");
        assert!(page.contains("layer 0, snr 9.0000, rank 1 of 2&#10;best of 2, 1 chosen"), "{page}");
    }

    #[test]
    fn shades_go_by_place_and_long_tables_are_cut() {
        let page = |count: usize| page([("q", (1..=count).map(|i| cell("m", i, 1e9 / i as f64, i)).collect())]);
        (0..9).for_each(|shade| assert_eq!(page(9).matches(&format!("<td><span class='tile s{shade}")).count(), 1));
        assert_eq!([3000, 3001].map(|count| page(count).matches("8 × 4").count()), [3000, 1000]);
        assert!(page(3001).contains("<summary>Table, the first 1000 of 3001</summary>"));
    }

    #[test]
    fn the_page_is_whole_and_refers_to_nothing_else() {
        let page = full();
        assert!(["http", "url(", "@import", " src=", "NaN"].iter().all(|text| !page.contains(text)));
        assert_eq!(page, full());
        let mut open = Vec::new();
        for tag in page.split('<').skip(2).filter_map(|text| Some(text.split_once('>')?.0)) {
            match tag.split([' ', '\n']).next().unwrap_or_default() {
                name if name.starts_with('/') => assert_eq!(open.pop(), Some(&name[1..]), "{tag}"),
                name if !["meta", "wbr"].contains(&name) && !tag.ends_with('/') => open.push(name),
                _ => {}
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
