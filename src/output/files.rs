//! Files that are written whole or not at all.

#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::OutputError;
use super::places::take_places;
use super::temporary::{folder_of, sweep, temporary};

/// Writes files, all or none: each is first written under a temporary name beside its place, and only when all are on disk
/// do they take their places, one after the other. If one is refused its place, those before it are taken back. Only if the
/// machine or the process ends between two of them are some old and some new, each whole. A file that is replaced leaves its
/// owner and its permissions to the new one; missing folders are made.
///
/// # Errors
///
/// Fails if the disk does, such as when it is full; what was there before is then still there.
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

/// Writes `text` in place of what `path` holds, which goes to `kept` first, with the same owner and permissions. Whatever has
/// that name is replaced, and is not written through if it is a link.
///
/// # Errors
///
/// Fails if the disk does, such as when it is full; both files are then what they were.
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

/// A temporary file with this content beside `path`, safe on disk. It belongs to whom the `replaced` file does before there
/// is anything to read.
fn beside(path: &Path, content: &[u8], replaced: Option<&Metadata>) -> Result<NamedTempFile, OutputError> {
    let write = || {
        fs::create_dir_all(folder_of(path))?;
        let mut file = temporary(folder_of(path))?;
        if let Some(replaced) = replaced {
            take_over(file.as_file(), replaced)?;
        }
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| OutputError::Unwritable { path: path.to_owned(), error })
}

/// Gives a new file the owner, the group and the permissions of the one that it is to replace. Whoever is not the owner cannot
/// give a file away, and keeps it as with any editor; whoever is not in the group cannot leave it to the group, whose members
/// then may do nothing with it, and everybody else no more than they could.
#[cfg(unix)]
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    // Bits that let a program run as its owner, or its group, are not for what another has written.
    let mode = replaced.mode() & 0o777;
    let group = Some(replaced.gid());
    let has_group = fchown(file, Some(replaced.uid()), group).or_else(|_| fchown(file, None, group)).is_ok();
    let others = mode & (mode >> 3) & 0o007;
    file.set_permissions(Permissions::from_mode(if has_group { mode } else { mode & 0o700 | others }))
}

/// Gives a new file the permissions of the one that it is to replace.
#[cfg(not(unix))]
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    file.set_permissions(replaced.permissions())
}

/// The file that a link leads to, so that it is written and not the link; any other path as it is.
pub fn followed(path: PathBuf) -> PathBuf {
    if path.is_symlink() { path.canonicalize().unwrap_or(path) } else { path }
}
