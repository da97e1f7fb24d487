//! Interprets Python's pickle format as far as state dictionaries need it.
//!
//! No function is ever called: a call leaves the function's name and its arguments. The memory is limited, which takes only a
//! few additions to check, because values do not contain others.

mod machine;
mod opcodes;

use super::PickleError;
use super::values::Pickle;
use machine::Machine;

/// The most bytes of memory beside the pickle itself. A tensor of a state dictionary takes about 400.
const MAX_MEMORY: usize = 64 << 20;

/// Reads the pickle at the beginning of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
    Machine::new(bytes, MAX_MEMORY).run()
}

#[cfg(test)]
mod tests {
    use super::super::values::Value;
    use super::*;

    /// The keys of a pickled dictionary with their values.
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
        // Protocol 4 takes the name from the stack.
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
        // torch.save writes a module's dictionary as an ordered one with attributes, which are no entries.
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
            assert!(matches!(Machine::new(pickle, most).run(), Err(PickleError::Excessive)), "{case}");
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
