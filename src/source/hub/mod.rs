//! A model of the Hugging Face Hub, through hf-hub and the cache that Python shares.

mod cache;
mod client;
mod connection;
mod download;
mod listing;
mod options;
mod retry;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

pub use options::{HubOptions, Token};

use super::{Blob, Model, Source, SourceError, Transfer};
use cache::{RepositoryCache, unwritable};
use connection::Connection;
use download::Download;

/// The branch that a model is read at where no revision is named.
const DEFAULT_REVISION: &str = "main";

/// Whether `name` has the form of a Hub id: `org/name`, or `name` for the oldest models.
pub fn is_id(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && !part.starts_with(['.', '-'])
            && !part.ends_with(['.', '-'])
            && !part.contains("..")
            && !part.contains("--")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(part)
}

/// A model of the Hub at one commit.
pub struct Hub<'a> {
    model: Model,
    commit: String,
    cache: RepositoryCache,
    options: HubOptions,
    /// Name -> size of every file of the commit, or of those in the cache when offline, where what a link leads to may be
    /// missing.
    files: BTreeMap<String, u64>,
    /// How to reach it; `None` when offline.
    connection: Option<Connection<'a>>,
}

impl<'a> Hub<'a> {
    /// Looks up the commit that `revision` (or the main branch) stands for and the files it has. If the Hub cannot be
    /// reached, the cache answers, and `news` hears of it, as of every pause that the Hub asks for from then on.
    ///
    /// # Errors
    ///
    /// Fails if there is no such model or revision, or no access to it, or neither network nor cache.
    pub fn open(
        id: &str,
        revision: Option<&str>,
        options: &HubOptions,
        news: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, SourceError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        if revision.is_empty() || revision.starts_with('/') || revision.split('/').any(|part| part == "..") {
            return Err(SourceError::BadRevision(revision.to_owned()));
        }
        let cache = RepositoryCache::new(&options.cache, id);
        if options.offline {
            return Self::open_cached(id, revision, cache, options);
        }
        let connection = Connection::new(id, options, news)?;
        let commit = match connection.commit(revision) {
            Ok(commit) => commit,
            Err(error) if error.is_unreachable() && cache.commit(revision).is_some() => {
                news(format!("the Hub cannot be reached ({}); reading '{id}' from the cache", error.reason()));
                return Self::open_cached(id, revision, cache, options);
            }
            Err(SourceError::Network { reason }) => {
                return Err(SourceError::Unreachable { id: id.to_owned(), reason });
            }
            Err(error) => return Err(error),
        };
        let files = connection.files(&commit)?;
        cache.remember(revision, &commit).map_err(unwritable(&options.cache))?;
        Ok(Self {
            model: model(id, &commit),
            commit,
            cache,
            options: options.clone(),
            files,
            connection: Some(connection),
        })
    }

    fn open_cached(
        id: &str,
        revision: &str,
        cache: RepositoryCache,
        options: &HubOptions,
    ) -> Result<Self, SourceError> {
        let commit = cache.commit(revision).filter(|commit| cache.snapshot(commit).is_dir());
        let Some(commit) = commit else {
            return Err(SourceError::NotCached { what: id.to_owned(), cache: options.cache.clone() });
        };
        // A file whose link leads to nothing belongs to the model all the same: who needs it hears that it is not there.
        let files = cache.files(&commit).into_iter().map(|(file, length)| (file, length.unwrap_or(0)));
        Ok(Self {
            model: model(id, &commit),
            files: files.collect(),
            commit,
            cache,
            options: options.clone(),
            connection: None,
        })
    }

    /// The connection, or why `file` cannot be had without one.
    fn connected(&self, file: &str) -> Result<&Connection<'a>, SourceError> {
        self.connection.as_ref().ok_or_else(|| SourceError::NotCached {
            what: format!("{}/{file}", self.model.spelling),
            cache: self.options.cache.clone(),
        })
    }

    fn known_size(&self, file: &str) -> Result<u64, SourceError> {
        self.size(file).ok_or_else(|| match self.connection {
            Some(_) => SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() },
            None => SourceError::NotCached {
                what: format!("{}/{file}", self.model.spelling),
                cache: self.options.cache.clone(),
            },
        })
    }
}

