//! Reads of an open file that several threads can make at the same time.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;

/// Reads the bytes `range` of `file`, or as many of them as there are.
pub fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    // A range may reach far beyond the file's end.
    let end = range.end.min(file.metadata()?.len());
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?];
    let filled = read_into(file, range.start, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Fills `target` with the bytes of `file` from `start` on. Fails if there are not so many.
pub fn fill(file: &File, start: u64, target: &mut [u8]) -> io::Result<()> {
    if read_into(file, start, target)? == target.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Reads as many of the bytes from `start` on as fit into `target` and are there, and returns how many.
fn read_into(file: &File, start: u64, target: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < target.len() {
        match read_at(file, &mut target[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(not(unix))]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

/// Asks the system to read the bytes `range` of `file` into its file cache without waiting for it.
#[cfg(target_os = "linux")]
pub fn prefetch(file: &File, range: Range<u64>) {
    // This is only a hint: if it fails, the bytes are read when they are needed.
    let length = std::num::NonZeroU64::new(range.end - range.start);
    let _ = rustix::fs::fadvise(file, range.start, length, rustix::fs::Advice::WillNeed);
}

/// Other systems read ahead by themselves.
#[cfg(not(target_os = "linux"))]
pub fn prefetch(_file: &File, _range: Range<u64>) {}
