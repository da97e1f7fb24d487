//! What tells a file from its successor without reading it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest time for which a local file system's clock stands still: the tick of a slow kernel is 10 ms long.
const TICK: Duration = Duration::from_millis(20);

/// Size and times of a file, and on Unix its inode and the time of the last change of its metadata, which nobody can set
/// back: every `write` and `truncate` moves it before a byte is changed.
///
/// What two equal stamps cannot tell:
///
/// - Two changes within one tick of the file system's clock look like one. [`Stamp::wait_until_settled`] rules that out where
///   the clock is this machine's; on a network or FAT file system a tick may take seconds.
/// - One `write` of many bytes moves the time when it begins only: of a stamp taken while it is under way, the rest of it is
///   not seen, unless the file grows.
/// - What a process writes through a writable mapping of its own moves the time when it first touches a page since that was
///   last written back, and again only after the next time.
/// - A network file system may answer from what it knew a few seconds ago.
///
/// So a stamp is compared whenever bytes were used, and once more at the end, when late times have mostly come.
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
    /// The stamp of the file that `path` leads to.
    ///
    /// # Errors
    ///
    /// Fails if there is no such file, or if the system does not tell of it.
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

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Waits until whatever changes the file from then on gives it another stamp.
    pub fn wait_until_settled(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A file from the future has a clock of its own.
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
