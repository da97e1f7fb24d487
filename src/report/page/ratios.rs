//! The chart of what modules are ranked by, over the layers of a type.

use super::chart::{Axis, Frame};
use super::content::{Content, Type};
use super::escape::join;

/// The chart, if there are at least two columns and a number to draw. For each column it has a dot, or a bar from the best to the
/// worst of several modules, infinite values in a line of their own above, marks for missing ones, and a line from layer to layer.
pub fn chart(content: &Content<'_>, row: &Type<'_>) -> Option<String> {
    let values = || row.sorted.iter().filter_map(|module| content.modules[*module].finite());
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    let frame = Frame::new(row, Axis::new(low, high))?;
    Some(frame.svg(row, content.value_name(), &plot(content, row, &frame)))
}

fn plot(content: &Content<'_>, row: &Type<'_>, frame: &Frame) -> String {
    let [mut line, mut bars, mut dots, mut marks]: [String; 4] = Default::default();
    for (column, places) in &row.columns {
        let modules = || places.iter().map(|place| (*place, &content.modules[*place]));
        let finite = || modules().filter_map(|(_, module)| Some(frame.at(*column, module.finite()?)));
        if let Some((best, worst)) = finite().next().zip(finite().next_back()) {
            line += &format!("{}{best}", if row.is_layered && !line.is_empty() { "L" } else { "M" });
            bars += &if places.len() > 1 { format!("M{best}L{worst}") } else { String::new() };
        }
        // The dots of several would hide each other.
        let single = modules().filter(|_| places.len() == 1);
        let points =
            single.filter_map(|(place, module)| Some((place, module.is_chosen, at(frame, *column, module.value?))));
        dots += &join(points, |(place, is_chosen, [x, y])| {
            let class = if is_chosen { "dot chosen" } else { "dot" };
            format!("<circle class='{class}' cx='{x:.1}' cy='{y:.1}' r='2' data-module='{place}'/>")
        });
        let best = &content.modules[places[0]];
        let several = best.value == Some(f64::INFINITY) && places.len() > 1;
        let [x, y] = frame.beyond(*column);
        bars += &if several { format!("M{x:.1} {y:.1}h0") } else { String::new() };
        marks += &best.value.map_or_else(|| frame.missing(*column), |_| String::new());
    }
    let is_infinite = row.sorted.first().is_some_and(|best| content.modules[*best].value == Some(f64::INFINITY));
    marks += &if is_infinite { Frame::infinity() } else { String::new() };
    let drawn = [("line", &line), ("bars", &bars)].into_iter().filter(|(_, path)| !path.is_empty());
    join(drawn, |(class, path)| format!("<path class='{class}' d='{path}'/>")) + &dots + &marks
}

/// Where a value is: infinite ones have a line of their own.
fn at(frame: &Frame, column: usize, value: f64) -> [f64; 2] {
    if value.is_finite() { frame.point(column, value) } else { frame.beyond(column) }
}
