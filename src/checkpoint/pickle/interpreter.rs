//! Python's pickle, as far as a state dictionary needs it.
//!
//! The instructions are followed and nothing is ever called: a call leaves the function's name and its arguments. What is
//! held meanwhile is counted, which takes a few additions, as values do not hold others.
//!
//! The instructions are those of protocols 2 to 5 in CPython's `Lib/pickletools.py`.

use super::PickleError;
use super::values::{Entry, Items, Pickle, Text, Value, characters};
use crate::checkpoint::entries::MAX_NAME;

/// The most bytes that are held while a pickle is read, beside the pickle. A tensor of a state dictionary takes about 400.
const MAX_HELD: usize = 64 << 20;

/// Reads the pickle that `bytes` begin with.
///
/// # Errors
///
/// Fails if it does not end there, has an instruction that no state dictionary has, or would grow beyond all measure.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
    read_within(bytes, MAX_HELD)
}

/// The same, holding at most so many bytes.
fn read_within(bytes: &[u8], most: usize) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine {
        bytes,
        most,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memoized: 0,
        items: Vec::new(),
        globals: Vec::new(),
        entries: Vec::new(),
        dicts: 0,
    };
    while machine.step()? {}
    let value = machine.pop()?;
    let Machine { items, globals, mut entries, .. } = machine;
    // Stable: a dictionary's entries stay in their order.
    entries.sort_by_key(|entry| entry.dict);
    Ok(Pickle { value, bytes, items, globals, entries })
}

fn unreadable(reason: &str) -> PickleError {
    PickleError::Unreadable(reason.to_owned())
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// The most bytes to hold.
    most: usize,
    at: usize,
    stack: Vec<Value>,
    /// The stack's heights at the marks that are set.
    marks: Vec<u32>,
    /// By their numbers, which Python counts from zero.
    memo: Vec<Option<Value>>,
    /// How many of these there are.
    memoized: usize,
    items: Vec<Value>,
    globals: Vec<(Text, Text)>,
    entries: Vec<Entry>,
    dicts: u32,
}

