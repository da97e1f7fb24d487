//! The journal of a scan, from which an interrupted scan is resumed.
//!
//! It is a file beside the output, to which one JSON line is appended for each measured module. The line's key has
//! everything that the numbers depend on, so that nothing is found for a changed file or by another version of the
//! arithmetic. Lines that an interruption has cut short, and those of another version, are dropped when the journal is
//! opened again.
//!
//! Anything else with the journal's name is left alone: only a regular file that begins like a journal is shortened and
//! removed (`file.rs`).

mod file;
mod note;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::Measurement;
use crate::spectrum::ALGORITHM;
use file::{open_alone, remove, replace};
use note::Note;

/// How often lines are forced to the disk. A power cut loses no more work than this.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How many bytes of a file show whether it is a journal.
const FIRST_READ: u64 = 1 << 16;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another laser-scan is writing to '{0}': wait for it")]
    InUse(PathBuf),
    #[error("'{path}', where laser-scan notes what is done, is {what}: move it away, or write the results elsewhere")]
    NotAFile { path: PathBuf, what: &'static str },
    #[error(
        "'{0}', where laser-scan notes what is done, holds something else: move it away, or write the results elsewhere"
    )]
    Foreign(PathBuf),
    #[error("cannot write '{path}': {error}")]
    Unwritable { path: PathBuf, error: io::Error },
}

/// What a measurement depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    pub algorithm: String,
    /// The module's weight, and how it is stored.
    pub weight: String,
    /// The identities of the files that hold it.
    pub files: Vec<String>,
}

/// An open journal. While it is open, no other process can open it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    known: HashMap<Key, Measurement>,
    target: Mutex<Target>,
}

impl Drop for Journal {
    /// Removes an empty journal, which is of no use to the next scan.
    fn drop(&mut self) {
        let target = self.target.get_mut().unwrap_or_else(PoisonError::into_inner);
        if target.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = remove(&self.path, &target.file);
        }
    }
}

#[derive(Debug)]
struct Target {
    file: File,
    synced: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<K, M> {
    key: K,
    measurement: M,
}

impl Journal {
    /// Opens the journal at `path`, which is created if it is missing, and reads it. A `fresh` journal is emptied
    /// instead. Fails if another process has it open, if it cannot be read and written, or if something else is there.
    pub fn open(path: &Path, fresh: bool) -> Result<Self, JournalError> {
        let unwritable = |error| JournalError::Unwritable { path: path.to_owned(), error };
        let mut file = open_alone(path)?;
        let mut bytes = Vec::new();
        // A file that is no journal may be larger than memory.
        for length in [FIRST_READ, u64::MAX] {
            Read::by_ref(&mut file).take(length).read_to_end(&mut bytes).map_err(unwritable)?;
            if !is_journal(&bytes) {
                return Err(JournalError::Foreign(path.to_owned()));
            }
        }
        let (known, whole) = if fresh { Default::default() } else { read(&bytes) };
        file.set_len(whole).map_err(unwritable)?;
        file.seek(SeekFrom::End(0)).map_err(unwritable)?;
        let target = Mutex::new(Target { file, synced: Instant::now() });
        Ok(Self { path: path.to_owned(), known, target })
    }

    /// The measurement for `key` from an earlier scan.
    pub(super) fn get(&self, key: &Key) -> Option<&Measurement> {
        self.known.get(key)
    }

    /// Notes a measurement.
    pub(super) fn append(&self, key: &Key, measurement: &Measurement) -> Result<(), JournalError> {
        let unwritable = |error| JournalError::Unwritable { path: self.path.clone(), error };
        let line = line(key, measurement).map_err(unwritable)?;
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        target.file.write_all(&line).map_err(unwritable)?;
        if target.synced.elapsed() >= SYNC_INTERVAL {
            target.file.sync_data().map_err(unwritable)?;
            target.synced = Instant::now();
        }
        Ok(())
    }

    /// Ends the journal of a finished scan: removes it, or keeps only those of its earlier lines that another scan may
    /// need, as `needed` tells. Fails if the file cannot be removed or replaced.
    pub fn finish(self, needed: impl Fn(&Key) -> bool) -> Result<(), JournalError> {
        let kept = self.known.iter().filter(|(key, _)| needed(key)).map(|(key, measurement)| line(key, measurement));
        let kept: io::Result<Vec<Vec<u8>>> = kept.collect();
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = kept.map(|lines| lines.concat()).and_then(|lines| match &lines[..] {
            [] => remove(&self.path, &target.file),
            lines => replace(&self.path, &target.file, lines),
        });
        finished.map_err(|error| JournalError::Unwritable { path: self.path.clone(), error })
    }
}

fn line(key: &Key, measurement: &Measurement) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { key, measurement: Note::of(measurement) })?;
    line.push(b'\n');
    Ok(line)
}

