//! The chosen modules of each type, as a table.

use std::io;

use laser_scan::output;
use laser_scan::select::{Candidate, Group, Selection};
use laser_scan::statistic::Criterion;

use super::{Sheet, Terminal, width};

/// How many layers of a type the table lists.
const LAYERS_SHOWN: usize = 16;

/// The characters of a line of ratios, lowest first.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The most characters of a line of ratios. Of more layers, neighbours share one.
const LONGEST_LINE: usize = 32;

impl Terminal {
    /// Shows the chosen modules of each type.
    pub fn top(&self, selection: &Selection<'_>) -> io::Result<()> {
        self.print(&sheet(selection, width::of_output()))
    }

    /// Writes the chosen modules of each type as a table in Markdown.
    pub fn top_in_markdown(&self, selection: &Selection<'_>) -> io::Result<()> {
        let mut sheet = Sheet::default();
        sheet.markdown(header(selection), selection.groups.iter().map(row).collect());
        self.output(sheet.text().as_bytes())
    }
}

/// The table for a terminal of so many columns, with what there is room for: ratios as a line over the layers, layers in the order
/// of their ratios or else as ranges, and the first and the last ratio. Programs always get the same.
fn sheet(selection: &Selection<'_>, columns: Option<usize>) -> Sheet {
    let rows: Vec<[String; 4]> = selection.groups.iter().map(row).collect();
    let [kind, chosen, layers, value] = header(selection);
    let mut plain = Sheet::default();
    plain.table(header(selection), rows.clone());
    let Some(columns) = columns else { return plain };
    let mut with_lines = Sheet::default();
    let lines = selection.groups.iter().map(|group| line_of(selection, group));
    let all = rows.iter().zip(lines).map(|(row, line)| {
        let [kind, chosen, layers, value] = row.clone();
        [kind, chosen, layers, value, line]
    });
    with_lines.table([kind, chosen, layers, value, "by layer"], all.collect());
    let in_ranges: Vec<[String; 4]> = rows
        .iter()
        .zip(&selection.groups)
        .map(|([kind, chosen, _, value], group)| [kind.clone(), chosen.clone(), ranges(group), value.clone()])
        .collect();
    let mut narrow = Sheet::default();
    narrow.table([kind, chosen, "layers", value], in_ranges.clone());
    let mut narrowest = Sheet::default();
    let without_values = in_ranges.into_iter().map(|[kind, chosen, layers, _]| [kind, chosen, layers]);
    narrowest.table([kind, chosen, "layers"], without_values.collect());
    let all = [with_lines, plain, narrow];
    all.into_iter().find(|sheet| sheet.width() <= columns).unwrap_or(narrowest)
}

/// The ratios of all modules of a type over the layers, as a line.
fn line_of(selection: &Selection<'_>, group: &Group<'_>) -> String {
    let of_type = selection.ranked.iter().filter(|module| module.kind() == group.kind);
    spark(&of_type.map(|module| module.score.value).collect::<Vec<_>>())
}

/// A character for each value, or for the mean of several neighbours, by how high it is between the lowest and the highest.
fn spark(values: &[f64]) -> String {
    if values.len() < 2 {
        return String::new();
    }
    let each = values.len().div_ceil(LONGEST_LINE);
    let means: Vec<f64> = values.chunks(each).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64).collect();
    let finite = || means.iter().copied().filter(|mean| mean.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let level = |mean: &f64| match (mean - low) / (high - low) {
        share if share.is_finite() => {
            LEVELS[(share * LEVELS.len() as f64).clamp(0.0, LEVELS.len() as f64 - 1.0) as usize]
        }
        // An infinite ratio, or all of them equal.
        _ if mean.is_infinite() => LEVELS[LEVELS.len() - 1],
        _ => LEVELS[0],
    };
    means.iter().map(level).collect()
}

