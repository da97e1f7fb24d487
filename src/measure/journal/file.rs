//! The journal's file: a regular file under a single name, which no other process has open.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::JournalError;

/// How often opening is tried while another process creates or removes the file.
const ATTEMPTS: usize = 100;

/// Opens or creates the file at `path` and locks it against other processes. Links are not followed, and nothing is
/// opened for which opening blocks or has an effect, such as pipes and devices.
pub fn open_alone(path: &Path) -> Result<File, JournalError> {
    let unwritable = |error| JournalError::Unwritable { path: path.to_owned(), error };
    for _ in 0..ATTEMPTS {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let is_there = match fs::symlink_metadata(path) {
            Ok(there) => refuse_other_than_file(path, &there).map(|()| true)?,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(unwritable(error)),
        };
        // This fails if somebody else has created the file in the meantime.
        options.create_new(!is_there);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(path) {
            Ok(file) => file,
            // Another process has created or removed the file in the meantime.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) if error.kind() == ErrorKind::NotFound && is_there => continue,
            Err(error) => return Err(unwritable(error)),
        };
        refuse_other_than_file(path, &file.metadata().map_err(unwritable)?)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            // Some network file systems have no locks; the journal then has none either.
            Err(fs::TryLockError::Error(_)) => {}
        }
        // The process that had the lock before may have removed the file.
        if is_at(path, &file) {
            return Ok(file);
        }
    }
    Err(JournalError::InUse(path.to_owned()))
}

/// Fails unless `there` is a regular file under a single name.
fn refuse_other_than_file(path: &Path, there: &Metadata) -> Result<(), JournalError> {
    let what = if there.is_symlink() {
        "a symbolic link"
    } else if there.is_dir() {
        "a folder"
    } else if !there.is_file() {
        "no regular file"
    } else if has_other_names(there) {
        "a file that has other names too"
    } else {
        return Ok(());
    };
    Err(JournalError::NotAFile { path: path.to_owned(), what })
}

#[cfg(unix)]
fn has_other_names(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 1
}

/// Other systems do not tell.
#[cfg(not(unix))]
fn has_other_names(_file: &Metadata) -> bool {
    false
}

/// Whether `file` is still the file at `path`.
#[cfg(unix)]
fn is_at(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let [there, ours] = [fs::symlink_metadata(path), file.metadata()].map(|metadata| metadata.ok().map(place));
    there.is_some() && there == ours
}

/// Other systems do not tell.
#[cfg(not(unix))]
fn is_at(_path: &Path, _file: &File) -> bool {
    true
}

/// Removes the journal `file`, if it is still the file at `path`.
pub fn remove(path: &Path, file: &File) -> io::Result<()> {
    if is_at(path, file) { fs::remove_file(path) } else { Ok(()) }
}

/// Replaces the content of `file` by `lines`, as a whole or not at all.
pub fn replace(path: &Path, file: &File, lines: &[u8]) -> io::Result<()> {
    if !is_at(path, file) {
        return Ok(());
    }
    let new = path.with_added_extension("new");
    // An interruption may have left one.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut kept = OpenOptions::new().write(true).create_new(true).open(&new)?;
    kept.write_all(lines)?;
    kept.sync_all()?;
    fs::rename(new, path)
}
