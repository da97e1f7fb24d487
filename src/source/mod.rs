//! Finds a model by its name and reads its files.
//!
//! A [`Source`] is a folder or file on this machine ([`local`]) or a repository of the Hugging Face Hub (`hub`). It lists
//! the files, reads a range of bytes without fetching the rest, and fills a [`Blob`] with a whole file. Weights in a format
//! that laser-scan does not read are recognised by their file names (`form.rs`).

mod blob;
mod error;
mod form;
mod hub;
pub mod local;
mod name;
mod nearest;
mod options;
mod pair;
mod stamp;
#[cfg(feature = "object-stores")]
mod store;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use blob::Reader;
pub use blob::{Blob, Bytes};
pub use error::SourceError;
pub(crate) use form::{Form, is_training_state};
pub use hub::{HubOptions, Token};
pub use options::{SourceOptions, StoreOptions, is_address};
pub use pair::Pair;
use stamp::Stamp;
pub(crate) use stamp::modified;
#[cfg(feature = "object-stores")]
pub use store::Bucket;

/// A place that a model's files are read from.
pub trait Source: Sync {
    fn model(&self) -> &Model;

    /// The file that the user named, weights or an index of weights; `None` if the user named a whole model.
    fn single_file(&self) -> Option<&str> {
        None
    }

    /// The names of all files relative to the model's folder, with `/` between folders.
    fn files(&self) -> Vec<String>;

    /// The model's symbolic links whose targets do not exist. [`Source::files`] does not list them.
    fn broken_links(&self) -> Vec<BrokenLink> {
        Vec::new()
    }

    /// The size of `file` in bytes; `None` if there is no such file.
    fn size(&self, file: &str) -> Option<u64>;

    /// The path of `file` if it is on this machine.
    fn path(&self, file: &str) -> Option<PathBuf>;

    /// The path of `file` in the Hub's cache if it is read offline: then nothing tells whether it is whole, and if the user
    /// deletes it, it will be downloaded again.
    fn cached(&self, _file: &str) -> Option<PathBuf> {
        None
    }

    /// Reads the bytes `range` of `file`, fewer if the file ends before.
    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError>;

    /// A string that changes when the content of `file` does.
    fn identity(&self, file: &str) -> Result<String, SourceError>;

    /// Fills `blob` with `file`, and checks the file's hash if it is downloaded and the hash is known. If the download fails, the
    /// bytes that have arrived are kept for the next attempt.
    fn fetch(&self, file: &str, blob: &Blob, progress: &dyn Fn(Transfer)) -> Result<(), SourceError>;

    /// Reads the whole of a small `file`, at most `limit` bytes of it.
    fn whole(&self, file: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let unreadable =
            |error| SourceError::Unreadable { path: self.path(file).unwrap_or_else(|| file.into()), error };
        Ok(self.blob(file)?.read(0..limit).map_err(unreadable)?.into_owned())
    }

    /// Whether identities are ETags or hashes of the content, which are the same on every machine.
    fn has_etags(&self) -> bool {
        self.model().commit.is_some()
    }

    /// Whether files are not brought to this machine, so that weights are read by byte range.
    fn is_streamed_only(&self) -> bool {
        false
    }

    /// Fetches the whole of `file` without reporting progress.
    fn blob(&self, file: &str) -> Result<Blob, SourceError> {
        let blob = Blob::new(file);
        self.fetch(file, &blob, &|_| {})?;
        Ok(blob)
    }
}

/// The names of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name as the user wrote it.
    pub spelling: String,
    /// A short name for output files: the last part of the path or id, preceded by the names of parent folders if it is
    /// generic, such as `checkpoint-500`.
    pub name: String,
    /// The Hub id, or the absolute path of the folder or file. It stays the same when the weights change.
    pub origin: String,
    /// The commit of a Hub model at which every file is read.
    pub commit: Option<String>,
}

/// A symbolic link whose target does not exist, as in a copy of a cache folder without the files that its links point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLink {
    /// The link's own name, relative to the model's folder.
    pub file: String,
    pub target: PathBuf,
}

/// Progress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Another process is downloading the same file, and this one waits for it.
    Waiting,
    /// The download of a file of `size` bytes begins, after the `resumed_at` bytes that an earlier one left. A second
    /// `Started` for the same file means that the bytes before it were wrong and were discarded.
    Started { size: u64, resumed_at: u64 },
    /// This many bytes of the file are on disk and can be read.
    Received(u64),
    /// The connection failed, and the download continues after a pause.
    Retrying { reason: String, pause: Duration },
}

/// Opens `model`, which is a path or a Hub id; a path that exists takes precedence.
///
/// `notify` receives messages for the user, in whole sentences, as long as the source is in use.
pub fn open<'a>(
    model: &str,
    revision: Option<&str>,
    options: &SourceOptions,
    notify: &'a (dyn Fn(String) + Sync),
) -> Result<Box<dyn Source + 'a>, SourceError> {
    #[cfg(feature = "object-stores")]
    if is_address(model) {
        if revision.is_some() {
            return Err(SourceError::NoRevisions(model.to_owned()));
        }
        return Ok(Box::new(store::Store::open(model, &options.stores, notify)?));
    }
    let path = Path::new(model);
    if path.exists() {
        if revision.is_some() {
            return Err(SourceError::NoRevisions(model.to_owned()));
        }
        return Ok(Box::new(local::Local::open(path)?));
    }
    if let Ok(target) = path.read_link() {
        return Err(SourceError::BrokenLink { path: model.to_owned(), target });
    }
    if !hub::is_id(model) {
        return Err(SourceError::NoSuchPath { spelling: model.to_owned(), nearest: nearest::nearest(path) });
    }
    match hub::Hub::open(model, revision, &options.hub, notify) {
        Ok(hub) => Ok(Box::new(hub)),
        Err(SourceError::NoSuchModel { id, had_token, .. }) => {
            Err(SourceError::NoSuchModel { id, had_token, nearest: nearest::nearest(path) })
        }
        Err(error) => Err(error),
    }
}
