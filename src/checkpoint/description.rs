//! The small files beside the weights, most of which are JSON.

use super::error::CheckpointError;
use super::header;
use crate::source::{BrokenLink, Source, SourceError};

/// The largest index that is read, in bytes: as much as the format allows for a header.
const MAX_INDEX: u64 = header::MAX_HEADER;

/// The largest of the other JSON files that is read, in bytes: the labels of 22,000 classes take one.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// How `folder` (empty, or ending in `/`) of the model can be named.
pub fn spelling(source: &dyn Source, folder: &str) -> String {
    let model = &source.model().spelling;
    match folder.strip_suffix('/') {
        Some(within) => format!("{}/{within}", model.trim_end_matches('/')),
        None => model.clone(),
    }
}

/// Whether the model has the file; that it has a link to it which leads to nothing is an error.
pub fn exists(source: &dyn Source, file: &str) -> Result<bool, CheckpointError> {
    if source.size(file).is_some() {
        return Ok(true);
    }
    match source.broken_links().into_iter().find(|link| link.file == file) {
        Some(link) => Err(broken(link)),
        None => Ok(false),
    }
}

/// Of a file that the model lacks: that it is not the cache alone that lacks it, where nobody else can be asked.
pub fn not_only_uncached(source: &dyn Source, file: &str) -> Result<(), SourceError> {
    match source.blob(file) {
        Err(error @ SourceError::NotCached { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// That a link of the model leads to nothing.
pub fn broken(link: BrokenLink) -> CheckpointError {
    SourceError::BrokenLink { path: link.file, target: link.target }.into()
}

/// That a file is not JSON, or not such as is read.
pub fn not_json(file: &str, error: &serde_json::Error) -> CheckpointError {
    let detail = error.to_string().replace("recursion limit exceeded", "it is nested too deeply");
    CheckpointError::Json { file: file.to_owned(), reason: format!("{detail}: download or copy it again") }
}

/// A small file, whole. Only an index grows with the number of tensors.
pub fn read_json(source: &dyn Source, file: &str) -> Result<Vec<u8>, CheckpointError> {
    let size = source.size(file).unwrap_or(0);
    let limit = if file.contains(".index.") { MAX_INDEX } else { MAX_DESCRIPTION };
    if size > limit {
        let reason = format!(
            "it has {size} bytes, and no such file needs more than {limit}: download or copy it again, from its own model"
        );
        return Err(CheckpointError::Json { file: file.to_owned(), reason });
    }
    let unreadable = |error| SourceError::Unreadable { path: source.path(file).unwrap_or_else(|| file.into()), error };
    let bytes = source.blob(file)?.read(0..limit).map_err(unreadable)?.into_owned();
    if bytes.starts_with(header::LFS_POINTER) {
        return Err(CheckpointError::LfsPointer(file.to_owned()));
    }
    Ok(bytes)
}
