//! A model on the Hugging Face Hub, read through the cache that Python's `huggingface_hub` uses, too.

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

pub use cache::is_commit;
pub use options::{HubOptions, Token};

use super::{Blob, Model, Source, SourceError, Transfer};
use cache::{RepositoryCache, unwritable};
use connection::Connection;
use download::Download;

/// The branch that is read if the user names no revision.
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
    /// The size of every file of the commit; offline, of those that the cache lists, with zero for a link without a target.
    files: BTreeMap<String, u64>,
    /// `None` if the model is read offline.
    connection: Option<Connection<'a>>,
}

impl<'a> Hub<'a> {
    /// Looks up the commit of `revision`, by default of the main branch, and its files. If the Hub cannot be reached, the
    /// cache is used. `notify` is told of that, and later of every pause that the Hub asks for.
    pub fn open(
        id: &str,
        revision: Option<&str>,
        options: &HubOptions,
        notify: &'a (dyn Fn(String) + Sync),
    ) -> Result<Self, SourceError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        if revision.is_empty() || revision.starts_with('/') || revision.split('/').any(|part| part == "..") {
            return Err(SourceError::BadRevision(revision.to_owned()));
        }
        let cache = RepositoryCache::new(&options.cache, id);
        if options.offline {
            return Self::open_cached(id, revision, cache, options);
        }
        let connection = Connection::new(id, options, notify)?;
        let commit = match connection.commit(revision) {
            Ok(commit) => commit,
            Err(error) if error.is_unreachable() && cache.commit(revision).is_some() => {
                notify(format!("the Hub cannot be reached ({}); reading '{id}' from the cache", error.reason()));
                return Self::open_cached(id, revision, cache, options);
            }
            Err(SourceError::Network { reason }) => {
                return Err(SourceError::Unreachable { id: id.to_owned(), reason });
            }
            Err(error) => return Err(error),
        };
        let files = connection.files(&commit)?;
        cache.remember(revision, &commit).map_err(unwritable(&options.cache))?;
        let (model, options) = (model(id, &commit), options.clone());
        Ok(Self { model, commit, cache, options, files, connection: Some(connection) })
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
        // A file whose link has no target belongs to the model, too; reading it fails with an error that says so.
        let files = cache.files(&commit).into_iter().map(|(file, length)| (file, length.unwrap_or(0))).collect();
        let (model, options) = (model(id, &commit), options.clone());
        Ok(Self { model, commit, cache, options, files, connection: None })
    }

    fn connected(&self, file: &str) -> Result<&Connection<'a>, SourceError> {
        self.connection.as_ref().ok_or_else(|| self.not_cached(file))
    }

    fn known_size(&self, file: &str) -> Result<u64, SourceError> {
        self.size(file).ok_or_else(|| match self.connection {
            Some(_) => SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() },
            None => self.not_cached(file),
        })
    }

    fn not_cached(&self, file: &str) -> SourceError {
        let what = format!("{}/{file}", self.model.spelling);
        SourceError::NotCached { what, cache: self.options.cache.clone() }
    }
}

impl Source for Hub<'_> {
    fn model(&self) -> &Model {
        &self.model
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
        // Only the Hub knows how long a file should be. The path is that of the blob, as it is the blob that may be damaged.
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
        // The ETag of a blob that is missing may be outdated.
        if let Some(etag) = self.cache.etag(&self.commit, file).filter(|_| self.path(file).is_some()) {
            return Ok(etag);
        }
        match &self.connection {
            Some(connection) => Ok(connection.look_up(&self.commit, file)?.etag),
            None => Ok(format!("{}/{file}", self.commit)),
        }
    }

    fn fetch(&self, file: &str, target: &Blob, progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
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
            let download = Download { file, target, size, sha256, incomplete: incomplete.clone() };
            connection.download(&self.commit, &remote, &download, progress)?;
            fs::rename(&incomplete, &stored).map_err(unwritable(&stored))?;
        }
        let path = self.cache.link(&self.commit, file, etag, size);
        target.complete(&path.map_err(unwritable(&self.cache.snapshot(&self.commit).join(file)))?)
    }
}

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
