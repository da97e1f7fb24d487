//! Reads JSON that names tensors, with limits on the memory that a malicious file can take.
//!
//! A megabyte of JSON can contain a hundred thousand entries, or one name that is copied with every message and result.
//! Numbers and lengths beyond those of any real model are refused during parsing.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::excerpt::excerpt;

/// The most tensors in one file. The largest models have about 100,000 in hundreds of files.
pub const MAX_TENSORS: usize = 1 << 18;

/// The longest name of a tensor in bytes. Real names have at most 200.
pub const MAX_NAME: usize = 1024;

/// The most dimensions of a tensor, which was NumPy's limit up to version 1.
pub const MAX_DIMENSIONS: usize = 32;

/// The most tensors in an index, which describes a whole model.
const MAX_INDEXED: usize = 4 * MAX_TENSORS;

/// A tensor's entry in a header, unchecked.
#[derive(Deserialize)]
pub struct Entry {
    pub dtype: String,
    #[serde(deserialize_with = "shape")]
    pub shape: Vec<u64>,
    pub data_offsets: (u64, u64),
}

/// A header's entries in their order, with duplicates, of which a map would keep only the last.
#[derive(Default)]
pub struct Entries {
    pub tensors: Vec<(String, Entry)>,
    /// The entries of `__metadata__` that are short enough to be names of tensors.
    pub metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut tensors = Vec::new();
                let mut metadata = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.is_some() {
                            return Err(Error::duplicate_field("__metadata__"));
                        }
                        metadata = Some(map.next_value::<Option<Metadata>>()?.unwrap_or_default());
                    } else {
                        check_name(&name)
                            .and_then(|()| check_count(tensors.len(), MAX_TENSORS))
                            .map_err(Error::custom)?;
                        tensors.push((name, map.next_value()?));
                    }
                }
                Ok(Entries { tensors, metadata: metadata.unwrap_or_default().0 })
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// `__metadata__` without pairs that are too long to be names of tensors.
#[derive(Default)]
struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_name = |text: &String| text.len() <= MAX_NAME;
        let mut pairs = BTreeMap::new();
        each_pair(deserializer, |key, value| {
            if is_name(&key) && is_name(&value) {
                check_count(pairs.len(), MAX_TENSORS)?;
                pairs.insert(key, value);
            }
            Ok(())
        })?;
        Ok(Self(pairs))
    }
}

/// Reads the `weight_map` of an index, which gives the shard of every tensor.
pub fn weight_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, String>, D::Error> {
    let mut shards = HashMap::new();
    each_pair(deserializer, |tensor, shard| {
        check_name(&tensor)?;
        check_name(&shard)?;
        check_count(shards.len(), MAX_INDEXED)?;
        match shards.entry(tensor) {
            hash_map::Entry::Vacant(place) => {
                place.insert(shard);
                Ok(())
            }
            hash_map::Entry::Occupied(place) => Err(format!("it lists tensor '{}' twice", place.key())),
        }
    })?;
    Ok(shards)
}

/// Calls `each` with each pair of an object of strings, until it fails.
fn each_pair<'de, D: Deserializer<'de>>(
    deserializer: D,
    each: impl FnMut(String, String) -> Result<(), String>,
) -> Result<(), D::Error> {
    struct Pairs<F>(F);

    impl<'de, F: FnMut(String, String) -> Result<(), String>> Visitor<'de> for Pairs<F> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of texts")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry()? {
                self.0(key, value).map_err(Error::custom)?;
            }
            Ok(())
        }
    }

    deserializer.deserialize_map(Pairs(each))
}

fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Shape;

    impl<'de> Visitor<'de> for Shape {
        type Value = Vec<u64>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a tensor's extents")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut extents: A) -> Result<Vec<u64>, A::Error> {
            let mut shape = Vec::new();
            while let Some(extent) = extents.next_element()? {
                if shape.len() == MAX_DIMENSIONS {
                    return Err(Error::custom(format_args!("a tensor has more than {MAX_DIMENSIONS} dimensions")));
                }
                shape.push(extent);
            }
            Ok(shape)
        }
    }

    deserializer.deserialize_seq(Shape)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    let (length, start) = (name.len(), excerpt(&name));
    Err(format!("a name has {length} bytes, more than the {MAX_NAME} that any tensor's has: '{start}'"))
}

fn check_count(count: usize, most: usize) -> Result<(), String> {
    if count < most { Ok(()) } else { Err(format!("it lists more than {most} names")) }
}
