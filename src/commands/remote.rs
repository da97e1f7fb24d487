//! Results in an object store: a folder on this machine stands in for theirs while a command runs.

#[cfg(feature = "object-stores")]
use std::collections::HashMap;
#[cfg(feature = "object-stores")]
use std::fs;
use std::path::Path;
#[cfg(feature = "object-stores")]
use std::path::PathBuf;

#[cfg(feature = "object-stores")]
use anyhow::Context;
use anyhow::Result;
#[cfg(not(feature = "object-stores"))]
use anyhow::bail;
#[cfg(feature = "object-stores")]
use laser_scan::output::sha256;
use laser_scan::scan::Part;
#[cfg(feature = "object-stores")]
use laser_scan::source::Bucket;
use laser_scan::source::StoreOptions;
use tempfile::TempDir;

use super::task::Publication;
use crate::terminal::Terminal;

/// The folder that stands in for one of an object store.
pub struct Remote {
    address: String,
    local: TempDir,
    /// The files that were in the folder before the command ran, with their hashes.
    #[cfg(feature = "object-stores")]
    before: HashMap<String, String>,
}

impl Remote {
    #[cfg(not(feature = "object-stores"))]
    pub fn bring(address: &str, _: &StoreOptions, _: impl Fn(&str) -> bool, _: &Terminal) -> Result<Self> {
        bail!(
            "'{address}' is in an object store, which this build cannot reach: build it with the feature object-stores"
        )
    }

    #[cfg(not(feature = "object-stores"))]
    pub fn send(&self, _: &StoreOptions, _: &Terminal) -> Result<()> {
        bail!("'{}' is in an object store, which this build cannot reach", self.address)
    }

    /// Brings the files of `address` whose names are `wanted`.
    #[cfg(feature = "object-stores")]
    pub fn bring(
        address: &str,
        options: &StoreOptions,
        wanted: impl Fn(&str) -> bool,
        terminal: &Terminal,
    ) -> Result<Self> {
        let news = |text: String| terminal.note(&text);
        let bucket = Bucket::open(address, options, &news)?;
        let local = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut before = HashMap::new();
        for file in bucket.files().into_iter().filter(|file| wanted(file)) {
            let content = bucket.read(&file)?;
            let path = local.path().join(&file);
            fs::write(&path, &content).with_context(|| format!("cannot write '{}'", path.display()))?;
            before.insert(file, sha256(&content));
        }
        Ok(Self { address: address.to_owned(), local, before })
    }

    /// The folder of a `publication`, if it is in an object store; files are then written to this machine first. Of what is there, the
    /// results of the same `part` are brought, or those of whole scans.
    pub fn of(publication: &mut Publication, part: Option<Part>, terminal: &Terminal) -> Result<Option<Self>> {
        let Some(address) = publication.destination.folder.as_ref().and_then(|folder| folder.to_str()) else {
            return Ok(None);
        };
        // No folder of this machine is meant by an address, whatever its scheme.
        if !address.contains("://") {
            return Ok(None);
        }
        let of_part = part.map(|part| format!("_part-{}-of-{}", part.number, part.of));
        let is_ours = |file: &str| {
            let is_of_part =
                |of_part: &String| file.contains(&format!("{of_part}.")) || file.contains(&format!("{of_part}_"));
            file.starts_with("laser_scan_") && of_part.as_ref().map_or(!file.contains("_part-"), is_of_part)
        };
        let remote = Self::bring(address, &publication.stores, is_ours, terminal)?;
        publication.destination.folder = Some(remote.path().to_owned());
        publication.destination.address = Some(remote.address.clone());
        Ok(Some(remote))
    }

    pub fn path(&self) -> &Path {
        self.local.path()
    }

    #[cfg(feature = "object-stores")]
    /// Sends every file that is new or changed. The files of all numbers come last: a scan whose file is there is there whole.
    pub fn send(&self, options: &StoreOptions, terminal: &Terminal) -> Result<()> {
        let news = |text: String| terminal.note(&text);
        let bucket = Bucket::open(&self.address, options, &news)?;
        let entries = fs::read_dir(self.path()).context("cannot read the temporary folder")?;
        let mut paths: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        let is_full = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with("_run.json") && !name.ends_with("_top_snr.json")
        };
        paths.sort_by_key(|path| (is_full(path), path.clone()));
        let mut sent = 0;
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let content = fs::read(&path).with_context(|| format!("cannot read '{}'", path.display()))?;
            if name.ends_with(".journal") || self.before.get(&name) == Some(&sha256(&content)) {
                continue;
            }
            bucket.write(&name, content)?;
            sent += 1;
        }
        terminal.note(&format!("sent {} to '{}'", laser_scan::output::counted(sent, "file"), self.address));
        Ok(())
    }
}
