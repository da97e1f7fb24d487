//! Temporary files beside the final ones.
//!
//! Each is locked while its process lives, so that the next process that writes to the same folder can recognise and remove
//! what a killed one has left.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use sysinfo::System;
use tempfile::{Builder, NamedTempFile, TempPath};

use super::text::sha256;

/// Names consist of the prefix, the machine, a hyphen, random letters and the suffix.
const PREFIX: &str = ".laser_scan_";
const SUFFIX: &str = ".tmp";

/// If locks do not work, a file of this age counts as left behind. Writing one takes seconds.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Identifies this machine, since locks on a network file system may be visible only to the machine that holds them.
static MACHINE: LazyLock<String> =
    LazyLock::new(|| sha256(System::host_name().unwrap_or_default().as_bytes())[..8].to_owned());

/// The former file at a path, kept under a temporary name.
#[derive(Debug)]
pub struct Former {
    path: TempPath,
    /// Shows other processes that the file is still needed.
    _lock: Option<File>,
}

impl Former {
    /// Keeps what `path` holds now, as a hard link or, if the file system has none, as a copy. `None` if there is nothing or a
    /// folder, which no file can replace.
    pub fn of(path: &Path, folder: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let link = |place: &Path| match fs::hard_link(path, place) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                fs::copy(path, place).map(drop)
            }
            linked => linked,
        };
        let (_, kept) = named(|builder| builder.make_in(folder, link))?.into_parts();
        let lock = kept.is_file().then(|| File::open(&kept).ok()).flatten();
        // The lock is shared because another process may keep the same file.
        let lock = lock.filter(|file| file.try_lock_shared().is_ok());
        Ok(Some(Self { path: kept, _lock: lock }))
    }

    pub fn put_back(self, path: &Path) -> Result<(), Self> {
        let Self { path: kept, _lock } = self;
        kept.persist(path).map_err(|error| Self { path: error.path, _lock })
    }

    /// Leaves the file for the user under a name that [`sweep`] does not remove, and returns that name.
    pub fn leave(self) -> Option<PathBuf> {
        let kept = self.path.keep().ok()?;
        let lasting = kept.with_extension("kept");
        Some(fs::rename(&kept, &lasting).map_or(kept, |()| lasting))
    }
}

/// Creates a locked temporary file in `folder`, with the permissions of the user's umask.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = named(|builder| {
            // By default temporary files are private, but these become output.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            builder.tempfile_in(folder)
        })?;
        let is_seized = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        // Before it was locked, another process may have taken it for a leftover and removed it.
        if !is_seized && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the temporary files beside `path` that killed processes have left.
pub fn sweep(path: &Path) {
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let middle = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        let Some(middle) = middle.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else { continue };
        let is_own_machine = middle.split_once('-').is_none_or(|(machine, _)| machine == MACHINE.as_str());
        if is_left_behind(&entry.path(), is_own_machine) {
            // A leftover that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether no process needs a temporary file any more. For processes on this machine the lock tells.
fn is_left_behind(path: &Path, is_own_machine: bool) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match file.try_lock() {
        Ok(()) if is_own_machine => true,
        Err(TryLockError::WouldBlock) => false,
        // The file system has no locks, or shows only those of this machine.
        _ => file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= ABANDONED)),
    }
}

/// Calls `make` with a builder of temporary names.
fn named<T>(make: impl FnOnce(&mut Builder<'_, '_>) -> io::Result<T>) -> io::Result<T> {
    let prefix = format!("{PREFIX}{}-", *MACHINE);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // The error would name the temporary file; its kind is enough.
    make(&mut builder).map_err(|error| error.kind().into())
}

/// The parent folder of `path`; `.` if the path has none.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_what_no_process_needs_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).expect("created");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("set");
        };
        let here = format!(".laser_scan_{}-left00.tmp", *MACHINE);
        for name in [here.as_str(), ".laser_scan_older0.tmp", "laser_scan_m.json", ".laser_scan_m.json", "other.tmp"] {
            write(name, 0);
        }
        write(".laser_scan_01234567-recent.tmp", 60);
        write(".laser_scan_01234567-daysold.tmp", 2 * 24 * 60 * 60);
        fs::create_dir(folder.path().join(".laser_scan_folder.tmp")).expect("created");
        let written = temporary(folder.path()).expect("created");
        written.as_file().set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let kept = Former::of(&folder.path().join("other.tmp"), folder.path()).expect("kept").expect("a file");
        sweep(&folder.path().join("laser_scan_m.json"));
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .expect("readable")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        left.sort();
        let name = |path: &Path| path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let mut expected = vec![
            ".laser_scan_01234567-recent.tmp".to_owned(),
            ".laser_scan_folder.tmp".into(),
            ".laser_scan_m.json".into(),
            "laser_scan_m.json".into(),
            "other.tmp".into(),
            name(written.path()),
            name(&kept.path),
        ];
        expected.sort();
        assert_eq!(left, expected);
    }
}
