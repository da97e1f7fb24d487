//! Finds the tensors in a pickled state dictionary.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use safetensors::Dtype;

use super::values::{Items, Pickle, Text, Value};
use super::{Listing, PickleError, PickledTensor, view};
use crate::checkpoint::entries::{MAX_DIMENSIONS, MAX_TENSORS};
use crate::checkpoint::excerpt::excerpt;
use crate::checkpoint::header::TensorInfo;

/// Lists the tensors of the dictionary `pickle`. `size` is the size of the file, and `archive` the folder in it.
pub fn list(pickle: &Pickle, archive: &str, size: u64) -> Result<Listing, PickleError> {
    let mut reader = Reader { pickle, size, keys: HashMap::new(), names: HashSet::new() };
    let mut listing = Listing { archive: archive.to_owned(), ..Listing::default() };
    // Training scripts nest the dictionary in others. If it is in several of them, or in itself, it is still read once.
    let mut dicts: Vec<u32> = if let Value::Dict(dict) = pickle.value { vec![dict] } else { Vec::new() };
    let mut seen: HashSet<u32> = dicts.iter().copied().collect();
    let mut next = 0;
    while let Some(&dict) = dicts.get(next) {
        next += 1;
        for (key, value) in pickle.entries(dict) {
            match value {
                Value::Dict(inner) if pickle.name(key).is_some_and(is_wrapper) && seen.insert(inner) => {
                    dicts.push(inner)
                }
                Value::Call { .. } => reader.add(key, value, &mut listing)?,
                _ => {}
            }
        }
    }
    if listing.tensors.is_empty() { Err(PickleError::NoTensors) } else { Ok(listing) }
}

/// Whether training scripts nest a state dictionary under this key.
fn is_wrapper(key: &str) -> bool {
    matches!(key, "state_dict" | "model" | "module")
}

struct Reader<'a> {
    pickle: &'a Pickle<'a>,
    size: u64,
    /// The storage keys so far, each of which is allocated once.
    keys: HashMap<&'a str, Arc<str>>,
    names: HashSet<&'a str>,
}

impl<'a> Reader<'a> {
    /// Adds the tensor that a call rebuilds to the listing.
    fn add(&mut self, key: Text, value: Value, listing: &mut Listing) -> Result<(), PickleError> {
        let Some(name) = self.pickle.name(key) else {
            let name = self.pickle.text(key);
            return Err(PickleError::LongName { name: excerpt(&name), length: name.len() });
        };
        if !self.names.insert(name) {
            return Err(PickleError::Duplicate(name.to_owned()));
        }
        if self.names.len() > MAX_TENSORS {
            return Err(PickleError::Excessive);
        }
        match self.tensor(name, value) {
            Some(tensor) if tensor.info.bytes.end > self.size => return Err(PickleError::TooLarge(name.to_owned())),
            Some(tensor) if !view::is_possible(&tensor) => return Err(PickleError::Strides(name.to_owned())),
            Some(tensor) => listing.tensors.push(tensor),
            None => listing.others.push(name.to_owned()),
        }
        Ok(())
    }

    /// The tensor that a call rebuilds; `None` if its type is not supported.
    fn tensor(&mut self, name: &str, value: Value) -> Option<PickledTensor> {
        let value = match self.called(value, "_rebuild_parameter") {
            Some(arguments) => *arguments.first()?,
            None => value,
        };
        let arguments = self.called(value, "_rebuild_tensor_v2")?;
        let [Value::Persistent(storage), offset, Value::Tuple(shape), Value::Tuple(strides), ..] = arguments else {
            return None;
        };
        let (dtype, key, elements_in_storage) = self.storage(*storage)?;
        let (shape, strides) = (self.extents(*shape)?, self.extents(*strides)?);
        if shape.len() != strides.len() {
            return None;
        }
        let element = (dtype.bitsize() / 8) as u64;
        let elements = shape.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent as u64))?;
        let start = extent(offset)?.checked_mul(element)?;
        let end = start.checked_add(elements.checked_mul(element)?)?;
        let storage = self.keys.entry(key).or_insert_with(|| key.into());
        Some(PickledTensor {
            info: TensorInfo { name: name.to_owned(), dtype, shape, bytes: start..end },
            strides,
            storage: Arc::clone(storage),
            bytes_in_storage: elements_in_storage.checked_mul(element)?,
        })
    }

    /// The arguments if `value` is a call of this function of `torch._utils`.
    fn called(&self, value: Value, function: &str) -> Option<&'a [Value]> {
        let Value::Call { global, arguments } = value else { return None };
        (self.pickle.global(global) == ("torch._utils", function)).then(|| self.pickle.items(arguments))
    }

    /// The element type of a storage, its key, and the number of its elements.
    fn storage(&self, storage: Items) -> Option<(Dtype, &'a str, u64)> {
        let [_, Value::Global(class), Value::Text(key), _, elements, ..] = self.pickle.items(storage) else {
            return None;
        };
        let dtype = match self.pickle.global(*class).1 {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::BF16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::BOOL,
            _ => return None,
        };
        Some((dtype, self.pickle.name(*key)?, extent(elements)?))
    }

    fn extents(&self, extents: Items) -> Option<Vec<usize>> {
        let extents = self.pickle.items(extents);
        if extents.len() > MAX_DIMENSIONS {
            return None;
        }
        extents.iter().map(|number| extent(number)?.try_into().ok()).collect()
    }
}

