//! Finds the files in a model's folder that hold its weights.

use super::config::Config;
use super::description::{broken, read_json, spelling};
use super::error::CheckpointError;
use super::index::{self, Index, IndexError};
use super::numbered::{self, Numbered, is_shard};
use crate::source::{BrokenLink, Form, Source};

/// The names that transformers and diffusers give to a model's weights, in order of preference. Pickled files are read only
/// if there are no others.
pub const NAMES: [&str; 8] = [
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

/// The names of safetensors shards before their numbers.
const STEMS: [&str; 2] = ["model", "diffusion_pytorch_model"];

/// Prefixes of files that contain an adapter, or the weights a second time in Mistral's own format.
const NOT_WEIGHTS: [&str; 2] = ["adapter_model", "consolidated"];

const MISSING_SHOWN: usize = 3;

/// The files that hold a model's weights.
pub enum WeightFiles {
    One(String),
    /// Shards with an index, whose paths are relative to the model's folder.
    Indexed {
        file: String,
        index: Index,
    },
    /// A complete set of numbered shards without an index.
    Numbered(Vec<String>),
}

impl WeightFiles {
    /// Chooses among the files in `folder`, which is empty or ends in `/`, as transformers and diffusers do: the file that the
    /// configuration names, one with a usual name, shards with a usual name, the only variant or the only file, and pickled
    /// files if there is none of these. `None` if there are no weights that can be read.
    pub fn find(source: &dyn Source, folder: &str, config: &Config) -> Result<Option<Self>, CheckpointError> {
        if let Some(file) = source.single_file() {
            return Self::open(source, folder, file).map(Some);
        }
        let named = config.weights_file.as_deref().filter(|file| file.contains(".safetensors"));
        if let Some(file) = named.filter(|file| !index::is_within_folder(file)) {
            let error = IndexError::OutsideFolder(file.to_owned());
            return Err(CheckpointError::Index { file: format!("{folder}config.json"), error });
        }
        let there = |file: &&str| source.size(&format!("{folder}{file}")).is_some();
        let (safetensors, pickles) = NAMES.split_at(SAFETENSORS_NAMES);
        if let Some(file) = named.into_iter().chain(safetensors.iter().copied()).find(there) {
            return Self::open(source, folder, file).map(Some);
        }
        if let Some(files) = unusual(source, folder)? {
            return Ok(Some(files));
        }
        if let Some(file) = pickles.iter().copied().find(there) {
            return Self::open(source, folder, file).map(Some);
        }
        let sets = numbered::sets(&names(source, folder), ".bin");
        only_set(source, folder, &sets.iter().collect::<Vec<_>>())
    }

    /// Whether this may be only a part of the model: a file that the user named, or one that is called like a shard.
    pub fn may_be_part(&self, source: &dyn Source) -> bool {
        matches!(self, Self::One(file) if source.single_file().is_some() || is_shard(file))
    }

    fn open(source: &dyn Source, folder: &str, file: &str) -> Result<Self, CheckpointError> {
        let path = format!("{folder}{file}");
        if !file.ends_with(".json") {
            return Ok(Self::One(path));
        }
        match read_index(source, folder, &path) {
            Ok(index) => Ok(Self::Indexed { file: path, index }),
            // The shards themselves tell what the index would.
            Err(error) if is_unusable(&error) => Self::beside(source, folder, file).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The shards of the index `file`, if they are all there.
    fn beside(source: &dyn Source, folder: &str, file: &str) -> Option<Self> {
        let ending = if file.contains(".bin.index.") { ".bin" } else { ".safetensors" };
        let (stem, _) = file.split_once(&format!("{ending}.index."))?;
        let sets = numbered::sets(&names(source, folder), ending);
        let own: Vec<&Numbered> = sets.iter().filter(|set| set.stem == stem).collect();
        only_set(source, folder, &own).ok().flatten()
    }
}

/// Reads the index at `path` and makes the paths of its shards relative to the model's folder.
fn read_index(source: &dyn Source, folder: &str, path: &str) -> Result<Index, CheckpointError> {
    let invalid = |error| CheckpointError::Index { file: path.to_owned(), error };
    let mut index = Index::parse(&read_json(source, path)?).map_err(invalid)?;
    for shard in index.weight_map.values_mut() {
        shard.insert_str(0, folder);
    }
    Ok(index)
}

/// Whether a file is no index at all, as opposed to an index with a wrong entry.
fn is_unusable(error: &CheckpointError) -> bool {
    matches!(
        error,
        CheckpointError::LfsPointer(_)
            | CheckpointError::Index { error: IndexError::Invalid(_) | IndexError::Empty, .. }
    )
}

/// Whether `folder` contains a file with an extension of weights.
pub fn has_weights(source: &dyn Source, folder: &str) -> bool {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];
    names(source, folder).iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)))
}

