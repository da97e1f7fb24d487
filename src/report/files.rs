//! Where the output goes, and how it gets there: whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

/// Why output cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refuses.
    #[error("cannot write '{path}': {error}; choose another place with --output-dir")]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A folder is in the way.
    #[error("cannot write '{0}': a folder of that name is in the way")]
    IsFolder(PathBuf),
    /// Two outputs have the same name.
    #[error("'{0}' is named for two outputs: give each its own name")]
    Same(PathBuf),
}

/// What the user says about where output goes.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// The folder for files that are not named; the current one if there is none.
    pub folder: Option<PathBuf>,
    /// The full file.
    pub full: Option<PathBuf>,
    /// The top-N file.
    pub top: Option<PathBuf>,
}

/// The files that a scan writes.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Every module's numbers.
    pub full: PathBuf,
    /// The best modules' names.
    pub top: PathBuf,
    /// The run's manifest.
    pub manifest: PathBuf,
    /// What is done so far of a scan that is under way.
    pub journal: PathBuf,
}

impl Outputs {
    /// The files for the model called `name`.
    ///
    /// # Errors
    ///
    /// Fails if two of them are the same.
    pub fn new(name: &str, destination: &Destination) -> Result<Self, OutputError> {
        let folder = destination.folder.clone().unwrap_or_default();
        let beside = |ending: &str| folder.join(format!("laser_scan_{name}{ending}"));
        let full = destination.full.clone().unwrap_or_else(|| beside(".json"));
        let mut journal = full.clone().into_os_string();
        journal.push(".journal");
        let outputs = Self {
            top: destination.top.clone().unwrap_or_else(|| beside("_top_snr.json")),
            manifest: beside("_run.json"),
            journal: journal.into(),
            full,
        };
        let [full, top, manifest] = [&outputs.full, &outputs.top, &outputs.manifest].map(std::path::absolute);
        let same = |a: &io::Result<PathBuf>, b: &io::Result<PathBuf>| a.as_ref().ok() == b.as_ref().ok();
        if same(&full, &top) || same(&top, &manifest) {
            return Err(OutputError::Same(outputs.top));
        }
        if same(&full, &manifest) {
            return Err(OutputError::Same(outputs.full));
        }
        Ok(outputs)
    }

    /// Makes sure, before any work is done, that the files can be written. Missing folders are made.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be made or written to, or if one is where a file should be.
    pub fn prepare(&self) -> Result<(), OutputError> {
        for path in [&self.full, &self.top, &self.manifest] {
            if path.is_dir() {
                return Err(OutputError::IsFolder(path.clone()));
            }
            let folder = folder_of(path);
            let unwritable = |error| OutputError::Unwritable { path: folder.to_owned(), error };
            fs::create_dir_all(folder).map_err(unwritable)?;
            drop(temporary(folder).map_err(unwritable)?);
        }
        Ok(())
    }

    /// Writes the three files. Each is first written under a temporary name beside its place; only when all are on disk
    /// do they take their places.
    ///
    /// # Errors
    ///
    /// Fails if the disk does, such as when it is full; what was there before is then still there.
    pub fn write(&self, full: &[u8], top: &[u8], manifest: &[u8]) -> Result<(), OutputError> {
        let files = [(&self.full, full), (&self.top, top), (&self.manifest, manifest)];
        let mut written: Vec<(&PathBuf, TempPath)> = Vec::new();
        for (path, content) in files {
            let unwritable = |error| OutputError::Unwritable { path: path.clone(), error };
            let mut file = temporary(folder_of(path)).map_err(unwritable)?;
            file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(unwritable)?;
            written.push((path, file.into_temp_path()));
        }
        for (path, temporary) in written {
            temporary
                .persist(path)
                .map_err(|error| OutputError::Unwritable { path: path.clone(), error: error.error })?;
        }
        Ok(())
    }
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A new file with a name of its own in `folder`, readable by whom the user's mask allows.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".laser_scan_").suffix(".tmp");
    // Temporary files are private unless told otherwise; these will be output.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_model_unless_named() {
        let outputs = Outputs::new("Mistral-7B-v0.1", &Destination::default()).expect("three names");
        assert_eq!(outputs.full, Path::new("laser_scan_Mistral-7B-v0.1.json"));
        assert_eq!(outputs.top, Path::new("laser_scan_Mistral-7B-v0.1_top_snr.json"));
        assert_eq!(outputs.manifest, Path::new("laser_scan_Mistral-7B-v0.1_run.json"));
        let destination = Destination {
            folder: Some("out".into()),
            full: Some("laser_scan_mistral.json".into()),
            top: Some("laser_scan_mistral_top_snr.json".into()),
        };
        let outputs = Outputs::new("m", &destination).expect("three names");
        assert_eq!(outputs.full, Path::new("laser_scan_mistral.json"));
        assert_eq!(outputs.journal, Path::new("laser_scan_mistral.json.journal"));
        assert_eq!(outputs.manifest, Path::new("out/laser_scan_m_run.json"));
        let same = Destination { full: Some("a".into()), top: Some("./a".into()), folder: None };
        assert!(matches!(Outputs::new("m", &same), Err(OutputError::Same(_))));
    }

    #[test]
    fn all_or_nothing_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination = Destination { folder: Some(folder.path().join("new/folder")), ..Destination::default() };
        let outputs = Outputs::new("m", &destination).expect("three names");
        outputs.prepare().expect("writable");
        outputs.write(b"full", b"top", b"manifest").expect("written");
        assert_eq!(fs::read(&outputs.top).expect("readable"), b"top");
        fs::remove_file(&outputs.manifest).expect("removed");
        fs::create_dir(&outputs.manifest).expect("created");
        assert!(matches!(outputs.prepare(), Err(OutputError::IsFolder(_))));
        let names = |folder: &Path| fs::read_dir(folder).expect("a folder").count();
        assert_eq!(names(&folder.path().join("new/folder")), 3, "no temporary file is left behind");
    }
}
