//! Files -> tensors.
//!
//! [`Checkpoint::open`] finds out which files hold a model's weights and reads their headers, and nothing else of them:
//! what there is to scan is known before the first weight is read or downloaded. A shard that has come to disk is
//! mapped by [`MappedShard`], which hands its tensors to a device through candle-nn's `VarBuilder`.

mod config;
mod header;
mod index;

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use serde_json::Value;

pub use config::Config;
pub use header::{HeaderError, TensorInfo};
pub use index::{Index, IndexError};
pub use safetensors::Dtype;

use crate::source::{Source, SourceError, Transfer};
use crate::spectrum::Device;

/// The largest JSON file that is read, in bytes: as much as the format allows for a header.
const MAX_JSON: u64 = header::MAX_HEADER;

/// How much of a file is asked for first: most headers are shorter, so that one request does.
const FIRST_READ: u64 = 128 << 10;

/// Headers that are read at once. Over a network each costs a round trip or two.
const HEADERS_AT_ONCE: usize = 8;

/// A model's weight files, headers read.
#[derive(Debug)]
pub struct Checkpoint {
    /// What config.json says.
    pub config: Config,
    /// The files that hold weights.
    pub shards: Vec<Shard>,
}

/// One weight file.
#[derive(Debug)]
pub struct Shard {
    /// Its name, relative to the model's folder.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// A string that changes when its content does.
    pub identity: String,
    /// Its tensors, in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// Tensors that it holds, but that the index does not name: not part of the model.
    pub unlisted: Vec<String>,
}

/// Why a model's weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A shard's header lies.
    #[error("cannot read '{file}': {error}")]
    Header {
        /// The shard.
        file: String,
        /// What is wrong.
        error: HeaderError,
    },
    /// The index is not usable.
    #[error("cannot use '{file}': {error}")]
    Index {
        /// The index.
        file: String,
        /// What is wrong.
        error: IndexError,
    },
    /// A JSON file is not JSON, or too large to be true.
    #[error("cannot read '{file}': {reason}")]
    Json {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The index names a shard that does not exist.
    #[error("'{index}' names the shard '{shard}', which does not exist: download or copy the model again")]
    MissingShard {
        /// The index.
        index: String,
        /// The shard.
        shard: String,
    },
    /// The index places a tensor in a shard that does not hold it.
    #[error(
        "'{index}' places the tensor '{tensor}' in '{shard}', which does not hold it: download or copy the model again"
    )]
    MissingTensor {
        /// The index.
        index: String,
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: String,
    },
    /// The model is a LoRA adapter.
    #[error("'{model}' is a LoRA adapter, not a model: scan its base model{}", .base.as_ref().map(|base| format!(", '{base}'")).unwrap_or_default())]
    Adapter {
        /// The model.
        model: String,
        /// The base model that the adapter's configuration names.
        base: Option<String>,
    },
    /// There are only GGUF files.
    #[error(
        "'{0}' holds GGUF files, whose weights are quantised for inference: scan the model in safetensors form that they were made from"
    )]
    GgufOnly(String),
    /// There are only pickled weights.
    #[error(
        "'{0}' holds PyTorch .bin files and no safetensors: convert it with transformers' save_pretrained, or look for a revision in safetensors form"
    )]
    PickleOnly(String),
    /// The model is a diffusers pipeline.
    #[error("'{0}' is a diffusers pipeline: scan one of its components, such as its 'unet' or 'transformer' folder")]
    Pipeline(String),
    /// There are no weights at all.
    #[error("'{0}' holds no .safetensors file")]
    NoWeights(String),
    /// There are several weight files and nothing says which belong together.
    #[error(
        "'{model}' has no model.safetensors and no index, but {count} .safetensors files ({first}, …): name one of them"
    )]
    Ambiguous {
        /// The model.
        model: String,
        /// How many files there are.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A shard is not what its header said when the scan was planned.
    #[error("'{file}' has changed since the scan began: run the same line again")]
    Changed {
        /// The shard.
        file: String,
    },
    /// A shard cannot be mapped.
    #[error("cannot map '{file}' into memory: {reason}")]
    Unmappable {
        /// The shard.
        file: String,
        /// The reason.
        reason: String,
    },
}

impl Checkpoint {
    /// Finds the weight files of `source` and reads their headers.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] says which file or tensor is at fault.
    pub fn open(source: &dyn Source) -> Result<Self, CheckpointError> {
        let config = match source.single_file() {
            Some(_) => Config::default(),
            None => read_config(source)?,
        };
        let shards = match WeightFiles::find(source, &config)? {
            WeightFiles::One(file) => read_shards(source, &[file])?,
            WeightFiles::Indexed { file, index } => {
                let files = index.shards();
                if let Some(shard) = files.iter().find(|shard| source.size(shard).is_none()) {
                    return Err(CheckpointError::MissingShard { index: file, shard: shard.clone() });
                }
                let mut shards = read_shards(source, &files)?;
                keep_indexed(&mut shards, &file, &index)?;
                shards
            }
        };
        let names = || shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| &tensor.name);
        if names().any(|name| name.contains(".lora_A.") || name.contains(".lora_B.")) {
            return Err(adapter(source));
        }
        Ok(Self { config, shards })
    }
}

