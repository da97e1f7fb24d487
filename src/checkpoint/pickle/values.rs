//! The values in a pickle.
//!
//! Values are small and contain no others: a string is a range of the pickle, a tuple a range of the list of all items, a
//! dictionary a number that marks its entries. So a value in many places is not copied, and nested values need no recursion.

use crate::checkpoint::entries::MAX_NAME;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Int(i64),
    Text(Text),
    /// A class or a function, as an index into [`Pickle::globals`].
    Global(u32),
    Tuple(Items),
    /// A dictionary, by the number in [`Entry::dict`].
    Dict(u32),
    /// The result of a call that is not made, of a function or a class.
    Call {
        global: u32,
        arguments: Items,
    },
    /// The persistent ID, a tuple, of an object outside the pickle.
    Persistent(Items),
    /// Any other value, of which nothing is known.
    Other,
}

/// The range of a string in the pickle, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub start: u32,
    pub length: u32,
}

/// The range of a tuple's items in [`Pickle::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items {
    pub start: u32,
    pub length: u32,
}

#[derive(Debug)]
pub struct Pickle<'a> {
    /// The value that the pickle represents.
    pub value: Value,
    pub bytes: &'a [u8],
    /// The items of all tuples.
    pub items: Vec<Value>,
    /// The modules and names of all classes and functions.
    pub globals: Vec<(Text, Text)>,
    /// The entries of all dictionaries, ordered by dictionary.
    pub entries: Vec<Entry>,
}

/// An entry of a dictionary whose key is a string.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub dict: u32,
    pub key: Text,
    pub value: Value,
}

impl<'a> Pickle<'a> {
    /// The characters of a string, in time proportional to its length.
    pub fn text(&self, text: Text) -> &'a str {
        characters(self.bytes, text)
    }

    /// The characters of a string that is short enough for a name. A long string takes no time.
    pub fn name(&self, text: Text) -> Option<&'a str> {
        (text.length as usize <= MAX_NAME).then(|| self.text(text))
    }

    pub fn items(&self, Items { start, length }: Items) -> &[Value] {
        self.items.get(start as usize..).and_then(|items| items.get(..length as usize)).unwrap_or_default()
    }

    pub fn global(&self, place: u32) -> (&'a str, &'a str) {
        self.globals.get(place as usize).map_or(("", ""), |(module, name)| (self.text(*module), self.text(*name)))
    }

    /// The entries of a dictionary with strings as keys, in their order.
    pub fn entries(&self, dict: u32) -> impl Iterator<Item = (Text, Value)> {
        let first = self.entries.partition_point(|entry| entry.dict < dict);
        let entries = self.entries[first..].iter().take_while(move |entry| entry.dict == dict);
        entries.map(|entry| (entry.key, entry.value))
    }
}

pub fn characters(bytes: &[u8], Text { start, length }: Text) -> &str {
    let text = bytes.get(start as usize..).and_then(|bytes| bytes.get(..length as usize)).unwrap_or_default();
    // The interpreter has checked that every string is valid UTF-8.
    std::str::from_utf8(text).unwrap_or_default()
}
