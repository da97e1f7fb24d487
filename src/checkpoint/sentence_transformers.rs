//! Finds the transformer of a model of sentence-transformers.
//!
//! `modules.json` lists the modules through which a text goes, each with its folder: first the transformer, in the model's
//! folder itself or in `0_Transformer`, then one that pools, and sometimes others with weights, such as `2_Dense`. The
//! transformer is the model, because its folder is what transformers and trainers load.

use serde_json::Value;

use super::description::read_json;
use super::error::CheckpointError;
use super::outline::Outline;
use super::{explain, files, index};
use crate::source::Source;

/// The file that makes a folder a model of sentence-transformers.
const INDEX: &str = "modules.json";

/// The folders of a model that have weights, relative to the model's own.
#[derive(Debug, Default)]
pub struct Folders {
    /// The transformer's, which is empty or ends in `/`.
    pub transformer: String,
    /// Those of the modules after it.
    pub beside: Vec<String>,
}

impl Folders {
    /// Finds them in `modules.json`. Without a list in it, the model's folder is the transformer's.
    pub fn of(source: &dyn Source) -> Result<Self, CheckpointError> {
        if source.single_file().is_some() || source.size(INDEX).is_none() {
            return Ok(Self::default());
        }
        let paths = paths(&read_json(source, INDEX)?);
        let folder = |path: &String| format!("{}/", path.trim_end_matches('/'));
        let has_weights = |folder: &String| files::has_weights(source, folder);
        // What is in the model's folder itself is what transformers loads, whatever the list says.
        let is_in_root = files::names(source, "").iter().any(|name| explain::is_weights_of_model(name));
        let first = paths.first().filter(|_| !is_in_root).map(folder).filter(has_weights);
        let beside = paths.iter().skip(1).filter(|path| has_weights(&folder(path))).cloned();
        Ok(Self { transformer: first.unwrap_or_default(), beside: beside.collect() })
    }
}

/// The folders that `modules.json` lists, as far as they are some within the model's. An empty path is the model's own.
fn paths(list: &[u8]) -> Vec<String> {
    let list = Outline::Whole.read(list).unwrap_or_default();
    let modules = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let paths = modules.iter().filter_map(|module| module.get("path").and_then(Value::as_str));
    paths.filter(|path| path.is_empty() || index::is_within_folder(path)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_the_model_are_listed() {
        let list =
            br#"[{"idx": 0, "path": ""}, {"path": "../x"}, {"path": 1}, 2, {"path": "/etc"}, {"path": "2_Dense"}]"#;
        assert_eq!(paths(list), ["", "2_Dense"]);
        for other in [&b"{}"[..], b"", b"[", b"null", br#"{"path": "0_Transformer"}"#] {
            assert_eq!(paths(other), [""; 0]);
        }
    }
}
