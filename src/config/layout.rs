//! Where the keys and values of a configuration stand.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle, options};

use super::error::EditError;
use crate::trainers::yaml::{Element, Quotes, Value, reads_as_text, whole};

/// A configuration and the places of its parts.
pub(super) struct Layout<'a> {
    pub text: &'a str,
    /// How far the top-level keys are indented.
    pub indent: usize,
    pub entries: Vec<Entry<'a>>,
    pub comments: Vec<Range<usize>>,
    /// Where the document ends and more keys can be added.
    pub end: usize,
    pub line_end: &'static str,
}

/// A top-level key and its value.
pub(super) struct Entry<'a> {
    pub key: Node<'a>,
    pub value: Node<'a>,
    /// Where the colon ends; `None` if it does not follow the key on its line.
    pub colon: Option<usize>,
}

/// A scalar, an alias, or a list or a map with what is in it.
pub(super) struct Node<'a> {
    pub event: Event<'a>,
    /// A block list or map starts no later than its first child and ends with its last. The range of a block scalar does not
    /// contain its header.
    pub range: Range<usize>,
    /// The items of a list, or the keys and values of a map in turn.
    pub children: Vec<Node<'a>>,
}

type Placed<'a> = (Event<'a>, Range<usize>);

impl<'a> Layout<'a> {
    pub fn read(text: &'a str) -> Result<Self, EditError> {
        let (mut events, comments) = parse(text)?;
        let is_crlf = text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"));
        let line_end = if is_crlf { "\r\n" } else { "\n" };
        let mut layout = Self { text, indent: 0, entries: Vec::new(), comments, end: text.len(), line_end };
        if layout.is_ambiguous() {
            return Err(EditError::Unsafe);
        }
        let is_start = |(event, _): &Placed<'_>| matches!(event, Event::DocumentStart(..));
        match events.iter().filter(|event| is_start(event)).count() {
            0 => return Ok(layout),
            1 => (),
            _ => return Err(EditError::SeveralDocuments),
        }
        let end = events.iter().find(|(event, range)| *event == Event::DocumentEnd && text[range.clone()] == *"...");
        layout.end = end.map_or(text.len(), |(_, range)| range.start);
        if layout.ends_in_tabs() {
            return Err(EditError::Unsafe);
        }
        events.drain(..=events.iter().position(is_start).unwrap_or_default());
        let root = Node::read(text, &mut events.into_iter()).ok_or(EditError::Unsafe)?;
        // A tag may give the document another meaning, and aliases of an anchor would change with it.
        if root.has_mark() {
            return Err(EditError::Unsafe);
        }
        if !root.is_empty() {
            layout.take_entries(root)?;
        }
        Ok(layout)
    }

    /// Whether parsers may disagree on where lines begin and end. Some end a line at a carriage return alone. YAML 1.1, but not
    /// 1.2, ends lines and so comments at three more characters. PyYAML takes a byte order mark for text unless the file begins
    /// with it.
    fn is_ambiguous(&self) -> bool {
        let mut returns = self.text.match_indices('\r');
        returns.any(|(at, _)| !self.text[at..].starts_with("\r\n"))
            || self.text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
            || self.text.rfind('\u{feff}').is_some_and(|at| at > 0)
    }

    /// Whether there are tabs on blank lines at the document's end, where they are allowed. Before a key they would not be.
    fn ends_in_tabs(&self) -> bool {
        let document = self.text.get(..self.end).unwrap_or_default();
        let blank = &document[document.trim_end().len()..];
        blank.split_once('\n').is_some_and(|(_, lines)| lines.contains('\t'))
    }

