//! Replaces the value of a key that is in the configuration.

use std::ops::Range;

use super::error::EditError;
use super::layout::{Entry, Layout, Node};
use crate::trainers::yaml::{Element, Value};

/// How the lines of a list or a map are laid out.
pub(super) struct Style {
    indent: usize,
    /// The dash of an item, with the blanks after it.
    dash: String,
    line_end: &'static str,
}

/// An item of the old list, or a pair of the old map.
struct Unit<'a> {
    /// `None` if it cannot be part of a new value.
    element: Option<Element<'a>>,
    /// The comments and blank lines before its own lines.
    lead: String,
    /// Its own lines.
    lines: String,
    /// The comments in its lead and within it that have lines of their own.
    comments: String,
}

impl Style {
    /// The style of a new value: the same as of the old one, or of the first list in the file.
    pub fn new(layout: &Layout, old: Option<&Node>, value: &Value) -> Self {
        let is_list = matches!(value, Value::List(_));
        let is_model = |node: &&Node| node.is_block() && node.is_block_list() == is_list;
        let others = layout.entries.iter().map(|entry| &entry.value).filter(|_| is_list);
        let model = old.into_iter().chain(others).find(is_model).and_then(|node| node.children.first());
        let line_end = layout.line_end;
        let Some(first) = model else { return Self { indent: layout.indent + 2, dash: "- ".to_owned(), line_end } };
        let before = layout.slice(layout.line_start(first.range.start)..first.range.start).unwrap_or_default();
        let dash = before.trim_start_matches(' ');
        let is_dash =
            dash.strip_prefix('-').is_some_and(|blanks| !blanks.is_empty() && blanks.trim_matches(' ').is_empty());
        let dash = if is_dash { dash } else { "- " };
        Self { indent: layout.indent_at(first.range.start), dash: dash.to_owned(), line_end }
    }

    pub fn line(&self, element: &Element) -> String {
        self.indented(&element.line(&self.dash))
    }

    fn indented(&self, line: &str) -> String {
        format!("{:indent$}{line}{}", "", self.line_end, indent = self.indent)
    }
}

pub(super) fn replace(layout: &Layout, entry: &Entry, value: &Value) -> Result<String, EditError> {
    let old = &entry.value;
    let colon = entry.colon.ok_or(EditError::Unsafe);
    let text = layout.text;
    let splice = |start: usize, end: usize, new: &str| {
        Ok([layout.slice(0..start)?, new, layout.slice(end..text.len())?].concat())
    };
    let has_comments = layout.comments_in(old.range.clone()).next().is_some();
    match value.inline(old.quotes()) {
        Some(new) if old.is_empty() => colon.and_then(|colon| splice(colon, colon, &format!(" {new}"))),
        Some(new) if old.is_self_contained() && !has_comments => splice(old.range.start, old.range.end, &new),
        new => replace_lines(layout, entry, colon?, value, new.as_deref()),
    }
}

/// The text with another value for a key, where the old or the new one has lines of its own. `new` is the new one if it fits on
/// the line of the key.
fn replace_lines(
    layout: &Layout,
    entry: &Entry,
    colon: usize,
    value: &Value,
    new: Option<&str>,
) -> Result<String, EditError> {
    let (text, old) = (layout.text, &entry.value);
    let style = Style::new(layout, Some(old), value);
    let (stop, end) = (layout.line_stop(colon), layout.next_line(old.range.end));
    let body = layout.next_line(colon).min(end);
    let comment = layout.comments_in(colon..stop).next().map_or(stop, |comment| comment.start);
    let rest = colon + layout.slice(colon..comment)?.trim_end().len();

    let (units, loose) = if old.is_block() {
        (block_units(layout, old, body)?, String::new())
    } else {
        flow_units(layout, old, body..end, &style)?
    };
    // Blank lines after a block scalar may have tabs, which PyYAML refuses anywhere else.
    let mut blank = text[end..].split('\n').take_while(|line| line.trim().is_empty());
    if !old.is_block() && !old.is_self_contained() && blank.any(|line| line.contains('\t')) {
        return Err(EditError::Unsafe);
    }
    let mut lines = text[..colon].to_owned();
    lines.extend(new.map(|new| format!(" {new}")));
    lines.extend([layout.slice(rest..stop)?, style.line_end]);
    lines.push_str(&merge(units, loose, &value.elements(), &style));
    if !text[..end].ends_with('\n') {
        lines.truncate(lines.trim_end_matches(['\r', '\n']).len());
    }
    Ok(lines + &text[end..])
}