impl Machine<'_> {
    /// Follows one instruction. Returns whether another follows.
    fn step(&mut self) -> Result<bool, PickleError> {
        let instruction = self.take(1)?[0];
        match instruction {
            b'.' => return Ok(false),
            // The protocol's number, and a frame's length: neither changes what follows.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.mark()?,
            b'0' => self.pop_value_or_mark()?,
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.push(self.last()?)?,
            b'q' | b'r' | 0x94 => self.put(instruction)?,
            b'h' | b'j' => self.get(instruction)?,
            b'c' | 0x93 => self.name(instruction)?,
            b'Q' => self.persist()?,
            b'R' | 0x81 => self.call()?,
            0x92 => self.call_with_keywords()?,
            b'b' => self.set_state()?,
            b'X' | 0x8c | 0x8d => self.text(instruction)?,
            b'}' | b'd' | b's' | b'u' => self.dictionary(instruction)?,
            b')' | b't' | 0x85..=0x87 => self.tuple(instruction)?,
            b']' | b'l' | b'a' | b'e' | 0x8f..=0x91 => self.collection(instruction)?,
            _ => self.scalar(instruction)?,
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(PickleError::CutShort)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), PickleError> {
        self.take(count).map(drop)
    }

    /// A number without a sign, the low byte first.
    fn number(&mut self, bytes: usize) -> Result<usize, PickleError> {
        let number = self.take(bytes)?.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // What does not fit is longer than any file.
        usize::try_from(number).map_err(|_| PickleError::CutShort)
    }

    /// Numbers, what is true, false or nothing, and bytes.
    fn scalar(&mut self, instruction: u8) -> Result<(), PickleError> {
        let value = match instruction {
            b'N' | 0x88 | 0x89 => Value::Other,
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(self.signed(4)?),
            b'G' => self.skip(8).map(|()| Value::Other)?,
            0x8a => {
                let length = self.number(1)?;
                if length > size_of::<i64>() {
                    return Err(unreadable("an integer of more than 64 bits"));
                }
                Value::Int(self.signed(length)?)
            }
            b'C' | b'B' | 0x8e => {
                let length = self.length(instruction)?;
                self.skip(length).map(|()| Value::Other)?
            }
            other => return Err(PickleError::Unreadable(format!("instruction {other:#04x} is not known"))),
        };
        self.push(value)
    }

    /// A number of at most eight bytes in two's complement, the low byte first.
    fn signed(&mut self, bytes: usize) -> Result<i64, PickleError> {
        let taken = self.take(bytes)?;
        let sign = if taken.last().is_some_and(|last| last & 0x80 != 0) { -1 } else { 0 };
        Ok(taken.iter().rev().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// The length that precedes a text or bytes.
    fn length(&mut self, instruction: u8) -> Result<usize, PickleError> {
        self.number(match instruction {
            0x8c | b'C' => 1,
            b'X' | b'B' => 4,
            _ => 8,
        })
    }

    fn text(&mut self, instruction: u8) -> Result<(), PickleError> {
        let length = self.length(instruction)?;
        let text = self.place(length)?;
        self.push(Value::Text(text))
    }

    /// The text of the next `length` bytes.
    fn place(&mut self, length: usize) -> Result<Text, PickleError> {
        let start = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| unreadable("a text is not valid UTF-8"))?;
        Ok(Text { start: index(start)?, length: index(length)? })
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Result<Text, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::CutShort)?;
        let text = self.place(length)?;
        self.skip(1)?;
        Ok(text)
    }

    fn name(&mut self, instruction: u8) -> Result<(), PickleError> {
        let (module, name) = if instruction == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (module, name) {
                (Value::Text(module), Value::Text(name)) => (module, name),
                _ => return Err(unreadable("a class has no name")),
            }
        };
        // It is looked at whenever it is called.
        if module.length.max(name.length) as usize > MAX_NAME {
            return Err(unreadable("a class has a name beyond all measure"));
        }
        let place = index(self.globals.len())?;
        self.globals.push((module, name));
        self.push(Value::Global(place))
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        self.stack.push(value);
        self.stay_within_bounds()
    }

    /// Refuses what holds more than any state dictionary does.
    fn stay_within_bounds(&self) -> Result<(), PickleError> {
        let values = (self.stack.len() + self.items.len() + self.memo.len()) * size_of::<Value>();
        let entries = self.entries.len() * size_of::<Entry>();
        let rest = self.marks.len() * size_of::<u32>() + self.globals.len() * size_of::<(Text, Text)>();
        if values + entries + rest > self.most { Err(PickleError::Excessive) } else { Ok(()) }
    }

    /// The height that the stack had at the last mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        let value = self.last()?;
        self.stack.pop();
        Ok(value)
    }

    fn last(&self) -> Result<Value, PickleError> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| unreadable("a value is missing"))
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        self.marks.push(index(self.stack.len())?);
        self.stay_within_bounds()
    }

    fn pop_value_or_mark(&mut self) -> Result<(), PickleError> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Takes the last mark away. Returns where the values above it begin.
    fn end_mark(&mut self) -> Result<usize, PickleError> {
        self.marks.pop().map(|mark| mark as usize).ok_or_else(|| unreadable("a mark is missing"))
    }

    fn pop_to_mark(&mut self) -> Result<std::vec::Drain<'_, Value>, PickleError> {
        let start = self.end_mark()?;
        Ok(self.stack.drain(start..))
    }

    fn put(&mut self, instruction: u8) -> Result<(), PickleError> {
        let slot = match instruction {
            b'q' => self.number(1)?,
            b'r' => self.number(4)?,
            _ => self.memoized,
        };
        let value = self.last()?;
        if slot >= self.memo.len() {
            if slot > self.most / size_of::<Value>() {
                return Err(PickleError::Excessive);
            }
            self.memo.resize(slot + 1, None);
        }
        if self.memo[slot].replace(value).is_none() {
            self.memoized += 1;
        }
        self.stay_within_bounds()
    }

    fn get(&mut self, instruction: u8) -> Result<(), PickleError> {
        let slot = self.number(if instruction == b'h' { 1 } else { 4 })?;
        let value = self.memo.get(slot).copied().flatten();
        self.push(value.ok_or_else(|| unreadable("a value is missing"))?)
    }

    fn tuple(&mut self, instruction: u8) -> Result<(), PickleError> {
        let first = match instruction {
            b')' => self.stack.len(),
            b't' => self.end_mark()?,
            counted => {
                let count = usize::from(counted - 0x84);
                let first = self.stack.len().checked_sub(count).filter(|first| *first >= self.floor());
                first.ok_or_else(|| unreadable("a value is missing"))?
            }
        };
        let start = index(self.items.len())?;
        let length = index(self.stack.len() - first)?;
        self.items.extend(self.stack.drain(first..));
        self.push(Value::Tuple(Items { start, length }))
    }

    /// Lists and sets, of which only that they are there is kept.
    fn collection(&mut self, instruction: u8) -> Result<(), PickleError> {
        match instruction {
            b']' | 0x8f => self.push(Value::Other),
            b'l' | 0x91 => {
                drop(self.pop_to_mark()?);
                self.push(Value::Other)
            }
            b'a' => {
                self.pop()?;
                self.last().map(drop)
            }
            _ => {
                drop(self.pop_to_mark()?);
                self.last().map(drop)
            }
        }
    }

    fn dictionary(&mut self, instruction: u8) -> Result<(), PickleError> {
        match instruction {
            b'}' => self.new_dict(),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(key, value)
            }
            b'u' => {
                let first = self.end_mark()?;
                self.set_all(first)
            }
            _ => {
                // The dictionary of the values above the mark comes to lie above them, and then in their place.
                let first = self.end_mark()?;
                self.new_dict()?;
                let dict = self.pop()?;
                self.stack.insert(first, dict);
                self.set_all(first + 1)
            }
        }
    }

    fn new_dict(&mut self) -> Result<(), PickleError> {
        self.dicts = self.dicts.checked_add(1).ok_or(PickleError::Excessive)?;
        self.push(Value::Dict(self.dicts))
    }

    /// Sets the keys and values from height `first` of the stack in the dictionary below them.
    fn set_all(&mut self, first: usize) -> Result<(), PickleError> {
        let pairs = self.stack.split_off(first);
        if !pairs.len().is_multiple_of(2) {
            return Err(unreadable("a key has no value"));
        }
        pairs.chunks_exact(2).try_for_each(|pair| self.set(pair[0], pair[1]))
    }

    /// Sets a key in the dictionary on top of the stack. What another object does with it is not known.
    fn set(&mut self, key: Value, value: Value) -> Result<(), PickleError> {
        if let (Value::Dict(dict), Value::Text(key)) = (self.last()?, key) {
            self.entries.push(Entry { dict, key, value });
        }
        self.stay_within_bounds()
    }

    fn persist(&mut self) -> Result<(), PickleError> {
        let value = match self.pop()? {
            Value::Tuple(items) => Value::Persistent(items),
            _ => Value::Other,
        };
        self.push(value)
    }

    /// A function and its arguments. Dictionaries of another kind than the plain one are made so, and are filled later.
    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::Global(global), Value::Tuple(arguments)) = (callee, arguments) else {
            return self.push(Value::Other);
        };
        let (module, name) = self.globals[global as usize];
        match (characters(self.bytes, module), characters(self.bytes, name)) {
            ("collections", "OrderedDict" | "defaultdict") => self.new_dict(),
            _ => self.push(Value::Call { global, arguments }),
        }
    }

    fn call_with_keywords(&mut self) -> Result<(), PickleError> {
        for _ in 0..3 {
            self.pop()?;
        }
        self.push(Value::Other)
    }

    /// The attributes of an object. A tensor and a dictionary are what they are without; of another object nothing is
    /// known.
    fn set_state(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let object = match self.pop()? {
            Value::Call { global, arguments } if self.is_tensor(global) => Value::Call { global, arguments },
            Value::Dict(dict) => Value::Dict(dict),
            _ => Value::Other,
        };
        self.push(object)
    }

    /// Whether a function is one of those by which PyTorch makes tensors.
    fn is_tensor(&self, global: u32) -> bool {
        let (module, name) = self.globals[global as usize];
        characters(self.bytes, module).starts_with("torch.") && characters(self.bytes, name).starts_with("_rebuild_")
    }
}

