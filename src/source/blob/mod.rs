//! A file of a model that can be read while it is downloaded.
//!
//! A [`Blob`] begins empty, and [`Source::fetch`](super::Source::fetch) fills it: a local file is there at once, a download
//! can be read as far as it has come. Its bytes are not yet checked against their hash. A download that turns out to be
//! wrong starts again, which [`Blob::arrivals`] counts.
//!
//! Files are not locked and may change while they are read. So what was read of a whole file is valid only if
//! [`Blob::check`] finds afterwards that it is still the file that was opened.

mod bytes;
#[cfg(unix)]
#[allow(unsafe_code)]
mod guard;
mod mapping;
mod positional;
#[cfg(not(unix))]
mod unguarded;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{SourceError, Stamp};
pub use bytes::Bytes;
use mapping::Mapping;

pub struct Blob {
    name: String,
    arrivals: AtomicUsize,
    arriving: Mutex<Option<Arriving>>,
    held: Mutex<Held>,
    whole: OnceLock<Whole>,
}

/// Bytes that are held in memory, by the places where they begin and end in the file, with how many need them.
type Held = BTreeMap<(u64, u64), (Arc<[u8]>, usize)>;

/// A file whose first `length` bytes are on disk.
#[derive(Clone)]
struct Arriving {
    file: Arc<File>,
    length: u64,
}

struct Whole {
    path: PathBuf,
    file: File,
    /// The file's state when it was opened.
    stamp: Stamp,
    mapping: OnceLock<Mapping>,
}

impl Blob {
    /// The model's file `name`, without any bytes yet.
    pub fn new(name: &str) -> Self {
        let (arriving, whole) = (Mutex::new(None), OnceLock::new());
        let held = Mutex::new(BTreeMap::new());
        Self { name: name.to_owned(), arrivals: AtomicUsize::new(0), arriving, held, whole }
    }

    /// The file's path relative to the model's folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes can be read.
    pub fn length(&self) -> u64 {
        match self.whole.get() {
            Some(whole) => whole.stamp.size(),
            None => self.lock_arriving().as_ref().map_or_else(|| self.held(), |arriving| arriving.length),
        }
    }

    /// How often the download of the file has started; zero for a local file. Bytes that were read before the latest start
    /// are invalid.
    pub fn arrivals(&self) -> usize {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Reads the bytes `range`, or as many of them as are there, unless the file is mapped.
    pub fn bytes(&self, range: Range<u64>) -> io::Result<Bytes<'_>> {
        let start = range.start;
        Ok(match (self.read(range)?, self.whole.get()) {
            (Cow::Borrowed(memory), Some(whole)) => Bytes::mapped(memory, &whole.file, start),
            (memory, _) => memory.into(),
        })
    }

    /// Reads the bytes `range`, or as many of them as are there. They are borrowed if the file is mapped.
    pub fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let Some(whole) = self.whole.get() else {
            if let Some(bytes) = self.read_held(&range) {
                return Ok(Cow::Owned(bytes));
            }
            let arriving = self.lock_arriving().clone();
            let Some(Arriving { file, length }) = arriving else { return Ok(Cow::Borrowed(&[])) };
            return positional::read(&file, range.start..range.end.min(length)).map(Cow::Owned);
        };
        let Some(mapping) = whole.mapping.get() else { return positional::read(&whole.file, range).map(Cow::Owned) };
        let bytes = mapping.bytes();
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Cow::Borrowed(bytes.get(place(range.start)..place(range.end)).unwrap_or_default()))
    }

    /// The bytes `range`, if they are held in memory.
    fn read_held(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let held = self.lock_held();
        let mut before = held.range(..=(range.start, u64::MAX)).rev();
        let ((start, _), (bytes, _)) = before.find(|((_, end), _)| *end >= range.end)?;
        let (start, bytes) = (*start, Arc::clone(bytes));
        drop(held);
        let place = |at: u64| usize::try_from(at - start).ok();
        Some(bytes.get(place(range.start)?..place(range.end)?)?.to_vec())
    }

    /// How far the bytes reach that are held in memory.
    fn held(&self) -> u64 {
        self.lock_held().keys().map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// Holds these bytes of the file in memory, the first of which is in place `start`.
    pub fn hold(&self, start: u64, bytes: Vec<u8>) {
        let key = (start, start + bytes.len() as u64);
        self.lock_held().entry(key).or_insert_with(|| (bytes.into(), 0)).1 += 1;
    }

    /// Drops the bytes of `range`, once as many have released them as have held them.
    pub fn release(&self, range: &Range<u64>) {
        let key = (range.start, range.end);
        let mut held = self.lock_held();
        let Some((_, count)) = held.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(&key);
        }
    }

    fn lock_held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader { blob: self, at: 0 }
    }

    /// Asks the system to read the bytes `range` into its file cache without waiting for it.
    pub fn prefetch(&self, range: Range<u64>) {
        if let Some(whole) = self.whole.get() {
            positional::prefetch(&whole.file, range);
        }
    }

    /// Maps the whole file into memory. From then on only plain numbers may be read from it, because another process may
    /// change its bytes at any time.
    pub fn map(&self) -> Result<(), SourceError> {
        let unmappable =
            |error: io::Error| SourceError::Unmappable { file: self.name.clone(), reason: error.to_string() };
        if let Some(whole) = self.whole.get().filter(|whole| whole.mapping.get().is_none()) {
            // If another thread has mapped it meanwhile, that mapping shows the same file.
            let _ = whole.mapping.set(Mapping::new(&whole.file).map_err(unmappable)?);
        }
        Ok(())
    }

    /// Waits until [`Blob::check`] is sure to detect every later change.
    pub fn wait_until_settled(&self) {
        if let Some(whole) = self.whole.get() {
            whole.stamp.wait_until_settled();
        }
    }

    /// Fails if the file has changed since it was opened, was removed, or could not be read: then what was read of it is
    /// invalid. It costs one system call. A file that is not yet whole passes.
    pub fn check(&self) -> Result<(), SourceError> {
        let Some(whole) = self.whole.get() else { return Ok(()) };
        let file = || self.name.clone();
        if whole.mapping.get().is_some_and(Mapping::has_failed) {
            return Err(SourceError::Unread { file: file() });
        }
        match Stamp::of(&whole.path) {
            Ok(stamp) if stamp == whole.stamp => Ok(()),
            // An open file remains readable after its removal, but no result may come from a file that no longer exists.
            Ok(_) => Err(SourceError::Changed { file: file() }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(SourceError::Removed { file: file() })
            }
            Err(error) => Err(SourceError::Unreadable { path: whole.path.clone(), error }),
        }
    }

    /// Starts reading from `path`, where the first `length` bytes of a download are.
    pub fn begin(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = Arc::new(File::open(path)?);
        let mut arriving = self.lock_arriving();
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        *arriving = Some(Arriving { file, length });
        Ok(())
    }

    /// Records that the first `length` bytes have arrived.
    pub fn extend(&self, length: u64) {
        if let Some(arriving) = &mut *self.lock_arriving() {
            arriving.length = length;
        }
    }

    /// Reads from the whole file at `path` from now on, unless the blob is whole already.
    pub fn complete(&self, path: &Path) -> Result<(), SourceError> {
        let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
        // The stamp is taken before anything is read, so that `check` detects every change from now on.
        let stamp = Stamp::of(path).map_err(unreadable)?;
        let file = File::open(path).map_err(unreadable)?;
        let _ = self.whole.set(Whole { path: path.to_owned(), file, stamp, mapping: OnceLock::new() });
        *self.lock_arriving() = None;
        Ok(())
    }

    fn lock_arriving(&self) -> MutexGuard<'_, Option<Arriving>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`Blob`] sequentially.
