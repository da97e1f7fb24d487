//! Weight files, of which only the headers are read.

use std::collections::HashMap;

use rayon::prelude::*;

use super::error::CheckpointError;
use super::header::{self, HeaderError, TensorInfo};
use super::pickle::{self, PickledTensor};
use crate::source::{Source, SourceError};

/// How much of a file is asked for first: most headers are shorter, so that one request does.
const FIRST_READ: u64 = 128 << 10;

/// Headers that are read at once. Over a network each costs a round trip or two.
const HEADERS_AT_ONCE: usize = 8;

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
    /// Names that stand for tensors of other names, or for one tensor with them: `(alias, tensor)`.
    pub aliases: Vec<(String, String)>,
    /// Tensors of a kind that is not read.
    pub others: Vec<String>,
    /// Where the tensors' bytes begin.
    pub data_start: u64,
}

impl Shard {
    /// Whether the file is one of PyTorch's.
    pub fn is_pickle(&self) -> bool {
        self.file.ends_with(".bin")
    }
}

/// Reads the headers of `files`.
pub fn read_all(source: &dyn Source, files: &[String]) -> Result<Vec<Shard>, CheckpointError> {
    let read = || files.par_iter().map(|file| read_one(source, file)).collect();
    // Where threads cannot be had, one request after the other does as well.
    match rayon::ThreadPoolBuilder::new().num_threads(HEADERS_AT_ONCE.min(files.len())).build() {
        Ok(pool) => pool.install(read),
        Err(_) => files.iter().map(|file| read_one(source, file)).collect(),
    }
}

fn read_one(source: &dyn Source, file: &str) -> Result<Shard, CheckpointError> {
    let missing = || SourceError::NoSuchFile { model: source.model().spelling.clone(), file: file.to_owned() };
    let size = source.size(file).ok_or_else(missing)?;
    // aria2 gives a file its whole size at once, and fills it afterwards.
    if source.size(&format!("{file}.aria2")).is_some() {
        return Err(CheckpointError::Unfinished(file.to_owned()));
    }
    let header = if file.ends_with(".bin") { read_pickle(source, file, size) } else { read_header(source, file, size) };
    let (header, data_start) = header?;
    let identity = source.identity(file)?;
    let header::Header { tensors, aliases, others } = header;
    Ok(Shard { file: file.to_owned(), size, identity, tensors, aliases, others, data_start })
}

fn read_header(source: &dyn Source, file: &str, size: u64) -> Result<(header::Header, u64), CheckpointError> {
    let lies = |error| CheckpointError::Header { file: file.to_owned(), error };
    let mut start = source.read(file, 0..FIRST_READ)?;
    let extent = header::extent(&start, size).map_err(lies)?;
    if extent > start.len() as u64 {
        start = source.read(file, 0..extent)?;
    }
    if (start.len() as u64) < extent {
        return Err(lies(HeaderError::TooShort { expected: extent, actual: start.len() as u64 }));
    }
    Ok((header::parse(&start[..extent as usize], size).map_err(lies)?, extent))
}

/// What one of PyTorch's files lists at its start.
fn read_pickle(source: &dyn Source, file: &str, size: u64) -> Result<(header::Header, u64), CheckpointError> {
    let lies = |error| CheckpointError::Pickle { file: file.to_owned(), error };
    let listing = pickle::list(size, |range| source.read(file, range))?.map_err(lies)?;
    if source.is_on_disk(file) {
        // What is wrong with a file that is here is found before the scan, not in it.
        let path = source.fetch(file, &|_| {})?;
        pickle::storages(&path, &listing).map_err(lies)?;
    }
    let aliases = shared(&listing.tensors);
    let tensors = listing.tensors.into_iter().map(|tensor| tensor.info).collect();
    Ok((header::Header { tensors, aliases, others: listing.others }, 0))
}

/// The tensors that are another one under a second name, as a head is that shares the embedding's weight.
fn shared(tensors: &[PickledTensor]) -> Vec<(String, String)> {
    let mut first: HashMap<_, &str> = HashMap::new();
    let mut aliases = Vec::new();
    for PickledTensor { info, strides, storage, .. } in tensors {
        let name = *first.entry((storage, &info.bytes, &info.shape, strides)).or_insert(&info.name);
        if name != info.name {
            aliases.push((info.name.clone(), name.to_owned()));
        }
    }
    aliases
}
