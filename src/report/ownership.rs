//! Whose results a file holds. A scan replaces those of its own model and nothing else, unless the user says so.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Outputs;
use super::files::{OutputError, folder_of};
use crate::results::{self, Format, ReadError};
use crate::source::{Model, local};

/// The largest file that could be a scan's: what is larger is not read to find out. A thousand bytes tell of a module.
const LARGEST: u64 = 1 << 30;

/// What a manifest tells of the scan that it was written with.
#[derive(Deserialize)]
struct Claim {
    tool: String,
    model: String,
    commit: Option<String>,
    origin: Option<String>,
    outputs: Written,
}

/// The files that it was written with.
#[derive(Deserialize)]
struct Written {
    full_sha256: String,
    top: String,
}

impl Claim {
    /// What the manifest at `path` tells; `None` if it is none.
    fn read(path: &Path) -> Option<Self> {
        let claim: Self = serde_json::from_slice(&read(path)?).ok()?;
        (claim.tool == env!("CARGO_PKG_NAME")).then_some(claim)
    }

    /// Which model the scan was of. Manifests of the first version do not say it: there a path counts from the current folder.
    fn origin(&self) -> String {
        match (&self.origin, &self.commit) {
            (Some(origin), _) => origin.clone(),
            (None, Some(_)) => self.model.clone(),
            (None, None) => {
                let path = std::path::absolute(&self.model);
                path.map_or_else(|_| self.model.clone(), |path| local::origin(&path))
            }
        }
    }

    /// Makes sure that the scan was of `model`, whose results are to take the place of those in `path`.
    fn is_of(&self, model: &Model, path: &Path) -> Result<(), OutputError> {
        let origin = self.origin();
        if is_same(&origin, &model.origin) {
            Ok(())
        } else {
            Err(OutputError::OfAnother { path: path.to_owned(), model: origin })
        }
    }
}

/// Whether two models are one, which may be at different commits, or have been trained on in between. The Hub takes no account
/// of case in its ids, and several paths may lead to one folder.
fn is_same(one: &str, other: &str) -> bool {
    let real = |origin: &str| Some(Path::new(origin)).filter(|path| path.is_absolute())?.canonicalize().ok();
    match (Path::new(one).is_absolute(), Path::new(other).is_absolute()) {
        (false, false) => one.eq_ignore_ascii_case(other),
        (true, true) => one == other || real(one).is_some_and(|one| real(other) == Some(one)),
        _ => false,
    }
}

impl Outputs {
    /// Makes sure, before any work is done, that the files replace nothing but the results of an earlier scan of `model`.
    ///
    /// # Errors
    ///
    /// Fails if one of them holds another model's results, or is no file of a scan at all.
    pub fn replace_only_those_of(&self, model: &Model) -> Result<(), OutputError> {
        let claim = Claim::read(&self.manifest);
        match &claim {
            Some(claim) => claim.is_of(model, if self.full.exists() { &self.full } else { &self.manifest })?,
            None if has_content(&self.manifest) => return Err(OutputError::Foreign(self.manifest.clone())),
            None => {}
        }
        if has_content(&self.full) {
            self.replace_only_scan(claim.as_ref())?;
        }
        self.replace_only_names_of(model, claim)
    }

    /// The same for the full file, of which only the manifest `claim` tells the model. A scan that was ended between placing the
    /// two has left its journal.
    fn replace_only_scan(&self, claim: Option<&Claim>) -> Result<(), OutputError> {
        let bytes = read(&self.full).ok_or_else(|| OutputError::Foreign(self.full.clone()))?;
        let is_own = claim.is_some_and(|claim| results::sha256(&bytes) == claim.outputs.full_sha256);
        if is_own {
            Ok(())
        } else if !results::read(&bytes).is_ok_and(|results| results.format == Format::LaserScan) {
            Err(OutputError::Foreign(self.full.clone()))
        } else if claim.is_some() && self.journal.exists() {
            Ok(())
        } else {
            Err(OutputError::Unowned(self.full.clone()))
        }
    }

    /// The same for the top-N file, which tells nothing of its model by itself. Its scan's manifest is beside it if it is not
    /// the one that is replaced: the full file may have had another name.
    fn replace_only_names_of(&self, model: &Model, claim: Option<Claim>) -> Result<(), OutputError> {
        if !has_content(&self.top) {
            return Ok(());
        }
        if !read(&self.top).is_some_and(|bytes| is_of_names(&bytes)) {
            return Err(OutputError::Foreign(self.top.clone()));
        }
        let claims = claim.into_iter().chain(claims(folder_of(&self.top)));
        let name = self.top.file_name().unwrap_or_default();
        let results: Vec<_> = claims
            .filter(|claim| name == claim.outputs.top.as_str())
            .map(|claim| claim.is_of(model, &self.top))
            .collect();
        match results.into_iter().reduce(Result::or) {
            Some(result) => result,
            None => Err(OutputError::Unowned(self.top.clone())),
        }
    }
}

/// Whether there is a file that holds anything.
fn has_content(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// The bytes of a file, unless it cannot be read or is too large for a scan's.
fn read(path: &Path) -> Option<Vec<u8>> {
    fs::metadata(path).ok().filter(|metadata| metadata.len() <= LARGEST)?;
    fs::read(path).ok()
}

/// Whether a file holds names of modules by type, as a top-N file does.
fn is_of_names(bytes: &[u8]) -> bool {
    let is_nothing_chosen = bytes.trim_ascii() == b"{}";
    is_nothing_chosen || matches!(results::read(bytes), Err(ReadError::TopOnly))
}

/// What the manifests in `folder` tell, which are known by their names.
fn claims(folder: &Path) -> Vec<Claim> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_named_so = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with("_run.json");
    let mut paths: Vec<PathBuf> = entries.filter(is_named_so).map(|entry| entry.path()).collect();
    // The order in which a folder is listed must not decide which model an error names.
    paths.sort_unstable();
    paths.iter().filter_map(|path| Claim::read(path)).collect()
}
