//! A safetensors file -> its tensors' bytes, in memory without a copy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

#[cfg(unix)]
use super::guard::Guarded;
#[cfg(not(unix))]
use super::unguarded::Guarded;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::header::{self, TensorInfo};
use crate::checkpoint::shard::Shard;
use crate::source::SourceError;

/// A safetensors file that is mapped.
pub struct Mapping {
    memory: Guarded,
    file: File,
    /// Where its tensors begin.
    data_start: u64,
}

impl Mapping {
    /// Maps the file at `path`, which should be what `shard` describes.
    ///
    /// # Errors
    ///
    /// Fails if the file is not what its header said when the scan was planned, or cannot be read or mapped.
    pub fn new(path: &Path, shard: &Shard) -> Result<Self, CheckpointError> {
        let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
        let unmappable =
            |error: io::Error| CheckpointError::Unmappable { file: shard.file.clone(), reason: error.to_string() };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() != shard.size || !has_header(&file, shard).map_err(unreadable)? {
            return Err(CheckpointError::Changed { file: shard.file.clone() });
        }
        // SAFETY: The mapping is read-only, and its bytes are only ever copied out as plain numbers, of which every bit
        // pattern is valid; nothing in it is a length, an offset or text, as the header is read from the file. What remains is
        // that another process may write to the file or shorten it meanwhile. Writing can change a number under a copy;
        // shortening turns the memory to zeros (see `Guarded`) or, on Windows, is refused by the system. No memory is
        // corrupted either way, and whoever has read asks `Mapped::check` before the numbers count.
        #[allow(unsafe_code)]
        let memory = unsafe { Mmap::map(&file) }.map_err(unmappable)?;
        Ok(Self { memory: Guarded::new(memory).map_err(unmappable)?, file, data_start: shard.data_start })
    }

    /// The bytes `range`, counted from where the tensors begin, if there are so many.
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let Range { start, end } = self.in_file(range);
        self.memory.bytes().get(start as usize..end as usize)
    }

    /// Whether something else than the file's bytes may have been read.
    pub fn has_failed(&self) -> bool {
        self.memory.has_failed()
    }

    /// Asks the system to read the bytes `range` into its file cache, and does not wait for it.
    #[cfg(target_os = "linux")]
    pub fn prefetch(&self, range: Range<u64>) {
        let Range { start, end } = self.in_file(range);
        // A hint: where it fails, the file is read when it is needed.
        let length = std::num::NonZeroU64::new(end - start);
        let _ = rustix::fs::fadvise(&self.file, start, length, rustix::fs::Advice::WillNeed);
    }

    /// Other systems read ahead by themselves.
    #[cfg(not(target_os = "linux"))]
    pub fn prefetch(&self, _range: Range<u64>) {
        let _ = &self.file;
    }

    fn in_file(&self, range: Range<u64>) -> Range<u64> {
        self.data_start + range.start..self.data_start + range.end
    }
}

/// Whether `file` begins with a header that says of every tensor of `shard` what was planned with. It may hold others, which
/// the index does not list.
fn has_header(mut file: &File, shard: &Shard) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(shard.data_start).read_to_end(&mut start)?;
    let is_whole = header::extent(&start, shard.size).is_ok_and(|extent| extent == start.len() as u64);
    let found = if is_whole { header::parse(&start, shard.size).ok() } else { None };
    Ok(found.is_some_and(|found| {
        let by_name: HashMap<&str, &TensorInfo> =
            found.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let is_there = |tensor: &TensorInfo| by_name.get(tensor.name.as_str()) == Some(&tensor);
        shard.tensors.iter().all(is_there) && found.aliases == shard.aliases
    }))
}
