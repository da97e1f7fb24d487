//! The run's manifest: what was read, how, and what was not.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::measure::{Outcome, Plan, Resources};
use crate::modules::{LeftOut, Missing};
use crate::output::{python_json, sha256};
use crate::scan::{Outputs, Surroundings};
use crate::select::{self, Pool, Pooling};
use crate::spectrum::{self, Device, Method, Processor};

/// Everything that someone who finds the output later needs to know of the run.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    /// This program's name.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The model as the user spelled it.
    pub model: &'a str,
    /// Which model that is: its Hub id, or the absolute path of its folder or file.
    pub origin: &'a str,
    /// The commit that every file was read at; `null` for a model that is no Hub model.
    pub commit: Option<&'a str>,
    /// The weight files.
    pub files: Vec<ManifestFile<'a>>,
    /// The formats that weights were quantised in, and from which they were dequantised.
    pub quantization: Vec<&'a str>,
    /// The architectures whose modules were found by general rules.
    pub unknown_architectures: &'a [String],
    /// Where singular values were to be computed: `cpu`, or GPUs such as `cuda:0,cuda:1`.
    pub device: String,
    /// The version of the arithmetic.
    pub algorithm: &'static str,
    /// The precision of the arithmetic.
    pub precision: &'static str,
    /// How many modules were measured by each route.
    pub methods: Methods,
    /// How many were measured on the CPU and on GPUs.
    pub processors: Processors,
    /// What the user asked for.
    pub options: Options<'a>,
    /// How long each phase took.
    pub seconds: Seconds,
    /// How many modules were measured.
    pub measured: usize,
    /// Modules that could not be measured, those that are missing from the model's files too.
    pub failed: Vec<Failure<'a>>,
    /// Tensors that were not to be measured.
    pub left_out: &'a [LeftOut],
    /// The files that the results are in.
    pub outputs: ManifestOutputs,
    /// The model around the modules that were measured.
    pub surroundings: Surroundings,
}

/// The names of the files that were written together with the manifest.
#[derive(Debug, Serialize)]
pub struct ManifestOutputs {
    /// All numbers.
    pub full: String,
    /// The SHA-256 of that file, by which the manifest is known to be its own.
    pub full_sha256: String,
    /// The best.
    pub top: String,
}

/// A weight file.
#[derive(Debug, Serialize)]
pub struct ManifestFile<'a> {
    /// Its name, relative to the model's folder.
    pub file: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// The Hub's hash of its content; `null` for a model that is no Hub model.
    pub etag: Option<&'a str>,
}

/// How many modules were measured by each route.
#[derive(Debug, Serialize)]
pub struct Methods {
    /// Through the Gram matrix.
    pub gram: usize,
    /// From the weight itself.
    pub direct: usize,
}

/// How many modules were measured by each kind of processor.
#[derive(Debug, Serialize)]
pub struct Processors {
    /// Those measured on the CPU.
    pub cpu: usize,
    /// Those measured on NVIDIA's GPUs.
    pub cuda: usize,
}

/// What the user asked for, after defaults.
#[derive(Debug, Serialize)]
pub struct Options<'a> {
    /// `--revision`.
    pub revision: Option<&'a str>,
    /// `--top-n`; `null` if another rule counts.
    pub top_n: Option<usize>,
    /// `--top-percent`.
    pub top_percent: Option<f64>,
    /// `--global`.
    pub global: bool,
    /// `--budget`.
    pub budget: Option<u64>,
    /// `--types`.
    pub types: &'a [String],
    /// `--layers`.
    pub layers: Option<String>,
    /// `--emit`.
    pub emit: Vec<&'static str>,
    /// `--include`.
    pub include: &'a [String],
    /// `--exclude`.
    pub exclude: &'a [String],
    /// `--all-linear`.
    pub all_linear: bool,
    /// `--include-conv`.
    pub include_conv: bool,
    /// `--split-fused`.
    pub split_fused: bool,
    /// `--pool-experts`.
    pub pool_experts: Pooling,
    /// `--transformers`.
    pub transformers: u8,
    /// `--threads`.
    pub threads: usize,
    /// The ceiling on memory, in bytes.
    pub memory: u64,
}

/// The duration of each phase.
#[derive(Debug, Serialize)]
pub struct Seconds {
    /// Finding the model and reading headers.
    pub plan: f64,
    /// Downloading and measuring, which overlap.
    pub scan: f64,
}

/// A module that could not be measured.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    /// The module's name; a layer's where all of it is missing.
    pub module: &'a str,
    /// Why.
    pub reason: Cow<'a, str>,
}

impl<'a> Failure<'a> {
    /// That a module is missing from the model's files.
    pub fn missing(missing: &'a Missing) -> Self {
        Self { module: missing.module(), reason: missing.cause.to_string().into() }
    }
}

impl ManifestOutputs {
    /// The names of `outputs`, of which the first holds the bytes `full`.
    pub fn new(outputs: &Outputs, full: &[u8]) -> Self {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { full: name(&outputs.full), full_sha256: sha256(full), top: name(&outputs.top) }
    }
}

impl<'a> Manifest<'a> {
    /// The manifest of a scan that is done.
    pub fn new(
        plan: &'a Plan,
        outcomes: &'a [Outcome],
        pools: &'a [Pool],
        resources: &Resources,
        options: Options<'a>,
        seconds: Seconds,
        outputs: ManifestOutputs,
    ) -> Self {
        let by = |method: Method| outcomes.iter().flatten().filter(|measurement| measurement.method == method).count();
        let on = |processor: Processor| {
            outcomes.iter().flatten().filter(|measurement| measurement.processor == processor).count()
        };
        let failed = plan.modules.iter().zip(outcomes).filter_map(|(module, outcome)| {
            outcome.as_ref().err().map(|reason| Failure { module: &module.name, reason: reason.into() })
        });
        let incomplete = pools.iter().filter(|pool| pool.snr.is_none());
        let incomplete = incomplete.map(|pool| Failure { module: &pool.name, reason: select::INCOMPLETE_POOL.into() });
        let files = plan.checkpoint.shards.iter().map(|shard| ManifestFile {
            file: &shard.file,
            size: shard.size,
            etag: plan.model.commit.as_ref().map(|_| shard.identity.as_str()),
        });
        Self {
            tool: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            model: &plan.model.spelling,
            origin: &plan.model.origin,
            commit: plan.model.commit.as_deref(),
            files: files.collect(),
            quantization: plan.quantizations(),
            unknown_architectures: &plan.unknown,
            device: resources.devices.iter().map(Device::name).collect::<Vec<_>>().join(","),
            algorithm: spectrum::ALGORITHM,
            precision: "float64",
            methods: Methods { gram: by(Method::Gram), direct: by(Method::Direct) },
            processors: Processors { cpu: on(Processor::Cpu), cuda: on(Processor::Cuda) },
            options,
            seconds,
            measured: outcomes.iter().flatten().count(),
            failed: failed.chain(plan.missing.iter().map(Failure::missing)).chain(incomplete).collect(),
            left_out: &plan.left_out,
            outputs,
            surroundings: plan.surroundings(outcomes),
        }
    }

    /// The manifest as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        python_json(self)
    }
}