/// The files that hold a model's weights.
enum WeightFiles {
    One(String),
    Indexed { file: String, index: Index },
}

impl WeightFiles {
    /// Chooses as transformers does: the file that the configuration names, `model.safetensors`, its index; then the only
    /// file there is.
    fn find(source: &dyn Source, config: &Config) -> Result<Self, CheckpointError> {
        if let Some(file) = source.single_file() {
            return Ok(Self::One(file.to_owned()));
        }
        let named = config.weights_file.as_deref().filter(|file| file.contains(".safetensors"));
        if let Some(file) = named.filter(|file| !index::is_within_folder(file)) {
            let error = IndexError::OutsideFolder(file.to_owned());
            return Err(CheckpointError::Index { file: "config.json".into(), error });
        }
        for file in named.into_iter().chain(["model.safetensors", "model.safetensors.index.json"]) {
            if source.size(file).is_none() {
                continue;
            }
            if !file.ends_with(".json") {
                return Ok(Self::One(file.to_owned()));
            }
            let bytes = read_json(source, file)?;
            let index =
                Index::parse(&bytes).map_err(|error| CheckpointError::Index { file: file.to_owned(), error })?;
            return Ok(Self::Indexed { file: file.to_owned(), index });
        }
        let files = source.files();
        let top_level = |file: &&String| file.ends_with(".safetensors") && !file.contains('/');
        let weights: Vec<&String> = files
            .iter()
            .filter(top_level)
            .filter(|file| !file.starts_with("adapter_model") && !file.starts_with("consolidated"))
            .collect();
        match weights.as_slice() {
            [only] => Ok(Self::One((*only).clone())),
            [] => Err(explain_absence(source, &files)),
            [first, ..] => Err(CheckpointError::Ambiguous {
                model: source.model().spelling.clone(),
                count: weights.len(),
                first: (*first).clone(),
            }),
        }
    }
}

/// Why a model without weights in safetensors form has none, from the files that it has instead.
fn explain_absence(source: &dyn Source, files: &[String]) -> CheckpointError {
    let model = source.model().spelling.clone();
    let ends_with = |suffix: &str| files.iter().any(|file| file.ends_with(suffix));
    if files.iter().any(|file| file == "adapter_config.json" || file.starts_with("adapter_model")) {
        adapter(source)
    } else if source.size("model_index.json").is_some() {
        CheckpointError::Pipeline(model)
    } else if ends_with(".gguf") {
        CheckpointError::GgufOnly(model)
    } else if ends_with(".bin") || ends_with(".pt") || ends_with(".pth") {
        CheckpointError::PickleOnly(model)
    } else {
        CheckpointError::NoWeights(model)
    }
}

/// That the model is a LoRA adapter, with its base model if its configuration names one.
fn adapter(source: &dyn Source) -> CheckpointError {
    let config = read_json(source, "adapter_config.json").ok();
    let config: Option<Value> = config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let base = config.and_then(|config| Some(config.get("base_model_name_or_path")?.as_str()?.to_owned()));
    CheckpointError::Adapter { model: source.model().spelling.clone(), base }
}

fn read_config(source: &dyn Source) -> Result<Config, CheckpointError> {
    const FILE: &str = "config.json";
    if source.size(FILE).is_none() {
        return Ok(Config::default());
    }
    let bytes = read_json(source, FILE)?;
    let invalid = |error: serde_json::Error| CheckpointError::Json { file: FILE.to_owned(), reason: error.to_string() };
    Config::parse(&bytes).map_err(invalid)
}

/// A small file, whole.
fn read_json(source: &dyn Source, file: &str) -> Result<Vec<u8>, CheckpointError> {
    let size = source.size(file).unwrap_or(0);
    if size > MAX_JSON {
        let reason = format!("it has {size} bytes, more than any such file needs");
        return Err(CheckpointError::Json { file: file.to_owned(), reason });
    }
    let path = source.fetch(file, &|_: Transfer| {})?;
    Ok(std::fs::read(&path).map_err(|error| SourceError::Unreadable { path, error })?)
}

