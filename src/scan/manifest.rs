//! The run's manifest, which lies beside the file of all numbers: what was scanned, how, and what was not measured.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::ser::{SerializeMap, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::outputs::manifest_of;
use super::pool::pool;
use super::{
    Failure, INCOMPLETE_POOL, LeftOut, Outputs, Pool, Portion, Provenance, ReadError, Record, Scan, Spectra,
    Surroundings, Unmeasured,
};
use crate::modules::{InMemory, Info};
use crate::output::json::Json;
use crate::output::{OutputError, python_json, sha256};

/// The version of the manifest's format. Version 1 had no version number, no date and no host.
const SCHEMA: usize = 2;

/// Why a scan's manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the scan's manifest is missing: there is no '{0}'")]
    Missing(PathBuf),
    #[error("the scan's manifest cannot be read: '{path}': {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("the manifest '{0}' was not written with this scan, or the scan was changed since")]
    OfAnother(PathBuf),
}

#[derive(Serialize)]
struct Manifest<'a> {
    tool: &'static str,
    schema_version: usize,
    #[serde(flatten)]
    provenance: Option<&'a Provenance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Portion>,
    /// The number of modules.
    measured: usize,
    failed: Vec<Failure>,
    left_out: &'a [LeftOut],
    outputs: Written,
    surroundings: Around<'a>,
}

/// What is read from a manifest, except for the surroundings.
#[derive(Deserialize)]
struct ReadBack {
    #[serde(flatten)]
    provenance: Provenance,
    #[serde(default)]
    part: Option<Portion>,
    failed: Vec<Failure>,
    left_out: Vec<LeftOut>,
}

/// The names of the files that are written together with the manifest. The hash ties the manifest to the file of all
/// numbers.
#[derive(Serialize)]
struct Written {
    full: String,
    full_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spectra: Option<String>,
}

/// The surroundings of a scan, and its unmeasured modules.
struct Around<'a>(&'a Scan);

/// A module that was not measured, as the manifest describes it.
struct Outside<'a>(&'a Info);

impl Scan {
    /// The manifest for the files `outputs`; `full` is the content of the file of all numbers.
    pub fn manifest_json(&self, outputs: &Outputs, full: &[u8]) -> Vec<u8> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let incomplete = |pool: &Pool| Failure { module: pool.name.clone(), reason: INCOMPLETE_POOL.to_owned() };
        let failed = self.failures.iter().cloned().chain(self.incomplete_pools().map(incomplete)).collect();
        python_json(&Manifest {
            tool: env!("CARGO_PKG_NAME"),
            schema_version: SCHEMA,
            provenance: self.provenance.as_ref(),
            part: self.part.as_ref(),
            measured: self.records.iter().filter(|record| record.result.is_ok()).count(),
            failed,
            left_out: &self.left_out,
            outputs: Written {
                full: name(&outputs.full),
                full_sha256: sha256(full),
                top: outputs.top.as_deref().map(name),
                spectra: self.spectra.as_ref().map(|_| name(&outputs.spectra)),
            },
            surroundings: Around(self),
        })
    }

    /// Writes all of the scan's files or none: all numbers, `top` with the names of the best, the manifest, and the spectra if
    /// they are at hand.
    /// Fails if a file cannot be written, for example on a full disk. Earlier files are then still there.
    pub fn write(&self, outputs: &Outputs, top: &[u8]) -> Result<(), OutputError> {
        let full = self.full_json();
        let unwritable =
            |error| OutputError::Unwritable { path: outputs.spectra.clone(), error: io::Error::other(error) };
        // A scan that was read and is written again usually has its spectra there.
        let spectra = self.spectra.as_ref().filter(|_| !Spectra::are_of(&outputs.spectra, &full));
        let spectra = spectra.map(|spectra| spectra.to_bytes(&full)).transpose().map_err(unwritable)?;
        outputs.write(&full, top, &self.manifest_json(outputs, &full), spectra.as_deref())
    }

    /// Adds what the manifest beside the scan's file at `path` tells: the surroundings, the modules that could not be
    /// measured, and how the others were measured.
    /// Fails if there is no manifest or if it belongs to another scan. The scan is then unchanged.
    pub fn read_manifest(&mut self, path: &Path) -> Result<(), ManifestError> {
        let manifest = manifest_of(path);
        let unreadable = |reason: String| ManifestError::Unreadable { path: manifest.clone(), reason };
        let bytes = fs::read(&manifest).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing(manifest.clone()),
            _ => unreadable(error.to_string()),
        })?;
        let json = Json::parse(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if let Some(schema) = json.get("schema_version").and_then(Json::whole).filter(|schema| *schema > SCHEMA) {
            let reason = format!("its schema_version is {schema}, and this laser-scan reads up to {SCHEMA}");
            return Err(unreadable(reason));
        }
        let (around, unmeasured) = surroundings(&json).map_err(|error| unreadable(error.to_string()))?;
        let hash = json.get("outputs").and_then(|outputs| outputs.get("full_sha256")).and_then(Json::text);
        let hash = hash.ok_or_else(|| unreadable("it does not say which file it was written with".to_owned()))?;
        if !fs::read(path).is_ok_and(|scan| sha256(&scan) == hash) {
            return Err(ManifestError::OfAnother(manifest));
        }
        self.surroundings = Some(around);
        // Manifests of the first version lack some of the provenance.
        if let Ok(ReadBack { provenance, part, failed, left_out }) = serde_json::from_slice(&bytes) {
            self.provenance = Some(provenance);
            self.part = part;
            self.failures = failed.into_iter().filter(|failure| failure.reason != INCOMPLETE_POOL).collect();
            self.left_out = left_out;
        }
        for info in unmeasured {
            let failure = self.failures.iter().find(|failure| failure.module == info.name);
            let reason = failure.map_or("it could not be measured", |failure| &failure.reason).to_owned();
            self.records.push(Record { info, result: Err(Unmeasured::Told(reason)) });
        }
        // An expert that could not be measured still belongs to its pool.
        self.pools = pool(&self.records, self.pooling, self.ranking);
        Ok(())
    }
}

impl Serialize for Around<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(scan) = self;
        let Some(around) = &scan.surroundings else { return serializer.serialize_none() };
        let Surroundings {
            model,
            model_types,
            architectures,
            transformers,
            components,
            ties_embeddings,
            modules,
            names,
        } = around;
        let failed = scan.records.iter().filter(|record| record.result.is_err()).map(|record| &record.info);
        let unmeasured: Vec<Outside<'_>> = failed.filter(|info| info.part_of.is_none()).map(Outside).collect();
        let mut map = serializer.serialize_struct("Surroundings", 9)?;
        map.serialize_field("model", model)?;
        map.serialize_field("model_types", model_types)?;
        map.serialize_field("architectures", architectures)?;
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

/// The surroundings of a scan, and its unmeasured modules, as a manifest has them.
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
        architectures: around.field("architectures", "a list of names", texts)?.unwrap_or_default(),
        transformers: around.required("transformers", "4 or 5", version)?,
        components: around.field("components", "a list of names", texts)?.unwrap_or_default(),
        ties_embeddings: around.flag("ties_embeddings")?,
        modules: infos("modules")?,
        names: around.required("names", "a list of names", texts)?,
    };
    let unmeasured = if around.has("unmeasured") { infos("unmeasured")? } else { Vec::new() };
    Ok((surroundings, unmeasured))
}
