//! Reads the needed parts of a JSON file and skips the rest while it is parsed.
//!
//! A `config.json` can contain the labels of 22,000 classes, or be written to fill the memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::output::json;

/// How many elements of a list are kept: a block size has two, and a pipeline's component has a library and a class.
const MAX_LIST: usize = 16;

/// The most entries of an object. Some configurations describe each module, and the models with the most experts have 70,000.
const MAX_ENTRIES: usize = 1 << 17;

/// Which objects within a value are kept.
#[derive(Clone, Copy, Debug)]
pub enum Outline {
    Whole,
    /// Objects under the keys `same`, and under those that end in `_config`, are read by the same rule again, objects under
    /// the keys `whole` are kept entirely.
    Sections {
        same: &'static [&'static str],
        whole: &'static [&'static str],
    },
    Nothing,
}

impl Outline {
    /// Reads a value. As in Python, the last of several entries with the same name counts. Non-finite numbers become `null`.
    pub fn read(self, bytes: &[u8]) -> serde_json::Result<Value> {
        json::read(bytes, self)
    }

    /// Which objects are kept within the value of `key`.
    fn within(self, key: &str) -> Self {
        match self {
            Self::Sections { whole, .. } if whole.contains(&key) => Self::Whole,
            Self::Sections { same, .. } if same.contains(&key) || key.ends_with("_config") => self,
            Self::Whole => Self::Whole,
            Self::Sections { .. } | Self::Nothing => Self::Nothing,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outline {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(if json::placeholder_value(text).is_some() { Value::Null } else { text.into() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < MAX_LIST {
            match list.next_element_seed(self)? {
                Some(value) => kept.push(value),
                None => return Ok(kept.into()),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        if matches!(self, Self::Nothing) {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        while let Some(key) = object.next_key::<String>()? {
            if json::placeholder_value(&key).is_some() {
                return Err(A::Error::custom("key must be a string"));
            }
            let value = object.next_value_seed(self.within(&key))?;
            kept.insert(key, value);
            if kept.len() > MAX_ENTRIES {
                return Err(A::Error::custom("it describes more than any model has"));
            }
        }
        Ok(kept.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECTIONS: Outline = Outline::Sections { same: &["inner"], whole: &["quantization"] };

    #[test]
    fn tables_and_long_lists_are_passed_over() {
        let text = r#"{"a": 1, "id2label": {"0": "cat"}, "inner": {"b": "x", "table": {"c": 1}, "inner": {"d": 0.5}},
            "quantization": {"groups": {"one": {"bits": 4}}}, "list": [[], {"e": 1}, "f"]}"#;
        let expected = json!({"a": 1, "id2label": null, "inner": {"b": "x", "table": null, "inner": {"d": 0.5}},
            "quantization": {"groups": {"one": {"bits": 4}}}, "list": [[], null, "f"]});
        assert_eq!(SECTIONS.read(text.as_bytes()).expect("JSON"), expected);
        let long = format!("[{}0]", "0,".repeat(1000));
        assert_eq!(Outline::Whole.read(long.as_bytes()).expect("JSON"), Value::from(vec![0; MAX_LIST]));
    }

    #[test]
    fn files_are_read_as_python_reads_them() {
        let text = "\u{feff}{\"a\": Infinity, \"b\": [NaN, -Infinity, -1], \"c\": 1, \"c\": 2, \"d\": \"NaN\"}";
        let expected = json!({"a": null, "b": [null, null, -1], "c": 2, "d": "NaN"});
        assert_eq!(Outline::Whole.read(text.as_bytes()).expect("JSON"), expected);
        for text in ["{NaN: 1}", "{\"a\": nan}", "{\"a\": 1} 2", "{\"a\": 1", ""] {
            assert!(SECTIONS.read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
