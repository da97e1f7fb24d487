//! Shards on disk -> matrices on a device.
//!
//! Files are not locked, and may change while they are read. So bytes count only once [`Mapped::check`] has said, after they
//! were used, that their files are still those which were mapped.

#[cfg(unix)]
#[allow(unsafe_code)]
mod guard;
mod mapping;
#[cfg(not(unix))]
mod unguarded;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Shape, Tensor};
use candle_nn::var_builder::{Backend, VarBuilderArgs};

use super::Checkpoint;
use super::error::CheckpointError;
use super::pickle::{self, PickledTensor};
use super::quantization::Undecodable;
use super::shard::Shard;
use super::{Axis, Band, Part, Selection, Storage, Weight};
use crate::source::{SourceError, Stamp};
use crate::spectrum::{Fault, Lane};
use mapping::Mapping;

/// The weights of a checkpoint, as far as their shards are on disk.
pub struct Mapped {
    shards: Vec<OnceLock<MappedShard>>,
    weights: HashMap<String, Arc<Weight>>,
}

/// A backend of candle-nn's `VarBuilder` whose hint says which matrix of a weight is wanted, so that an expert is read
/// without its neighbours, and which brings it by a lane.
struct ByLane<'a> {
    mapped: &'a Mapped,
    lane: &'a Lane,
}

/// Why a matrix cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// It cannot be read or decoded.
    #[error("{0}")]
    Unreadable(String),
    /// The device cannot take it.
    #[error("{0}")]
    Device(Fault),
}

/// One shard on disk.
struct MappedShard {
    /// Its name in the checkpoint, and where it lies.
    file: String,
    path: PathBuf,
    /// What it was when it was mapped.
    stamp: Stamp,
    content: Content,
}

/// How a shard's bytes are had.
enum Content {
    Safetensors(Mapping),
    Pickle(Pickle),
}

/// One of PyTorch's files on disk.
struct Pickle {
    path: PathBuf,
    tensors: HashMap<String, PickledTensor>,
    /// Where each storage begins.
    storages: HashMap<Arc<str>, u64>,
}

