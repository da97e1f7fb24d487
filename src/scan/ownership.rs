//! Which model's results a file holds. A scan replaces only results of its own model, unless the user allows more.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Base, Format, Outputs, Scan, Spectra};
use crate::output::{OutputError, folder_of, sha256};
use crate::source::{Model, local};

/// The largest file that could be a scan's, which takes about a thousand bytes for each module. Larger files are not
/// read.
const LARGEST: u64 = 1 << 30;

/// What a manifest tells about its scan.
#[derive(Deserialize)]
struct Claim {
    tool: String,
    model: String,
    commit: Option<String>,
    origin: Option<String>,
    base: Option<Base>,
    outputs: Written,
}

#[derive(Deserialize)]
struct Written {
    full_sha256: String,
    top: Option<String>,
}

impl Claim {
    /// Reads the manifest at `path`; `None` if it is no manifest.
    fn read(path: &Path) -> Option<Self> {
        let claim: Self = serde_json::from_slice(&read(path)?).ok()?;
        (claim.tool == env!("CARGO_PKG_NAME")).then_some(claim)
    }

    /// The scanned model. Manifests of the first version may give it as a path relative to the current folder, and
    /// other early manifests as a path in Hugging Face's cache.
    fn origin(&self) -> String {
        match (&self.origin, &self.commit) {
            (Some(origin), _) => local::origin(Path::new(origin)),
            (None, Some(_)) => self.model.clone(),
            (None, None) => {
                let path = std::path::absolute(&self.model);
                path.map_or_else(|_| self.model.clone(), |path| local::origin(&path))
            }
        }
    }

    /// Checks that the scan was of `model`, or of its changes to `base`, whose results would replace those in `path`.
    fn is_of(&self, model: &Model, base: Option<&Model>, path: &Path) -> Result<(), OutputError> {
        let origin = self.origin();
        let is_of_base = match (&self.base, base) {
            (None, None) => true,
            (Some(own), Some(base)) => is_same(&own.origin, &base.origin),
            _ => false,
        };
        if is_of_base && is_same(&origin, &model.origin) {
            return Ok(());
        }
        let model = match &self.base {
            Some(base) => format!("{origin} as changed from {}", base.origin),
            None => origin,
        };
        Err(OutputError::OfAnother { path: path.to_owned(), model })
    }
}

/// Whether two origins are the same model, perhaps at different commits or trained further in between. The Hub ignores
/// case in its ids, and several paths may lead to one folder.
fn is_same(one: &str, other: &str) -> bool {
    let real = |origin: &str| Some(Path::new(origin)).filter(|path| path.is_absolute())?.canonicalize().ok();
    match (Path::new(one).is_absolute(), Path::new(other).is_absolute()) {
        (false, false) => one.eq_ignore_ascii_case(other),
        (true, true) => one == other || real(one).is_some_and(|one| real(other) == Some(one)),
        _ => false,
    }
}

impl Outputs {
    /// Checks, before any work is done, that the files would replace only the results of an earlier scan of `model`, or of its changes
    /// to `base`.
    /// `names` are those of all that the scan is to have, and are asked for only where they have to decide. Nothing is written.
    /// Fails if one of the files holds another model's results, or is no file of a scan.
    pub fn replace_only_those_of(
        &self,
        model: &Model,
        base: Option<&Model>,
        names: impl FnOnce() -> HashSet<String>,
    ) -> Result<(), OutputError> {
        let claim = Claim::read(&self.manifest);
        match &claim {
            Some(claim) => claim.is_of(model, base, if self.full.exists() { &self.full } else { &self.manifest })?,
            None if has_content(&self.manifest) => return Err(OutputError::Foreign(self.manifest.clone())),
            None => {}
        }
        if has_content(&self.full) {
            self.replace_only_scan(claim.as_ref())?;
        }
        if has_content(&self.spectra) && !Spectra::is_at(&self.spectra) {
            return Err(OutputError::Foreign(self.spectra.clone()));
        }
        self.replace_only_names_of(model, base, names, claim)
    }

    /// Checks the full file, whose model only the manifest `claim` tells. A scan that was interrupted after placing the
    /// manifest, but before placing the full file, has left its journal.
    fn replace_only_scan(&self, claim: Option<&Claim>) -> Result<(), OutputError> {
        let bytes = read(&self.full).ok_or_else(|| OutputError::Foreign(self.full.clone()))?;
        let is_own = claim.is_some_and(|claim| sha256(&bytes) == claim.outputs.full_sha256);
        if is_own {
            Ok(())
        } else if !Scan::from_bytes(&bytes).is_ok_and(|scan| scan.format == Format::LaserScan) {
            Err(OutputError::Foreign(self.full.clone()))
        } else if claim.is_some() && self.journal.exists() {
            Ok(())
        } else {
            Err(OutputError::Unowned(self.full.clone()))
        }
    }

    /// Checks the top-N file, which tells only modules' names. The manifest of its scan may lie beside it or beside the
    /// full file, under any name. If no manifest mentions it, the names must all belong to the model.
    fn replace_only_names_of(
        &self,
        model: &Model,
        base: Option<&Model>,
        known: impl FnOnce() -> HashSet<String>,
        claim: Option<Claim>,
    ) -> Result<(), OutputError> {
        let Some(top) = self.top.as_ref().filter(|top| has_content(top)) else { return Ok(()) };
        let names = read(top).and_then(|bytes| names_in(&bytes));
        let names = names.ok_or_else(|| OutputError::Foreign(top.clone()))?;
        let folders = HashSet::from([folder_of(top), folder_of(&self.full)]);
        let claims = claim.into_iter().chain(claims(folders));
        let name = top.file_name().unwrap_or_default().to_string_lossy();
        let of_file = claims.filter(|claim| claim.outputs.top.as_deref() == Some(&name));
        match of_file.map(|claim| claim.is_of(model, base, top)).reduce(Result::or) {
            Some(result) => result,
            None if names.is_subset(&known()) => Ok(()),
            None => Err(OutputError::Unowned(top.clone())),
        }
    }
}

fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// The bytes of a file, unless it cannot be read or is too large to belong to a scan.
fn read(path: &Path) -> Option<Vec<u8>> {
    fs::metadata(path).ok().filter(|metadata| metadata.len() <= LARGEST)?;
    fs::read(path).ok()
}

/// Whether these are the bytes of a top-N file.
pub fn is_top(bytes: &[u8]) -> bool {
    names_in(bytes).is_some()
}

/// The names of modules in a file, if it is a top-N file.
fn names_in(bytes: &[u8]) -> Option<HashSet<String>> {
    let types: HashMap<String, Vec<String>> = serde_json::from_slice(bytes).ok()?;
    Some(types.into_values().flatten().collect())
}

/// The manifests in these folders, which are recognised by their names.
fn claims(folders: HashSet<&Path>) -> Vec<Claim> {
    let entries = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let is_named_so = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with("_run.json");
    let mut paths: Vec<PathBuf> = entries.filter(is_named_so).map(|entry| entry.path()).collect();
    // The order in which folders are listed must not decide which model an error names.
    paths.sort_unstable();
    paths.iter().filter_map(|path| Claim::read(path)).collect()
}