/// The units of a block list or map, whose lines start at `body`.
fn block_units<'a>(layout: &Layout, old: &'a Node, body: usize) -> Result<Vec<Unit<'a>>, EditError> {
    let dash = if old.is_block_list() { "-" } else { "" };
    let mut start = body;
    let mut units = Vec::new();
    for (nodes, element) in old.groups() {
        let (first, last) = (nodes[0].range.start, nodes[nodes.len() - 1].range.end);
        let own = layout.line_start(first);
        // An item may stand on the line below its dash, for example.
        if own < start || layout.slice(own..first)?.trim_matches([' ', '\t']) != dash {
            return Err(EditError::Unsafe);
        }
        let end = layout.next_line(last);
        let comments = layout.comments_in(start..end).filter(|comment| layout.has_own_line(comment.start));
        let comments =
            comments.map(|comment| &layout.text[layout.line_start(comment.start)..layout.next_line(comment.start)]);
        let mut lines = layout.slice(own..end)?.to_owned();
        if !lines.ends_with('\n') {
            lines.push_str(layout.line_end);
        }
        units.push(Unit { element, lead: layout.slice(start..own)?.to_owned(), lines, comments: comments.collect() });
        start = end;
    }
    Ok(units)
}

/// The units of a flow list or map, rewritten on lines of their own, and the comments after the last. Only comments in `body`
/// need a new place; one within a unit goes before it. A scalar has no units.
fn flow_units<'a>(
    layout: &Layout,
    old: &'a Node,
    body: Range<usize>,
    style: &Style,
) -> Result<(Vec<Unit<'a>>, String), EditError> {
    let text = layout.text;
    let mut comments = layout.comments_in(body).peekable();
    let mut units = Vec::new();
    for (nodes, element) in old.groups() {
        let (first, last) = (nodes[0].range.start, nodes[nodes.len() - 1].range.end);
        let mut lead = String::new();
        while let Some(comment) = comments.next_if(|comment| comment.start < last) {
            lead.push_str(&style.indented(&text[comment.clone()]));
        }
        let is_trailing = |comment: &&Range<usize>| comment.start < layout.line_stop(last).min(old.range.end);
        let trailing = comments.next_if(is_trailing).map(|comment| layout.slice(last..comment.end)).transpose()?;
        let trailing = trailing.map(|trailing| trailing.replacen(',', "", 1));
        let source = layout.slice(first..last)?;
        // Pairs, and items of several lines, may have to be written differently outside a flow.
        let line = match element {
            Some(Element { number: None, .. }) if !source.contains('\n') => format!("{}{source}", style.dash),
            _ => element.map(|element| element.line(&style.dash)).unwrap_or_default(),
        };
        let lines = style.indented(&(line + &trailing.unwrap_or_default()));
        units.push(Unit { element, comments: lead.clone(), lead, lines });
    }
    Ok((units, comments.map(|comment| style.indented(&text[comment.clone()])).collect()))
}

/// The lines of a new value. Elements of the old value keep their lines. The comments of removed elements, and the `loose` ones,
/// go to the end; those of the old last element, if it is removed, go before the new last one.
fn merge(units: Vec<Unit>, loose: String, elements: &[Element], style: &Style) -> String {
    let mut units: Vec<Option<Unit>> = units.into_iter().map(Some).collect();
    let line = |element: &Element| {
        let is_it = |unit: &&mut Option<Unit>| unit.as_ref().is_some_and(|unit| unit.element == Some(*element));
        let unit = units.iter_mut().find(is_it).and_then(Option::take);
        unit.map_or_else(|| style.line(element), |unit| unit.lead + &unit.lines)
    };
    let mut lines: Vec<String> = elements.iter().map(line).collect();
    let last = units.pop().flatten().map(|unit| unit.comments).unwrap_or_default();
    lines.insert(lines.len().saturating_sub(1), last);
    lines.extend(units.into_iter().flatten().map(|unit| unit.comments));
    lines.push(loose);
    lines.concat()
}
