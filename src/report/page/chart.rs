//! The parts of charts: axes with round numbers, and the SVG around a plot.

use super::content::Type;
use super::escape::{escape, join};
use crate::output::digits;

/// A scale is logarithmic if the largest number is more than this many times the smallest.
const LOG_FROM: f64 = 20.0;

/// The size of a chart, and the left and right, and the upper and lower edge of its plot.
const SIZE: [f64; 2] = [340.0, 132.0];
const X: [f64; 2] = [48.0, 332.0];
const Y: [f64; 2] = [18.0, 104.0];

/// Where infinite values are.
const BEYOND: f64 = 7.0;

/// The largest number of ticks.
const TICKS: usize = 5;

/// The scale of a chart's upright axis.
pub struct Axis {
    low: f64,
    high: f64,
    is_log: bool,
    ticks: Vec<f64>,
}

/// Where the columns of a type are in its chart, and how high values are.
pub struct Frame {
    axis: Axis,
    first: f64,
    last: f64,
}

impl Axis {
    /// An axis for numbers between `low` and `high`, neither of which is negative. It begins at zero, or it is logarithmic.
    pub fn new(low: f64, high: f64) -> Self {
        if low > 0.0 && high / low > LOG_FROM { Self::logarithmic(low, high) } else { Self::linear(high) }
    }

    fn linear(high: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let rough = high / (TICKS - 1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (high / step - 1e-9).ceil() as usize;
        let ticks: Vec<f64> = (0..=count).map(|tick| tick as f64 * step).collect();
        Self { low: 0.0, high: count as f64 * step, is_log: false, ticks }
    }

    /// A logarithmic axis for positive numbers. It begins and ends at one, two or five times a power of ten; if there are many
    /// such numbers between, only powers of ten are ticks.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32 - 1, high.log10().ceil() as i32 + 1);
        let power = |power: i32| 10f64.powi(power);
        let round: Vec<f64> = (first..=last).flat_map(|at| [1.0, 2.0, 5.0].map(|factor| factor * power(at))).collect();
        let from = round.iter().rposition(|tick| *tick <= low * (1.0 + 1e-9)).unwrap_or(0);
        let to = round.iter().position(|tick| *tick >= high * (1.0 - 1e-9)).unwrap_or(round.len() - 1);
        let mut ticks = round[from..=to.max(from + 1).min(round.len() - 1)].to_vec();
        let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
        if ticks.len() > TICKS + 1 {
            let powers = || (first..=last).map(power).filter(|power| (low..=high).contains(power));
            let step = powers().count().div_ceil(TICKS);
            ticks = powers().step_by(step).collect();
        }
        Self { low, high, is_log: true, ticks }
    }

    /// The height of a value, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.is_log { value.max(self.low).log10() } else { value };
        let (low, high) = (scale(self.low), scale(self.high));
        ((scale(value) - low) / (high - low)).clamp(0.0, 1.0)
    }
}

impl Frame {
    /// The frame for a type, if it has at least two columns.
    pub fn new(row: &Type<'_>, axis: Axis) -> Option<Self> {
        let (first, last) = (*row.columns.first_key_value()?.0, *row.columns.last_key_value()?.0);
        (first < last).then_some(Self { axis, first: first as f64, last: last as f64 })
    }

    /// Where a value of a column is.
    pub fn point(&self, column: usize, value: f64) -> [f64; 2] {
        [self.x(column), self.y(value)]
    }

    /// The same within a path.
    pub fn at(&self, column: usize, value: f64) -> String {
        let [x, y] = self.point(column, value);
        format!("{x:.1} {y:.1}")
    }

    fn x(&self, column: usize) -> f64 {
        X[0] + (X[1] - X[0]) * (column as f64 - self.first) / (self.last - self.first)
    }

    fn y(&self, value: f64) -> f64 {
        Y[1] - (Y[1] - Y[0]) * self.axis.part(value)
    }

    /// Where an infinite value of a column is: above the plot.
    pub fn beyond(&self, column: usize) -> [f64; 2] {
        [self.x(column), BEYOND]
    }

    /// What the axis calls infinite values.
    pub fn infinity() -> String {
        label([X[0] - 6.0, BEYOND + 3.5], "end", "∞")
    }

    /// A mark for a column without a value.
    pub fn missing(&self, column: usize) -> String {
        label([self.x(column), Y[1] - 3.0], "mark", "×")
    }

    /// The whole chart around a `plot` of `what`.
    pub fn svg(&self, row: &Type<'_>, what: &str, plot: &str) -> String {
        let ticks = &self.axis.ticks;
        let grid = join(ticks, |tick| format!("M{} {:.1}H{}", X[0], self.y(*tick), X[1]));
        let labels = join(ticks, |tick| label([X[0] - 6.0, self.y(*tick) + 3.5], "end", &number(*tick)));
        let columns = join([(self.first, "start"), (self.last, "end")], |(column, class)| {
            let x = self.x(column as usize);
            label([x, Y[1] + 15.0], class, &column.to_string())
        });
        let over = if row.is_layered { "layer" } else { "module in the model's order" };
        let log = if self.axis.is_log { ", log scale" } else { "" };
        let middle = label([(X[0] + X[1]) / 2.0, Y[1] + 15.0], "middle", over);
        format!(
            "<figure class='chart'>\n<figcaption>{what}{log}</figcaption>\n<svg viewBox='0 0 {} {}' role='img' aria-label=\"{}: \
             {what} over {over}{log}\">\n<path class='grid' d='{grid}'/>{plot}{labels}{columns}{middle}\n</svg>\n</figure>\n",
            SIZE[0],
            SIZE[1] - 8.0,
            escape(row.kind)
        )
    }
}

/// A text in a chart. Its class sets where it is anchored.
fn label([x, y]: [f64; 2], class: &str, text: &str) -> String {
    format!("<text x='{x:.1}' y='{y:.1}' class='{class}'>{text}</text>")
}

/// A round number without needless digits.
fn number(value: f64) -> String {
    let text = digits(value, 3);
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", trimmed(mantissa)),
        None => trimmed(&text).to_owned(),
    }
}

fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| number(*tick)).collect()
    }

    #[test]
    fn axes_have_round_numbers_and_begin_at_zero() {
        assert_eq!(ticks(&Axis::new(0.3, 0.7)), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(ticks(&Axis::new(9.0, 10.0)), ["0", "2.5", "5", "7.5", "10"]);
        assert_eq!(ticks(&Axis::new(0.0, 0.0)), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(ticks(&Axis::new(0.02, 7.0)), ["0.1", "1", "10"]);
        assert_eq!(ticks(&Axis::new(1e-9, 1e3)), ["1e-9", "1e-6", "0.001", "1", "1000"]);
        assert_eq!(ticks(&Axis::logarithmic(1.0, 1.0)), ["1", "2"]);
        assert_eq!(ticks(&Axis::logarithmic(0.06, 1.3)), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(ticks(&Axis::logarithmic(0.3, 7.0)), ["0.2", "0.5", "1", "2", "5", "10"]);
    }

    #[test]
    fn values_are_within_the_plot() {
        let axis = Axis::new(0.02, 7.0);
        assert_eq!([0.001, 0.02, 10.0, 99.0].map(|value| axis.part(value)), [0.0, 0.0, 1.0, 1.0]);
    }
}
