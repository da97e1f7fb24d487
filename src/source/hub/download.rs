//! One file's bytes, from a connection that may break into a blob that is whole or absent.
//!
//! Where a body breaks off, hf-hub fails and begins anew at the first byte. Shards have gigabytes: here a download goes
//! on by byte range from what has arrived, now or in an earlier run, and nothing counts as a blob before its length is
//! right, and its hash where that is a SHA-256, as it is for all large files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};

use crate::source::{Blob, SourceError, Transfer};

/// How often in a row a connection may fail without bringing anything.
const ATTEMPTS: u32 = 6;

/// A connection that brings nothing for this long counts as broken.
const STALL: Duration = Duration::from_secs(60);

/// A file that is to arrive.
pub struct Download<'a> {
    /// Where it is read as far as it has come.
    pub target: &'a Blob,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash in hexadecimal digits, where that is known to be a SHA-256.
    pub sha256: Option<&'a str>,
    /// Where its bytes gather; what lies there already is kept.
    pub incomplete: PathBuf,
}

impl Download<'_> {
    /// Brings the file to [`Download::incomplete`] in full. `open(start)` asks for the bytes from `start` on.
    ///
    /// # Errors
    ///
    /// Fails if the disk does, if the connection keeps failing, or if the bytes are not those that the hash promises.
    pub async fn run<S, B>(
        &self,
        open: impl AsyncFn(u64) -> Result<S, SourceError>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError>
    where
        S: Stream<Item = Result<B, SourceError>> + Unpin,
        B: AsRef<[u8]>,
    {
        let arrived = Arrived::resume(&self.incomplete, self.size).map_err(|error| self.unwritable(error))?;
        let resumed = arrived.length > 0;
        match self.complete(arrived, &open, progress).await {
            // What an earlier download, perhaps by another program, has left may be wrong: begin anew, once.
            Err(SourceError::Corrupt { .. }) if resumed => {
                let anew = Arrived::anew(&self.incomplete).map_err(|error| self.unwritable(error))?;
                self.complete(anew, &open, progress).await
            }
            result => result,
        }
    }

    /// Receives what is missing, over as many connections as it takes, and checks the whole.
    async fn complete<S, B>(
        &self,
        mut arrived: Arrived,
        open: &impl AsyncFn(u64) -> Result<S, SourceError>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError>
    where
        S: Stream<Item = Result<B, SourceError>> + Unpin,
        B: AsRef<[u8]>,
    {
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
                let (file, received) = (self.target.name().to_owned(), arrived.length);
                return Err(SourceError::BrokenOff { file, attempts: failures, reason, received });
            }
            progress(Transfer::Retrying { reason, pause });
            tokio::time::sleep(pause).await;
        }
        let hash = arrived.finish().map_err(|error| self.unwritable(error))?;
        if self.sha256.is_some_and(|promised| !promised.eq_ignore_ascii_case(&hash)) {
            fs::remove_file(&self.incomplete).map_err(|error| self.unwritable(error))?;
            return Err(SourceError::Corrupt { file: self.target.name().to_owned() });
        }
        Ok(())
    }

    /// Receives over one connection, until the file is whole or the connection fails.
    async fn receive<S, B>(
        &self,
        open: &impl AsyncFn(u64) -> Result<S, SourceError>,
        arrived: &mut Arrived,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError>
    where
        S: Stream<Item = Result<B, SourceError>> + Unpin,
        B: AsRef<[u8]>,
    {
        let stalled = |_| SourceError::Network { reason: format!("nothing came for {} seconds", STALL.as_secs()) };
        let mut stream = tokio::time::timeout(STALL, open(arrived.length)).await.map_err(stalled)??;
        while let Some(piece) = tokio::time::timeout(STALL, stream.next()).await.map_err(stalled)? {
            let piece = piece?;
            let piece = piece.as_ref();
            if arrived.length + piece.len() as u64 > self.size {
                // A server that ignores the range sends the file from its start.
                *arrived = Arrived::anew(&self.incomplete).map_err(|error| self.unwritable(error))?;
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

    /// Has the file read from what has arrived, and from nothing that was there before.
    fn begin(&self, arrived: &Arrived, progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        self.target.begin(&self.incomplete, arrived.length).map_err(|error| self.unwritable(error))?;
        progress(Transfer::Started { size: self.size, resumed_at: arrived.length });
        Ok(())
    }

    fn unwritable(&self, error: io::Error) -> SourceError {
        SourceError::CacheUnwritable { path: self.incomplete.clone(), error }
    }
}

/// The bytes that are on disk, and their hash so far.
struct Arrived {
    target: File,
    length: u64,
    hasher: Sha256,
}

impl Arrived {
    fn anew(path: &Path) -> io::Result<Self> {
        Ok(Self { target: File::create(path)?, length: 0, hasher: Sha256::new() })
    }

    /// Goes on where an earlier download stopped, if that can be part of a file of `size` bytes.
    fn resume(path: &Path, size: u64) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() <= size => {}
            Ok(_) => return Self::anew(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::anew(path),
            Err(error) => return Err(error),
        }
        let mut hasher = Sha256::new();
        let mut target = File::options().read(true).append(true).open(path)?;
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0;
        loop {
            match target.read(&mut buffer)? {
                0 => return Ok(Self { target, length, hasher }),
                count => {
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                }
            }
        }
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.target.write_all(piece)?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// The hash of all bytes in hexadecimal digits, once they are safe on disk.
    fn finish(self) -> io::Result<String> {
        self.target.sync_all()?;
        Ok(self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
