//! Reads matrices from weight files, also while these are downloaded.
//!
//! A matrix in a safetensors file can be read as soon as its own bytes have arrived. A PyTorch file must be whole, because its
//! directory is at its end. Matrices from an incomplete file are valid only if [`Matrices::open`] later finds the planned
//! tensors in the whole file, and matrices from a whole file only if [`Matrices::check`] later finds it unchanged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::error::CheckpointError;
use super::header::{self, TensorInfo};
use super::matrix::{Elements, Matrix};
use super::pickle::{self, PickledTensor};
use super::quantization::{Codes, Undecodable};
use super::shard::Shard;
use super::weight::{Storage, Weight};
use super::{Part, Selection};
use crate::source::{Blob, Bytes, SourceError};

/// The files of a checkpoint's weights.
pub struct Matrices {
    files: Vec<WeightFile>,
}

struct WeightFile {
    blob: Blob,
    content: Content,
}

enum Content {
    /// From this byte on.
    Safetensors(u64),
    /// Known once the file is whole.
    Pickle(OnceLock<Pickle>),
}

struct Pickle {
    tensors: HashMap<String, PickledTensor>,
    /// The offset of each storage in the file.
    storages: HashMap<Arc<str>, u64>,
}

impl Matrices {
    /// The files of these shards, before any of them has arrived.
    pub fn new(shards: &[Shard]) -> Self {
        let files = shards.iter().map(|shard| WeightFile {
            blob: Blob::new(&shard.file),
            content: if shard.is_pickle() {
                Content::Pickle(OnceLock::new())
            } else {
                Content::Safetensors(shard.data_start)
            },
        });
        Self { files: files.collect() }
    }

    /// The file in `place` among the checkpoint's shards, to be filled by a source.
    pub fn blob(&self, place: usize) -> &Blob {
        &self.files[place].blob
    }

    /// Opens the file in `place`, which is whole by now. Fails if it is not what `shard`, read before, describes.
    pub fn open(&self, place: usize, shard: &Shard) -> Result<(), CheckpointError> {
        let WeightFile { blob, content } = &self.files[place];
        let unreadable = |error| SourceError::Unreadable { path: shard.file.clone().into(), error };
        let changed = || SourceError::Changed { file: shard.file.clone() }.into();
        if blob.length() != shard.size {
            return Err(changed());
        }
        match content {
            Content::Pickle(pickle) => {
                let opened = open_pickle(blob, shard)?.ok_or_else(changed)?;
                // If another thread has opened it meanwhile, it is the same file.
                let _ = pickle.set(opened);
                Ok(())
            }
            Content::Safetensors(_) if has_header(blob, shard).map_err(unreadable)? => Ok(blob.map()?),
            Content::Safetensors(_) => Err(changed()),
        }
    }

    /// Fails if one of the files in `places` has changed since it was opened, as [`Blob::check`] describes.
    pub fn check(&self, places: &[usize]) -> Result<(), SourceError> {
        places.iter().try_for_each(|place| self.files[*place].blob.check())
    }

    /// How many bytes of the file in `place` must have arrived before the matrix `selection` of `weight` can be read.
    pub fn needs(&self, place: usize, weight: &Weight, selection: &Selection) -> u64 {
        let Content::Safetensors(data_start) = self.files[place].content else { return u64::MAX };
        let end = |part: &Part| match &weight.storage {
            Storage::Plain(part) => whole_matrix(weight, part, selection).end,
            Storage::Quantized(_) => part.tensor.bytes.end,
        };
        let parts = weight.parts().into_iter().filter(|part| part.shard == place);
        data_start + parts.map(end).max().unwrap_or(0)
    }

    /// The shards and the ranges of their bytes that are read for the matrix `selection` of `weight`, which is not in a `.bin` file.
    pub fn ranges(&self, weight: &Weight, selection: &Selection) -> Vec<(usize, Range<u64>)> {
        let ranges = weight.parts().into_iter().map(|part| {
            let Range { start, end } = match &weight.storage {
                Storage::Plain(_) => whole_matrix(weight, part, selection),
                Storage::Quantized(_) => part.tensor.bytes.clone(),
            };
            let first = match self.files[part.shard].content {
                Content::Safetensors(data_start) => data_start,
                Content::Pickle(_) => 0,
            };
            (part.shard, first + start..first + end)
        });
        ranges.collect()
    }

    /// Asks the system to read the matrix `selection` of `weight` into its file cache without waiting for it.
    pub fn prefetch(&self, weight: &Weight, selection: &Selection) {
        for (place, range) in self.ranges(weight, selection) {
            let WeightFile { blob, content } = &self.files[place];
            if matches!(content, Content::Safetensors(_)) {
                blob.prefetch(range);
            }
        }
    }

