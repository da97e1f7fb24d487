//! The Hugging Face cache, as Python's `huggingface_hub` lays it out and shares it:
//!
//! ```text
//! models--org--name/refs/main                        a commit
//! models--org--name/blobs/<etag>                     a file's content, named by its hash
//! models--org--name/blobs/<etag>.incomplete          what has arrived of one
//! models--org--name/snapshots/<commit>/<file>        a link to a blob
//! .locks/models--org--name/<etag>.lock               held while a blob is written
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::source::SourceError;

/// One model's part of the cache.
#[derive(Debug)]
pub struct RepositoryCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    /// The part of the cache in `folder` that belongs to the model `id`.
    pub fn new(folder: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { root: folder.join(&name), locks: folder.join(".locks").join(name) }
    }

    /// The commit that `revision` stood for when it was last looked up; a commit stands for itself.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers the commit that `revision` stands for.
    pub fn remember(&self, revision: &str, commit: &str) -> io::Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        // Whoever reads it meanwhile finds the old commit or the new one, whole.
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(commit.as_bytes())?;
        file.persist(path).map(drop).map_err(|failure| failure.error)
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The files of a commit that the cache lists, relative to [`RepositoryCache::snapshot`], with their lengths; `None`
    /// for a link that leads to nothing.
    pub fn files(&self, commit: &str) -> Vec<(String, Option<u64>)> {
        let snapshot = self.snapshot(commit);
        let mut folders = vec![snapshot.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let length = match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => {
                        folders.push(path);
                        continue;
                    }
                    Ok(metadata) if metadata.is_file() => Some(metadata.len()),
                    Ok(_) => continue,
                    Err(_) => None,
                };
                if let Some(relative) = path.strip_prefix(&snapshot).ok().and_then(Path::to_str) {
                    files.push((relative.replace(std::path::MAIN_SEPARATOR, "/"), length));
                }
            }
        }
        files.sort_unstable();
        files
    }

    /// Whether a commit's file is there: a link that leads to nothing is not, nor what another program has cut short.
    pub fn holds(&self, commit: &str, file: &str, size: u64) -> bool {
        is_file_of(&self.snapshot(commit).join(file), size)
    }

    /// Whether the content with this hash is there, as far as its length tells.
    pub fn holds_blob(&self, etag: &str, size: u64) -> bool {
        is_file_of(&self.blob(etag), size)
    }

    /// The hash under which a commit's file is stored, where the cache is one of links.
    pub fn etag(&self, commit: &str, file: &str) -> Option<String> {
        let target = fs::read_link(self.snapshot(commit).join(file)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Where the content with this hash lies.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Where the content with this hash arrives.
    pub fn incomplete(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Takes the lock under which a blob is written; `waiting` is called if another process holds it. The lock is
    /// released when the file is dropped.
    pub fn lock(&self, etag: &str, waiting: impl FnOnce()) -> Result<File, SourceError> {
        for folder in [&self.locks, &self.root.join("blobs")] {
            fs::create_dir_all(folder).map_err(unwritable(folder))?;
        }
        let path = self.locks.join(format!("{etag}.lock"));
        // A lock that another user has made may be readable only, which is enough to take it.
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path).map_err(|_| error),
            other => other,
        };
        let file = file.map_err(unwritable(&path))?;
        match file.try_lock() {
            // Some network file systems have no locks; the cache does without.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(unwritable(&path))?;
            }
        }
        Ok(file)
    }

    /// Makes the blob with hash `etag`, which has `size` bytes, the content of a commit's file.
    pub fn link(&self, commit: &str, file: &str, etag: &str, size: u64) -> io::Result<PathBuf> {
        let pointer = self.snapshot(commit).join(file);
        if let Some(folder) = pointer.parent() {
            fs::create_dir_all(folder)?;
        }
        if self.holds(commit, file, size) {
            return Ok(pointer);
        }
        #[cfg(unix)]
        {
            // snapshots/<commit>/ and each folder in the file's name lie between the link and blobs/.
            let mut target = PathBuf::from("../..");
            target.extend(file.split('/').skip(1).map(|_| ".."));
            let target = target.join("blobs").join(etag);
            match fs::remove_file(&pointer) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(target, &pointer)?,
            }
        }
        #[cfg(not(unix))]
        fs::copy(self.blob(etag), &pointer)?;
        Ok(pointer)
    }
}

/// Whether there is a file of `size` bytes at `path`.
fn is_file_of(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// That `path` in the cache cannot be written.
pub fn unwritable(path: &Path) -> impl Fn(io::Error) -> SourceError {
    move |error| SourceError::CacheUnwritable { path: path.to_owned(), error }
}

/// Whether `revision` is a full commit hash.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_file_reads_as_its_blob_at_any_depth() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = RepositoryCache::new(folder.path(), "org/name");
        let commit = "0123456789012345678901234567890123456789";
        drop(cache.lock("abc", || panic!("nobody else holds it")).expect("locked"));
        fs::write(cache.blob("abc"), b"content").expect("written");
        for file in ["model.safetensors", "sub/folder/model.safetensors"] {
            let pointer = cache.link(commit, file, "abc", 7).expect("linked");
            assert_eq!(fs::read(&pointer).expect("readable"), b"content");
            #[cfg(unix)]
            assert_eq!(cache.etag(commit, file).as_deref(), Some("abc"));
        }
        let names = ["model.safetensors", "sub/folder/model.safetensors"];
        assert_eq!(cache.files(commit), names.map(|name| (name.to_owned(), Some(7))));
        assert!(folder.path().join("models--org--name/snapshots").join(commit).is_dir());
    }

    #[test]
    fn a_revision_is_remembered() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = RepositoryCache::new(folder.path(), "org/name");
        let commit = "0123456789012345678901234567890123456789";
        assert_eq!(cache.commit("refs/pr/1"), None);
        cache.remember("refs/pr/1", commit).expect("written");
        assert_eq!(cache.commit("refs/pr/1").as_deref(), Some(commit));
        assert_eq!(cache.commit(commit).as_deref(), Some(commit));
    }
}
