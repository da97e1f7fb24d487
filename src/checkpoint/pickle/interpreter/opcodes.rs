//! The instructions of pickle protocols 2 to 5, as CPython's `Lib/pickletools.py` describes them.

use super::super::values::Value;
use super::PickleError;
use super::machine::{Machine, unreadable};
use crate::checkpoint::entries::MAX_NAME;

impl Machine<'_> {
    /// Follows one instruction. Returns whether another one follows.
    pub fn step(&mut self) -> Result<bool, PickleError> {
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return Ok(false),
            // The number of the protocol and the length of a frame do not change what follows.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.mark()?,
            b'0' => self.pop_value_or_mark()?,
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.push(self.last()?)?,
            b'q' | b'r' | 0x94 => self.put(opcode)?,
            b'h' | b'j' => self.get(opcode)?,
            b'c' | 0x93 => self.find_global(opcode)?,
            b'Q' => self.persistent_id()?,
            b'R' | 0x81 => self.call()?,
            0x92 => self.call_with_keywords()?,
            b'b' => self.set_state()?,
            b'X' | 0x8c | 0x8d => self.string(opcode)?,
            b'}' | b'd' | b's' | b'u' => self.dictionary(opcode)?,
            b')' => self.push_tuple(Some(0))?,
            b't' => self.push_tuple(None)?,
            0x85..=0x87 => self.push_tuple(Some(usize::from(opcode - 0x84)))?,
            b']' | b'l' | b'a' | b'e' | 0x8f..=0x91 => self.collection(opcode)?,
            _ => self.scalar(opcode)?,
        }
        Ok(true)
    }

    /// Pushes a number, a boolean, `None` or bytes.
    fn scalar(&mut self, opcode: u8) -> Result<(), PickleError> {
        let value = match opcode {
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
                let length = self.length(opcode)?;
                self.skip(length).map(|()| Value::Other)?
            }
            other => return Err(PickleError::Unreadable(format!("instruction {other:#04x} is not known"))),
        };
        self.push(value)
    }

    fn length(&mut self, opcode: u8) -> Result<usize, PickleError> {
        self.number(match opcode {
            0x8c | b'C' => 1,
            b'X' | b'B' => 4,
            _ => 8,
        })
    }

    fn string(&mut self, opcode: u8) -> Result<(), PickleError> {
        let length = self.length(opcode)?;
        let text = self.text(length)?;
        self.push(Value::Text(text))
    }

    fn find_global(&mut self, opcode: u8) -> Result<(), PickleError> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (module, name) {
                (Value::Text(module), Value::Text(name)) => (module, name),
                _ => return Err(unreadable("a class has no name")),
            }
        };
        // The length is limited because the name is compared at every call.
        if module.length.max(name.length) as usize > MAX_NAME {
            return Err(unreadable("a class has a name beyond all measure"));
        }
        self.push_global(module, name)
    }

    fn put(&mut self, opcode: u8) -> Result<(), PickleError> {
        let slot = match opcode {
            b'q' => Some(self.number(1)?),
            b'r' => Some(self.number(4)?),
            _ => None,
        };
        self.memoize(slot)
    }

    fn get(&mut self, opcode: u8) -> Result<(), PickleError> {
        let slot = self.number(if opcode == b'h' { 1 } else { 4 })?;
        self.push_memoized(slot)
    }

    /// Creates or extends a list or a set, whose items are not kept.
    fn collection(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b']' | 0x8f => {}
            b'a' => drop(self.pop()?),
            _ => drop(self.pop_to_mark()?),
        }
        let is_new = matches!(opcode, b']' | 0x8f | b'l' | 0x91);
        if is_new { self.push(Value::Other) } else { self.last().map(drop) }
    }

    fn dictionary(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            b'}' => self.push_dict(),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(key, value)
            }
            _ => self.set_all(opcode == b'd'),
        }
    }

    fn persistent_id(&mut self) -> Result<(), PickleError> {
        let value = match self.pop()? {
            Value::Tuple(items) => Value::Persistent(items),
            _ => Value::Other,
        };
        self.push(value)
    }

    /// Pushes a function with its arguments in place of its result. Constructors of dictionaries push an empty dictionary.
    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::Global(global), Value::Tuple(arguments)) = (callee, arguments) else {
            return self.push(Value::Other);
        };
        match self.global(global) {
            ("collections", "OrderedDict" | "defaultdict") => self.push_dict(),
            _ => self.push(Value::Call { global, arguments }),
        }
    }

    fn call_with_keywords(&mut self) -> Result<(), PickleError> {
        for _ in 0..3 {
            self.pop()?;
        }
        self.push(Value::Other)
    }

    /// Sets the attributes of an object. They do not change a tensor or a dictionary; other objects become unknown.
    fn set_state(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let object = self.pop()?;
        let is_kept = match object {
            Value::Call { global, .. } => self.is_tensor(global),
            Value::Dict(_) => true,
            _ => false,
        };
        self.push(if is_kept { object } else { Value::Other })
    }

    /// Whether a function is one with which PyTorch creates tensors.
    fn is_tensor(&self, global: u32) -> bool {
        let (module, name) = self.global(global);
        module.starts_with("torch.") && name.starts_with("_rebuild_")
    }
}