/// A place or a count in a pickle, which is far shorter than 4 GiB.
fn index(number: usize) -> Result<u32, PickleError> {
    u32::try_from(number).map_err(|_| PickleError::Excessive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a pickled dictionary, with the values.
    fn entries(pickle: &[u8]) -> Vec<(String, Value)> {
        let pickle = read(pickle).expect("a pickle");
        let Value::Dict(dict) = pickle.value else { panic!("{:?}", pickle.value) };
        pickle.entries(dict).map(|(key, value)| (pickle.text(key).to_owned(), value)).collect()
    }

    #[test]
    fn a_pickle_is_read_in_every_protocol() {
        // python3 -c 'import pickle; [print(pickle.dumps({"a": 1 << 40, "b": -2, "ü": (3, "c")}, n)) for n in (2, 3, 4, 5)]'
        let old =
            b"}q\x00(X\x01\x00\x00\x00aq\x01\x8a\x06\x00\x00\x00\x00\x00\x01X\x01\x00\x00\x00bq\x02J\xfe\xff\xff\xff\
            X\x02\x00\x00\x00\xc3\xbcq\x03K\x03X\x01\x00\x00\x00cq\x04\x86q\x05u.";
        let new =
            b"\x95\x28\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94\x8a\x06\x00\x00\x00\x00\x00\x01\x8c\x01b\x94\
            J\xfe\xff\xff\xff\x8c\x02\xc3\xbc\x94K\x03\x8c\x01c\x94\x86\x94u.";
        for (protocol, rest) in [(2, old.as_slice()), (3, old), (4, new), (5, new)] {
            let pickle = [&[0x80, protocol], rest, b"more"].concat();
            let found = entries(&pickle);
            let (Value::Tuple(items), "ü") = (found[2].1, found[2].0.as_str()) else { panic!("{found:?}") };
            assert_eq!(found[..2], [("a".to_owned(), Value::Int(1 << 40)), ("b".to_owned(), Value::Int(-2))]);
            let whole = read(&pickle).expect("a pickle");
            let [Value::Int(3), Value::Text(text)] = whole.items(items) else { panic!("{whole:?}") };
            assert_eq!(whole.text(*text), "c");
            for end in 0..pickle.len() - 4 {
                assert!(matches!(read(&pickle[..end]), Err(PickleError::CutShort)), "{protocol}: {end}");
            }
        }
    }

    #[test]
    fn nothing_is_called() {
        let ran = read(b"cos\nsystem\nX\x01\x00\x00\x00x\x85R.").expect("a pickle");
        let Value::Call { global, arguments } = ran.value else { panic!("{ran:?}") };
        assert_eq!((ran.global(global), ran.items(arguments).len()), (("os", "system"), 1));
        // The same by a name that protocol 4 takes from the stack.
        let ran = read(b"\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x01x\x85R.").expect("a pickle");
        let Value::Call { global, .. } = ran.value else { panic!("{ran:?}") };
        assert_eq!(ran.global(global), ("os", "system"));
    }

    #[test]
    fn dictionaries_are_filled_in_every_way() {
        let key = |name: &str| [&[0x8c, name.len() as u8], name.as_bytes()].concat();
        let pairs = [key("a"), b"K\x01".to_vec(), key("b"), b"K\x02".to_vec()].concat();
        let expected = [("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Int(2))];
        let (first, second) = pairs.split_at(pairs.len() / 2);
        assert_eq!(entries(&[b"}", first, b"s", second, b"s."].concat()), expected);
        assert_eq!(entries(&[b"}(", &pairs[..], b"u."].concat()), expected);
        assert_eq!(entries(&[b"(", &pairs[..], b"d."].concat()), expected);
        // An ordered dictionary with attributes, which are none of its entries, as torch.save writes a module's.
        let ordered: &[u8] = b"ccollections\nOrderedDict\n)R(";
        assert_eq!(entries(&[ordered, &pairs, b"u}", &key("_metadata"), b"}sb."].concat()), expected);
    }

    #[test]
    fn values_are_shared_and_not_copied() {
        let laughs = [b"Nq\x00".as_slice(), &b"h\x00h\x00\x86q\x00".repeat(100_000), b"."].concat();
        assert!(matches!(read(&laughs).map(|pickle| pickle.value), Ok(Value::Tuple(_))));
        let text =
            [b"X\x00\x00\x01\x00".as_slice(), &[b'a'; 65536], b"q\x00", &b"h\x000".repeat(100_000), b"."].concat();
        assert!(matches!(read(&text).map(|pickle| pickle.value), Ok(Value::Text(_))));
        let deep = [b"N".as_slice(), &[0x85; 1_000_000], b"."].concat();
        assert!(matches!(read(&deep).map(|pickle| pickle.value), Ok(Value::Tuple(_))));
    }

    #[test]
    fn what_would_grow_beyond_measure_is_refused() {
        let most = 1 << 16;
        let slots = (0..most as u32).flat_map(|slot| [b"r".as_slice(), &slot.to_le_bytes()].concat());
        let grown = [
            b"(".repeat(most),
            b"N".iter().copied().chain(slots).collect(),
            b"N\x94".repeat(most),
            b"N".repeat(most),
            b"ca\nb\n0".repeat(most),
            [b"N".as_slice(), &b"\x85".repeat(most)].concat(),
            [b"}".as_slice(), &b"\x8c\x00Ns".repeat(most)].concat(),
        ];
        for (case, pickle) in grown.iter().enumerate() {
            assert!(matches!(read_within(pickle, most), Err(PickleError::Excessive)), "{case}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let cases: [&[u8]; 14] = [
            b"t.",
            b"R.",
            b"h\x00.",
            b"\xff.",
            b"(q\x00.",
            b"\x8a\x09123456789.",
            b".",
            b"N(.",
            b"N(\x85.",
            b"u.",
            b"}(Nu.",
            b"NN\x93.",
            b"\x8c\x01\xff.",
            b"0.",
        ];
        for pickle in cases {
            assert!(matches!(read(pickle), Err(PickleError::Unreadable(_))), "{pickle:?}");
        }
    }
}
