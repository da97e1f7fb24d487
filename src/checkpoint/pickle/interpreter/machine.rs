//! The state of the pickle interpreter: its input, stack, memo and the values so far.

use std::vec::Drain;

use super::super::values::{Entry, Items, Pickle, Text, Value, characters};
use super::PickleError;

pub struct Machine<'a> {
    bytes: &'a [u8],
    max_memory: usize,
    /// The offset of the next byte.
    at: usize,
    stack: Vec<Value>,
    /// The heights of the stack at the open marks.
    marks: Vec<u32>,
    memo: Vec<Option<Value>>,
    /// The number of memo slots in use.
    memoized: usize,
    items: Vec<Value>,
    globals: Vec<(Text, Text)>,
    entries: Vec<Entry>,
    dicts: u32,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8], max_memory: usize) -> Self {
        Self {
            bytes,
            max_memory,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memoized: 0,
            items: Vec::new(),
            globals: Vec::new(),
            entries: Vec::new(),
            dicts: 0,
        }
    }

    pub fn run(mut self) -> Result<Pickle<'a>, PickleError> {
        while self.step()? {}
        let value = self.pop()?;
        let Self { bytes, items, globals, mut entries, .. } = self;
        // The sort is stable, so that the entries of a dictionary keep their order.
        entries.sort_by_key(|entry| entry.dict);
        Ok(Pickle { value, bytes, items, globals, entries })
    }

    pub fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(PickleError::CutShort)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn skip(&mut self, count: usize) -> Result<(), PickleError> {
        self.take(count).map(drop)
    }

    /// Takes an unsigned little-endian number.
    pub fn number(&mut self, bytes: usize) -> Result<usize, PickleError> {
        let number = self.take(bytes)?.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // A number that does not fit is a length beyond the end of any file.
        usize::try_from(number).map_err(|_| PickleError::CutShort)
    }

    /// Takes a little-endian number of at most eight bytes in two's complement.
    pub fn signed(&mut self, bytes: usize) -> Result<i64, PickleError> {
        let taken = self.take(bytes)?;
        let sign = if taken.last().is_some_and(|last| last & 0x80 != 0) { -1 } else { 0 };
        Ok(taken.iter().rev().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// Takes a string of `length` bytes.
    pub fn text(&mut self, length: usize) -> Result<Text, PickleError> {
        let start = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| unreadable("a text is not valid UTF-8"))?;
        Ok(Text { start: index(start)?, length: index(length)? })
    }

    /// Takes a string that ends before the next line break.
    pub fn line(&mut self) -> Result<Text, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::CutShort)?;
        let text = self.text(length)?;
        self.skip(1)?;
        Ok(text)
    }

    pub fn push(&mut self, value: Value) -> Result<(), PickleError> {
        self.stack.push(value);
        self.check_memory()
    }

    fn check_memory(&self) -> Result<(), PickleError> {
        let values = (self.stack.len() + self.items.len() + self.memo.len()) * size_of::<Value>();
        let entries = self.entries.len() * size_of::<Entry>();
        let rest = self.marks.len() * size_of::<u32>() + self.globals.len() * size_of::<(Text, Text)>();
        if values + entries + rest > self.max_memory { Err(PickleError::Excessive) } else { Ok(()) }
    }

    /// The height of the stack at the last mark, below which no instruction may reach.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    pub fn pop(&mut self) -> Result<Value, PickleError> {
        let value = self.last()?;
        self.stack.pop();
        Ok(value)
    }

    pub fn last(&self) -> Result<Value, PickleError> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| unreadable("a value is missing"))
    }

    pub fn mark(&mut self) -> Result<(), PickleError> {
        self.marks.push(index(self.stack.len())?);
        self.check_memory()
    }

    pub fn pop_value_or_mark(&mut self) -> Result<(), PickleError> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Removes the last mark and returns its height.
    pub fn end_mark(&mut self) -> Result<usize, PickleError> {
        self.marks.pop().map(|mark| mark as usize).ok_or_else(|| unreadable("a mark is missing"))
    }

    pub fn pop_to_mark(&mut self) -> Result<Drain<'_, Value>, PickleError> {
        let start = self.end_mark()?;
        Ok(self.stack.drain(start..))
    }

    /// Stores the value on top of the stack in the memo, by default in the next slot.
    pub fn memoize(&mut self, slot: Option<usize>) -> Result<(), PickleError> {
        let value = self.last()?;
        let slot = slot.unwrap_or(self.memoized);
        if slot >= self.memo.len() {
            if slot > self.max_memory / size_of::<Value>() {
                return Err(PickleError::Excessive);
            }
            self.memo.resize(slot + 1, None);
        }
        if self.memo[slot].replace(value).is_none() {
            self.memoized += 1;
        }
        self.check_memory()
    }

    pub fn push_memoized(&mut self, slot: usize) -> Result<(), PickleError> {
        let value = self.memo.get(slot).copied().flatten();
        self.push(value.ok_or_else(|| unreadable("a value is missing"))?)
    }

    pub fn push_global(&mut self, module: Text, name: Text) -> Result<(), PickleError> {
        let global = index(self.globals.len())?;
        self.globals.push((module, name));
        self.push(Value::Global(global))
    }

    pub fn global(&self, global: u32) -> (&str, &str) {
        let (module, name) = self.globals[global as usize];
        (characters(self.bytes, module), characters(self.bytes, name))
    }

    /// Replaces the last `count` values, or those above the last mark, by a tuple of them.
    pub fn push_tuple(&mut self, count: Option<usize>) -> Result<(), PickleError> {
        let first = match count {
            None => self.end_mark()?,
            Some(count) => {
                let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                first.ok_or_else(|| unreadable("a value is missing"))?
            }
        };
        let start = index(self.items.len())?;
        let length = index(self.stack.len() - first)?;
        self.items.extend(self.stack.drain(first..));
        self.push(Value::Tuple(Items { start, length }))
    }

    pub fn push_dict(&mut self) -> Result<(), PickleError> {
        self.dicts = self.dicts.checked_add(1).ok_or(PickleError::Excessive)?;
        self.push(Value::Dict(self.dicts))
    }

    /// Removes the keys and values above the last mark and sets them in the dictionary on top of the stack, or in a new one.
    pub fn set_all(&mut self, in_new_dict: bool) -> Result<(), PickleError> {
        let first = self.end_mark()?;
        let pairs = self.stack.split_off(first);
        if in_new_dict {
            self.push_dict()?;
        }
        if !pairs.len().is_multiple_of(2) {
            return Err(unreadable("a key has no value"));
        }
        pairs.chunks_exact(2).try_for_each(|pair| self.set(pair[0], pair[1]))
    }

    /// Sets a key in the dictionary on top of the stack. For other objects and keys nothing is recorded.
    pub fn set(&mut self, key: Value, value: Value) -> Result<(), PickleError> {
        if let (Value::Dict(dict), Value::Text(key)) = (self.last()?, key) {
            self.entries.push(Entry { dict, key, value });
        }
        self.check_memory()
    }
}

/// Converts an offset or a count to 32 bits. Pickles are far shorter than 4 GiB.
fn index(number: usize) -> Result<u32, PickleError> {
    u32::try_from(number).map_err(|_| PickleError::Excessive)
}

pub fn unreadable(reason: &str) -> PickleError {
    PickleError::Unreadable(reason.to_owned())
}