impl Mapped {
    /// The weights of `checkpoint`; none of its shards is on disk yet.
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let shards = std::iter::repeat_with(OnceLock::new).take(checkpoint.shards.len()).collect();
        Self { shards, weights: checkpoint.weights().collect() }
    }

    /// Maps the file at `path`, which should be what `shard` describes, as the shard in `place`.
    ///
    /// # Errors
    ///
    /// Fails if the file has changed since its header was read, or cannot be mapped.
    pub fn map(&self, place: usize, path: &Path, shard: &Shard) -> Result<(), CheckpointError> {
        let unreadable = |error| SourceError::Unreadable { path: PathBuf::from(path), error };
        // Before anything is read: whatever changes from now on is found by the check.
        let stamp = Stamp::of(path).map_err(unreadable)?;
        if stamp.size() != shard.size {
            return Err(CheckpointError::Changed { file: shard.file.clone() });
        }
        let content = if shard.is_pickle() {
            Content::Pickle(open_pickle(path, shard)?)
        } else {
            Content::Safetensors(Mapping::new(path, shard)?)
        };
        // A shard that is mapped already is the same file.
        let _ = self.shards[place].set(MappedShard { file: shard.file.clone(), path: path.to_owned(), stamp, content });
        Ok(())
    }

    /// Makes sure that the shards in `places` are still what was mapped, so that what was read of them until now is true.
    /// It costs a system call for each; a shard that is not on disk has nothing to be wrong.
    ///
    /// # Errors
    ///
    /// Fails if one has changed, is gone, or could not be read.
    pub fn check(&self, places: &[usize]) -> Result<(), CheckpointError> {
        places.iter().filter_map(|place| self.shards[*place].get()).try_for_each(MappedShard::check)
    }

    /// Asks the system to read the matrix `selection` of the weight `name` into its file cache, and does not wait for it.
    pub fn prefetch(&self, name: &str, selection: &Selection) {
        let Some(weight) = self.weights.get(name) else { return };
        if let Storage::Plain(part) = &weight.storage
            && let Some(MappedShard { content: Content::Safetensors(mapping), .. }) = self.shards[part.shard].get()
        {
            let [rows, columns] = selection.without_band().shape(&weight.shape);
            let bytes = (rows * columns * part.tensor.dtype.bitsize() / 8) as u64;
            let first = part.tensor.bytes.start + selection.index.unwrap_or(0) as u64 * bytes;
            mapping.prefetch(first..first + bytes);
        }
    }

    /// The matrix `selection` of the weight that the checkpoint knows as `name`, on the device that `lane` leads to: in its
    /// stored precision, or in float64 if it is quantised. Its shards must have been mapped.
    ///
    /// # Errors
    ///
    /// Fails if a tensor cannot be read or decoded, or if the device cannot take it.
    pub fn matrix(&self, name: &str, selection: &Selection, lane: &Lane) -> Result<Tensor, MatrixError> {
        // The type is candle's to ask for; every weight comes in its own.
        let builder = VarBuilderArgs::new_with_args(ByLane { mapped: self, lane }, DType::F64, lane.candle());
        let matrix = self.weight(name).and_then(|weight| {
            let [rows, columns] = selection.shape(&weight.shape);
            builder.get_with_hints((rows, columns), name, selection.clone())
        });
        matrix.map_err(|error| match Fault::of(&error) {
            Some(fault) => MatrixError::Device(fault),
            None => MatrixError::Unreadable(sentence(error)),
        })
    }

    fn weight(&self, name: &str) -> candle_core::Result<&Weight> {
        match self.weights.get(name) {
            Some(weight) => Ok(weight),
            None => candle_core::bail!("there is no weight '{name}'"),
        }
    }

    /// The bytes `range` of a stored tensor.
    fn bytes(&self, part: &Part, range: Range<u64>) -> Result<Cow<'_, [u8]>, Undecodable> {
        let name = &part.tensor.name;
        let undecodable = |reason: String| Undecodable { tensor: name.clone(), reason };
        let bytes = match self.shards[part.shard].get().map(|shard| &shard.content) {
            None => return Err(undecodable("is in a shard that is not on disk".into())),
            Some(Content::Safetensors(mapping)) => {
                let Range { start, end } = part.tensor.bytes;
                let wanted = start + range.start..start + range.end;
                (wanted.end <= end).then(|| mapping.bytes(wanted)).flatten().map(Cow::Borrowed)
            }
            Some(Content::Pickle(pickle)) => {
                let tensor = pickle.tensors.get(name);
                let storage = tensor.and_then(|tensor| pickle.storages.get(&tensor.storage));
                tensor
                    .zip(storage)
                    .map(|(tensor, storage)| pickle::read(&pickle.path, tensor, *storage, range))
                    .transpose()
                    .map_err(|error| undecodable(format!("cannot be read: {error}")))?
                    .map(Cow::Owned)
            }
        };
        bytes.ok_or_else(|| undecodable("is not what it was when the scan began: run the same line again".into()))
    }
}

impl MappedShard {
    fn check(&self) -> Result<(), CheckpointError> {
        let file = || self.file.clone();
        if let Content::Safetensors(mapping) = &self.content
            && mapping.has_failed()
        {
            return Err(CheckpointError::Unread { file: file() });
        }
        match Stamp::of(&self.path) {
            Ok(stamp) if stamp == self.stamp => Ok(()),
            // A mapping goes on to be the file that it was, but no result may be of a file that is not there any more.
            Ok(_) => Err(CheckpointError::Changed { file: file() }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(CheckpointError::Removed { file: file() })
            }
            Err(error) => Err(SourceError::Unreadable { path: self.path.clone(), error }.into()),
        }
    }
}

/// What an error says, without the backtrace that candle adds where RUST_BACKTRACE is set.
fn sentence(error: candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => sentence(*inner),
        error => error.to_string(),
    }
}

