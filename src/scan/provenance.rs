//! How a scan's numbers came about: all that someone who finds them later needs to know of the run.

use serde::{Deserialize, Serialize};

use super::Pooling;
use crate::modules;

/// How a scan's numbers came about. The manifest holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of laser-scan.
    pub version: String,
    /// When the run began, as RFC 3339 writes it, in UTC.
    pub date: String,
    /// The machine.
    pub host: Host,
    /// The model as the user spelled it.
    pub model: String,
    /// Which model that is: its Hub id, or the absolute path of its folder or file.
    pub origin: String,
    /// The commit that every file was read at; `null` for a model that is no Hub model.
    pub commit: Option<String>,
    /// The weight files.
    pub files: Vec<WeightFile>,
    /// The formats that weights were quantised in, and from which they were dequantised.
    pub quantization: Vec<String>,
    /// The architectures whose modules were found by general rules.
    pub unknown_architectures: Vec<String>,
    /// Where singular values were to be computed: `cpu`, or GPUs such as `cuda:0,cuda:1`.
    pub device: String,
    /// The version of the arithmetic.
    pub algorithm: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// How many modules were measured by each route.
    pub methods: Methods,
    /// How many modules were measured on the CPU and on GPUs.
    pub processors: Processors,
    /// What the user asked for.
    pub options: Options,
    /// How long each phase took.
    pub seconds: Seconds,
}

/// A machine that scans run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its operating system.
    pub os: String,
    /// Its processor, as its maker calls it.
    pub cpu: String,
}

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightFile {
    /// Its name, relative to the model's folder.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// The Hub's hash of its content; `null` for a model that is no Hub model.
    pub etag: Option<String>,
}

/// How many modules were measured by each route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Methods {
    /// Through the Gram matrix.
    pub gram: usize,
    /// From the weight itself.
    pub direct: usize,
}

/// How many modules were measured by each kind of processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processors {
    /// Those measured on the CPU.
    pub cpu: usize,
    /// Those measured on NVIDIA's GPUs.
    pub cuda: usize,
}

/// What the user asked for, after defaults. Each field has the name of its option.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    pub revision: Option<String>,
    /// `null` if another rule counts.
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
    pub transformers: u8,
    pub threads: usize,
    /// The ceiling on memory, in bytes.
    pub memory: u64,
}

/// The duration of each phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Finding the model and reading headers.
    pub plan: f64,
    /// Downloading and measuring, which overlap.
    pub scan: f64,
    /// Both together.
    pub total: f64,
}

/// A module that was to be measured and could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The module's name; a layer's where all of it is missing.
    pub module: String,
    /// Why.
    pub reason: String,
}

/// A tensor that was not to be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The tensor's name.
    pub tensor: String,
    /// Why.
    pub reason: String,
}

impl Failure {
    /// That a module is missing from the model's files.
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
    /// This machine.
    pub fn this() -> Self {
        use sysinfo::{CpuRefreshKind, RefreshKind, System};
        let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
        let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty());
        let os = System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned());
        Self { os, cpu: brand.unwrap_or_else(|| std::env::consts::ARCH.to_owned()) }
    }
}
