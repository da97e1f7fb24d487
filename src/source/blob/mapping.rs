//! Maps a file into memory.

use std::fs::File;
use std::io;

use memmap2::Mmap;

#[cfg(unix)]
use super::guard::Guarded;
#[cfg(not(unix))]
use super::unguarded::Guarded;

pub struct Mapping(Guarded);

impl Mapping {
    /// Maps `file`. From then on only plain numbers may be read from it.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: The mapping is read-only, and its bytes are only copied out as plain numbers, for which every bit pattern is
        // valid. None of them is a length, an offset or text: headers are read before the file is mapped. Another process may
        // still write to the file or shorten it. Writing can change a number during a copy; shortening turns the memory to
        // zeros (see `Guarded`), or is refused by the system on Windows. Neither corrupts memory, and `Blob::check` is called
        // before the numbers are used.
        #[allow(unsafe_code)]
        let memory = unsafe { Mmap::map(file) }?;
        Ok(Self(Guarded::new(memory)?))
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Whether zeros may have been read in place of the file's bytes.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed()
    }
}