fn read_shards(source: &dyn Source, files: &[String]) -> Result<Vec<Shard>, CheckpointError> {
    let read = || files.par_iter().map(|file| read_shard(source, file)).collect();
    // Where threads cannot be had, one request after the other does as well.
    match rayon::ThreadPoolBuilder::new().num_threads(HEADERS_AT_ONCE.min(files.len())).build() {
        Ok(pool) => pool.install(read),
        Err(_) => files.iter().map(|file| read_shard(source, file)).collect(),
    }
}

fn read_shard(source: &dyn Source, file: &str) -> Result<Shard, CheckpointError> {
    let lies = |error| CheckpointError::Header { file: file.to_owned(), error };
    let missing = || SourceError::NoSuchFile { model: source.model().spelling.clone(), file: file.to_owned() };
    let size = source.size(file).ok_or_else(missing)?;
    let mut start = source.read_start(file, FIRST_READ)?;
    let extent = header::extent(&start, size).map_err(lies)?;
    if extent > start.len() as u64 {
        start = source.read_start(file, extent)?;
    }
    if (start.len() as u64) < extent {
        return Err(lies(HeaderError::TooShort { expected: extent, actual: start.len() as u64 }));
    }
    let tensors = header::parse(&start[..extent as usize], size).map_err(lies)?;
    let identity = source.identity(file)?;
    Ok(Shard { file: file.to_owned(), size, identity, tensors, unlisted: Vec::new() })
}

/// Checks that every tensor is where the index says, and sets aside the tensors that it does not name.
fn keep_indexed(shards: &mut [Shard], file: &str, index: &Index) -> Result<(), CheckpointError> {
    for shard in &mut *shards {
        let belongs = |tensor: &TensorInfo| index.weight_map.get(&tensor.name) == Some(&shard.file);
        let (kept, unlisted): (Vec<_>, Vec<_>) = shard.tensors.drain(..).partition(belongs);
        shard.tensors = kept;
        shard.unlisted = unlisted.into_iter().map(|tensor| tensor.name).collect();
    }
    let held: std::collections::HashSet<&str> =
        shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| tensor.name.as_str()).collect();
    match index.weight_map.iter().find(|(tensor, _)| !held.contains(tensor.as_str())) {
        None => Ok(()),
        Some((tensor, shard)) => {
            Err(CheckpointError::MissingTensor { index: file.to_owned(), tensor: tensor.clone(), shard: shard.clone() })
        }
    }
}

/// A shard on disk, mapped into memory.
pub struct MappedShard {
    file: String,
    builder: VarBuilder<'static>,
}

impl MappedShard {
    /// Maps the file at `path`, which should be what `shard` describes; its tensors will go to `device`.
    ///
    /// # Errors
    ///
    /// Fails if the file has changed since its header was read, or cannot be mapped.
    pub fn map(path: &Path, shard: &Shard, device: &Device) -> Result<Self, CheckpointError> {
        let unreadable = |error| SourceError::Unreadable { path: PathBuf::from(path), error };
        if std::fs::metadata(path).map_err(unreadable)?.len() != shard.size {
            return Err(CheckpointError::Changed { file: shard.file.clone() });
        }
        // SAFETY: The mapping is read-only and its bytes are only ever copied out as plain numbers, of which every bit
        // pattern is valid; candle checks each tensor's range against the mapping's length when it maps. What remains is
        // that another process may write to or shorten the file meanwhile. Writing can change a number under a copy,
        // which the finite check and the next run's journal key treat as any other content; shortening raises SIGBUS,
        // which ends the process. No memory is corrupted either way, downloads are renamed into place and never
        // rewritten, and no other way of reading would give a consistent weight while its file is being changed.
        #[allow(unsafe_code)]
        let mapped = unsafe { MmapedSafetensors::new(path) };
        let mapped = mapped
            .map_err(|error| CheckpointError::Unmappable { file: shard.file.clone(), reason: error.to_string() })?;
        let builder = VarBuilder::from_backend(Box::new(mapped), DType::F32, device.candle().clone());
        Ok(Self { file: shard.file.clone(), builder })
    }

    /// The tensor that `info` describes, in its stored precision, on the device.
    ///
    /// # Errors
    ///
    /// Fails if the shard holds no such tensor any more, or if the device cannot take it.
    pub fn tensor(&self, info: &TensorInfo) -> Result<Tensor, CheckpointError> {
        let changed = || CheckpointError::Changed { file: self.file.clone() };
        let dtype = DType::try_from(info.dtype).map_err(|_| changed())?;
        if !self.builder.contains_tensor(&info.name) {
            return Err(changed());
        }
        let tensor = self
            .builder
            .get_unchecked_dtype(&info.name, dtype)
            .map_err(|error| CheckpointError::Unmappable { file: self.file.clone(), reason: error.to_string() })?;
        if tensor.dims() == info.shape { Ok(tensor) } else { Err(changed()) }
    }
}