/// The layers of the chosen modules of a type, in order, such as `0-7 9`; their labels if they are no layers alone.
fn ranges(group: &Group<'_>) -> String {
    let labels: Vec<String> = group.modules.iter().map(|one| label(one.name(), one.kind(), one.layer())).collect();
    let Some(mut layers) = labels.iter().map(|label| label.parse().ok()).collect::<Option<Vec<usize>>>() else {
        return labels.join(" ");
    };
    layers.sort_unstable();
    let runs = layers.chunk_by(|one, next| one + 1 == *next);
    let run = |run: &[usize]| match run {
        [first, .., last] => format!("{first}-{last}"),
        [one] => one.to_string(),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(" ")
}

fn header(selection: &Selection<'_>) -> [&'static str; 4] {
    let criterion = selection.scan.ranking().criterion;
    ["type", "chosen", "layers, best first", if criterion == Criterion::Laser { "snr" } else { criterion.key() }]
}

/// The row of a type in the table of chosen modules.
fn row(Group { kind, measured, modules }: &Group<'_>) -> [String; 4] {
    let label = |module: &Candidate<'_>| label(module.name(), module.kind(), module.layer());
    let shown: Vec<String> = modules.iter().take(LAYERS_SHOWN).map(label).collect();
    let more = if modules.len() > LAYERS_SHOWN { " …" } else { "" };
    [
        (*kind).to_owned(),
        format!("{} of {measured}", modules.len()),
        format!("{}{more}", shown.join(" ")),
        span(&modules.iter().map(|module| module.score.value).collect::<Vec<_>>()),
    ]
}

/// The first and the last of values that are ordered. Infinite ones are counted, because they are no ranking.
fn span(values: &[f64]) -> String {
    let infinite = values.iter().take_while(|value| value.is_infinite()).count();
    let first = match infinite {
        0 => values.first().map_or_else(String::new, |first| ratio(*first)),
        1 => "inf".to_owned(),
        count => format!("inf x{count}"),
    };
    match values.last() {
        Some(last) if values.len() > infinite.max(1) => format!("{first} … {}", ratio(*last)),
        _ => first,
    }
}

/// A module in the table: its layer, with further numbers in its name such as an expert's, or else its name.
fn label(name: &str, kind: &str, layer: Option<usize>) -> String {
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    match layer {
        // A star in a type usually stands for a number, but may be part of the modules' names.
        _ if kind.contains('*') && name.split('.').any(is_number) => {
            let numbers: Vec<&str> = name.split('.').filter(|segment| is_number(segment)).collect();
            // The blocks on each side of a UNet are numbered from zero.
            let side = ["down_blocks", "mid_block", "up_blocks"].into_iter().find(|side| name.contains(side));
            format!("{}{}", side.map_or("", |side| &side[..1]), numbers.join("."))
        }
        Some(layer) => layer.to_string(),
        None => name.to_owned(),
    }
}

pub fn ratio(snr: f64) -> String {
    if snr == 0.0 || snr.is_infinite() { snr.to_string() } else { output::digits(snr, 5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_five_digits() {
        assert_eq!([3.034_71, 0.0, f64::INFINITY].map(ratio), ["3.0347", "0", "inf"]);
    }

    #[test]
    fn a_line_has_a_character_for_each_layer_or_for_neighbours() {
        assert_eq!(spark(&[1.0, 2.0, 8.0, f64::INFINITY]), "▁▂██");
        assert_eq!((spark(&[3.0; 3]), spark(&[3.0])), ("▁▁▁".to_owned(), String::new()));
        let many: Vec<f64> = (0..80).map(f64::from).collect();
        assert_eq!(spark(&many).chars().count(), 27);
    }

    #[test]
    fn infinite_ratios_are_counted() {
        let infinite = f64::INFINITY;
        let spans = [&[infinite; 3][..], &[infinite, 4.0], &[infinite, infinite, 4.0, 2.0], &[4.0, 2.0], &[4.0], &[]];
        let expected = ["inf x3", "inf … 4.0000", "inf x2 … 2.0000", "4.0000 … 2.0000", "4.0000", ""];
        assert_eq!(spans.map(span), expected);
    }

    #[test]
    fn experts_are_labelled_with_their_number() {
        assert_eq!(label("model.layers.3.mlp.up_proj", "mlp.up_proj", Some(3)), "3");
        assert_eq!(label("m.layers.3.mlp.experts.7.w1", "mlp.experts.*.w1", Some(3)), "3.7");
        assert_eq!(label("lm_head", "lm_head", None), "lm_head");
        assert_eq!(label("mid.1.attn.0.q", "mid.*.attn.*.q", None), "1.0");
        assert_eq!(label("mid.*.q", "mid.*.q", None), "mid.*.q");
        assert_eq!(label("up_blocks.1.attn.0.q", "attn.*.q", None), "u1.0");
    }
}
