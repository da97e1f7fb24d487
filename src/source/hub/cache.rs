//! The Hugging Face cache, which is shared with Python's `huggingface_hub` and has its layout:
//!
//! ```text
//! models--org--name/refs/main                        the commit of a branch or tag
//! models--org--name/blobs/<etag>                     a file's content, named after its hash
//! models--org--name/blobs/<etag>.incomplete          an unfinished download
//! models--org--name/snapshots/<commit>/<file>        a symbolic link to a blob
//! .locks/models--org--name/<etag>.lock               locked while a blob is written
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::source::SourceError;

/// The part of the cache that belongs to one model.
#[derive(Debug)]
pub struct RepositoryCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    pub fn new(folder: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { root: folder.join(&name), locks: folder.join(".locks").join(name) }
    }

    /// The commit that `revision` referred to when it was last looked up; a commit hash refers to itself.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    pub fn remember(&self, revision: &str, commit: &str) -> io::Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        // It is replaced atomically, so that another process reads either the old or the new commit.
        #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has permissions to set"))]
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(commit.as_bytes())?;
        file.persist(path).map(drop).map_err(|failure| failure.error)
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The cached files of a commit, relative to [`RepositoryCache::snapshot`], with their lengths; `None` for a link
    /// without a target.
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

    /// Whether a commit's file is there with its full `size`.
    pub fn holds(&self, commit: &str, file: &str, size: u64) -> bool {
        is_file_of(&self.snapshot(commit).join(file), size)
    }

    pub fn holds_blob(&self, etag: &str, size: u64) -> bool {
        is_file_of(&self.blob(etag), size)
    }

    /// The hash of a commit's file, if the cache stores it as a link.
    pub fn etag(&self, commit: &str, file: &str) -> Option<String> {
        let target = fs::read_link(self.snapshot(commit).join(file)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    pub fn incomplete(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Locks a blob for writing, until the file is dropped. `waiting` is called if another process holds the lock.
    pub fn lock(&self, etag: &str, waiting: impl FnOnce()) -> Result<File, SourceError> {
        for folder in [&self.locks, &self.root.join("blobs")] {
            fs::create_dir_all(folder).map_err(unwritable(folder))?;
        }
        let path = self.locks.join(format!("{etag}.lock"));
        // Another user's lock file may be read-only, which is enough to lock it.
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path).map_err(|_| error),
            other => other,
        };
        let file = file.map_err(unwritable(&path))?;
        match file.try_lock() {
            // Some network file systems have no locks; the cache then works without.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(unwritable(&path))?;
            }
        }
        Ok(file)
    }

    /// Links a commit's file to the blob with the hash `etag`, which has `size` bytes. Returns the link's path.
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
            // The link's target goes up from each folder in the file's name and from snapshots/<commit>/.
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

fn is_file_of(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

pub fn unwritable(path: &Path) -> impl Fn(io::Error) -> SourceError {
    move |error| SourceError::CacheUnwritable { path: path.to_owned(), error }
}

/// Whether `name` is a full commit hash.
pub fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
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