/// Whether a file with this content is a journal of any version: it begins with a line of a journal, or with the part
/// of a line that an interruption has left.
fn is_journal(bytes: &[u8]) -> bool {
    let first = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let parse = |line: &[u8]| serde_json::from_slice::<Line<IgnoredAny, IgnoredAny>>(line);
    let is_line = match parse(first) {
        Ok(_) => true,
        Err(_) if first.ends_with(b"\n") => false,
        // The parser does not recognise a number that breaks off at its point as incomplete.
        Err(error) => error.is_eof() || parse(&[first, b"0"].concat()).is_err_and(|error| error.is_eof()),
    };
    // The parser would also accept a list of two items as a line.
    bytes.is_empty() || (first.starts_with(b"{") && is_line)
}

/// The measurements in a journal's bytes, and how many of the bytes are whole lines.
fn read(bytes: &[u8]) -> (HashMap<Key, Measurement>, u64) {
    let mut known = HashMap::new();
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Ok(Line { key, measurement }) = serde_json::from_slice::<Line<Key, Note>>(line) else { break };
        let Some(measurement) = measurement.measurement().filter(|_| line.ends_with(b"\n")) else { break };
        if key.algorithm == ALGORITHM {
            known.insert(key, measurement);
        }
        whole += line.len() as u64;
    }
    (known, whole)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spectrum::{Method, Processor, Spectrum};
    use crate::statistic::Statistic;

    fn key(weight: &str) -> Key {
        Key { algorithm: ALGORITHM.to_owned(), weight: weight.to_owned(), files: vec!["file".to_owned()] }
    }

    fn measurement(sigma_max: f64) -> Measurement {
        let values = vec![4.0, 2.0, 1.0 / 3.0];
        let statistic = Statistic { sigma_max, ..Statistic::new(&values, [3, 5]) };
        let spectrum = Spectrum { values, method: Method::Gram, processor: Processor::Cpu, shape: [3, 5] };
        Measurement { statistic: Some(statistic), spectrum, base_norm: None }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let values = [0.1 + 0.2, f64::MIN_POSITIVE, 1e300 / 3.0, 5e-324];
        let journal = Journal::open(&path, false).expect("opens");
        for value in values {
            journal.append(&key(&value.to_string()), &measurement(value)).expect("written");
        }
        drop(journal);
        let journal = Journal::open(&path, false).expect("opens");
        for value in values {
            assert_eq!(journal.get(&key(&value.to_string())), Some(&measurement(value)));
        }
        assert_eq!(journal.get(&key("other")), None);
    }

    #[test]
    fn a_torn_line_is_dropped_and_the_rest_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let journal = Journal::open(&path, false).expect("opens");
        journal.append(&key("a"), &measurement(1.0)).expect("written");
        journal.append(&key("b"), &measurement(2.0)).expect("written");
        drop(journal);
        let bytes = fs::read(&path).expect("readable");
        for cut in [1, 10, 60] {
            fs::write(&path, &bytes[..bytes.len() - cut]).expect("written");
            let journal = Journal::open(&path, false).expect("opens");
            assert!(journal.get(&key("a")).is_some() && journal.get(&key("b")).is_none(), "{cut}");
            journal.append(&key("c"), &measurement(3.0)).expect("written");
            drop(journal);
            let journal = Journal::open(&path, false).expect("opens");
            assert!(journal.get(&key("a")).is_some() && journal.get(&key("c")).is_some(), "{cut}");
        }
    }

    #[test]
    fn a_fresh_journal_knows_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        Journal::open(&path, false).expect("opens").append(&key("a"), &measurement(1.0)).expect("written");
        assert!(Journal::open(&path, true).expect("opens").get(&key("a")).is_none());
        assert!(Journal::open(&path, false).expect("opens").get(&key("a")).is_none());
    }

    #[test]
    fn a_folder_that_is_gone_is_no_other_scan() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let opened = Journal::open(&folder.path().join("gone/journal"), false);
        assert!(matches!(opened, Err(JournalError::Unwritable { .. })), "{opened:?}");
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
        for weight in ["a", "b", "c"] {
            journal.append(&key(weight), &measurement(1.0)).expect("written");
        }
        drop(journal);
        let journal = Journal::open(&path, false).expect("opens");
        journal.append(&key("d"), &measurement(2.0)).expect("written");
        journal.finish(|key| key.weight == "b").expect("kept");
        let journal = Journal::open(&path, false).expect("opens");
        let known = ["a", "b", "c", "d"].map(|weight| journal.get(&key(weight)).is_some());
        assert_eq!(known, [false, true, false, false]);
    }

    #[test]
    fn what_is_no_journal_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        for content in [
            "mine",
            "mine\n",
            "{\n}",
            "{}\n",
            "[1, 2]\n",
            r#"{"key": "value"}"#,
            r#"{"key": "value", "measurement": 1, "more": 2}"#,
            "{\"key\":\n",
            "\0\0\0",
            &format!("{{\"key\": \"{}\"}}", "a".repeat(1 << 17)),
        ] {
            fs::write(&path, content).expect("written");
            for fresh in [false, true] {
                let opened = Journal::open(&path, fresh);
                assert!(matches!(opened, Err(JournalError::Foreign(_))), "{content}");
                assert_eq!(fs::read_to_string(&path).expect("readable"), content);
            }
        }
    }

    #[test]
    fn the_beginning_of_a_first_line_is_a_journals() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let line = line(&key("a"), &measurement(1.0)).expect("a line");
        for length in 0..line.len() {
            fs::write(&path, &line[..length]).expect("written");
            drop(Journal::open(&path, false).unwrap_or_else(|error| panic!("{length}: {error}")));
            assert!(!path.exists(), "nothing of it is of use: {length}");
        }
    }

    #[test]
    fn lines_of_another_version_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let older = Key { algorithm: "gram-f64/1".into(), ..key("a") };
        let journal = Journal::open(&path, false).expect("opens");
        journal.append(&older, &measurement(1.0)).expect("written");
        journal.append(&key("b"), &measurement(2.0)).expect("written");
        drop(journal);
        let journal = Journal::open(&path, false).expect("opens");
        assert!(journal.get(&older).is_none() && journal.get(&key("b")).is_some());
        journal.finish(|_| true).expect("kept");
        let left = fs::read(&path).expect("readable");
        assert_eq!(left, line(&key("b"), &measurement(2.0)).expect("a line"));
        // Once the key was one text.
        fs::write(&path, "{\"key\":\"gram-f64/1 F32 a\",\"measurement\":{}}\n").expect("written");
        drop(Journal::open(&path, false).expect("opens"));
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_but_a_file_of_its_own_is_written_into() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = |name: &str| folder.path().join(name);
        let line = line(&key("a"), &measurement(1.0)).expect("a line");
        fs::write(place("other"), &line).expect("written");
        std::os::unix::fs::symlink(place("other"), place("link")).expect("linked");
        std::os::unix::fs::symlink(place("nowhere"), place("dangling")).expect("linked");
        std::os::unix::fs::symlink("/dev/null", place("device")).expect("linked");
        fs::create_dir(place("folder")).expect("created");
        let made = std::process::Command::new("mkfifo").arg(place("pipe")).status().expect("runs");
        assert!(made.success());
        fs::hard_link(place("other"), place("name")).expect("linked");
        for name in ["link", "dangling", "device", "folder", "pipe", "name", "other"] {
            for fresh in [false, true] {
                let opened = Journal::open(&place(name), fresh);
                assert!(matches!(opened, Err(JournalError::NotAFile { .. })), "{name}: {opened:?}");
            }
        }
        assert!(matches!(Journal::open(Path::new("/dev/null"), false), Err(JournalError::NotAFile { .. })));
        assert_eq!(fs::read(place("other")).expect("readable"), line);
        assert!(!place("nowhere").exists() && place("link").is_symlink() && place("folder").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn what_has_taken_the_journals_place_is_not_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal");
        let replace = || {
            fs::write(folder.path().join("mine"), "mine").expect("written");
            fs::rename(folder.path().join("mine"), &path).expect("renamed");
        };
        let journal = Journal::open(&path, false).expect("opens");
        replace();
        journal.finish(|_| false).expect("finished");
        fs::remove_file(&path).expect("still there");
        let journal = Journal::open(&path, false).expect("opens");
        replace();
        drop(journal);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "mine");
    }
}
