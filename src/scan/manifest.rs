//! The run's manifest, beside the file of all numbers: what was read, how, and what was not.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::ser::{SerializeMap, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use super::outputs::manifest_of;
use super::pool::pool;
use super::read::Fields;
use super::{
    Failure, INCOMPLETE_POOL, LeftOut, Outputs, Provenance, ReadError, Record, Scan, Surroundings, Unmeasured,
};
use crate::modules::{InMemory, Info};
use crate::output::json::Json;
use crate::output::{OutputError, python_json, sha256};

/// The version of the manifest's form. Version 1 had no number, no date and no host.
const SCHEMA: usize = 2;

/// Why a scan's manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("the scan's manifest is missing: there is no '{0}'")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("the scan's manifest cannot be read: '{path}': {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written with another file.
    #[error("the manifest '{0}' was not written with this scan, or the scan was changed since")]
    OfAnother(PathBuf),
}

/// The manifest as it is written.
#[derive(Serialize)]
struct Manifest<'a> {
    tool: &'static str,
    schema_version: usize,
    #[serde(flatten)]
    provenance: Option<&'a Provenance>,
    /// How many modules were measured.
    measured: usize,
    failed: Vec<Failure>,
    left_out: &'a [LeftOut],
    outputs: Written,
    surroundings: Around<'a>,
}

/// What is read of a manifest beside the surroundings.
#[derive(Deserialize)]
struct ReadBack {
    #[serde(flatten)]
    provenance: Provenance,
    failed: Vec<Failure>,
    left_out: Vec<LeftOut>,
}

/// The names of the files that are written together with the manifest.
#[derive(Serialize)]
struct Written {
    /// All numbers.
    full: String,
    /// The SHA-256 of that file, by which the manifest is known to be its own.
    full_sha256: String,
    /// The best.
    top: String,
}

/// The model around the modules that were measured.
struct Around<'a>(&'a Scan);

/// A module that was not measured, as the manifest describes it.
struct Outside<'a>(&'a Info);

impl Scan {
    /// The manifest of the files `outputs`, of which the first holds the bytes `full`.
    pub fn manifest_json(&self, outputs: &Outputs, full: &[u8]) -> Vec<u8> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut failed = self.failures.clone();
        failed.extend(
            self.incomplete_pools()
                .map(|pool| Failure { module: pool.name.clone(), reason: INCOMPLETE_POOL.to_owned() }),
        );
        python_json(&Manifest {
            tool: env!("CARGO_PKG_NAME"),
            schema_version: SCHEMA,
            provenance: self.provenance.as_ref(),
            measured: self.records.iter().filter(|record| record.result.is_ok()).count(),
            failed,
            left_out: &self.left_out,
            outputs: Written { full: name(&outputs.full), full_sha256: sha256(full), top: name(&outputs.top) },
            surroundings: Around(self),
        })
    }

    /// Writes the scan's files: all numbers, the names of the best, and the manifest; all or none.
    ///
    /// # Errors
    ///
    /// Fails if the disk does, such as when it is full; what was there before is then still there.
    pub fn write(&self, outputs: &Outputs, top: &[u8]) -> Result<(), OutputError> {
        let full = self.full_json();
        outputs.write(&full, top, &self.manifest_json(outputs, &full))
    }

    /// Adds what the manifest beside the scan's file at `path` tells: what is around it, the modules that could not be
    /// measured, and how the others were.
    ///
    /// # Errors
    ///
    /// Fails if there is no manifest, or if it is another's; the scan is then what it was.
    pub fn read_manifest(&mut self, path: &Path) -> Result<(), ManifestError> {
        let manifest = manifest_of(path);
        let unreadable = |reason: String| ManifestError::Unreadable { path: manifest.clone(), reason };
        let bytes = fs::read(&manifest).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing(manifest.clone()),
            _ => unreadable(error.to_string()),
        })?;
        let json = Json::parse(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if let Some(schema) = json.get("schema_version").and_then(Json::whole).filter(|schema| *schema > SCHEMA) {
            return Err(unreadable(format!(
                "its schema_version is {schema}, and this laser-scan reads up to {SCHEMA}"
            )));
        }
        let (around, unmeasured) = surroundings(&json).map_err(|error| unreadable(error.to_string()))?;
        let hash = json.get("outputs").and_then(|outputs| outputs.get("full_sha256")).and_then(Json::text);
        let hash = hash.ok_or_else(|| unreadable("it does not say which file it was written with".to_owned()))?;
        if !fs::read(path).is_ok_and(|scan| sha256(&scan) == hash) {
            return Err(ManifestError::OfAnother(manifest));
        }
        self.surroundings = Some(around);
        // Manifests of the first version do not tell all that is asked of provenance.
        if let Ok(ReadBack { provenance, failed, left_out }) = serde_json::from_slice(&bytes) {
            self.provenance = Some(provenance);
            self.failures = failed.into_iter().filter(|failure| failure.reason != INCOMPLETE_POOL).collect();
            self.left_out = left_out;
        }
        let told = |info: Info| {
            let failure = self.failures.iter().find(|failure| failure.module == info.name);
            let reason =
                failure.map_or_else(|| "it could not be measured".to_owned(), |failure| failure.reason.clone());
            Record { info, result: Err(Unmeasured::Told(reason)) }
        };
        let unmeasured: Vec<Record> = unmeasured.into_iter().map(told).collect();
        // An expert that could not be measured belongs to its pool nevertheless.
        self.records.extend(unmeasured);
        self.pools = pool(&self.records, self.pooling);
        Ok(())
    }
}