    pub fn slice(&self, range: Range<usize>) -> Result<&'a str, EditError> {
        self.text.get(range).ok_or(EditError::Unsafe)
    }

    fn take_entries(&mut self, root: Node<'a>) -> Result<(), EditError> {
        if !matches!(root.event, Event::MappingStart(StructureStyle::Block, ..)) {
            return Err(EditError::NotMapping);
        }
        self.indent = root.range.start - self.line_start(root.range.start);
        let mut children = root.children.into_iter();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            // An alias may stand for any key, and a tag may change what a key means.
            if matches!(key.event, Event::Alias(_) | Event::Scalar(_, _, _, Some(_))) {
                return Err(EditError::Unsafe);
            }
            let behind = &self.text[key.range.end..];
            let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let colon = behind[blanks..].starts_with(':').then_some(key.range.end + blanks + 1);
            self.entries.push(Entry { key, value, colon });
        }
        Ok(())
    }

    pub fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key.scalar() == Some(key))
    }

    pub fn count(&self, key: &str) -> usize {
        self.entries.iter().filter(|entry| entry.key.scalar() == Some(key)).count()
    }

    /// The value of an entry as it is written.
    pub fn source(&self, entry: &Entry) -> &'a str {
        let Range { start, end } = entry.value.range;
        let start = match entry.value.event {
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => entry.colon.unwrap_or(start),
            Event::SequenceStart(StructureStyle::Block, ..) => self.line_start(start),
            _ => start,
        };
        self.text.get(start..end).unwrap_or_default().trim()
    }

    /// Where the lines of an entry end. They include comments right below that are indented as far as its content.
    pub fn after(&self, entry: &Entry) -> usize {
        let least = match entry.value.children.first() {
            Some(first) if entry.value.is_block() => self.indent_at(first.range.start).max(self.indent + 1),
            _ => self.indent + 1,
        };
        let mut at = self.next_line(entry.value.range.end);
        while self.text[at..].trim_start_matches([' ', '\t']).starts_with('#') && self.indent_at(at) >= least {
            at = self.next_line(at);
        }
        at
    }

    pub fn comments_in(&self, range: Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        self.comments.iter().filter(move |comment| range.contains(&comment.start))
    }

    /// Whether only blanks precede a position in its line.
    pub fn has_own_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].trim_matches([' ', '\t']).is_empty()
    }

    /// The start of the line that contains a position. A byte order mark is not part of the first line.
    pub fn line_start(&self, at: usize) -> usize {
        let first = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        self.text[..at].rfind('\n').map_or(first.min(at), |before| before + 1)
    }

    /// The end of the line that contains a position, before its line end.
    pub fn line_stop(&self, at: usize) -> usize {
        let line = self.text[at..].split('\n').next().unwrap_or_default();
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// The start of the line after the one that contains a position.
    pub fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// The indentation of the line that contains a position.
    pub fn indent_at(&self, at: usize) -> usize {
        let line = &self.text[self.line_start(at)..];
        line.len() - line.trim_start_matches(' ').len()
    }
}

