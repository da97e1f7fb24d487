//! How a scan's numbers were made: all that someone who finds them later needs to know about the run.

use serde::{Deserialize, Serialize};

use super::Pooling;
use crate::modules;
use crate::source::Model;
use crate::spectrum::Library;
use crate::statistic::{Criterion, Ties};

/// How a scan's numbers were made, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of laser-scan.
    pub version: String,
    /// When the run began, as RFC 3339 writes it, in UTC.
    pub date: String,
    pub host: Host,
    /// The model as the user named it.
    pub model: String,
    /// The model's Hub id, or the absolute path of its folder or file.
    pub origin: String,
    /// The commit of the Hub's model that was read; `null` for other models.
    pub commit: Option<String>,
    /// The model whose changes were measured; not there if weights themselves were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    pub files: Vec<WeightFile>,
    /// The formats of quantised weights, which were dequantised.
    pub quantization: Vec<String>,
    /// What training tools had left in the names of stored tensors, and was taken off. Older manifests do not tell.
    #[serde(default)]
    pub wrappers: Vec<String>,
    /// The architectures whose modules were found only by the general rules.
    pub unknown_architectures: Vec<String>,
    /// Where singular values were to be computed: `cpu`, or GPUs such as `cuda:0,cuda:1`.
    pub device: String,
    /// The libraries of the GPUs' maker, where GPUs computed; not there without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub libraries: Vec<Library>,
    /// How GPUs found the eigenvalues of Gram matrices, in the names of their maker's functions; not there without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eigensolvers: Vec<String>,
    /// The setting of the environment by which GPUs made products of integers and not in float64; not there without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emulation: Option<String>,
    /// The version of the arithmetic.
    pub algorithm: String,
    pub precision: String,
    pub methods: Methods,
    pub processors: Processors,
    /// The runs that measured its parts; not there if one run measured the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    pub options: Options,
    pub seconds: Seconds,
}

/// The model that a fine-tuned one was compared with. The fields are as those of the fine-tuned model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub model: String,
    pub origin: String,
    pub commit: Option<String>,
}

impl From<&Model> for Base {
    fn from(model: &Model) -> Self {
        let Model { spelling, origin, commit, .. } = model.clone();
        Self { model: spelling, origin, commit }
    }
}

/// The parts of which a scan was merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// How many parts the scan was divided into.
    pub of: usize,
    /// The numbers of the parts that were not there.
    pub missing: Vec<usize>,
    pub runs: Vec<PartRun>,
}

/// The run that measured one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartRun {
    pub number: usize,
    pub version: String,
    pub date: String,
    pub host: Host,
    pub device: String,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub os: String,
    /// The maker's name for the processor.
    pub cpu: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// The path relative to the model's folder.
    pub file: String,
    /// In bytes.
    pub size: u64,
    /// The Hub's hash of the content; `null` for other models.
    pub etag: Option<String>,
    /// For files that have no such hash: the path and what tells whether the file was changed. Older manifests do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// How many modules were measured by each [`crate::spectrum::Method`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Methods {
    pub gram: usize,
    pub direct: usize,
}

/// How many modules were measured by each kind of processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processors {
    pub cpu: usize,
    pub cuda: usize,
}

/// What the user asked for, including defaults. Each field has the name of its option.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<String>,
    /// `null` if another rule decides how many are selected.
    pub top_n: Option<usize>,
    pub top_percent: Option<f64>,
    pub global: bool,
    pub budget: Option<u64>,
    pub types: Vec<String>,
    pub layers: Option<String>,
    pub emit: Vec<String>,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub all_linear: bool,
    pub include_conv: bool,
    pub split_fused: bool,
    pub pool_experts: Pooling,
    /// What modules were ranked by. Older manifests do not tell, because there was one statistic.
    #[serde(default)]
    pub statistic: Criterion,
    #[serde(default)]
    pub ties: Ties,
    pub transformers: u8,
    /// Whether weights were read by byte range, so that no hash of a whole file was checked. Older manifests do not tell.
    #[serde(default)]
    pub stream: bool,
    pub threads: usize,
    /// The limit in bytes.
    pub memory: u64,
}

/// The duration of each phase in seconds. The model is found and its headers are read in `plan`; downloading and
/// measuring, which overlap, are `scan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    pub plan: f64,
    pub scan: f64,
    pub total: f64,
}

/// A module that should have been measured but could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The module's name, or a layer's if the whole layer is missing.
    pub module: String,
    pub reason: String,
}

/// A tensor that was not meant to be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub tensor: String,
    pub reason: String,
}

impl Failure {
    pub fn missing(missing: &modules::Missing) -> Self {
        Self { module: missing.module().to_owned(), reason: missing.cause.to_string() }
    }
}

impl From<&modules::LeftOut> for LeftOut {
    fn from(left_out: &modules::LeftOut) -> Self {
        Self { tensor: left_out.tensor.clone(), reason: left_out.reason.to_string() }
    }
}

impl Host {
    pub fn this() -> Self {
        use sysinfo::{CpuRefreshKind, RefreshKind, System};
        let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
        let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty());
        let os = System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned());
        Self { os, cpu: brand.unwrap_or_else(|| std::env::consts::ARCH.to_owned()) }
    }
}
