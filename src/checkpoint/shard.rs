//! Weight files, of which only the headers are read.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::Other;
use super::description::{exists, not_only_uncached};
use super::error::CheckpointError;
use super::files::WeightFiles;
use super::header::{self, HeaderError, TensorInfo};
use super::index::Index;
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

/// Reads the headers of the shards. Which tensors in them are not the model's goes to `others`.
pub fn read(
    source: &dyn Source,
    files: WeightFiles,
    others: &mut Vec<(String, Other)>,
) -> Result<Vec<Shard>, CheckpointError> {
    match files {
        WeightFiles::One(file) => read_all(source, &[file]),
        WeightFiles::Numbered(files) => {
            let shards = read_all(source, &files)?;
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
            let mut shards = read_all(source, &files)?;
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

/// Reads the headers of `files`.
fn read_all(source: &dyn Source, files: &[String]) -> Result<Vec<Shard>, CheckpointError> {
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
    let extent = header::length(&start, size).map_err(lies)?;
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
    if source.path(file).is_some() {
        // What is wrong with a file that is here is found before the scan, not in it.
        pickle::storages(&source.blob(file)?, &listing).map_err(lies)?;
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
