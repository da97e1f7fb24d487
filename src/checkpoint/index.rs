//! Reads `model.safetensors.index.json`, which says which shard holds which tensor.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::path::{Component, Path};

use serde::Deserialize;

use super::entries;
use super::excerpt::excerpt;
use crate::output::json;

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("it is not a valid index: {}", excerpt(.0))]
    Invalid(#[from] serde_json::Error),
    #[error("it lists no tensor")]
    Empty,
    #[error("it names the shard '{0}', which is not a path within the model's folder")]
    OutsideFolder(String),
}

#[derive(Debug, Deserialize)]
pub struct Index {
    /// The shard of every tensor, as a path relative to the index.
    #[serde(deserialize_with = "entries::weight_map")]
    pub weight_map: HashMap<String, String>,
}

impl Index {
    pub fn parse(bytes: &[u8]) -> Result<Self, IndexError> {
        let index: Self = json::read(bytes, PhantomData)?;
        if index.weight_map.is_empty() {
            return Err(IndexError::Empty);
        }
        match index.shards().into_iter().find(|file| !is_within_folder(file)) {
            Some(file) => Err(IndexError::OutsideFolder(file)),
            None => Ok(index),
        }
    }

    /// The shards, each once, in alphabetical order, which is the order of their numbers.
    pub fn shards(&self) -> Vec<String> {
        let files: HashSet<&String> = self.weight_map.values().collect();
        let mut files: Vec<String> = files.into_iter().cloned().collect();
        files.sort_unstable();
        files
    }
}

/// Whether a path from an untrusted file stays within the model's folder.
pub fn is_within_folder(file: &str) -> bool {
    let components = || Path::new(file).components();
    components().next().is_some()
        && components().all(|part| matches!(part, Component::Normal(_)))
        && !file.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_listed_once() {
        let index =
            Index::parse(br#"{"metadata":{"total_size":1},"weight_map":{"a":"y","b":"x","c":"y"}}"#).expect("valid");
        assert_eq!(index.shards(), ["x", "y"]);
    }

    #[test]
    fn shards_outside_the_folder_are_refused() {
        for file in ["/etc/passwd", "../other", "a/../../b", "", "a\\\\..\\\\b", "./x/../y"] {
            let text = format!(r#"{{"weight_map":{{"t":"{file}"}}}}"#);
            let result = Index::parse(text.as_bytes());
            assert!(matches!(result, Err(IndexError::OutsideFolder(_))), "{file}: {result:?}");
        }
        assert!(Index::parse(br#"{"weight_map":{"t":"sub/model.safetensors"}}"#).is_ok());
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in ["", "[]", "{}", r#"{"weight_map":[]}"#, r#"{"weight_map":{"t":1}}"#] {
            assert!(matches!(Index::parse(text.as_bytes()), Err(IndexError::Invalid(_))), "{text}");
        }
        assert!(matches!(Index::parse(br#"{"weight_map":{}}"#), Err(IndexError::Empty)));
    }
}
