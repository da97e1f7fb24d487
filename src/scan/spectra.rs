//! The spectra of a scan, and the file that holds them: a safetensors file with one F64 tensor for each module, its singular
//! values, largest first.
//!
//! Other statistics, pages and comparisons are made from it without the weights. Its metadata says how each spectrum was
//! computed, which decides how accurate it is, and has the SHA-256 of the file of all numbers with which it was written.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scan;
use crate::output::{SPECTRA_ENDING, beside_of, sha256};
use crate::spectrum::{ALGORITHM, Method, Processor, Spectrum};

/// What the metadata calls the format, and its version.
const FORMAT: (&str, &str) = ("laser-scan spectra", "1");

/// Keys of the metadata.
const KEYS: [&str; 5] = ["format", "format_version", "algorithm", "full_sha256", "modules"];

/// The longest header that a safetensors file may have.
const LONGEST_HEADER: u64 = 100_000_000;

/// Why a scan's spectra cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpectraError {
    #[error("the scan's spectra are missing: there is no '{0}'")]
    Missing(PathBuf),
    #[error("the scan's spectra cannot be read: '{path}': {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("the spectra in '{0}' were not written with this scan, or the scan was changed since")]
    OfAnother(PathBuf),
    #[error("the spectra in '{path}' lack that of '{module}'")]
    Incomplete { path: PathBuf, module: String },
}

/// The spectra of a scan's modules, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spectra(HashMap<String, Spectrum>);

/// What the metadata says of a module's spectrum.
#[derive(Serialize, Deserialize)]
struct Source {
    method: Method,
    processor: Processor,
    shape: [usize; 2],
}

impl FromIterator<(String, Spectrum)> for Spectra {
    fn from_iter<I: IntoIterator<Item = (String, Spectrum)>>(spectra: I) -> Self {
        Self(spectra.into_iter().collect())
    }
}

impl Spectra {
    /// These spectra, and `others` of other modules.
    pub(super) fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub fn get(&self, module: &str) -> Option<&Spectrum> {
        self.0.get(module)
    }

    /// The file, where `full` is the content of the file of all numbers. The same spectra give the same bytes, which the crate's own
    /// writer does not promise: it writes metadata in the order of a hash map.
    pub fn to_bytes(&self, full: &[u8]) -> serde_json::Result<Vec<u8>> {
        let spectra: BTreeMap<&String, &Spectrum> = self.0.iter().collect();
        let sources: BTreeMap<&String, Source> =
            spectra.iter().map(|(name, spectrum)| (*name, Source::of(spectrum))).collect();
        let values = [FORMAT.0, FORMAT.1, ALGORITHM, &sha256(full), &serde_json::to_string(&sources)?];
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), KEYS.into_iter().zip(values).collect());
        let mut end = 0;
        for (name, Spectrum { values, .. }) in &spectra {
            let start = end;
            end += size_of_val(values.as_slice());
            let tensor = json!({"dtype": "F64", "shape": [values.len()], "data_offsets": [start, end]});
            header.insert((*name).clone(), tensor);
        }
        let mut header = serde_json::to_vec(&header)?;
        // The numbers begin at a multiple of their size.
        header.resize(header.len().next_multiple_of(size_of::<f64>()), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut header);
        bytes.extend(spectra.values().flat_map(|spectrum| &spectrum.values).flat_map(|value| value.to_le_bytes()));
        Ok(bytes)
    }

    /// Whether a file of spectra is at `path`, judged by its header.
    pub(super) fn is_at(path: &Path) -> bool {
        metadata(path).is_some()
    }

    /// Whether the file at `path` was written with the file of all numbers that has the content `full`.
    pub(super) fn are_of(path: &Path, full: &[u8]) -> bool {
        metadata(path).is_some_and(|metadata| metadata[KEYS[1]] == FORMAT.1 && metadata[KEYS[3]] == sha256(full))
    }

    /// Reads the file at `path`, which must have been written with the file of all numbers with this hash.
    fn read(path: &Path, full_sha256: &str) -> Result<Self, SpectraError> {
        let unreadable = |reason: String| SpectraError::Unreadable { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SpectraError::Missing(path.to_owned()),
            _ => unreadable(error.to_string()),
        })?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let [format, version, _, hash, modules] = KEYS.map(|key| metadata.get(key).map_or("", String::as_str));
        if format != FORMAT.0 {
            return Err(unreadable("it is no file of spectra of laser-scan".to_owned()));
        }
        if version != FORMAT.1 {
            let own = FORMAT.1;
            return Err(unreadable(format!("its format_version is '{version}', and this laser-scan reads '{own}'")));
        }
        if hash != full_sha256 {
            return Err(SpectraError::OfAnother(path.to_owned()));
        }
        let sources: HashMap<String, Source> =
            serde_json::from_str(modules).map_err(|error| unreadable(format!("its metadata is damaged: {error}")))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let spectrum = |(name, source): (String, Source)| {
            let spectrum = tensors.tensor(&name).ok().and_then(|tensor| source.spectrum(&tensor));
            let spectrum =
                spectrum.ok_or_else(|| unreadable(format!("the spectrum of '{name}' is missing or damaged")));
            spectrum.map(|spectrum| (name, spectrum))
        };
        sources.into_iter().map(spectrum).collect()
    }
}

/// The metadata in the header of a file of spectra; `None` if there is no such file.
fn metadata(path: &Path) -> Option<Value> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length).min(LONGEST_HEADER)).read_to_end(&mut header).ok()?;
    let mut header: Value = serde_json::from_slice(&header).ok()?;
    Some(header["__metadata__"].take()).filter(|metadata| metadata[KEYS[0]] == FORMAT.0)
}

impl Source {
    fn of(spectrum: &Spectrum) -> Self {
        Self { method: spectrum.method, processor: spectrum.processor, shape: spectrum.shape }
    }

    /// The spectrum in `tensor`; `None` if it is none of a weight of this shape.
    fn spectrum(self, tensor: &TensorView<'_>) -> Option<Spectrum> {
        let Self { method, processor, shape } = self;
        if tensor.dtype() != Dtype::F64 || tensor.shape().len() != 1 {
            return None;
        }
        let (chunks, _) = tensor.data().as_chunks::<8>();
        let values = chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        Spectrum::kept(values, method, processor, shape)
    }
}

impl Scan {
    /// Adds the spectra beside the scan's file at `path`.
    ///
    /// # Errors
    ///
    /// Fails if there are none, if they belong to another scan, or if they lack a measured module. The scan is then unchanged.
    pub fn read_spectra(&mut self, path: &Path) -> Result<(), SpectraError> {
        let place = spectra_of(path);
        let full = fs::read(path).unwrap_or_default();
        let spectra = Spectra::read(&place, &sha256(&full))?;
        let is_lacking = |name: &&String| spectra.get(name).is_none();
        let mut measured = self.records.iter().filter(|record| record.result.is_ok()).map(|record| &record.info.name);
        if let Some(module) = measured.find(is_lacking) {
            return Err(SpectraError::Incomplete { path: place, module: module.clone() });
        }
        self.spectra = Some(spectra);
        Ok(())
    }
}

/// The path of the spectra for a scan's file of all numbers: beside the file itself, not beside a link to it.
pub fn spectra_of(full: &Path) -> PathBuf {
    beside_of(full, SPECTRA_ENDING)
}
