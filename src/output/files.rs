//! Writes files as a whole or not at all.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::OutputError;
use super::places::take_places;
use super::temporary::{folder_of, sweep, temporary};

/// Writes files, all or none. Each is first written under a temporary name beside its final path, and when all are on disk
/// they are renamed one after the other. If that fails, the former files are put back. Only if the machine or the process
/// stops between two renames are some files old and some new, each whole. A new file gets the owner and the permissions of
/// the one that it replaces; missing folders are created.
pub fn write_all(files: &[(&Path, &[u8])]) -> Result<(), OutputError> {
    let files: Vec<_> = files.iter().map(|(path, content)| (followed(path.to_path_buf()), content)).collect();
    files.iter().for_each(|(path, _)| sweep(path));
    let mut written = Vec::new();
    for (path, content) in files {
        if path.is_dir() {
            return Err(OutputError::IsFolder(path));
        }
        let replaced = fs::metadata(&path).ok();
        if replaced.as_ref().is_some_and(|replaced| !replaced.is_file()) {
            return Err(OutputError::NotAFile(path));
        }
        let temporary = beside(&path, content, replaced.as_ref())?;
        written.push((path, temporary));
    }
    take_places(written)
}

/// Copies `path` to `kept` and then replaces its content with `text`, both or neither; owner and permissions stay the same.
/// A file or link at `kept` is replaced; the link's target is not touched.
pub fn replace_keeping(path: &Path, kept: &Path, text: &[u8]) -> Result<(), OutputError> {
    let path = followed(path.to_path_buf());
    [&path, kept].into_iter().for_each(sweep);
    let unreadable = |error| OutputError::Unwritable { path: path.clone(), error };
    let old = fs::read(&path).map_err(unreadable)?;
    let replaced = fs::metadata(&path).map_err(unreadable)?;
    let old = (kept.to_owned(), beside(kept, &old, Some(&replaced))?);
    let new = beside(&path, text, Some(&replaced))?;
    take_places(vec![old, (path, new)])
}

/// A temporary file with this content beside `path`, synced to disk. It gets the owner and the permissions of the `replaced`
/// file before there is anything to read in it.
fn beside(path: &Path, content: &[u8], replaced: Option<&Metadata>) -> Result<NamedTempFile, OutputError> {
    let write = || {
        fs::create_dir_all(folder_of(path))?;
        let mut file = temporary(folder_of(path))?;
        if let Some(replaced) = replaced {
            copy_owner_and_permissions(file.as_file(), replaced)?;
        }
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| OutputError::Unwritable { path: path.to_owned(), error })
}

/// Gives a new file the owner, the group and the permissions of the one that it replaces. Only root can change the owner; for
/// other users the file becomes theirs, as with any editor. If the group cannot be set, because the user is not in it, the
/// new group gets no permissions, and everybody else at most those that both the former group and everybody else had.
#[cfg(unix)]
fn copy_owner_and_permissions(file: &File, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    // The setuid and setgid bits are not kept, as the new content may come from another user.
    let mode = replaced.mode() & 0o777;
    let group = Some(replaced.gid());
    let has_group = fchown(file, Some(replaced.uid()), group).or_else(|_| fchown(file, None, group)).is_ok();
    let others = mode & (mode >> 3) & 0o007;
    file.set_permissions(Permissions::from_mode(if has_group { mode } else { mode & 0o700 | others }))
}

#[cfg(not(unix))]
fn copy_owner_and_permissions(file: &File, replaced: &Metadata) -> io::Result<()> {
    file.set_permissions(replaced.permissions())
}

/// The path of a file that is named after another one, without its `.json`, and lies beside it, not beside a link to it.
pub fn beside_of(path: &Path, ending: &str) -> PathBuf {
    let path = &followed(path.to_owned());
    let mut name = if path.extension() == Some("json".as_ref()) { path.with_extension("") } else { path.to_owned() };
    name.as_mut_os_string().push(ending);
    name
}

/// The target if `path` is a symbolic link, so that writing does not replace the link; any other path unchanged.
pub fn followed(path: PathBuf) -> PathBuf {
    if path.is_symlink() { path.canonicalize().unwrap_or(path) } else { path }
}
