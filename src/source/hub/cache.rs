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
use std::io;
use std::path::{Path, PathBuf};

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
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        fs::write(path, commit)
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The files of a commit that are in the cache, relative to [`RepositoryCache::snapshot`].
    pub fn files(&self, commit: &str) -> Vec<String> {
        let snapshot = self.snapshot(commit);
        let mut folders = vec![snapshot.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file()
                    && let Ok(relative) = path.strip_prefix(&snapshot)
                    && let Some(relative) = relative.to_str()
                {
                    files.push(relative.replace(std::path::MAIN_SEPARATOR, "/"));
                }
            }
        }
        files.sort_unstable();
        files
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
    pub fn lock(&self, etag: &str, waiting: impl FnOnce()) -> io::Result<File> {
        fs::create_dir_all(&self.locks)?;
        fs::create_dir_all(self.root.join("blobs"))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            // Some network file systems have no locks; the cache does without.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock()?;
            }
        }
        Ok(file)
    }

    /// Makes the blob with hash `etag` the content of a commit's file.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<PathBuf> {
        let pointer = self.snapshot(commit).join(file);
        if let Some(folder) = pointer.parent() {
            fs::create_dir_all(folder)?;
        }
        if pointer.is_file() {
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
            let pointer = cache.link(commit, file, "abc").expect("linked");
            assert_eq!(fs::read(&pointer).expect("readable"), b"content");
            #[cfg(unix)]
            assert_eq!(cache.etag(commit, file).as_deref(), Some("abc"));
        }
        assert_eq!(cache.files(commit), ["model.safetensors", "sub/folder/model.safetensors"]);
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