    /// Reads the matrix `selection` of `weight` as it is stored. Its bytes must have arrived.
    pub fn matrix(&self, weight: &Weight, selection: &Selection) -> Result<Matrix<'_>, Undecodable> {
        let whole = selection.without_band().shape(&weight.shape);
        let (shape, elements, band) = match &weight.storage {
            Storage::Plain(part) => {
                let Range { start, end } = whole_matrix(weight, part, selection);
                let row = (end - start) / (whole[0] as u64).max(1);
                // If the selected rows are contiguous, only they are read.
                let (rows, band) = match &selection.band {
                    Some(band) if band.is_block_of_rows() => (band.range.clone(), None),
                    band => (0..whole[0], band.as_ref()),
                };
                let first = start - part.tensor.bytes.start;
                let bytes = self.bytes(part, first + rows.start as u64 * row..first + rows.end as u64 * row)?;
                ([rows.len(), whole[1]], Elements::Stored(part.tensor.dtype, bytes), band)
            }
            Storage::Quantized(quantized) => {
                let read = |part: &Part, range| self.bytes(part, range);
                let elements = match quantized.read(selection.index, &read)? {
                    Codes::Coded(coded) => Elements::Coded(coded),
                    Codes::Numbers(numbers) => Elements::Decoded(numbers),
                };
                (whole, elements, selection.band.as_ref())
            }
        };
        let matrix = Matrix { shape, elements };
        Ok(match band {
            Some(band) => matrix.narrow(band),
            None => matrix,
        })
    }

    fn bytes(&self, part: &Part, range: Range<u64>) -> Result<Bytes<'_>, Undecodable> {
        let undecodable = |reason: String| Undecodable { tensor: part.stored_name().to_owned(), reason };
        let WeightFile { blob, content } = &self.files[part.shard];
        let length = range.end - range.start;
        let bytes = match content {
            Content::Safetensors(data_start) => {
                let Range { start, end } = part.tensor.bytes;
                let end = end.min(start + range.end);
                blob.bytes(data_start + start + range.start..data_start + end)
            }
            Content::Pickle(pickle) => {
                let Some(Pickle { tensors, storages }) = pickle.get() else {
                    return Err(undecodable("is in a file that is not on disk".into()));
                };
                let tensor = tensors.get(part.stored_name());
                match tensor.and_then(|tensor| Some((tensor, storages.get(&tensor.storage)?))) {
                    Some((tensor, storage)) => pickle::read(blob, tensor, *storage, range).map(Bytes::from),
                    None => Ok(Bytes::from(&[][..])),
                }
            }
        };
        match bytes {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(_) => Err(undecodable("is not what it was when the scan began: run the same line again".into())),
            Err(error) => Err(undecodable(format!("cannot be read: {error}"))),
        }
    }
}

/// The range of the matrix `selection` of `weight` without its band, counted like [`TensorInfo::bytes`].
fn whole_matrix(weight: &Weight, part: &Part, selection: &Selection) -> Range<u64> {
    let [rows, columns] = selection.without_band().shape(&weight.shape);
    let bytes = (rows * columns * part.tensor.dtype.bitsize() / 8) as u64;
    let start = part.tensor.bytes.start + selection.index.unwrap_or(0) as u64 * bytes;
    start..start + bytes
}

/// Whether the header of `blob` still describes every tensor of `shard` in the same way. It may have others that the index
/// does not list.
fn has_header(blob: &Blob, shard: &Shard) -> io::Result<bool> {
    let start = blob.read(0..shard.data_start)?;
    let is_whole = header::length(&start, shard.size).is_ok_and(|length| length == start.len() as u64);
    let found = if is_whole { header::parse(&start, shard.size).ok() } else { None };
    Ok(found.is_some_and(|found| {
        let by_name: HashMap<&str, &TensorInfo> =
            found.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let is_there = |tensor: &TensorInfo| by_name.get(tensor.name.as_str()) == Some(&tensor);
        shard.tensors.iter().all(is_there) && found.aliases == shard.aliases
    }))
}

/// Reads where the tensors of `blob` are; `None` if they are not those of `shard`.
fn open_pickle(blob: &Blob, shard: &Shard) -> Result<Option<Pickle>, CheckpointError> {
    let unreadable = |error| SourceError::Unreadable { path: shard.file.clone().into(), error };
    let lies = |error| CheckpointError::Pickle { file: shard.file.clone(), error };
    let listed = pickle::list(blob.length(), |range| blob.read(range).map(Cow::into_owned)).map_err(unreadable)?;
    let listing = listed.map_err(lies)?;
    let storages = pickle::storages(blob, &listing).map_err(lies)?;
    let tensors: HashMap<String, PickledTensor> =
        listing.tensors.into_iter().map(|tensor| (tensor.info.name.clone(), tensor)).collect();
    let is_as_planned = |tensor: &TensorInfo| tensors.get(&tensor.name).is_some_and(|listed| listed.info == *tensor);
    Ok(shard.tensors.iter().all(is_as_planned).then_some(Pickle { tensors, storages }))
}
