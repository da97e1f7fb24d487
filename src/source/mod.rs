//! A model's name -> files that can be read by range.
//!
//! A [`Source`] is a folder or a file here ([`local`]) or a repository of the Hugging Face Hub ([`hub`]). It answers what
//! files there are, gives a range of bytes of one without fetching the rest, and fills a [`Blob`] with a whole one. Files of a
//! form that is not read are told by their names (`form.rs`).

mod blob;
mod error;
mod form;
pub mod hub;
pub mod local;
mod name;
mod nearest;
mod stamp;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use blob::{Blob, Reader};
pub use error::SourceError;
pub use form::Form;
pub(crate) use form::is_training_state;
pub use hub::{HubOptions, Token};
pub use stamp::Stamp;

/// Where a model's files come from.
pub trait Source: Sync {
    /// What the model is called.
    fn model(&self) -> &Model;

    /// The one file that was asked for, weights or an index of weights, where that was a file and not a whole model.
    fn single_file(&self) -> Option<&str>;

    /// The names of all files, relative to the model's folder, with `/` between folders.
    fn files(&self) -> Vec<String>;

    /// The links among the model's files that lead to nothing, which are no files.
    fn broken_links(&self) -> Vec<BrokenLink> {
        Vec::new()
    }

    /// The size of `file` in bytes; `None` if there is no such file.
    fn size(&self, file: &str) -> Option<u64>;

    /// Where `file` lies, if it is on this machine.
    fn path(&self, file: &str) -> Option<PathBuf>;

    /// The file on disk that stands for `file` and would be downloaded anew if it were deleted, where nothing else can
    /// tell whether it is whole: a file of the Hub's cache that is read offline.
    fn cached(&self, file: &str) -> Option<PathBuf>;

    /// The bytes `range` of `file`, or as many of them as there are.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or cannot be read.
    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError>;

    /// A string that changes when the content of `file` does.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or cannot be looked up.
    fn identity(&self, file: &str) -> Result<String, SourceError>;

    /// Fills `blob` with the file of its name, which is whole afterwards and was held against its hash where that is known;
    /// `progress` hears of a download.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing, or if a download fails for good. What has arrived by then is kept.
    fn fetch(&self, blob: &Blob, progress: &dyn Fn(Transfer)) -> Result<(), SourceError>;

    /// The whole of `file`.
    ///
    /// # Errors
    ///
    /// Fails as [`Source::fetch`] does.
    fn blob(&self, file: &str) -> Result<Blob, SourceError> {
        let blob = Blob::new(file);
        self.fetch(&blob, &|_| {})?;
        Ok(blob)
    }
}

/// What a model is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// As the user spells it.
    pub spelling: String,
    /// The last part of its name, with what is before it where that tells nothing by itself. The names of output files are
    /// made of it.
    pub name: String,
    /// Which model it is, whatever its weights are at the time: its Hub id, or the absolute path of its folder or file.
    pub origin: String,
    /// The commit that every file is read at, for a model of the Hub.
    pub commit: Option<String>,
}

/// A link that leads to nothing, such as remains of a folder in the Hub's cache that is copied without what it links to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLink {
    /// Its name, relative to the model's folder.
    pub file: String,
    /// What it should lead to, as the link says.
    pub target: PathBuf,
}

/// News of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Another process is downloading the same file; this one waits for it.
    Waiting,
    /// Bytes begin to come. Where it is said again, what came before was wrong and has been discarded.
    Started {
        /// The file's size.
        size: u64,
        /// Bytes that an earlier download had brought, and that can be read.
        resumed_at: u64,
    },
    /// So many bytes of the file are on disk, and can be read.
    Received(u64),
    /// The connection failed; the download goes on after a pause.
    Retrying {
        /// What happened.
        reason: String,
        /// The pause.
        pause: Duration,
    },
}

/// Opens `model`, a path or a Hub id; a path that exists wins.
///
/// `news` hears of what a person should know, in whole sentences, for as long as the source is read from.
///
/// # Errors
///
/// [`SourceError`] says why there is no such model.
pub fn open<'a>(
    model: &str,
    revision: Option<&str>,
    options: &HubOptions,
    news: &'a (dyn Fn(String) + Sync),
) -> Result<Box<dyn Source + 'a>, SourceError> {
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
    match hub::Hub::open(model, revision, options, news) {
        Ok(hub) => Ok(Box::new(hub)),
        Err(SourceError::NoSuchModel { id, had_token, .. }) => {
            Err(SourceError::NoSuchModel { id, had_token, nearest: nearest::nearest(path) })
        }
        Err(error) => Err(error),
    }
}
