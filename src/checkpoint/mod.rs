//! Files -> tensors.
//!
//! [`Checkpoint::open`] finds out which files hold a model's weights and reads their headers, and hardly anything else
//! of them: what there is to scan is known before the first weight is read or downloaded. It says what the stored
//! tensors are to the model ([`Weight`]), quantised ones too, and of a folder without weights, what it holds instead
//! ([`Absence`]). [`Mapped`] holds the shards that have come to disk, and hands
//! their matrices to a device through candle-nn's `VarBuilder`.

mod absence;
mod adapter;
mod alike;
mod config;
mod entries;
mod error;
mod excerpt;
mod explain;
mod files;
mod header;
mod index;
mod mapped;
mod numbered;
mod outline;
mod part;
mod pickle;
mod quantization;
mod selection;
mod shard;
mod weight;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

pub use absence::Absence;
pub use alike::Look;
pub use config::{Config, MAX_LAYERS};
pub use error::CheckpointError;
pub use header::{HeaderError, TensorInfo};
pub use index::{Index, IndexError};
pub use mapped::{Mapped, MatrixError};
pub use part::Part;
pub use pickle::PickleError;
pub use quantization::{QuantizationError, Quantized, Undecodable};
pub use safetensors::Dtype;
pub use selection::{Axis, Band, Selection};
pub use shard::Shard;
pub use weight::{Storage, Weight};

use crate::source::{BrokenLink, Source, SourceError, Transfer};
use files::WeightFiles;
use outline::Outline;
use quantization::Method;

/// The largest index that is read, in bytes: as much as the format allows for a header.
const MAX_INDEX: u64 = header::MAX_HEADER;

/// The largest of the other JSON files that is read, in bytes: the labels of 22,000 classes take one.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// The largest tensor that is read while a scan is planned, in bytes: a shape, or a description of a few hundred.
const MAX_PEEK: u64 = 1 << 16;

/// The file that makes a folder a diffusers pipeline.
const PIPELINE: &str = "model_index.json";

/// A model's weight files, headers read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The models that the checkpoint is made of: one, or the components of a pipeline.
    pub components: Vec<Component>,
    /// The files that hold weights.
    pub shards: Vec<Shard>,
}

/// A model with a configuration of its own.
#[derive(Debug)]
pub struct Component {
    /// Its folder in the pipeline; none where it is the whole model.
    pub name: Option<String>,
    /// What its config.json says.
    pub config: Config,
    /// The name of the format that its weights are quantised in, if some are.
    pub quantization: Option<String>,
    /// Its tensors.
    pub weights: Vec<Arc<Weight>>,
    /// Stored tensors that are no weights, with what they are instead.
    pub others: Vec<(String, Other)>,
    /// Whether what is read may be a part of it only, as one shard of several is: then nothing tells what else it has.
    pub is_part: bool,
}

/// What a stored tensor is that is no weight by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It is in a shard, but not in the index.
    Unlisted,
    /// It is a part of a quantised weight: scales, zero points and the like.
    Companion,
    /// It is a factor of an adapter that is stored beside the model's weights.
    Factor,
    /// It is stored in a way that is not read.
    Unreadable,
}

impl Component {
    /// The name by which the whole checkpoint knows what the component calls `name`.
    pub fn full_name(&self, name: &str) -> String {
        self.name.as_ref().map_or_else(|| name.to_owned(), |component| format!("{component}.{name}"))
    }

    /// The names of all its stored tensors, whatever they are.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        let weights = self.weights.iter().map(|weight| weight.name.as_str());
        weights.chain(self.others.iter().map(|(name, _)| name.as_str()))
    }
}

impl Checkpoint {
    /// Finds the weight files of `source` and reads their headers.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] says which file or tensor is at fault.
    pub fn open(source: &dyn Source) -> Result<Self, CheckpointError> {
        Self::read(source).map_err(|error| error.with_cached_file(source))
    }

