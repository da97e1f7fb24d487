//! The files of a scan: their names, and whether they can be written.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Part, spectra_of};
use crate::output::{OutputError, beside_of, folder_of, followed, in_file_name, sweep, temporary, write_all};

/// Where the user wants the output.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// The folder for files without a path of their own; by default the current one.
    pub folder: Option<PathBuf>,
    pub full: Option<PathBuf>,
    pub top: Option<PathBuf>,
    /// Where people find the folder, if it only stands in for one elsewhere, such as in an object store.
    pub address: Option<String>,
}

/// The files that a scan writes.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The file of all numbers.
    pub full: PathBuf,
    /// The file with the names of the best modules. A part of a scan has none, because nothing is chosen of it.
    pub top: Option<PathBuf>,
    pub manifest: PathBuf,
    pub spectra: PathBuf,
    /// The journal of a scan that is not finished.
    pub journal: PathBuf,
    /// A folder that stands in for another one, and the address of that.
    stand_in: Option<(PathBuf, String)>,
}

impl Outputs {
    /// The files for the model called `name`.
    pub fn new(name: &str, destination: &Destination) -> Self {
        let folder = destination.folder.clone().unwrap_or_default();
        let name = in_file_name(name);
        let beside = |ending: &str| folder.join(format!("laser_scan_{name}{ending}"));
        let full = followed(destination.full.clone().unwrap_or_else(|| beside(".json")));
        let mut journal = full.clone().into_os_string();
        journal.push(".journal");
        Self {
            top: Some(followed(destination.top.clone().unwrap_or_else(|| beside("_top_snr.json")))),
            manifest: followed(manifest_of(&full)),
            spectra: followed(spectra_of(&full)),
            journal: journal.into(),
            full,
            stand_in: destination.address.clone().map(|address| (folder, address)),
        }
    }

    /// Where people find one of the files.
    pub fn shown(&self, file: &Path) -> String {
        let elsewhere = self.stand_in.as_ref().and_then(|(folder, address)| {
            let within = file.strip_prefix(folder).or_else(|_| file.strip_prefix(real(folder))).ok()?;
            Some(format!("{}/{}", address.trim_end_matches('/'), within.display()))
        });
        elsewhere.unwrap_or_else(|| file.display().to_string())
    }

    /// The files for a part of the scan of the model called `name`.
    pub fn of_part(name: &str, part: Part, destination: &Destination) -> Self {
        let name = format!("{name}_part-{}-of-{}", part.number, part.of);
        Self { top: None, ..Self::new(&name, destination) }
    }

    /// Checks that none of the files is a folder or below a file, and that all have different places, none of which is one of
    /// the files `kept`. Nothing is written. Fails if a folder is where a file should be or the other way round, or if a file
    /// would replace another.
    pub fn check(&self, kept: &[PathBuf]) -> Result<(), OutputError> {
        let kept: Vec<PathBuf> = kept.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let mut places: Vec<PathBuf> = Vec::new();
        for path in self.all() {
            if path.is_dir() {
                return Err(OutputError::IsFolder(path.clone()));
            }
            if path.exists() && !path.is_file() {
                return Err(OutputError::NotAFile(path.clone()));
            }
            let nearest = path.ancestors().skip(1).find(|above| above.exists());
            if let Some(file) = nearest.filter(|above| !above.is_dir()) {
                return Err(OutputError::NotAFolder(file.to_owned()));
            }
            // One path may be spelled in several ways, so that what it leads to is compared.
            let place = real(folder_of(path)).join(path.file_name().unwrap_or_default());
            if kept.contains(&place.canonicalize().unwrap_or_else(|_| place.clone())) {
                return Err(OutputError::PartOfModel(path.clone()));
            }
            if places.contains(&place) {
                return Err(OutputError::Same(path.clone()));
            }
            places.push(place);
        }
        Ok(())
    }

    /// Checks the files as [`Outputs::check`] does, and that they can be written, before any work is done. Missing
    /// folders are created. Fails as [`Outputs::check`] does, or if a folder cannot be created or written to.
    pub fn prepare(&self, kept: &[PathBuf]) -> Result<(), OutputError> {
        self.check(kept)?;
        for path in self.all() {
            let folder = folder_of(path);
            let unwritable = |error| OutputError::Unwritable { path: folder.to_owned(), error };
            fs::create_dir_all(folder).map_err(unwritable)?;
            sweep(path);
            drop(temporary(folder).map_err(unwritable)?);
        }
        // Only now is it known where paths through missing folders lead.
        self.check(kept)
    }

    /// The files that hold the results.
    pub fn results(&self) -> Vec<&PathBuf> {
        [&self.full].into_iter().chain(&self.top).chain([&self.manifest, &self.spectra]).collect()
    }

    fn all(&self) -> Vec<&PathBuf> {
        self.results().into_iter().chain([&self.journal]).collect()
    }