impl Serialize for Around<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(scan) = self;
        let Some(around) = &scan.surroundings else { return serializer.serialize_none() };
        let Surroundings { model, model_types, transformers, components, ties_embeddings, modules, names } = around;
        let failed = scan.records.iter().filter(|record| record.result.is_err()).map(|record| &record.info);
        let unmeasured: Vec<Outside<'_>> = failed.filter(|info| info.part_of.is_none()).map(Outside).collect();
        let mut map = serializer.serialize_struct("Surroundings", 8)?;
        map.serialize_field("model", model)?;
        map.serialize_field("model_types", model_types)?;
        map.serialize_field("transformers", transformers)?;
        map.serialize_field("components", components)?;
        map.serialize_field("ties_embeddings", ties_embeddings)?;
        map.serialize_field("modules", &modules.iter().map(Outside).collect::<Vec<_>>())?;
        map.serialize_field("unmeasured", &unmeasured)?;
        map.serialize_field("names", names)?;
        map.end()
    }
}

impl Serialize for Outside<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Info { name, kind, role, layer, shape, memory, .. } = self.0;
        let mut map = serializer.serialize_map(Some(8))?;
        map.serialize_entry("module", name)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("class", role)?;
        map.serialize_entry("layer", layer)?;
        map.serialize_entry("shape", shape)?;
        map.serialize_entry("target", memory.names())?;
        map.serialize_entry("target_is_parameter", &memory.parameter().is_some())?;
        map.serialize_entry("target_is_matrix", &matches!(memory, InMemory::RowsOf(_)))?;
        map.end()
    }
}

/// What a manifest tells of the model around the scan, and the modules of the scan that were not measured.
fn surroundings(manifest: &Json) -> Result<(Surroundings, Vec<Info>), ReadError> {
    let around = Fields::new("surroundings", manifest.get("surroundings").unwrap_or(&Json::Null))?;
    let infos = |key| {
        let described = |fields: &Json| {
            let name = fields.get("module").and_then(Json::text)?;
            Some(Fields::new(name, fields).and_then(|fields| fields.info()))
        };
        let list = around.required(key, "a list of modules", |value| value.list()?.iter().map(described).collect())?;
        let list: Vec<Result<Info, ReadError>> = list;
        list.into_iter().collect::<Result<Vec<Info>, ReadError>>()
    };
    let texts = |value: &Json| value.list()?.iter().map(|item| item.text().map(str::to_owned)).collect();
    let version = |value: &Json| value.whole().and_then(|version| u8::try_from(version).ok());
    let surroundings = Surroundings {
        model: around.required("model", "a name", |value| value.text().map(str::to_owned))?,
        model_types: around.required("model_types", "a list of names", texts)?,
        transformers: around.required("transformers", "4 or 5", version)?,
        components: around.field("components", "a list of names", texts)?.unwrap_or_default(),
        ties_embeddings: around.flag("ties_embeddings")?,
        modules: infos("modules")?,
        names: around.required("names", "a list of names", texts)?,
    };
    let unmeasured = if around.has("unmeasured") { infos("unmeasured")? } else { Vec::new() };
    Ok((surroundings, unmeasured))
}
