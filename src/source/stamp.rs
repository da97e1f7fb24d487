//! Detects that a file has changed without reading it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An upper bound for the resolution of a local file system's timestamps: the tick of a slow kernel lasts 10 ms.
const TICK: Duration = Duration::from_millis(20);

/// A file's size and modification time, and on Unix its inode and the time of the last metadata change (ctime). Nobody can
/// set the ctime back, and every `write` and `truncate` updates it before it changes a byte.
///
/// Equal stamps do not prove that a file is unchanged:
///
/// - Two changes within one tick of the file system's clock look like one. [`Stamp::wait_until_settled`] rules that out if
///   the clock is this machine's; on a network or FAT file system a tick may take seconds.
/// - A long `write` updates the time only when it begins. A stamp taken during the write does not show the rest of it,
///   unless the file grows.
/// - A write through a memory mapping updates the time when it first touches a page after that was last written back, and
///   not again until the page is written back once more.
/// - A network file system may answer from a cache that is a few seconds old.
///
/// So stamps are compared whenever bytes were used, and once more at the end, when late updates have mostly arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Duration,
    #[cfg(unix)]
    inode: u64,
    /// Seconds and nanoseconds.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path`; symbolic links are followed.
    pub fn of(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        let metadata = fs::metadata(path)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            size: metadata.len(),
            modified: modified.unwrap_or_default(),
            #[cfg(unix)]
            inode: metadata.ino(),
            #[cfg(unix)]
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Waits until every later change of the file is sure to change its stamp.
    pub fn wait_until_settled(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A file with a time in the future was stamped by another clock.
        if let Some(rest) = now.checked_sub(self.last_change()).and_then(|age| TICK.checked_sub(age)) {
            thread::sleep(rest);
        }
    }

    #[cfg(unix)]
    fn last_change(&self) -> Duration {
        let (seconds, nanoseconds) = self.changed;
        Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0))
    }

    #[cfg(not(unix))]
    fn last_change(&self) -> Duration {
        self.modified
    }
}

/// The time of modification in the identity of a local file, which ends in a stamp. Copies of a file may have it in common.
pub fn modified(identity: &str) -> Option<&str> {
    // After the time, Unix has an inode and the time of the last metadata change.
    identity.rsplit('|').nth(if cfg!(unix) { 2 } else { 0 })
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.size, self.modified.as_nanos())?;
        #[cfg(unix)]
        write!(f, "|{}|{}.{}", self.inode, self.changed.0, self.changed.1)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_done_to_a_settled_file_gives_it_another_stamp() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&path, b"one").expect("written");
        let stamp = || Stamp::of(&path).expect("known");
        let write = || fs::write(&path, b"two").expect("written");
        let shorten = || fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(1)).expect("cut");
        let replace = || {
            fs::write(&other, b"s").expect("written");
            fs::rename(&other, &path).expect("renamed");
        };
        // As `touch -r` hides a change.
        let set_back = || {
            let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("known");
            fs::write(&path, b"t").expect("written");
            file.set_modified(modified).expect("set");
        };
        let ways: &[&dyn Fn()] =
            if cfg!(unix) { &[&write, &shorten, &replace, &set_back] } else { &[&write, &shorten] };
        for (at, change) in ways.iter().enumerate() {
            let before = stamp();
            before.wait_until_settled();
            assert_eq!(before, stamp());
            change();
            assert_ne!(before, stamp(), "{at}");
        }
        fs::remove_file(&path).expect("removed");
        assert!(Stamp::of(&path).is_err());
    }
}
