//! The fan of a type: quantiles of its modules' singular values, over the layers.

use super::chart::{Axis, Frame};
use super::content::{Content, Type};
use super::escape::join;
use crate::statistic::quantile;

/// The quantiles that are drawn, after the largest value.
const QUANTILES: [f64; 5] = [0.95, 0.75, 0.5, 0.25, 0.05];

/// An axis has at most this many decades, so that one tiny value does not flatten everything.
const DECADES: f64 = 1e8;

/// What the fans mean, for above all of them.
pub const LEGEND: &str = "<ul class='legend'>\n<li><span class='key max'></span> largest singular value</li>\n\
    <li><span class='key outer'></span> 5 to 95 % of them</li>\n<li><span class='key inner'></span> 25 to 75 %</li>\n\
    <li><span class='key median'></span> median</li>\n</ul>\n";

/// The largest singular value of a column, and its quantiles.
type Quantiles = [f64; 6];

/// The fan, if the spectra of at least two columns are known and some are not of zeros.
pub fn chart(content: &Content<'_>, row: &Type<'_>) -> Option<String> {
    let columns: Vec<(usize, Quantiles)> =
        row.columns.iter().filter_map(|(column, modules)| Some((*column, quantiles(content, modules)?))).collect();
    let high =
        columns.iter().map(|(_, [max, ..])| *max).reduce(f64::max).filter(|high| *high > 0.0 && columns.len() > 1)?;
    let positive = columns.iter().map(|(_, quantiles)| quantiles[5]).filter(|low| *low > 0.0);
    let low = positive.reduce(f64::min).unwrap_or(high / 10.0).max(high / DECADES);
    let frame = Frame::new(row, Axis::logarithmic(low, high))?;
    Some(frame.svg(row, "singular values", &plot(&columns, &frame)))
}

/// The quantiles of a column. Of several modules, each is the median of theirs, but the largest value is the largest of all.
fn quantiles(content: &Content<'_>, modules: &[usize]) -> Option<Quantiles> {
    let spectra = modules.iter().filter_map(|module| content.modules[*module].spectrum);
    let all: Vec<Quantiles> = spectra
        .filter(|spectrum| !spectrum.values.is_empty())
        .map(|spectrum| {
            let [a, b, c, d, e] = QUANTILES.map(|part| quantile(&spectrum.values, part));
            [spectrum.values[0], a, b, c, d, e]
        })
        .collect();
    let max = all.iter().map(|quantiles| quantiles[0]).reduce(f64::max)?;
    let mut of_all = std::array::from_fn(|place| median(all.iter().map(|quantiles| quantiles[place]).collect()));
    of_all[0] = max;
    Some(of_all)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    quantile(&values, 0.5)
}

fn plot(columns: &[(usize, Quantiles)], frame: &Frame) -> String {
    let points = |place: usize| {
        columns.iter().map(|(column, quantiles)| frame.at(*column, quantiles[place])).collect::<Vec<String>>()
    };
    let band = |above: usize, below: usize| {
        let mut points_below = points(below);
        points_below.reverse();
        format!("M{}L{}Z", points(above).join("L"), points_below.join("L"))
    };
    let line = |place: usize| format!("M{}", points(place).join("L"));
    let paths = [("outer", band(1, 5)), ("inner", band(2, 4)), ("median", line(3)), ("max", line(0))];
    join(paths, |(class, path)| format!("<path class='{class}' d='{path}'/>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_of_modules_has_the_middle_of_two_as_median() {
        assert_eq!(median(vec![1.0, 4.0, 2.0, 8.0]), 3.0);
    }
}
