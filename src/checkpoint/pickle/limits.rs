//! How large the result of a pickle is, before it is built.
//!
//! A few hundred bytes of a pickle can ask for gigabytes, by putting a value into itself again and again, or for a nesting
//! that overflows the stack when it is dropped. This walks through the instructions that candle's interpreter knows and
//! keeps for every value only how deep and how large it would be.

use std::collections::HashMap;

use super::PickleError;

/// The deepest nesting that is built; a state dictionary has about six levels.
const MAX_DEPTH: u32 = 64;

/// The most objects that are built. One tensor takes about twenty, and is copied a few times.
const MAX_OBJECTS: u64 = 8_000_000;

/// How many bytes of text count as an object.
const TEXT: usize = 64;

/// How deep a value is and of how many objects it consists; `None` for a mark on the stack.
#[derive(Clone, Copy)]
struct Extent {
    depth: u32,
    objects: u64,
}

const LEAF: Extent = Extent { depth: 1, objects: 1 };

/// The length of the pickle that `bytes` begin with.
///
/// # Errors
///
/// Fails if it does not end there, has an instruction that candle does not know, or would grow beyond all measure.
pub fn check(bytes: &[u8]) -> Result<usize, PickleError> {
    let mut walk = Walk { bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), built: 0 };
    while !walk.step()? {}
    Ok(walk.at)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Option<Extent>>,
    memo: HashMap<u32, Extent>,
    built: u64,
}