pub struct Reader<'a> {
    blob: &'a Blob,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.blob.read(self.at..self.at.saturating_add(buffer.len() as u64))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(step) => self.at.checked_add_signed(step),
            SeekFrom::End(step) => self.blob.length().checked_add_signed(step),
        };
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_as_far_as_it_has_come_and_then_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (part, whole) = (folder.path().join("part"), folder.path().join("whole"));
        let blob = Blob::new("file");
        let read = |range: Range<u64>| blob.read(range).expect("readable").into_owned();
        assert_eq!((read(0..9), blob.arrivals(), blob.length()), (Vec::new(), 0, 0));
        let mut file = File::create(&part).expect("created");
        file.write_all(b"abcdef").expect("written");
        blob.begin(&part, 3).expect("opened");
        assert_eq!((read(1..9), read(4..5), blob.arrivals()), (b"bc".to_vec(), Vec::new(), 1));
        blob.extend(6);
        assert_eq!(read(4..9), b"ef");
        // It turns out to be wrong, and comes anew.
        fs::write(&part, b"ABCD").expect("written");
        blob.begin(&part, 2).expect("opened");
        assert_eq!((read(0..9), blob.arrivals()), (b"AB".to_vec(), 2));
        fs::rename(&part, &whole).expect("renamed");
        blob.extend(4);
        assert_eq!(read(0..9), b"ABCD");
        blob.complete(&whole).expect("opened");
        assert_eq!((read(0..9), blob.arrivals(), blob.length()), (b"ABCD".to_vec(), 2, 4));
        blob.map().expect("mapped");
        assert!(matches!(blob.read(1..9), Ok(Cow::Borrowed(b"BCD"))));
        assert_eq!((read(7..9), blob.check().is_ok()), (Vec::new(), true));
        fs::remove_file(&whole).expect("removed");
        assert!(matches!(blob.check(), Err(SourceError::Removed { .. })));
    }

    #[test]
    fn held_bytes_stay_until_all_have_released_them() {
        let blob = Blob::new("file");
        let read = |range: Range<u64>| blob.read(range).expect("readable").into_owned();
        blob.hold(10, b"abcdef".to_vec());
        blob.hold(10, b"abc".to_vec());
        blob.hold(10, b"abcdef".to_vec());
        assert_eq!((read(11..13), read(12..16), blob.length()), (b"bc".to_vec(), b"cdef".to_vec(), 16));
        blob.release(&(10..16));
        assert_eq!(read(12..16), b"cdef");
        blob.release(&(10..16));
        assert_eq!((read(12..16), read(10..13)), (Vec::new(), b"abc".to_vec()));
        blob.release(&(10..13));
        assert_eq!((read(10..13), blob.length()), (Vec::new(), 0));
    }

    #[test]
    fn a_reader_goes_where_it_is_sent() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"0123456789").expect("written");
        let blob = Blob::new("file");
        blob.complete(file.path()).expect("opened");
        let mut reader = blob.reader();
        let mut next = |to: SeekFrom| {
            let mut bytes = [0; 2];
            reader.seek(to).and_then(|_| reader.read_exact(&mut bytes)).map(|()| bytes)
        };
        assert_eq!(next(SeekFrom::Start(3)).ok(), Some(*b"34"));
        assert_eq!(next(SeekFrom::Current(-1)).ok(), Some(*b"45"));
        assert_eq!(next(SeekFrom::End(-2)).ok(), Some(*b"89"));
        assert!(next(SeekFrom::End(-1)).is_err() && next(SeekFrom::Current(-20)).is_err());
    }
}