impl<'a> Node<'a> {
    fn read(text: &str, events: &mut std::vec::IntoIter<Placed<'a>>) -> Option<Self> {
        let (event, mut range) = events.next()?;
        let mut children = Vec::new();
        if matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
            while !matches!(events.as_slice().first()?, (Event::SequenceEnd | Event::MappingEnd, _)) {
                children.push(Self::read(text, events)?);
            }
            let (_, end) = events.next()?;
            range.end = end.end;
        }
        let mut node = Self { event, range, children };
        match (&node.event, node.children.last()) {
            (Event::Scalar(value, ScalarStyle::Literal | ScalarStyle::Folded, ..), _) => {
                node.range.end = block_scalar_end(text, &node.range, value);
            }
            (_, Some(last)) if node.is_block() => node.range.end = last.range.end,
            _ => (),
        }
        Some(node)
    }

    pub fn is_block(&self) -> bool {
        let block = StructureStyle::Block;
        matches!(&self.event, Event::SequenceStart(style, ..) | Event::MappingStart(style, ..) if *style == block)
    }

    pub fn is_block_list(&self) -> bool {
        self.is_block() && matches!(self.event, Event::SequenceStart(..))
    }

    /// Whether it is a scalar of no characters.
    pub fn is_empty(&self) -> bool {
        matches!(self.event, Event::Scalar(_, ScalarStyle::Plain, ..)) && self.range.is_empty()
    }

    /// Whether it can be replaced in place: it is neither a block list or map nor a block scalar, whose header is elsewhere.
    pub fn is_self_contained(&self) -> bool {
        !self.is_block() && !matches!(self.event, Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..))
    }

    pub fn scalar(&self) -> Option<&str> {
        if let Event::Scalar(content, ..) = &self.event { Some(content) } else { None }
    }

    /// Whether it or a scalar in it contains `what`.
    pub fn names(&self, what: &str) -> bool {
        self.scalar().is_some_and(|content| content.contains(what)) || self.children.iter().any(|node| node.names(what))
    }

    pub fn quotes(&self) -> Quotes {
        match self.event {
            Event::Scalar(_, ScalarStyle::SingleQuoted, ..) => Quotes::Single,
            Event::Scalar(_, ScalarStyle::DoubleQuoted, ..) => Quotes::Double,
            _ => Quotes::None,
        }
    }

    /// Whether the node itself has an anchor or a tag, or is an alias.
    fn has_mark(&self) -> bool {
        match &self.event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => *anchor != 0 || tag.is_some(),
            _ => true,
        }
    }

    /// Whether it or a node in it has an anchor or a tag, or is an alias.
    pub fn is_marked(&self) -> bool {
        self.has_mark() || self.children.iter().any(Self::is_marked)
    }

    /// Whether it equals another node, notation included, at whatever position.
    pub fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.children.iter().zip(&other.children);
        self.event == other.event && self.children.len() == other.children.len() && pairs.all(|(a, b)| a.is_same(b))
    }

    /// Whether it is read as this value.
    pub fn is(&self, value: &Value) -> bool {
        match (&self.event, value) {
            (Event::Scalar(content, ScalarStyle::Plain, _, None), value) if !self.is_empty() => value.is_plain(content),
            (Event::Scalar(content, _, _, None), Value::Text(text)) if !self.is_empty() => content == text,
            (Event::SequenceStart(_, _, None), Value::List(_)) | (Event::MappingStart(_, _, None), Value::Map(_)) => {
                let elements = self.groups().map(|(_, element)| element);
                elements.eq(value.elements().into_iter().map(Some))
            }
            _ => false,
        }
    }

    /// The items of a list or the pairs of a map: their nodes, and the element that they are, unless no [`Value`] can hold it.
    pub fn groups(&self) -> impl Iterator<Item = (&[Node<'a>], Option<Element<'_>>)> {
        let size = if matches!(self.event, Event::MappingStart(..)) { 2 } else { 1 };
        self.children.chunks(size).map(|nodes| (nodes, element(nodes)))
    }

    fn string(&self) -> Option<&str> {
        match &self.event {
            Event::Scalar(content, ScalarStyle::Plain, _, None) => {
                Some(&**content).filter(|content| reads_as_text(content))
            }
            Event::Scalar(content, _, _, None) => Some(content),
            _ => None,
        }
    }

    fn number(&self) -> Option<u64> {
        let Event::Scalar(content, ScalarStyle::Plain, _, None) = &self.event else { return None };
        whole(content)
    }
}

/// An item that is a string, or a pair of a string and a whole number.
fn element<'a>(nodes: &'a [Node<'_>]) -> Option<Element<'a>> {
    match nodes {
        [item] => Some(Element { name: item.string()?, number: None }),
        [name, number] => Some(Element { name: name.string()?, number: Some(number.number()?) }),
        _ => None,
    }
}

/// The events of a text, and the places of its comments.
fn parse(text: &str) -> Result<(Vec<Placed<'_>>, Vec<Range<usize>>), EditError> {
    // A block scalar at the end of the file gets no line end, as in PyYAML.
    let options = options! { block_scalar_eof_without_line_feed: true };
    let (mut events, mut comments) = (Vec::new(), Vec::new());
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| not_yaml(&error))?;
        let range = span.byte_range().expect("the parser of a string counts its bytes");
        // The text is cut at these places, which must be boundaries of characters.
        if text.get(range.clone()).is_none() {
            return Err(EditError::Unsafe);
        }
        match event {
            Event::Comment(..) => comments.push(range),
            event => events.push((event, range)),
        }
    }
    Ok((events, comments))
}

fn not_yaml(error: &ScanError) -> EditError {
    let place = error.marker();
    EditError::NotYaml { line: place.line(), column: place.col() + 1, reason: error.info() }
}

/// The end of a block scalar's last line. Blank lines at its end count if they are part of its content.
fn block_scalar_end(text: &str, range: &Range<usize>, content: &str) -> usize {
    let blanks = [' ', '\t'];
    let source = &text[range.clone()];
    let keeps_blank_lines = content.ends_with("\n\n") || content == "\n";
    let last = if keeps_blank_lines {
        let last = source.trim_end_matches(blanks);
        last.strip_suffix('\n').map_or(last, |last| last.strip_suffix('\r').unwrap_or(last))
    } else {
        source.trim_end_matches(['\n', '\r', ' ', '\t'])
    };
    // A scalar without content ends with its header.
    if last.is_empty() { text[..range.start].trim_end().len() } else { range.start + last.len() }
}
