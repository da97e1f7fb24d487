//! A file's bytes in memory without a copy.

use std::fs::File;
use std::io;

use memmap2::Mmap;

#[cfg(unix)]
use super::guard::Guarded;
#[cfg(not(unix))]
use super::unguarded::Guarded;

/// A file that is mapped.
pub struct Mapping(Guarded);

impl Mapping {
    /// Maps `file`, of which only numbers are read from then on.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: The mapping is read-only, and its bytes are only ever copied out as plain numbers, of which every bit
        // pattern is valid; nothing in it is a length, an offset or text, as headers are read from the file before it is
        // mapped. What remains is that another process may write to the file or shorten it meanwhile. Writing can change a
        // number under a copy; shortening turns the memory to zeros (see `Guarded`) or, on Windows, is refused by the system.
        // No memory is corrupted either way, and whoever has read asks `Blob::check` before the numbers count.
        #[allow(unsafe_code)]
        let memory = unsafe { Mmap::map(file) }?;
        Ok(Self(Guarded::new(memory)?))
    }

    /// All of the file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Whether something else than the file's bytes may have been read.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed()
    }
}