fn extent(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::pickle::interpreter;

    fn text(text: &str) -> Vec<u8> {
        [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    /// The pickle that torch.save writes for `count` matrices, with memo entries for everything and a thousand items in a batch.
    fn saved(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
        let mut slots = 5u32..;
        let mut keep = || [b"r".as_slice(), &slots.next().unwrap_or_default().to_le_bytes()].concat();
        let mut pickle = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00ctorch\nBFloat16Storage\nq\x01".to_vec();
        pickle.extend([text("storage"), b"q\x02".to_vec(), text("cpu"), b"q\x030000".to_vec()].concat());
        pickle.extend(b"ccollections\nOrderedDict\nq\x04)R");
        for at in 0..count {
            match at {
                0 => pickle.extend(b"("),
                at if at % 1000 == 0 => pickle.extend(b"u("),
                _ => {}
            }
            let storage = [b"((h\x02h\x01".to_vec(), text(&at.to_string()), keep(), b"h\x03K\x40t".to_vec(), keep()];
            let shape = [b"QK\x00K\x08K\x08\x86".to_vec(), keep(), b"K\x08K\x01\x86".to_vec(), keep()];
            let rest = [b"\x89h\x04)R".to_vec(), keep(), b"t".to_vec(), keep(), b"R".to_vec(), keep()];
            let parts = [text(&name(at)), keep(), b"h\x00".to_vec(), storage.concat(), shape.concat(), rest.concat()];
            pickle.extend(parts.concat());
        }
        let end = if count == 0 { b"}".as_slice() } else { b"u}" };
        [&pickle[..], end, &text("_metadata"), b"h\x04)Rsb."].concat()
    }

    fn list(pickle: &[u8]) -> Result<Listing, PickleError> {
        super::list(&interpreter::read(pickle)?, "archive", 1 << 40)
    }

    #[test]
    fn the_largest_models_are_read() {
        let name = |at| format!("model.layers.{}.mlp.experts.{}.down_proj.weight", at / 256, at % 256);
        for count in [1, 1000, 100_000] {
            let listing = list(&saved(count, name)).expect("a dictionary");
            assert_eq!((listing.tensors.len(), listing.others.len()), (count, 0));
            let last = &listing.tensors[count - 1];
            assert_eq!((&*last.storage, &last.info.shape[..]), (&*(count - 1).to_string(), &[8, 8][..]));
            assert_eq!((&last.info.name, last.bytes_in_storage), (&name(count - 1), 128));
        }
        assert!(matches!(list(&saved(0, name)), Err(PickleError::NoTensors)));
    }

    #[test]
    fn a_dictionary_in_others_is_read_once() {
        let inner = saved(2, |at| format!("{at}.weight"));
        // The dictionary is nested under two keys.
        let pickle = [b"}q\xf0".as_slice(), &text("model"), &inner[2..inner.len() - 1], b"q\xf1s", &text("module")];
        let pickle = [&pickle.concat()[..], b"h\xf1s", &text("epoch"), b"K\x03s.", b""].concat();
        assert_eq!(list(&pickle).expect("a dictionary").tensors.len(), 2);
        let ring = [b"}q\xf0".as_slice(), &text("model"), b"h\xf0s."].concat();
        assert!(matches!(list(&ring), Err(PickleError::NoTensors)));
    }
}
