//! Reads the headers of weight files.

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

/// How many bytes of a file are requested first. Most headers are shorter, so that one request is enough.
const FIRST_READ: u64 = 128 << 10;

/// How many headers are read at the same time. Over a network each takes one or two round trips.
const CONCURRENT_READS: usize = 8;

#[derive(Clone, Debug)]
pub struct Shard {
    /// Its path relative to the model's folder.
    pub file: String,
    pub size: u64,
    /// See [`Source::identity`].
    pub identity: String,
    /// Whether it is a file of a commit, which never changes.
    pub is_of_commit: bool,
    /// Whether the identity is an ETag or a hash, the same on every machine.
    pub has_etag: bool,
    /// The tensors in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// Pairs of an additional name and the tensor that it refers to.
    pub aliases: Vec<(String, String)>,
    /// The names of tensors of unsupported types.
    pub others: Vec<String>,
    /// The offset of the tensors' bytes in the file.
    pub data_start: u64,
}

impl Shard {
    pub fn is_pickle(&self) -> bool {
        self.file.ends_with(".bin")
    }
}

/// Reads the headers of the shards. Tensors that the index does not list are added to `others`.
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

/// Checks that no tensor is in two shards, for which there is no index that says which one counts.
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

/// Checks that every tensor is where the index says. Removes the tensors that it does not list and returns their names.
fn keep_indexed(shards: &mut [Shard], file: &str, index: &Index) -> Result<Vec<String>, CheckpointError> {
    let unlisted = |Shard { file, tensors, others, .. }: &mut Shard| {
        let is_unlisted = |name: &String| index.weight_map.get(name) != Some(file);
        let tensors = tensors.extract_if(.., |tensor| is_unlisted(&tensor.name)).map(|tensor| tensor.name);
        tensors.chain(others.extract_if(.., |name| is_unlisted(name))).collect::<Vec<String>>()
    };
    let unlisted: Vec<String> = shards.par_iter_mut().flat_map_iter(unlisted).collect();
    let tensors = shards.iter().flat_map(|shard| shard.tensors.iter().map(|tensor| &tensor.name).chain(&shard.others));
    let held: HashSet<&str> = tensors.map(String::as_str).collect();
    match index.weight_map.iter().filter(|(tensor, _)| !held.contains(tensor.as_str())).min() {
        None => Ok(unlisted),
        Some((tensor, shard)) => {
            Err(CheckpointError::MissingTensor { index: file.to_owned(), tensor: tensor.clone(), shard: shard.clone() })
        }
    }
}

fn read_all(source: &dyn Source, files: &[String]) -> Result<Vec<Shard>, CheckpointError> {
    let read = || files.par_iter().map(|file| read_one(source, file)).collect();
    // If no threads can be started, the headers are read one after the other.
    match rayon::ThreadPoolBuilder::new().num_threads(CONCURRENT_READS.min(files.len())).build() {
        Ok(pool) => pool.install(read),
        Err(_) => files.iter().map(|file| read_one(source, file)).collect(),
    }
}

fn read_one(source: &dyn Source, file: &str) -> Result<Shard, CheckpointError> {
    let missing = || SourceError::NoSuchFile { model: source.model().spelling.clone(), file: file.to_owned() };
    let size = source.size(file).ok_or_else(missing)?;
    // aria2 creates a file with its final size and fills it afterwards.
    if source.size(&format!("{file}.aria2")).is_some() {
        return Err(CheckpointError::Unfinished(file.to_owned()));
    }
    let header = if file.ends_with(".bin") { read_pickle(source, file, size) } else { read_header(source, file, size) };
    let (header, data_start) = header?;
    let identity = source.identity(file)?;
    let (is_of_commit, has_etag) = (source.model().commit.is_some(), source.has_etags());
    let header::Header { tensors, aliases, others } = header;
    Ok(Shard { file: file.to_owned(), size, identity, is_of_commit, has_etag, tensors, aliases, others, data_start })
}

fn read_header(source: &dyn Source, file: &str, size: u64) -> Result<(header::Header, u64), CheckpointError> {
    let invalid = |error| CheckpointError::Header { file: file.to_owned(), error };
    let mut start = source.read(file, 0..FIRST_READ)?;
    let expected = header::length(&start, size).map_err(invalid)?;
    if expected > start.len() as u64 {
        start = source.read(file, 0..expected)?;
    }
    let actual = start.len() as u64;
    if actual < expected {
        return Err(invalid(HeaderError::TooShort { expected, actual }));
    }
    Ok((header::parse(&start[..expected as usize], size).map_err(invalid)?, expected))
}

/// Reads the list of tensors at the start of a pickled file.
fn read_pickle(source: &dyn Source, file: &str, size: u64) -> Result<(header::Header, u64), CheckpointError> {
    let invalid = |error| CheckpointError::Pickle { file: file.to_owned(), error };
    let listing = pickle::list(size, |range| source.read(file, range))?.map_err(invalid)?;
    if source.path(file).is_some() {
        // Errors of a local file are found before the scan begins.
        pickle::storages(&source.blob(file)?, &listing).map_err(invalid)?;
    }
    let aliases = shared(&listing.tensors);
    let tensors = listing.tensors.into_iter().map(|tensor| tensor.info).collect();
    Ok((header::Header { tensors, aliases, others: listing.others }, 0))
}

/// The tensors that are the same as an earlier one, such as a head that shares the embedding's weight.
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