impl Walk<'_> {
    /// Follows one instruction. Returns whether it was the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        match self.take(1)?[0] {
            b'.' => return Ok(true),
            0x80 => drop(self.take(1)?),
            b'c' => {
                self.line()?;
                self.line()?;
                self.push(LEAF)?;
            }
            b')' | b']' | b'}' | b'd' | b'N' | 0x88 | 0x89 => self.push(LEAF)?,
            b'K' => self.literal(1)?,
            b'M' => self.literal(2)?,
            b'J' => self.literal(4)?,
            b'G' => self.literal(8)?,
            0x8a => {
                let length = self.number(1)? as usize;
                // candle reads at most an i64.
                if length > 8 {
                    return Err(PickleError::Unreadable("an integer of more than 64 bits".into()));
                }
                self.literal(length)?;
            }
            b'X' => {
                let length = self.number(4)? as usize;
                self.take(length)?;
                self.push(Extent { depth: 1, objects: 1 + (length / TEXT) as u64 })?;
            }
            b'(' => self.stack.push(None),
            b't' => {
                let values = self.pop_to_mark()?;
                self.combine(&values)?;
            }
            b'Q' | 0x85 => self.combine_last(1)?,
            b'R' | b'b' | 0x81 | 0x86 => self.combine_last(2)?,
            0x87 => self.combine_last(3)?,
            b'a' => self.add_last(1)?,
            b's' => self.add_last(2)?,
            b'e' | b'u' => {
                let values = self.pop_to_mark()?;
                self.add(&values)?;
            }
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            other => return Err(PickleError::Unreadable(format!("instruction {other:#04x} is not known"))),
        }
        Ok(false)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], PickleError> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or(PickleError::CutShort)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, PickleError> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn line(&mut self) -> Result<(), PickleError> {
        while self.take(1)?[0] != b'\n' {}
        Ok(())
    }

    fn literal(&mut self, bytes: usize) -> Result<(), PickleError> {
        self.take(bytes)?;
        self.push(LEAF)
    }

    fn push(&mut self, value: Extent) -> Result<(), PickleError> {
        self.built = self.built.saturating_add(value.objects);
        if value.depth > MAX_DEPTH || self.built > MAX_OBJECTS {
            return Err(PickleError::Excessive);
        }
        self.stack.push(Some(value));
        Ok(())
    }

    fn pop(&mut self) -> Result<Extent, PickleError> {
        self.stack.pop().flatten().ok_or_else(|| PickleError::Unreadable("a value is missing".into()))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Extent>, PickleError> {
        let mark = self.stack.iter().rposition(Option::is_none);
        let mark = mark.ok_or_else(|| PickleError::Unreadable("a mark is missing".into()))?;
        let values = self.stack.drain(mark..).flatten().collect();
        Ok(values)
    }

    fn pop_last(&mut self, count: usize) -> Result<Vec<Extent>, PickleError> {
        (0..count).map(|_| self.pop()).collect()
    }

    fn combine_last(&mut self, count: usize) -> Result<(), PickleError> {
        let values = self.pop_last(count)?;
        self.combine(&values)
    }

    /// One value around others.
    fn combine(&mut self, values: &[Extent]) -> Result<(), PickleError> {
        let depth = values.iter().map(|value| value.depth).max().unwrap_or(0) + 1;
        let objects = values.iter().fold(1u64, |sum, value| sum.saturating_add(value.objects));
        // The parts were counted when they were built.
        self.built = self.built.saturating_sub(objects - 1);
        self.push(Extent { depth, objects })
    }

    fn add_last(&mut self, count: usize) -> Result<(), PickleError> {
        let values = self.pop_last(count)?;
        self.add(&values)
    }

    /// More values in the list or dictionary below them.
    fn add(&mut self, values: &[Extent]) -> Result<(), PickleError> {
        let container = self.pop()?;
        self.built = self.built.saturating_sub(container.objects);
        let depth = values.iter().map(|value| value.depth + 1).max().unwrap_or(0).max(container.depth);
        let objects = values.iter().fold(container.objects, |sum, value| sum.saturating_add(value.objects));
        self.built = self.built.saturating_sub(objects - container.objects);
        self.push(Extent { depth, objects })
    }

    fn put(&mut self, bytes: usize) -> Result<(), PickleError> {
        let slot = self.number(bytes)?;
        let value = self.pop()?;
        // candle keeps a copy.
        self.memo.insert(slot, value);
        self.push(value)
    }

    fn get(&mut self, bytes: usize) -> Result<(), PickleError> {
        let slot = self.number(bytes)?;
        let value = self.memo.get(&slot).copied();
        self.push(value.ok_or_else(|| PickleError::Unreadable("a value is missing".into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_pickle_has_a_length() {
        // python3 -c 'import pickle; print(pickle.dumps({"a": (1, 2.5, [None, True])}, 2))'
        let pickle =
            b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01G@\x04\x00\x00\x00\x00\x00\x00]q\x02(N\x88e\x87q\x03s.";
        assert_eq!(check(&[pickle.as_slice(), b"more"].concat()).ok(), Some(pickle.len()));
        for end in 0..pickle.len() {
            assert!(matches!(check(&pickle[..end]), Err(PickleError::CutShort)), "{end}");
        }
    }

    #[test]
    fn what_would_grow_beyond_measure_is_refused() {
        let deep = [b"N".as_slice(), &[0x85; 1000], b"."].concat();
        assert!(matches!(check(&deep), Err(PickleError::Excessive)));
        let laughs = [b"Nq\x00".as_slice(), &b"h\x00h\x00\x86q\x00".repeat(60), b"."].concat();
        assert!(matches!(check(&laughs), Err(PickleError::Excessive)));
        let text = [b"X\x00\x00\x01\x00".as_slice(), &[b'a'; 65536], &b"q\x00h\x00".repeat(100_000), b"."].concat();
        assert!(matches!(check(&text), Err(PickleError::Excessive)));
    }

    #[test]
    fn nonsense_is_refused() {
        for pickle in [b"t.".as_slice(), b"R.", b"h\x00.", b"\xff.", b"(q\x00.", b"\x8a\x09123456789."] {
            assert!(matches!(check(pickle), Err(PickleError::Unreadable(_))), "{pickle:?}");
        }
    }
}
