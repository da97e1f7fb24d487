use std::path::PathBuf;

use super::absence::Absence;
use super::header::HeaderError;
use super::index::IndexError;
use super::lora::error::LoraError;
use super::pickle::PickleError;
use super::quantization::QuantizationError;
use super::wrappers::WrapperError;
use crate::source::{Source, SourceError};

/// Why a model's weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot read '{file}': {error}")]
    Header { file: String, error: HeaderError },
    #[error("cannot use '{file}': {error}")]
    Index { file: String, error: IndexError },
    #[error("cannot read '{file}': {reason}")]
    Json { file: String, reason: String },
    #[error(
        "{error}; this is the cached file '{path}', which was read offline: if it is cut short or damaged, delete it and run the same line with a network to download it again"
    )]
    Cached { error: Box<CheckpointError>, path: PathBuf },
    #[error("'{0}' is a pointer of Git LFS, not the file itself: run 'git lfs pull' in the model's folder")]
    LfsPointer(String),
    #[error("'{0}' is not whole: '{0}.aria2' beside it says that aria2 has not finished: let the download finish")]
    Unfinished(String),
    #[error("'{index}' names the shard '{shard}', which does not exist: download or copy the model again")]
    MissingShard { index: String, shard: String },
    #[error(
        "'{index}' places the tensor '{tensor}' in '{shard}', which does not hold it: download or copy the model again"
    )]
    MissingTensor { index: String, tensor: String, shard: String },
    #[error("'{model}' is {kind}, not a model: scan its base model{}", .base.as_ref().map(|base| format!(", '{base}'")).unwrap_or_default())]
    Adapter {
        model: String,
        /// The kind of adapter with its article, such as `a LoRA adapter`.
        kind: &'static str,
        base: Option<String>,
    },
    #[error(
        "'{0}' is a PyTorch file, which must be whole before it is read: download the model, and scan it without --stream"
    )]
    NotStreamed(String),
    #[error("'{0}' ends before its last tensor: it was changed, so run the same line again")]
    Ended(String),
    #[error("'{model}' {error}")]
    Lora { model: String, error: LoraError },
    #[error("cannot read '{file}': {error}")]
    Pickle { file: String, error: PickleError },
    #[error("'{model}' {error}")]
    Quantization { model: String, error: QuantizationError },
    #[error("'{model}' {error}")]
    Wrappers { model: String, error: WrapperError },
    #[error("'{model}' {absence}")]
    Absent { model: String, absence: Absence },
    #[error(
        "'{model}' has no model.safetensors and no index, but {count} .safetensors files ({first}, …): name one of them"
    )]
    Ambiguous { model: String, count: usize, first: String },
    #[error(
        "'{model}' has no index and lacks {count} of its {total} shards ({}): download or copy the model again, or name one \
         shard alone",
        missing_names(.missing, .count)
    )]
    IncompleteShards {
        model: String,
        count: u64,
        total: u64,
        /// The names of the first missing shards.
        missing: Vec<String>,
    },
    #[error(
        "'{model}' has no index, but shards of several models, such as '{first}' and '{second}': move those away that do not \
         belong to it"
    )]
    SeveralSets { model: String, first: String, second: String },
    #[error(
        "'{first}' and '{second}' both hold the tensor '{tensor}', and there is no index that says which counts: download or \
         copy the model again, with its index"
    )]
    HeldTwice { tensor: String, first: String, second: String },
    #[error(
        "'{file}' gives the name '{alias}' to another tensor than the shards before it: it is not clear which counts"
    )]
    Alias { file: String, alias: String },
}

impl CheckpointError {
    /// Adds the path of the cached file if the error is about a file that was read offline.
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

/// Lists the names, with an ellipsis if there are fewer than `count`.
fn missing_names(names: &[String], count: &u64) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let more = if (names.len() as u64) < *count { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
