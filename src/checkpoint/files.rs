//! Which files of a model's folder hold its weights.

use super::config::Config;
use super::error::CheckpointError;
use super::index::{self, Index, IndexError};
use super::{adapter, read_json};
use crate::source::Source;

/// The names that transformers and diffusers give to a model's weights, in the order in which they are looked for. Of a
/// pickled form the weights are read only where there is no other.
const NAMES: [&str; 8] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
];

/// How many of [`NAMES`] are safetensors.
const SAFETENSORS_NAMES: usize = 4;

/// Names of files that hold something else than the model's weights, or hold them a second time: an adapter, and Mistral's
/// own form beside the shards.
const NOT_WEIGHTS: [&str; 2] = ["adapter_model", "consolidated"];

/// The files that hold a model's weights.
pub enum WeightFiles {
    /// One file.
    One(String),
    /// Shards, with what says which tensor is where.
    Indexed {
        /// The index.
        file: String,
        /// Its content; files are relative to the model's folder.
        index: Index,
    },
}

impl WeightFiles {
    /// Chooses among the files in `folder` (empty, or ending in `/`) as transformers and diffusers do: the file that the
    /// configuration names, one of the usual names, then the only variant or the only file there is; pickled files where
    /// there is none of these.
    pub fn find(source: &dyn Source, folder: &str, config: &Config) -> Result<Self, CheckpointError> {
        if let Some(file) = source.single_file() {
            return Self::open(source, folder, file);
        }
        let named = config.weights_file.as_deref().filter(|file| file.contains(".safetensors"));
        if let Some(file) = named.filter(|file| !index::is_within_folder(file)) {
            let error = IndexError::OutsideFolder(file.to_owned());
            return Err(CheckpointError::Index { file: format!("{folder}config.json"), error });
        }
        let there = |file: &&str| source.size(&format!("{folder}{file}")).is_some();
        let (safetensors, pickles) = NAMES.split_at(SAFETENSORS_NAMES);
        if let Some(file) = named.into_iter().chain(safetensors.iter().copied()).find(there) {
            return Self::open(source, folder, file);
        }
        if let Some(file) = unusual(source, folder)? {
            return Self::open(source, folder, &file);
        }
        match pickles.iter().copied().find(there) {
            Some(file) => Self::open(source, folder, file),
            None => Err(explain_absence(source, folder)),
        }
    }

    fn open(source: &dyn Source, folder: &str, file: &str) -> Result<Self, CheckpointError> {
        let file = format!("{folder}{file}");
        if !file.ends_with(".json") {
            return Ok(Self::One(file));
        }
        let bytes = read_json(source, &file)?;
        let invalid = |error| CheckpointError::Index { file: file.clone(), error };
        let mut index = Index::parse(&bytes).map_err(invalid)?;
        for shard in index.weight_map.values_mut() {
            shard.insert_str(0, folder);
        }
        Ok(Self::Indexed { file, index })
    }
}

/// Whether `folder` has any file in it that looks like weights.
pub fn has_weights(source: &dyn Source, folder: &str) -> bool {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];
    names(source, folder).iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)))
}

/// The names of the files in `folder`, without those in folders within it.
fn names(source: &dyn Source, folder: &str) -> Vec<String> {
    let files = source.files();
    let within = files.iter().filter_map(|file| file.strip_prefix(folder));
    within.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

/// The only variant of the weights, or the only file, where none has a usual name: `model.fp16.safetensors`, or
/// `diffusion_pytorch_model.safetensors.index.fp16.json` with its shards, or `my-finetune.safetensors`.
fn unusual(source: &dyn Source, folder: &str) -> Result<Option<String>, CheckpointError> {
    let names = names(source, folder);
    let weights = |name: &&String| {
        let is_index = name.contains(".safetensors.index.") && name.ends_with(".json");
        let is_whole = name.ends_with(".safetensors") && !is_shard(name);
        (is_index || is_whole) && !NOT_WEIGHTS.iter().any(|start| name.starts_with(start))
    };
    let candidates: Vec<&String> = names.iter().filter(weights).collect();
    let model = || source.model().spelling.clone();
    match candidates.as_slice() {
        [only] => Ok(Some((*only).clone())),
        [] => match names.iter().find(|name| name.ends_with(".safetensors") && is_shard(name)) {
            Some(shard) => Err(CheckpointError::NoIndex { model: model(), shard: format!("{folder}{shard}") }),
            None => Ok(None),
        },
        [first, ..] => Err(CheckpointError::Ambiguous {
            model: model(),
            count: candidates.len(),
            first: format!("{folder}{first}"),
        }),
    }
}

/// Whether a name is that of one shard of several: `…-00001-of-00003…`.
fn is_shard(name: &str) -> bool {
    name.split_once("-of-").is_some_and(|(before, after)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let total: String = after.chars().take_while(char::is_ascii_digit).collect();
        before.rsplit('-').next().is_some_and(digits) && digits(&total)
    })
}

/// Why a model without weights that can be read has none, from the files that it has instead.
fn explain_absence(source: &dyn Source, folder: &str) -> CheckpointError {
    let names = names(source, folder);
    let model = match folder.strip_suffix('/') {
        Some(component) => format!("{}/{component}", source.model().spelling),
        None => source.model().spelling.clone(),
    };
    let ends_with = |suffix: &str| names.iter().any(|name| name.ends_with(suffix));
    if names.iter().any(|name| name == "adapter_config.json" || name.starts_with("adapter_model")) {
        adapter(source)
    } else if ends_with(".gguf") {
        CheckpointError::GgufOnly(model)
    } else if ends_with(".bin") || ends_with(".pt") || ends_with(".pth") {
        CheckpointError::PickleOnly(model)
    } else {
        CheckpointError::NoWeights(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_their_names() {
        for name in
            ["model-00001-of-00003.safetensors", "a.fp16-00002-of-00002.safetensors", "a-1-of-2.fp16.safetensors"]
        {
            assert!(is_shard(name), "{name}");
        }
        for name in ["model.safetensors", "best-of-both.safetensors", "x-3-of-a.safetensors"] {
            assert!(!is_shard(name), "{name}");
        }
    }
}