    fn read(source: &dyn Source) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { components: Vec::new(), shards: Vec::new() };
        let is_pipeline = source.single_file().is_none() && source.size(PIPELINE).is_some();
        let folders = if is_pipeline { pipeline_components(source)? } else { Vec::new() };
        if folders.is_empty() {
            checkpoint.add_component(source, None)?;
        }
        for folder in folders {
            checkpoint.add_component(source, Some(folder))?;
        }
        Ok(checkpoint)
    }

    /// The weights by the names under which the whole checkpoint knows them.
    pub fn weights(&self) -> impl Iterator<Item = (String, Arc<Weight>)> {
        self.components.iter().flat_map(|component| {
            component.weights.iter().map(|weight| (component.full_name(&weight.name), Arc::clone(weight)))
        })
    }

    fn add_component(&mut self, source: &dyn Source, name: Option<String>) -> Result<(), CheckpointError> {
        let folder = name.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
        let config = match source.single_file() {
            Some(file) if !file.ends_with(".json") => Config::default(),
            _ => read_config(source, &folder)?,
        };
        let mut others = Vec::new();
        let files = WeightFiles::find(source, &folder, &config)?;
        let files = files.ok_or_else(|| explain::absence(source, &folder))?;
        let is_part = files.may_be_part(source);
        let shards = read_shards(source, files, &mut others)?;
        let names = shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| &*tensor.name);
        if let Some(kind) = adapter::kind(names) {
            return Err(adapter::refused(source, &folder, Some(kind)));
        }
        let refused = |error| CheckpointError::Quantization { model: source.model().spelling.clone(), error };
        let method = match &config.quantization {
            Some(described) => Some(Method::of(described).map_err(refused)?),
            None => quantization_beside(source, &folder)?
                .map(|described| Method::of(&described))
                .transpose()
                .map_err(refused)?,
        };
        let first = self.shards.len();
        let unreadable = shards.iter().flat_map(|shard| &shard.others).cloned();
        others.extend(unreadable.map(|tensor| (tensor, Other::Unreadable)));
        self.shards.extend(shards);
        let (factors, parts): (Vec<Part>, Vec<Part>) =
            self.parts_from(first).into_iter().partition(|part| adapter::is_factor(&part.tensor.name));
        others.extend(factors.into_iter().map(|part| (part.tensor.name, Other::Factor)));
        let peek = |part: &Part| self.peek(source, part);
        let (mut weights, companions) = quantization::assemble(parts, method.as_ref(), &peek).map_err(refused)?;
        others.extend(companions.into_iter().map(|tensor| (tensor, Other::Companion)));
        add_aliases(&mut weights, &self.shards[first..])?;
        let quantized = weights.iter().find(|weight| matches!(weight.storage, Storage::Quantized(_)));
        let quantization = quantized.map(|weight| method.map_or_else(|| weight.dtype(), |method| method.name));
        let weights = weights.into_iter().map(Arc::new).collect();
        self.components.push(Component { name, config, quantization, weights, others, is_part });
        Ok(())
    }

    /// The stored tensors of the shards from place `first` on.
    fn parts_from(&self, first: usize) -> Vec<Part> {
        let shards = self.shards.iter().enumerate().skip(first);
        shards
            .flat_map(|(place, shard)| {
                shard.tensors.iter().map(move |tensor| Part { shard: place, tensor: tensor.clone() })
            })
            .collect()
    }

    /// The bytes of a small tensor, read while the scan is planned.
    fn peek(&self, source: &dyn Source, part: &Part) -> Result<Vec<u8>, QuantizationError> {
        let shard = &self.shards[part.shard];
        let undecodable = |reason: String| Undecodable { tensor: part.tensor.name.clone(), reason };
        if shard.is_pickle() {
            return Err(undecodable("describes a quantised weight in a .bin file, where none are read".into()).into());
        }
        if part.tensor.bytes.end - part.tensor.bytes.start > MAX_PEEK {
            return Err(undecodable("is larger than any description of a weight".into()).into());
        }
        let range = shard.data_start + part.tensor.bytes.start..shard.data_start + part.tensor.bytes.end;
        Ok(source.read(&shard.file, range).map_err(|error| undecodable(format!("cannot be read: {error}")))?)
    }
}

