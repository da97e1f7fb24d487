//! What a scan would do, as JSON.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Plan, Share, flops};
use crate::modules::{LeftOut, Module};
use crate::output::python_json;
use crate::scan::{Described, Failure, Part};

#[derive(Serialize)]
struct DryRun<'a> {
    model: &'a str,
    commit: Option<&'a str>,
    /// The files that are needed, with their sizes.
    files: Map<String, Value>,
    download_bytes: u64,
    flops: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    #[serde(skip_serializing_if = "<[Share]>::is_empty")]
    parts: &'a [Share],
    modules: Vec<Planned<'a>>,
    quantization: &'a [String],
    wrappers: Vec<&'a str>,
    failed: Vec<Failure>,
    left_out: &'a [LeftOut],
}

#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    info: Described<'a>,
    flops: f64,
}

impl<'a> Planned<'a> {
    fn new(module: &'a Module) -> Self {
        Self { info: Described(&module.info), flops: flops(module) }
    }
}

impl Plan {
    /// What the scan would do, as JSON. `download` is the number of bytes that are not on disk yet, and `shares` are those of all
    /// parts, if the plan is one of several.
    pub fn dry_run_json(&self, download: u64, shares: &[Share]) -> Vec<u8> {
        let shards = self.needed_shards().into_iter().map(|shard| &self.checkpoint.shards[shard]);
        python_json(&DryRun {
            model: &self.model.spelling,
            commit: self.model.commit.as_deref(),
            files: shards.map(|shard| (shard.file.clone(), shard.size.into())).collect(),
            download_bytes: download,
            flops: self.flops(),
            part: self.part.as_ref().map(|portion| portion.part),
            parts: shares,
            modules: self.modules.iter().map(Planned::new).collect(),
            quantization: &self.quantizations,
            wrappers: self.wrappers(),
            failed: self.missing.iter().map(Failure::missing).collect(),
            left_out: &self.left_out,
        })
    }
}