/// Whether a file's name is that of a safetensors file or of an index of such files.
pub fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.contains(".safetensors.index.") && name.ends_with(".json")
}

pub fn is_other_than_weights(name: &str) -> bool {
    NOT_WEIGHTS.iter().any(|start| name.starts_with(start))
}

/// The names of the files directly in `folder`.
pub fn names(source: &dyn Source, folder: &str) -> Vec<String> {
    let files = source.files();
    let within = files.iter().filter_map(|file| file.strip_prefix(folder));
    within.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

/// The links without targets in `folder`, those with names of weights first.
pub fn links_within(source: &dyn Source, folder: &str) -> Vec<BrokenLink> {
    let is_within = |link: &BrokenLink| link.file.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
    let mut links: Vec<BrokenLink> = source.broken_links().into_iter().filter(is_within).collect();
    links.sort_by_key(|link| !is_weights(&link.file));
    links
}

/// Chooses safetensors without a usual name: shards without an index, or the only variant or file, such as
/// `model.fp16.safetensors`, `my-finetune.safetensors`, or `diffusion_pytorch_model.safetensors.index.fp16.json` with its
/// shards.
fn unusual(source: &dyn Source, folder: &str) -> Result<Option<WeightFiles>, CheckpointError> {
    let is_candidate = |name: &str| is_weights(name) && !is_other_than_weights(name);
    let is_missing = |link: &BrokenLink| is_candidate(&link.file[folder.len()..]);
    if let Some(link) = links_within(source, folder).into_iter().find(is_missing) {
        return Err(broken(link));
    }
    let mut names = names(source, folder);
    names.retain(|name| is_candidate(name));
    let sets = numbered::sets(&names, ".safetensors");
    let is_usual = |set: &&Numbered| set.ending == ".safetensors" && STEMS.contains(&&*set.stem);
    if let Some(files) = only_set(source, folder, &sets.iter().filter(is_usual).collect::<Vec<_>>())? {
        return Ok(Some(files));
    }
    names.retain(|name| !is_shard(name));
    let model = spelling(source, folder);
    match names.as_slice() {
        [only] => WeightFiles::open(source, folder, only).map(Some),
        [] => only_set(source, folder, &sets.iter().collect::<Vec<_>>()),
        [first, ..] if Form::of(first).is_some() => Ok(None),
        [first, ..] => Err(CheckpointError::Ambiguous { model, count: names.len(), first: format!("{folder}{first}") }),
    }
}

/// The shards of the only set, which must be complete; `None` if there is no set.
fn only_set(source: &dyn Source, folder: &str, sets: &[&Numbered]) -> Result<Option<WeightFiles>, CheckpointError> {
    let model = || spelling(source, folder);
    let path = |file: &String| format!("{folder}{file}");
    match sets {
        [] => Ok(None),
        [set] => {
            let missing: Vec<String> = set.missing().take(MISSING_SHOWN).collect();
            if missing.is_empty() {
                Ok(Some(WeightFiles::Numbered(set.files().map(path).collect())))
            } else {
                let (count, total) = (set.missing_count().max(missing.len() as u64), set.total);
                Err(CheckpointError::IncompleteShards { model: model(), count, total, missing })
            }
        }
        [first, second, ..] => {
            let example = |set: &Numbered| set.files().next().map(path).unwrap_or_default();
            Err(CheckpointError::SeveralSets { model: model(), first: example(first), second: example(second) })
        }
    }
}
