//! Why a model's weights cannot be read.

use std::path::PathBuf;

use super::absence::Absence;
use super::header::HeaderError;
use super::index::IndexError;
use super::pickle::PickleError;
use super::quantization::QuantizationError;
use crate::source::{Source, SourceError};

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
    /// A file of the Hub's cache is not what it should be, and nobody could be asked what that is.
    #[error(
        "{error}; this is the cached file '{path}', which was read offline: if it is cut short or damaged, delete it and run the same line with a network to download it again"
    )]
    Cached {
        /// What is wrong.
        error: Box<CheckpointError>,
        /// The file in the cache.
        path: PathBuf,
    },
    /// A file is not the one that it stands for.
    #[error("'{0}' is a pointer of Git LFS, not the file itself: run 'git lfs pull' in the model's folder")]
    LfsPointer(String),
    /// A download is still under way.
    #[error("'{0}' is not whole: '{0}.aria2' beside it says that aria2 has not finished: let the download finish")]
    Unfinished(String),
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
    /// The model is an adapter.
    #[error("'{model}' is {kind}, not a model: scan its base model{}", .base.as_ref().map(|base| format!(", '{base}'")).unwrap_or_default())]
    Adapter {
        /// The model.
        model: String,
        /// What such an adapter is called, with its article.
        kind: &'static str,
        /// The base model that the adapter's configuration names.
        base: Option<String>,
    },
    /// A pickled file is not what is read here.
    #[error("cannot read '{file}': {error}")]
    Pickle {
        /// The file.
        file: String,
        /// What is wrong.
        error: PickleError,
    },
    /// Quantised weights are not understood.
    #[error("'{model}' {error}")]
    Quantization {
        /// The model.
        model: String,
        /// What is not understood.
        error: QuantizationError,
    },
    /// There are no weights that can be read.
    #[error("'{model}' {absence}")]
    Absent {
        /// The model, or the folder in it.
        model: String,
        /// What there is instead.
        absence: Absence,
    },
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
    /// Shards without an index, and not all of them.
    #[error(
        "'{model}' has no index and lacks {count} of its {total} shards ({}): download or copy the model again, or name one \
         shard alone",
        missing_names(.missing, .count)
    )]
    IncompleteShards {
        /// The model.
        model: String,
        /// How many shards are not there.
        count: u64,
        /// How many there should be.
        total: u64,
        /// The first of those that are not there.
        missing: Vec<String>,
    },
    /// Shards of several models and no index.
    #[error(
        "'{model}' has no index, but shards of several models, such as '{first}' and '{second}': move those away that do not \
         belong to it"
    )]
    SeveralSets {
        /// The model.
        model: String,
        /// A shard of one.
        first: String,
        /// A shard of another.
        second: String,
    },
    /// Two shards hold a tensor, and no index says which counts.
    #[error(
        "'{first}' and '{second}' both hold the tensor '{tensor}', and there is no index that says which counts: download or \
         copy the model again, with its index"
    )]
    HeldTwice {
        /// The tensor.
        tensor: String,
        /// A shard.
        first: String,
        /// Another.
        second: String,
    },
    /// Two shards give one name to different tensors.
    #[error(
        "'{file}' gives the name '{alias}' to another tensor than the shards before it: it is not clear which counts"
    )]
    Alias {
        /// The shard.
        file: String,
        /// The name.
        alias: String,
    },
}

impl CheckpointError {
    /// The error with the cached file that it comes from, if there is one.
    pub(super) fn with_cached_file(self, source: &dyn Source) -> Self {
        let file = match &self {
            Self::Header { file, .. }
            | Self::Index { file, .. }
            | Self::Json { file, .. }
            | Self::Pickle { file, .. } => file,
            _ => return self,
        };
        match source.cached(file) {
            Some(path) => Self::Cached { error: Box::new(self), path },
            None => self,
        }
    }
}

/// Names of missing shards, and a sign that there are more where these are not all.
fn missing_names(names: &[String], count: &u64) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let more = if (names.len() as u64) < *count { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
