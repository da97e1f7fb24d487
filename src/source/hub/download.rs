//! Downloads one file and resumes after interruptions.
//!
//! If a connection breaks, hf-hub starts again at the first byte, but shards have gigabytes. Here a download continues with
//! a range request after the bytes that have arrived, in this run or an earlier one. The file counts as complete only if its
//! length is right, and its SHA-256 if the Hub gives one, as it does for all large files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};

use crate::source::{Blob, SourceError, Transfer};

/// After so many attempts in a row that bring no bytes the download fails.
const ATTEMPTS: u32 = 6;

/// A connection that brings no bytes for this long counts as broken.
const STALL: Duration = Duration::from_secs(60);

pub struct Download<'a> {
    /// The file's name on the Hub.
    pub file: &'a str,
    /// The blob through which the file can be read while it arrives.
    pub target: &'a Blob,
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: Option<&'a str>,
    /// The file that the bytes are appended to; those of an earlier attempt are kept.
    pub incomplete: PathBuf,
}

impl Download<'_> {
    /// Completes [`Download::incomplete`]. `open(start)` requests the bytes from `start` on.
    pub async fn run<S: Stream<Item = Result<B, SourceError>> + Unpin, B: AsRef<[u8]>>(
        &self,
        open: impl AsyncFn(u64) -> Result<S, SourceError>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError> {
        let arrived = Arrived::resume(&self.incomplete, self.size).map_err(|error| self.unwritable(error))?;
        let resumed = arrived.length > 0;
        match self.complete(arrived, &open, progress).await {
            // The bytes of an earlier download, perhaps by another program, may be wrong: start again, once.
            Err(SourceError::Corrupt { .. }) if resumed => {
                let empty = Arrived::empty(&self.incomplete).map_err(|error| self.unwritable(error))?;
                self.complete(empty, &open, progress).await
            }
            result => result,
        }
    }

    /// Receives the missing bytes over as many connections as it takes, and checks the hash.
    async fn complete<S: Stream<Item = Result<B, SourceError>> + Unpin, B: AsRef<[u8]>>(
        &self,
        mut arrived: Arrived,
        open: &impl AsyncFn(u64) -> Result<S, SourceError>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError> {
        self.begin(&arrived, progress)?;
        let mut failures = 0;
        while arrived.length < self.size {
            let before = arrived.length;
            let reason = match self.receive(open, &mut arrived, progress).await {
                Ok(()) => continue,
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            failures = if arrived.length > before { 1 } else { failures + 1 };
            let Some(pause) = reason.pause(failures) else { return Err(reason) };
            let reason = reason.reason();
            if failures >= ATTEMPTS {
                let (file, received) = (self.file.to_owned(), arrived.length);
                return Err(SourceError::BrokenOff { file, attempts: failures, reason, received });
            }
            progress(Transfer::Retrying { reason, pause });
            tokio::time::sleep(pause).await;
        }
        let hash = arrived.finish().map_err(|error| self.unwritable(error))?;
        if self.sha256.is_some_and(|promised| !promised.eq_ignore_ascii_case(&hash)) {
            fs::remove_file(&self.incomplete).map_err(|error| self.unwritable(error))?;
            return Err(SourceError::Corrupt { file: self.file.to_owned() });
        }
        Ok(())
    }

    /// Receives over one connection until the file is complete or the connection fails.
    async fn receive<S: Stream<Item = Result<B, SourceError>> + Unpin, B: AsRef<[u8]>>(
        &self,
        open: &impl AsyncFn(u64) -> Result<S, SourceError>,
        arrived: &mut Arrived,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError> {
        let stalled = |_| SourceError::Network { reason: format!("nothing came for {} seconds", STALL.as_secs()) };
        let mut stream = tokio::time::timeout(STALL, open(arrived.length)).await.map_err(stalled)??;
        while let Some(piece) = tokio::time::timeout(STALL, stream.next()).await.map_err(stalled)? {
            let piece = piece?;
            let piece = piece.as_ref();
            if arrived.length + piece.len() as u64 > self.size {
                // A server that does not support ranges sends the file from its start.
                *arrived = Arrived::empty(&self.incomplete).map_err(|error| self.unwritable(error))?;
                self.begin(arrived, progress)?;
                return Err(SourceError::Network { reason: "the server sent more bytes than were asked for".into() });
            }
            arrived.append(piece).map_err(|error| self.unwritable(error))?;
            self.target.extend(arrived.length);
            progress(Transfer::Received(arrived.length));
        }
        if arrived.length < self.size {
            return Err(SourceError::Network { reason: "the connection was closed early".into() });
        }
        Ok(())
    }

    /// Makes the bytes that have arrived readable through the blob.
    fn begin(&self, arrived: &Arrived, progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        self.target.begin(&self.incomplete, arrived.length).map_err(|error| self.unwritable(error))?;
        progress(Transfer::Started { size: self.size, resumed_at: arrived.length });
        Ok(())
    }

    fn unwritable(&self, error: io::Error) -> SourceError {
        SourceError::CacheUnwritable { path: self.incomplete.clone(), error }
    }
}

/// The file with the bytes that have arrived, and their hash.
struct Arrived {
    file: File,
    length: u64,
    hasher: Sha256,
}

impl Arrived {
    fn empty(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, length: 0, hasher: Sha256::new() })
    }

    /// Continues an earlier download, unless it has more than `size` bytes.
    fn resume(path: &Path, size: u64) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() <= size => {}
            Ok(_) => return Self::empty(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::empty(path),
            Err(error) => return Err(error),
        }
        let mut hasher = Sha256::new();
        let mut file = File::options().read(true).append(true).open(path)?;
        let (mut buffer, mut length) = (vec![0; 1 << 20], 0);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(Self { file, length, hasher });
            }
            hasher.update(&buffer[..count]);
            length += count as u64;
        }
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Waits until all bytes are on disk, and returns their hash in hexadecimal digits.
    fn finish(self) -> io::Result<String> {
        self.file.sync_all()?;
        Ok(self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
