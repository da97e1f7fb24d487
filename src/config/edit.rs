//! Sets top-level keys in the text of a configuration.
//!
//! A parser finds where values stand, and only their bytes are replaced: comments, order, quotes, indentation and line ends of
//! everything else stay as they are. The result is parsed again and checked before it is returned.

use super::error::EditError;
use super::layout::{Entry, Layout};
use super::replace::{Style, replace};
use crate::trainers::yaml::{Quotes, Value, scalar};

/// An edited configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub text: String,
    /// The keys whose values changed, in the order in which they were given.
    pub changed: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// The old value as it was written; empty if the key had none, `None` if there was no such key.
    pub before: Option<String>,
    /// The new value as it is written.
    pub after: String,
}

/// Sets top-level keys. Absent ones are inserted next to other keys of `entries`, in its order.
pub fn edit(text: &str, entries: &[(&str, Value)]) -> Result<Edited, EditError> {
    let original = Layout::read(text)?;
    let repeated = entries.iter().find(|(key, _)| original.count(key) > 1);
    if let Some((key, _)) = repeated {
        return Err(EditError::Repeated((*key).to_owned()));
    }
    let mut edited = Edited { text: text.to_owned(), changed: Vec::new() };
    for place in 0..entries.len() {
        let layout = reread(&edited.text)?;
        if let Some((text, change)) = set(&layout, entries, place)? {
            edited.text = text;
            edited.changed.push(change);
        }
    }
    check(&original, &reread(&edited.text)?, entries)?;
    Ok(edited)
}

/// The value of a top-level key as it is written; empty if the key has none, `None` if there is no such key.
pub fn source<'a>(text: &'a str, key: &str) -> Result<Option<&'a str>, EditError> {
    let layout = Layout::read(text)?;
    layout.entry(key).map(|entry| layout.slice(entry.value.range.clone())).transpose()
}

/// Whether a string in the value of a top-level key contains `what`.
pub fn names(text: &str, key: &str, what: &str) -> Result<bool, EditError> {
    Ok(Layout::read(text)?.entry(key).is_some_and(|entry| entry.value.names(what)))
}

/// Parses a text that was edited, which must still be possible.
fn reread(text: &str) -> Result<Layout<'_>, EditError> {
    Layout::read(text).map_err(|_| EditError::Unsafe)
}

/// Sets the key at `place` in `entries`, if its value differs. The keys before it have been set by then.
fn set(layout: &Layout, entries: &[(&str, Value)], place: usize) -> Result<Option<(String, Change)>, EditError> {
    let (key, value) = &entries[place];
    let old = layout.entry(key);
    if old.is_some_and(|old| old.value.is(value)) {
        return Ok(None);
    }
    let text = match old {
        Some(old) if old.value.is_marked() => return Err(EditError::Marked((*key).to_owned())),
        Some(old) => replace(layout, old, value)?,
        None => insert(layout, entries, place),
    };
    let before = old.map(|old| layout.source(old).to_owned());
    let new = reread(&text)?;
    let after = new.source(new.entry(key).ok_or(EditError::Unsafe)?).to_owned();
    Ok(Some((text, Change { key: (*key).to_owned(), before, after })))
}

/// The text with lines for the absent key at `place`: after the nearest key before it in `entries`, else before the next one.
fn insert(layout: &Layout, entries: &[(&str, Value)], place: usize) -> String {
    let (key, value) = &entries[place];
    let entry = |(key, _): &(&str, Value)| layout.entry(key);
    let preceding = entries[..place].iter().rev().find_map(entry).map(|entry| layout.after(entry));
    let following =
        || entries[place + 1..].iter().find_map(entry).map(|entry| layout.line_start(entry.key.range.start));
    let at = preceding.or_else(following).unwrap_or(layout.end);

    let before = &layout.text[..at];
    let line_end =
        if before.is_empty() || before == "\u{feff}" || before.ends_with('\n') { "" } else { layout.line_end };
    let (indent, key) = (" ".repeat(layout.indent), scalar(key, Quotes::None));
    let mut lines = format!("{before}{line_end}{indent}{key}:");
    if let Some(value) = value.inline(Quotes::None) {
        lines.extend([" ", &value]);
    }
    lines.push_str(layout.line_end);
    let style = Style::new(layout, None, value);
    lines.extend(value.elements().iter().map(|element| style.line(element)));
    lines + &layout.text[at..]
}

/// Makes sure that the keys have their values after an edit, and that everything else is unchanged.
fn check(before: &Layout, after: &Layout, entries: &[(&str, Value)]) -> Result<(), EditError> {
    let is_set = |(key, value): &(&str, Value)| {
        after.count(key) == 1 && after.entry(key).is_some_and(|entry| entry.value.is(value))
    };
    let (others_before, others_after) = (others(before, entries), others(after, entries));
    let is_same = |(a, b): (&&Entry, &&Entry)| a.key.is_same(&b.key) && a.value.is_same(&b.value);
    let are_same = others_before.len() == others_after.len() && others_before.iter().zip(&others_after).all(is_same);
    if entries.iter().all(is_set) && are_same { Ok(()) } else { Err(EditError::Unsafe) }
}

fn others<'a, 'b>(layout: &'b Layout<'a>, entries: &[(&str, Value)]) -> Vec<&'b Entry<'a>> {
    let is_other = |key: Option<&str>| !entries.iter().any(|(wanted, _)| key == Some(*wanted));
    layout.entries.iter().filter(|entry| is_other(entry.key.scalar())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_names_is_no_comment() {
        let text = "a: x.Plugin\nb:\n  # - x.Plugin\n  - y\nc: [y, {z: x.Plugin}]\n";
        assert_eq!(["a", "b", "c", "d"].map(|key| names(text, key, "Plugin")), [true, false, true, false].map(Ok));
    }
}