impl Source for Hub<'_> {
    fn model(&self) -> &Model {
        &self.model
    }

    fn single_file(&self) -> Option<&str> {
        None
    }

    fn files(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn size(&self, file: &str) -> Option<u64> {
        self.files.get(file).copied()
    }

    fn path(&self, file: &str) -> Option<PathBuf> {
        let is_there = self.size(file).is_some_and(|size| self.cache.holds(&self.commit, file, size));
        is_there.then(|| self.cache.snapshot(&self.commit).join(file))
    }

    fn cached(&self, file: &str) -> Option<PathBuf> {
        // The Hub tells how long a file should be. Without it the blob is what to doubt, not the link to it.
        let is_offline = self.connection.is_none();
        is_offline.then(|| self.cache.snapshot(&self.commit).join(file).canonicalize().ok()).flatten()
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let range = range.start..range.end.min(self.known_size(file)?);
        if let Some(path) = self.path(file) {
            let bytes = self.blob(file)?.read(range).map(Cow::into_owned);
            return bytes.map_err(|error| SourceError::Unreadable { path, error });
        }
        let bytes = self.connected(file)?.read(&self.commit, file, range.clone())?;
        if bytes.len() as u64 != range.end.saturating_sub(range.start) {
            let reason = format!("{} bytes came where {} were asked for", bytes.len(), range.end - range.start);
            return Err(SourceError::Protocol { what: file.to_owned(), reason });
        }
        Ok(bytes)
    }

    fn identity(&self, file: &str) -> Result<String, SourceError> {
        // The name of what is not there is no promise: the Hub may store the file under another by now.
        if let Some(etag) = self.cache.etag(&self.commit, file).filter(|_| self.path(file).is_some()) {
            return Ok(etag);
        }
        match &self.connection {
            Some(connection) => Ok(connection.look_up(&self.commit, file)?.etag),
            None => Ok(format!("{}/{file}", self.commit)),
        }
    }

    fn fetch(&self, target: &Blob, progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        let file = target.name();
        let size = self.known_size(file)?;
        if let Some(path) = self.path(file) {
            return target.complete(&path);
        }
        let connection = self.connected(file)?;
        let remote = connection.look_up(&self.commit, file)?;
        let (etag, stored) = (&*remote.etag, self.cache.blob(&remote.etag));
        let _lock = self.cache.lock(etag, || progress(Transfer::Waiting))?;
        // Another process may have brought it in the meantime.
        if !self.cache.holds_blob(etag, size) {
            let incomplete = self.cache.incomplete(etag);
            let is_sha256 = etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
            let sha256 = is_sha256.then_some(etag);
            let download = Download { target, size, sha256, incomplete: incomplete.clone() };
            connection.download(&self.commit, &remote, &download, progress)?;
            fs::rename(&incomplete, &stored).map_err(unwritable(&stored))?;
        }
        let path = self.cache.link(&self.commit, file, etag, size);
        target.complete(&path.map_err(unwritable(&self.cache.snapshot(&self.commit).join(file)))?)
    }
}

/// What the model of this id is called.
fn model(id: &str, commit: &str) -> Model {
    let name = id.rsplit('/').next().unwrap_or(id).to_owned();
    Model { spelling: id.to_owned(), name, origin: id.to_owned(), commit: Some(commit.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn hub_ids_are_told_from_paths() {
        for id in ["gpt2", "mistralai/Mistral-7B-v0.1", "a_b/c.d-e"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["", "/", "a/", "/a", "./a", "../a", "a/b/c", "a b/c", "a/..", "~/a", "a\\b", "a/b--c", "org/é"] {
            assert!(!is_id(path), "{path}");
        }
    }
}
