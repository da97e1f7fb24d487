//! Reads the small JSON files beside the weights.

use super::error::CheckpointError;
use super::header;
use crate::source::{BrokenLink, Source, SourceError};

/// The largest index in bytes: as much as safetensors allows for a header.
const MAX_INDEX: u64 = header::MAX_HEADER;

/// The largest of the other JSON files in bytes. The labels of 22,000 classes take one megabyte.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// The path by which the user can name `folder` of the model, which is empty or ends in `/`.
pub fn spelling(source: &dyn Source, folder: &str) -> String {
    let model = &source.model().spelling;
    match folder.strip_suffix('/') {
        Some(within) => format!("{}/{within}", model.trim_end_matches('/')),
        None => model.clone(),
    }
}

/// Whether the model has the file. A link without a target is an error.
pub fn exists(source: &dyn Source, file: &str) -> Result<bool, CheckpointError> {
    if source.size(file).is_some() {
        return Ok(true);
    }
    match source.broken_links().into_iter().find(|link| link.file == file) {
        Some(link) => Err(broken(link)),
        None => Ok(false),
    }
}

/// Fails if a missing file may exist on the Hub, because the model is read offline and the file is not in the cache.
pub fn not_only_uncached(source: &dyn Source, file: &str) -> Result<(), SourceError> {
    match source.blob(file) {
        Err(error @ SourceError::NotCached { .. }) => Err(error),
        _ => Ok(()),
    }
}

pub fn broken(link: BrokenLink) -> CheckpointError {
    SourceError::BrokenLink { path: link.file, target: link.target }.into()
}

pub fn not_json(file: &str, error: &serde_json::Error) -> CheckpointError {
    let detail = error.to_string().replace("recursion limit exceeded", "it is nested too deeply");
    CheckpointError::Json { file: file.to_owned(), reason: format!("{detail}: download or copy it again") }
}

/// Reads a whole JSON file. Only an index grows with the number of tensors.
pub fn read_json(source: &dyn Source, file: &str) -> Result<Vec<u8>, CheckpointError> {
    let size = source.size(file).unwrap_or(0);
    let limit = if file.contains(".index.") { MAX_INDEX } else { MAX_DESCRIPTION };
    if size > limit {
        let reason = format!(
            "it has {size} bytes, and no such file needs more than {limit}: download or copy it again, from its own model"
        );
        return Err(CheckpointError::Json { file: file.to_owned(), reason });
    }
    let bytes = source.whole(file, limit)?;
    if bytes.starts_with(header::LFS_POINTER) {
        return Err(CheckpointError::LfsPointer(file.to_owned()));
    }
    Ok(bytes)
}
