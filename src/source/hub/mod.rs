//! A model of the Hugging Face Hub, through hf-hub and the cache that Python shares.

mod cache;
mod connection;
mod download;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::{Model, Source, SourceError, Transfer};
use cache::RepositoryCache;
use connection::Connection;
use download::Download;

/// The branch that a model is read at where no revision is named.
const DEFAULT_REVISION: &str = "main";

/// How the Hub is reached. The library reads no environment variables: whoever calls it does. But hf-hub looks for a
/// token as Python does, where none is given here.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The Hub's address, without a slash at the end.
    pub endpoint: String,
    /// The access token.
    pub token: Option<String>,
    /// The cache's folder, which holds `models--org--name`.
    pub cache: PathBuf,
    /// Whether nothing may be asked of the network.
    pub offline: bool,
}

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
pub struct Hub {
    model: Model,
    commit: String,
    cache: RepositoryCache,
    options: HubOptions,
    /// Name -> size of every file of the commit, or of those in the cache when offline.
    files: BTreeMap<String, u64>,
    /// How to reach it; `None` when offline.
    connection: Option<Connection>,
}

impl Hub {
    /// Looks up the commit that `revision` (or the main branch) stands for and the files it has. If the Hub cannot be
    /// reached, the cache answers, and `news` hears of it.
    ///
    /// # Errors
    ///
    /// Fails if there is no such model or revision, or no access to it, or neither network nor cache.
    pub fn open(
        id: &str,
        revision: Option<&str>,
        options: &HubOptions,
        news: &dyn Fn(String),
    ) -> Result<Self, SourceError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        if revision.is_empty() || revision.starts_with('/') || revision.split('/').any(|part| part == "..") {
            return Err(SourceError::BadRevision(revision.to_owned()));
        }
        let cache = RepositoryCache::new(&options.cache, id);
        if options.offline {
            return Self::open_cached(id, revision, cache, options);
        }
        let connection = Connection::new(id, options)?;
        let commit = match connection.commit(revision) {
            Ok(commit) => commit,
            Err(SourceError::Network { reason }) if cache.commit(revision).is_some() => {
                news(format!("the Hub cannot be reached ({reason}); reading '{id}' from the cache"));
                return Self::open_cached(id, revision, cache, options);
            }
            Err(error) => return Err(error),
        };
        let files = connection.files(&commit)?;
        let unwritable = |error| SourceError::CacheUnwritable { path: options.cache.clone(), error };
        cache.remember(revision, &commit).map_err(unwritable)?;
        Ok(Self {
            model: Model { spelling: id.to_owned(), name: last_part(id), commit: Some(commit.clone()) },
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
        let size = |file: &String| fs::metadata(cache.snapshot(&commit).join(file)).map(|metadata| metadata.len());
        let files = cache.files(&commit).into_iter().filter_map(|file| size(&file).ok().map(|size| (file, size)));
        Ok(Self {
            model: Model { spelling: id.to_owned(), name: last_part(id), commit: Some(commit.clone()) },
            files: files.collect(),
            commit,
            cache,
            options: options.clone(),
            connection: None,
        })
    }

    /// The connection, or why `file` cannot be had without one.
    fn connected(&self, file: &str) -> Result<&Connection, SourceError> {
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

impl Source for Hub {
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

    fn is_on_disk(&self, file: &str) -> bool {
        self.cache.snapshot(&self.commit).join(file).is_file()
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let range = range.start..range.end.min(self.known_size(file)?);
        let cached = self.cache.snapshot(&self.commit).join(file);
        if cached.is_file() {
            let unreadable = |error| SourceError::Unreadable { path: cached.clone(), error };
            return super::read_range(&cached, range).map_err(unreadable);
        }
        let bytes = self.connected(file)?.read(&self.commit, file, range.clone())?;
        if bytes.len() as u64 != range.end.saturating_sub(range.start) {
            let reason = format!("{} bytes came where {} were asked for", bytes.len(), range.end - range.start);
            return Err(SourceError::Protocol { what: file.to_owned(), reason });
        }
        Ok(bytes)
    }

    fn identity(&self, file: &str) -> Result<String, SourceError> {
        if let Some(etag) = self.cache.etag(&self.commit, file) {
            return Ok(etag);
        }
        match &self.connection {
            Some(connection) => connection.etag(&self.commit, file),
            None => Ok(format!("{}/{file}", self.commit)),
        }
    }

    fn fetch(&self, file: &str, progress: &dyn Fn(Transfer)) -> Result<PathBuf, SourceError> {
        let size = self.known_size(file)?;
        if self.is_on_disk(file) {
            return Ok(self.cache.snapshot(&self.commit).join(file));
        }
        let connection = self.connected(file)?;
        let etag = connection.etag(&self.commit, file)?;
        let unwritable = |error| SourceError::CacheUnwritable { path: self.cache.blob(&etag), error };
        let _lock = self.cache.lock(&etag, || progress(Transfer::Waiting)).map_err(unwritable)?;
        // Another process may have brought it in the meantime.
        if !self.cache.blob(&etag).is_file() {
            let incomplete = self.cache.incomplete(&etag);
            let is_sha256 = etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
            let download = Download { file, size, sha256: is_sha256.then_some(&*etag), incomplete: incomplete.clone() };
            connection.download(&self.commit, &download, progress)?;
            fs::rename(&incomplete, self.cache.blob(&etag)).map_err(unwritable)?;
        }
        self.cache.link(&self.commit, file, &etag).map_err(unwritable)
    }
}

/// The last part of a Hub id.
fn last_part(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
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