    /// Writes the files as [`write_all`] does. The full file is placed last. The manifest and the spectra hold its hash, so
    /// once they agree, all files belong to one scan.
    pub(super) fn write(
        &self,
        full: &[u8],
        top: &[u8],
        manifest: &[u8],
        spectra: Option<&[u8]>,
    ) -> Result<(), OutputError> {
        let spectra = spectra.map(|bytes| (self.spectra.as_path(), bytes));
        let top = self.top.as_ref().map(|path| (path.as_path(), top));
        let (manifest, full) = ((self.manifest.as_path(), manifest), (self.full.as_path(), full));
        write_all(&spectra.into_iter().chain([manifest]).chain(top).chain([full]).collect::<Vec<_>>())
    }
}

/// The files of the scan whose file of all numbers is `full`, beside that of the best.
pub fn files_of(full: &Path) -> [PathBuf; 3] {
    [full.to_owned(), manifest_of(full), spectra_of(full)]
}

/// The path of the manifest for a scan's file of all numbers: beside the file itself, not beside a link to it.
pub fn manifest_of(full: &Path) -> PathBuf {
    beside_of(full, "_run.json")
}

/// The path of a folder with links resolved, as far as it exists.
fn real(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut above = absolute.ancestors();
    let real = above.find_map(|above| Some(above.canonicalize().ok()?.join(absolute.strip_prefix(above).ok()?)));
    real.unwrap_or(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_model_unless_named() {
        let outputs = Outputs::new("Mistral-7B-v0.1", &Destination::default());
        assert_eq!(outputs.full, Path::new("laser_scan_Mistral-7B-v0.1.json"));
        assert_eq!(outputs.top.as_deref(), Some(Path::new("laser_scan_Mistral-7B-v0.1_top_snr.json")));
        assert_eq!(outputs.manifest, Path::new("laser_scan_Mistral-7B-v0.1_run.json"));
        assert_eq!(outputs.spectra, Path::new("laser_scan_Mistral-7B-v0.1_spectra.safetensors"));
        let destination = Destination {
            folder: Some("out".into()),
            full: Some("laser_scan_mistral.json".into()),
            top: Some("laser_scan_mistral_top_snr.json".into()),
            address: Some("s3://bucket/results/".into()),
        };
        let outputs = Outputs::new("m", &destination);
        assert_eq!(outputs.shown(Path::new("out/a.json")), "s3://bucket/results/a.json");
        assert_eq!(outputs.shown(&outputs.full), "laser_scan_mistral.json");
        assert_eq!(outputs.full, Path::new("laser_scan_mistral.json"));
        assert_eq!(outputs.journal, Path::new("laser_scan_mistral.json.journal"));
        assert_eq!(outputs.manifest, Path::new("laser_scan_mistral_run.json"));
        assert_eq!(manifest_of(Path::new("a.b/scan.txt")), Path::new("a.b/scan.txt_run.json"));
    }

    #[test]
    fn no_file_takes_the_place_of_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| Some(folder.path().join(name));
        let prepare = |full: &str, top: &str| {
            let destination = Destination { folder: path("."), full: path(full), top: path(top), address: None };
            Outputs::new("m", &destination).prepare(&[folder.path().join("model.safetensors")])
        };
        fs::create_dir(folder.path().join("sub")).expect("created");
        fs::write(folder.path().join("model.safetensors"), b"weights").expect("written");
        assert!(matches!(prepare("a.json", "b.json"), Ok(())));
        assert!(matches!(prepare("a.json", "./sub/../a.json"), Err(OutputError::Same(_))));
        assert!(matches!(prepare("a.json", "a.json.journal"), Err(OutputError::Same(_))));
        assert!(matches!(prepare("a.json", "a_run.json"), Err(OutputError::Same(_))));
        assert!(matches!(prepare("a.json", "a_spectra.safetensors"), Err(OutputError::Same(_))));
        assert!(matches!(prepare("new/a.json", "./new/a.json"), Err(OutputError::Same(_))));
        assert!(!folder.path().join("new").exists(), "no folder is made for what is refused");
        assert!(matches!(prepare("new/../a.json", "a.json"), Err(OutputError::Same(_))));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("sub/real.json", folder.path().join("link.json")).expect("linked");
            fs::write(folder.path().join("sub/real.json"), b"old").expect("written");
            let destination = Destination { full: path("link.json"), ..Destination::default() };
            assert!(Outputs::new("m", &destination).full.ends_with("sub/real.json"));
            assert!(matches!(prepare("/dev/null", "b.json"), Err(OutputError::NotAFile(_))));
        }
        assert!(matches!(prepare("sub/../model.safetensors", "b.json"), Err(OutputError::PartOfModel(_))));
    }

    #[test]
    fn all_or_nothing_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination = Destination { folder: Some(folder.path().join("new/folder")), ..Destination::default() };
        let outputs = Outputs::new("m", &destination);
        outputs.prepare(&[]).expect("writable");
        outputs.write(b"full", b"top", b"manifest", Some(b"spectra")).expect("written");
        assert_eq!(fs::read(outputs.top.as_ref().expect("a path")).expect("readable"), b"top");
        fs::remove_file(&outputs.manifest).expect("removed");
        fs::create_dir(&outputs.manifest).expect("created");
        assert!(matches!(outputs.prepare(&[]), Err(OutputError::IsFolder(_))));
        let names = |folder: &Path| fs::read_dir(folder).expect("a folder").count();
        assert_eq!(names(&folder.path().join("new/folder")), 4, "no temporary file is left behind");
    }
}
