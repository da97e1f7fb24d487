//! Which files of a model's folder hold its weights.

use super::config::Config;
use super::description::{broken, read_json, spelling};
use super::error::CheckpointError;
use super::index::{self, Index, IndexError};
use super::numbered::{self, Numbered, is_shard};
use crate::source::{BrokenLink, Form, Source};

/// The names that transformers and diffusers give to a model's weights, in the order in which they are looked for. Of a
/// pickled form the weights are read only where there is no other.
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

/// How the shards of [`NAMES`] that are safetensors are called before their numbers.
const STEMS: [&str; 2] = ["model", "diffusion_pytorch_model"];

/// Names of files that hold something else than the model's weights, or hold them a second time: an adapter, and Mistral's
/// own form beside the shards.
const NOT_WEIGHTS: [&str; 2] = ["adapter_model", "consolidated"];

/// How many missing shards are named.
const MISSING_SHOWN: usize = 3;

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
    /// All shards by their numbers, without an index: each says itself what it holds.
    Numbered(Vec<String>),
}

impl WeightFiles {
    /// Chooses among the files in `folder` (empty, or ending in `/`) as transformers and diffusers do: the file that the
    /// configuration names, one of the usual names, shards of a usual name, then the only variant or the only file there is;
    /// pickled files where there is none of these. `None` if there are no weights that can be read.
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

    /// Whether they may hold a part of the model only: a file that was named by itself, or one that is a shard by its name.
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
            // What the index would say stands in the shards, too.
            Err(error) if is_no_index(&error) => Self::beside(source, folder, file).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// The shards to which the index `file` belongs, if they are all there.
    fn beside(source: &dyn Source, folder: &str, file: &str) -> Option<Self> {
        let ending = if file.contains(".bin.index.") { ".bin" } else { ".safetensors" };
        let (stem, _) = file.split_once(&format!("{ending}.index."))?;
        let sets = numbered::sets(&names(source, folder), ending);
        let own: Vec<&Numbered> = sets.iter().filter(|set| set.stem == stem).collect();
        only_set(source, folder, &own).ok().flatten()
    }
}

/// The index at `path`, its shards named from the model's folder on.
fn read_index(source: &dyn Source, folder: &str, path: &str) -> Result<Index, CheckpointError> {
    let invalid = |error| CheckpointError::Index { file: path.to_owned(), error };
    let mut index = Index::parse(&read_json(source, path)?).map_err(invalid)?;
    for shard in index.weight_map.values_mut() {
        shard.insert_str(0, folder);
    }
    Ok(index)
}

/// Whether an index failed because it is none, and not because of what it says.
fn is_no_index(error: &CheckpointError) -> bool {
    let is_empty = |error: &IndexError| matches!(error, IndexError::Invalid(_) | IndexError::Empty);
    match error {
        CheckpointError::LfsPointer(_) => true,
        CheckpointError::Index { error, .. } => is_empty(error),
        _ => false,
    }
}

/// Whether `folder` has any file in it that looks like weights.
pub fn has_weights(source: &dyn Source, folder: &str) -> bool {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];
    names(source, folder).iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)))
}

/// Whether a file is one of safetensors, or an index of such, by its name.
pub fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.contains(".safetensors.index.") && name.ends_with(".json")
}

/// Whether a file holds something else than the model's weights, or holds them a second time.
pub fn is_other_than_weights(name: &str) -> bool {
    NOT_WEIGHTS.iter().any(|start| name.starts_with(start))
}

/// The names of the files in `folder`, without those in folders within it.
pub fn names(source: &dyn Source, folder: &str) -> Vec<String> {
    let files = source.files();
    let within = files.iter().filter_map(|file| file.strip_prefix(folder));
    within.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

/// The links in `folder` that lead to nothing, those that should be weights first.
pub fn links_within(source: &dyn Source, folder: &str) -> Vec<BrokenLink> {
    let is_within = |link: &BrokenLink| link.file.strip_prefix(folder).is_some_and(|name| !name.contains('/'));
    let mut links: Vec<BrokenLink> = source.broken_links().into_iter().filter(is_within).collect();
    links.sort_by_key(|link| !is_weights(&link.file));
    links
}

/// The safetensors where none has a usual name: shards without an index, the only variant or the only file, as
/// `model.fp16.safetensors`, or `diffusion_pytorch_model.safetensors.index.fp16.json` with its shards, or
/// `my-finetune.safetensors`.
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

/// The shards of the only set, if there is one; all of them must be there.
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
                let (count, total) = (set.lacking().max(missing.len() as u64), set.total);
                Err(CheckpointError::IncompleteShards { model: model(), count, total, missing })
            }
        }
        [first, second, ..] => {
            let example = |set: &Numbered| set.files().next().map(path).unwrap_or_default();
            Err(CheckpointError::SeveralSets { model: model(), first: example(first), second: example(second) })
        }
    }
}
