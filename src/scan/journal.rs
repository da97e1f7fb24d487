//! What is done of a scan that may be interrupted.
//!
//! One JSON line for each measured module, appended as it is done, beside the output. A line is keyed by everything that
//! its numbers depend on, so that a changed file, or another version of the arithmetic, finds nothing in it. A line that
//! an interruption cut short is dropped when the journal is opened again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Measurement;

/// How long a line may be in the system's hands only: after a power cut, at most so much work is lost.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("another laser-scan is writing to '{0}': wait for it, or choose another --output-dir")]
    InUse(PathBuf),
    /// The file system refuses.
    #[error("cannot write '{path}': {error}")]
    Unwritable {
        /// The journal.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// An open journal. While it is open, no other process can open it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    known: HashMap<String, Measurement>,
    target: Mutex<Target>,
}

impl Drop for Journal {
    /// An empty journal is of no use to the next scan.
    fn drop(&mut self) {
        let target = self.target.get_mut().unwrap_or_else(PoisonError::into_inner);
        if target.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[derive(Debug)]
struct Target {
    file: File,
    synced: Instant,
}

#[derive(Serialize, Deserialize)]
struct Line<K, M> {
    key: K,
    measurement: M,
}

impl Journal {
    /// Opens the journal at `path`, which is created if it is not there, and reads what is known; nothing is, if it is
    /// to be `fresh`.
    ///
    /// # Errors
    ///
    /// Fails if another process has it open, or if it cannot be read and written.
    pub fn open(path: &Path, fresh: bool) -> Result<Self, JournalError> {
        let unwritable = |error| JournalError::Unwritable { path: path.to_owned(), error };
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            // Some network file systems have no locks; the journal does without.
            Err(fs::TryLockError::Error(_)) => {}
        }
        let mut known = HashMap::new();
        let mut whole = 0;
        if !fresh {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unwritable)?;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let Ok(parsed) = serde_json::from_slice::<Line<String, Measurement>>(line) else { break };
                if !line.ends_with(b"\n") {
                    break;
                }
                known.insert(parsed.key, parsed.measurement);
                whole += line.len() as u64;
            }
        }
        file.set_len(whole).map_err(unwritable)?;
        file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        let target = Mutex::new(Target { file, synced: Instant::now() });
        Ok(Self { path: path.to_owned(), known, target })
    }

    /// What is known for `key` from before.
    pub fn get(&self, key: &str) -> Option<&Measurement> {
        self.known.get(key)
    }

    /// Notes a measurement.
    ///
    /// # Errors
    ///
    /// Fails if the disk does, such as when it is full.
    pub fn append(&self, key: &str, measurement: &Measurement) -> Result<(), JournalError> {
        let unwritable = |error| JournalError::Unwritable { path: self.path.clone(), error };
        let mut line = serde_json::to_vec(&Line { key, measurement }).map_err(|error| unwritable(error.into()))?;
        line.push(b'\n');
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        target.file.write_all(&line).map_err(unwritable)?;
        if target.synced.elapsed() >= SYNC_INTERVAL {
            target.file.sync_data().map_err(unwritable)?;
            target.synced = Instant::now();
        }
        Ok(())
    }

    /// Ends the journal of a scan that is done: removes it, or, if it holds what another scan may still need, leaves that.
    /// `needed` says so of the keys that were known when it was opened.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be removed.
    pub fn finish(self, needed: impl Fn(&str) -> bool) -> Result<(), JournalError> {
        let kept: Vec<_> = self.known.iter().filter(|(key, _)| needed(key)).collect();
        if !kept.is_empty() {
            let unwritable = |error| JournalError::Unwritable { path: self.path.clone(), error };
            {
                let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
                target.file.set_len(0).and_then(|()| target.file.rewind()).map_err(unwritable)?;
            }
            return kept.into_iter().try_for_each(|(key, measurement)| self.append(key, measurement));
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(JournalError::Unwritable { path: self.path.clone(), error })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snr::Statistic;
    use crate::spectrum::{Method, Processor};

    fn measurement(sigma_max: f64) -> Measurement {
        let statistic = Statistic { sigma_max, ..Statistic::new(&[4.0, 2.0, 1.0 / 3.0], [3, 5]) };
        Measurement { statistic, method: Method::Gram, processor: Processor::Cpu }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let values = [0.1 + 0.2, f64::MIN_POSITIVE, 1e300 / 3.0, 5e-324];
        let journal = Journal::open(&path, false).expect("opens");
        for value in values {
            journal.append(&value.to_string(), &measurement(value)).expect("written");
        }
        drop(journal);
        let journal = Journal::open(&path, false).expect("opens");
        for value in values {
            assert_eq!(journal.get(&value.to_string()), Some(&measurement(value)));
        }
        assert_eq!(journal.get("other"), None);
    }

    #[test]
    fn a_torn_line_is_dropped_and_the_rest_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let journal = Journal::open(&path, false).expect("opens");
        journal.append("a", &measurement(1.0)).expect("written");
        journal.append("b", &measurement(2.0)).expect("written");
        drop(journal);
        let bytes = fs::read(&path).expect("readable");
        for cut in [1, 10, 60] {
            fs::write(&path, &bytes[..bytes.len() - cut]).expect("written");
            let journal = Journal::open(&path, false).expect("opens");
            assert!(journal.get("a").is_some() && journal.get("b").is_none(), "{cut}");
            journal.append("c", &measurement(3.0)).expect("written");
            drop(journal);
            let journal = Journal::open(&path, false).expect("opens");
            assert!(journal.get("a").is_some() && journal.get("c").is_some(), "{cut}");
        }
    }

    #[test]
    fn a_fresh_journal_knows_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        Journal::open(&path, false).expect("opens").append("a", &measurement(1.0)).expect("written");
        assert!(Journal::open(&path, true).expect("opens").get("a").is_none());
        assert!(Journal::open(&path, false).expect("opens").get("a").is_none());
    }

    #[test]
    fn two_scans_cannot_share_a_journal() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let first = Journal::open(&path, false).expect("opens");
        assert!(matches!(Journal::open(&path, false), Err(JournalError::InUse(_))));
        first.finish(|_| false).expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn what_another_scan_needs_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let journal = Journal::open(&path, false).expect("opens");
        for key in ["a", "b", "c"] {
            journal.append(key, &measurement(1.0)).expect("written");
        }
        drop(journal);
        let journal = Journal::open(&path, false).expect("opens");
        journal.append("d", &measurement(2.0)).expect("written");
        journal.finish(|key| key == "b").expect("kept");
        let journal = Journal::open(&path, false).expect("opens");
        let known = ["a", "b", "c", "d"].map(|key| journal.get(key).is_some());
        assert_eq!(known, [false, true, false, false]);
    }
}
