//! The chosen modules of each type, as a table.

use std::io;

use laser_scan::output;
use laser_scan::select::{Candidate, Group, Selection};
use laser_scan::statistic::Criterion;

use super::{Sheet, Terminal};

/// How many layers of a type the table lists.
const LAYERS_SHOWN: usize = 16;

impl Terminal {
    /// Shows the chosen modules of each type.
    pub fn top(&self, selection: &Selection<'_>) -> io::Result<()> {
        let mut sheet = Sheet::default();
        sheet.table(header(selection), selection.groups.iter().map(row).collect());
        self.print(&sheet)
    }

    /// Writes the chosen modules of each type as a table in Markdown.
    pub fn top_in_markdown(&self, selection: &Selection<'_>) -> io::Result<()> {
        let mut sheet = Sheet::default();
        sheet.markdown(header(selection), selection.groups.iter().map(row).collect());
        self.output(sheet.text().as_bytes())
    }
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