/// The folders of a pipeline's components that have weights, in alphabetical order.
fn pipeline_components(source: &dyn Source) -> Result<Vec<String>, CheckpointError> {
    let bytes = read_json(source, PIPELINE)?;
    let invalid = |reason: String| CheckpointError::Json { file: PIPELINE.to_owned(), reason };
    let index = Outline::Whole.read(&bytes).map_err(|error| not_json(PIPELINE, &error))?;
    let entries = index.as_object().ok_or_else(|| invalid("it is no JSON object".into()))?;
    let mut folders = Vec::new();
    for (name, value) in entries {
        // A library and a class; both are null where a pipeline does without the component.
        let Some([library, class]) = value.as_array().map(Vec::as_slice) else { continue };
        let (Some(library), Some(class)) = (library.as_str(), class.as_str()) else { continue };
        if name.contains('.') || !index::is_within_folder(name) {
            return Err(invalid(format!("'{name}' is no name of a component")));
        }
        let folder = format!("{name}/");
        let is_model = matches!(library, "diffusers" | "transformers")
            && !["Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor"]
                .iter()
                .any(|end| class.ends_with(end));
        if files::has_weights(source, &folder) {
            folders.push(name.clone());
        } else if is_model
            && (exists(source, &format!("{folder}config.json"))? || !files::links_within(source, &folder).is_empty())
        {
            return Err(explain::absence(source, &folder));
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// How the model was quantised, where that stands in a file beside config.json, as older tools leave it.
fn quantization_beside(source: &dyn Source, folder: &str) -> Result<Option<Value>, CheckpointError> {
    if source.single_file().is_some_and(|file| !file.ends_with(".json")) {
        return Ok(None);
    }
    for (file, method) in
        [("quantize_config.json", "gptq"), ("quant_config.json", "awq"), ("hf_quant_config.json", "modelopt")]
    {
        let file = format!("{folder}{file}");
        if !exists(source, &file)? {
            continue;
        }
        let bytes = read_json(source, &file)?;
        let value = Outline::Whole.read(&bytes).map_err(|error| not_json(&file, &error))?;
        let mut described = value.get("quantization").unwrap_or(&value).clone();
        if let Some(entries) = described.as_object_mut() {
            entries.entry("quant_method").or_insert_with(|| json!(method));
        }
        return Ok(Some(described));
    }
    Ok(None)
}

/// Adds the weights that are stored under another name only.
fn add_aliases(weights: &mut Vec<Weight>, shards: &[Shard]) -> Result<(), CheckpointError> {
    let stored: HashMap<String, usize> =
        weights.iter().enumerate().map(|(place, weight)| (weight.name.clone(), place)).collect();
    let mut aliased: HashMap<&str, usize> = HashMap::new();
    for shard in shards {
        // Names that share a tensor in a pickled file are all in its list; one that is missing here is not in the index.
        if shard.is_pickle() {
            continue;
        }
        for (alias, name) in shard.aliases.iter().filter(|(alias, _)| !stored.contains_key(alias)) {
            let Some(&place) = stored.get(name) else { continue };
            match aliased.insert(alias, place) {
                None => weights.push(Weight { name: alias.clone(), ..weights[place].clone() }),
                Some(before) if before == place => {}
                Some(_) => return Err(CheckpointError::Alias { file: shard.file.clone(), alias: alias.clone() }),
            }
        }
    }
    Ok(())
}

fn read_config(source: &dyn Source, folder: &str) -> Result<Config, CheckpointError> {
    let file = format!("{folder}config.json");
    if !exists(source, &file)? {
        return Ok(Config::default());
    }
    let bytes = read_json(source, &file)?;
    Config::parse(&bytes).map_err(|error| not_json(&file, &error))
}

/// How `folder` (empty, or ending in `/`) of the model can be named.
fn spelling(source: &dyn Source, folder: &str) -> String {
    let model = &source.model().spelling;
    match folder.strip_suffix('/') {
        Some(within) => format!("{}/{within}", model.trim_end_matches('/')),
        None => model.clone(),
    }
}

/// Whether the model has the file; that it has a link to it which leads to nothing is an error.
fn exists(source: &dyn Source, file: &str) -> Result<bool, CheckpointError> {
    if source.size(file).is_some() {
        return Ok(true);
    }
    match source.broken_links().into_iter().find(|link| link.file == file) {
        Some(link) => Err(broken(link)),
        None => Ok(false),
    }
}

/// Of a file that the model lacks: that it is not the cache alone that lacks it, where nobody else can be asked.
fn not_only_uncached(source: &dyn Source, file: &str) -> Result<(), SourceError> {
    match source.fetch(file, &|_: Transfer| {}) {
        Err(error @ SourceError::NotCached { .. }) => Err(error),
        _ => Ok(()),
    }
}

fn broken(link: BrokenLink) -> CheckpointError {
    SourceError::BrokenLink { path: link.file, target: link.target }.into()
}

/// Reads the headers of the shards. Which tensors in them are not the model's goes to `others`.
fn read_shards(
    source: &dyn Source,
    files: WeightFiles,
    others: &mut Vec<(String, Other)>,
) -> Result<Vec<Shard>, CheckpointError> {
    match files {
        WeightFiles::One(file) => shard::read_all(source, &[file]),
        WeightFiles::Numbered(files) => {
            let shards = shard::read_all(source, &files)?;
            check_held_once(&shards)?;
            Ok(shards)
        }
        WeightFiles::Indexed { file, index } => {
            let files = index.shards();
            for shard in &files {
                if !exists(source, shard)? {
                    not_only_uncached(source, shard)?;
                    return Err(CheckpointError::MissingShard { index: file, shard: shard.clone() });
                }
            }
            let mut shards = shard::read_all(source, &files)?;
            let unlisted = keep_indexed(&mut shards, &file, &index)?;
            others.extend(unlisted.into_iter().map(|tensor| (tensor, Other::Unlisted)));
            Ok(shards)
        }
    }
}

/// Checks that no tensor is in two shards, where no index says which counts.
fn check_held_once(shards: &[Shard]) -> Result<(), CheckpointError> {
    let mut held: HashMap<&str, &Shard> = HashMap::new();
    for shard in shards {
        let names = shard.tensors.iter().map(|tensor| &tensor.name).chain(&shard.others);
        for name in names {
            if let Some(first) = held.insert(name, shard) {
                let (first, second) = (first.file.clone(), shard.file.clone());
                return Err(CheckpointError::HeldTwice { tensor: name.clone(), first, second });
            }
        }
    }
    Ok(())
}

/// That a file is not JSON, or not such as is read.
fn not_json(file: &str, error: &serde_json::Error) -> CheckpointError {
    let detail = error.to_string().replace("recursion limit exceeded", "it is nested too deeply");
    CheckpointError::Json { file: file.to_owned(), reason: format!("{detail}: download or copy it again") }
}

/// A small file, whole. Only an index grows with the number of tensors.
fn read_json(source: &dyn Source, file: &str) -> Result<Vec<u8>, CheckpointError> {
    let size = source.size(file).unwrap_or(0);
    let limit = if file.contains(".index.") { MAX_INDEX } else { MAX_DESCRIPTION };
    if size > limit {
        let reason = format!(
            "it has {size} bytes, and no such file needs more than {limit}: download or copy it again, from its own model"
        );
        return Err(CheckpointError::Json { file: file.to_owned(), reason });
    }
    let path = source.fetch(file, &|_: Transfer| {})?;
    let bytes = std::fs::read(&path).map_err(|error| SourceError::Unreadable { path, error })?;
    if bytes.starts_with(header::LFS_POINTER) {
        return Err(CheckpointError::LfsPointer(file.to_owned()));
    }
    Ok(bytes)
}

/// Checks that every tensor is where the index says, and takes out the tensors that it does not name, which are returned.
fn keep_indexed(shards: &mut [Shard], file: &str, index: &Index) -> Result<Vec<String>, CheckpointError> {
    let mut unlisted = Vec::new();
    for shard in &mut *shards {
        let belongs = |tensor: &TensorInfo| index.weight_map.get(&tensor.name) == Some(&shard.file);
        let (kept, dropped): (Vec<_>, Vec<_>) = shard.tensors.drain(..).partition(belongs);
        shard.tensors = kept;
        unlisted.extend(dropped.into_iter().map(|tensor| tensor.name));
        let (kept, dropped): (Vec<_>, Vec<_>) =
            shard.others.drain(..).partition(|name| index.weight_map.get(name) == Some(&shard.file));
        shard.others = kept;
        unlisted.extend(dropped);
    }
    let tensors = shards.iter().flat_map(|shard| shard.tensors.iter().map(|tensor| &tensor.name).chain(&shard.others));
    let held: HashSet<&str> = tensors.map(String::as_str).collect();
    match index.weight_map.iter().find(|(tensor, _)| !held.contains(tensor.as_str())) {
        None => Ok(unlisted),
        Some((tensor, shard)) => {
            Err(CheckpointError::MissingTensor { index: file.to_owned(), tensor: tensor.clone(), shard: shard.clone() })
        }
    }
}