impl ByLane<'_> {
    /// The matrix `selection` of `weight`, in its stored precision, or in float64 if it was quantised.
    fn matrix(&self, weight: &Weight, selection: &Selection) -> candle_core::Result<Tensor> {
        let index = selection.index.unwrap_or(0);
        let whole = selection.without_band().shape(&weight.shape);
        let part = match &weight.storage {
            Storage::Plain(part) => part,
            Storage::Quantized(quantized) => {
                let read = |part: &Part, range| self.mapped.bytes(part, range);
                let numbers = quantized.decode(index, &read).map_err(candle_core::Error::wrap)?;
                let tensor = Tensor::from_vec(numbers, (whole[0], whole[1]), self.lane.candle())?;
                return narrow(tensor, selection.band.as_ref());
            }
        };
        let dtype = DType::try_from(part.tensor.dtype)?;
        // Only the rows that are wanted are read, where they lie in one piece.
        let row = whole[1] * dtype.size_in_bytes();
        let (rows, band) = match &selection.band {
            Some(band) if band.is_block_of_rows() => (band.range.clone(), None),
            band => (0..whole[0], band.as_ref()),
        };
        let first = index * whole[0];
        let range = ((first + rows.start) * row) as u64..((first + rows.end) * row) as u64;
        let bytes = self.mapped.bytes(part, range).map_err(candle_core::Error::wrap)?;
        let tensor = self.lane.tensor(&bytes, dtype, [rows.len(), whole[1]])?;
        narrow(tensor, band)
    }
}

/// The lines of a matrix that `band` picks; all of them if there is none.
fn narrow(matrix: Tensor, band: Option<&Band>) -> candle_core::Result<Tensor> {
    let Some(band) = band else { return Ok(matrix) };
    let (rows, columns) = matrix.dims2()?;
    let (start, length) = (band.range.start, band.range.len());
    match band.axis {
        Axis::Rows => {
            let periods = matrix.reshape((band.repeats, band.period, columns))?;
            periods.narrow(1, start, length)?.reshape((band.repeats * length, columns))
        }
        Axis::Columns => {
            let periods = matrix.reshape((rows, band.repeats, band.period))?;
            periods.narrow(2, start, length)?.reshape((rows, band.repeats * length))
        }
    }
}

fn open_pickle(path: &Path, shard: &Shard) -> Result<Pickle, CheckpointError> {
    let unreadable = |error| SourceError::Unreadable { path: PathBuf::from(path), error };
    let listed = pickle::list_file(path).map_err(unreadable)?;
    let lies = |error| CheckpointError::Pickle { file: shard.file.clone(), error };
    let listing = listed.map_err(lies)?;
    let storages = pickle::storages(path, &listing).map_err(lies)?;
    let tensors: HashMap<String, PickledTensor> =
        listing.tensors.into_iter().map(|tensor| (tensor.info.name.clone(), tensor)).collect();
    if shard.tensors.iter().all(|tensor| tensors.get(&tensor.name).is_some_and(|listed| listed.info == *tensor)) {
        Ok(Pickle { path: path.to_owned(), tensors, storages })
    } else {
        Err(CheckpointError::Changed { file: shard.file.clone() })
    }
}

impl Backend for ByLane<'_> {
    type Hints = Selection;

    fn get(
        &self,
        shape: Shape,
        name: &str,
        selection: Selection,
        _dtype: DType,
        _device: &candle_core::Device,
    ) -> candle_core::Result<Tensor> {
        let matrix = self.matrix(self.mapped.weight(name)?, &selection)?;
        if matrix.shape() == &shape { Ok(matrix) } else { candle_core::bail!("'{name}' is {:?}", matrix.shape()) }
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &candle_core::Device) -> candle_core::Result<Tensor> {
        self.matrix(self.mapped.weight(name)?, &Selection::default())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.mapped.weights.contains_key(name)
    }
}
