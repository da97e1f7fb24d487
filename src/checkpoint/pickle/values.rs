//! What a pickle says.
//!
//! Values are small and hold no others. A text is a range of the pickle, a tuple a range of a list of all items, a
//! dictionary the number that its entries bear. So a value that stands in many places is not copied, and nesting costs no
//! stack when it is built or dropped.

use crate::checkpoint::entries::MAX_NAME;

/// What an instruction leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A text.
    Text(Text),
    /// A class or a function, by its place among [`Pickle::globals`].
    Global(u32),
    /// A tuple, by the range of its items.
    Tuple(Items),
    /// A dictionary, by the number of its entries' owner.
    Dict(u32),
    /// What a function would return, or an object of a class.
    Call {
        /// The function or class.
        global: u32,
        /// The arguments.
        arguments: Items,
    },
    /// What stands for an object outside the pickle, a tuple.
    Persistent(Items),
    /// Anything else, of which nothing is known.
    Other,
}

/// A text's place in the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its first byte.
    pub start: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// A tuple's place among all tuples' items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items {
    /// The first item.
    pub start: u32,
    /// How many there are.
    pub length: u32,
}

/// What a pickle says.
#[derive(Debug)]
pub struct Pickle<'a> {
    /// The value that it stands for.
    pub value: Value,
    /// The pickle.
    pub bytes: &'a [u8],
    /// The items of all tuples.
    pub items: Vec<Value>,
    /// The modules and names of all classes and functions.
    pub globals: Vec<(Text, Text)>,
    /// The entries of all dictionaries, in the order of these.
    pub entries: Vec<Entry>,
}

/// An entry of a dictionary whose key is a text.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The dictionary.
    pub dict: u32,
    /// The key.
    pub key: Text,
    /// The value.
    pub value: Value,
}

impl<'a> Pickle<'a> {
    /// The characters of a text, which takes as long as it is.
    pub fn text(&self, text: Text) -> &'a str {
        characters(self.bytes, text)
    }

    /// The characters of a text that can be a name; none of one that is too long, however often it is asked for.
    pub fn name(&self, text: Text) -> Option<&'a str> {
        (text.length as usize <= MAX_NAME).then(|| self.text(text))
    }

    /// The items of a tuple.
    pub fn items(&self, Items { start, length }: Items) -> &[Value] {
        self.items.get(start as usize..).and_then(|items| items.get(..length as usize)).unwrap_or_default()
    }

    /// The module and the name of a class or a function.
    pub fn global(&self, place: u32) -> (&'a str, &'a str) {
        self.globals.get(place as usize).map_or(("", ""), |(module, name)| (self.text(*module), self.text(*name)))
    }

    /// The entries of a dictionary that have texts for keys, in their order.
    pub fn entries(&self, dict: u32) -> impl Iterator<Item = (Text, Value)> {
        let first = self.entries.partition_point(|entry| entry.dict < dict);
        let entries = self.entries[first..].iter().take_while(move |entry| entry.dict == dict);
        entries.map(|entry| (entry.key, entry.value))
    }
}

/// The characters of a text in the pickle `bytes`.
pub fn characters(bytes: &[u8], Text { start, length }: Text) -> &str {
    let text = bytes.get(start as usize..).and_then(|bytes| bytes.get(..length as usize)).unwrap_or_default();
    // Checked when the text was taken.
    std::str::from_utf8(text).unwrap_or_default()
}
