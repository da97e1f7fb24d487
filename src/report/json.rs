//! The JSON that a scan ends in.
//!
//! Both files keep the seed's form: Python's `json.dump(…, indent=4)`, byte for byte in the top-N file, in which only
//! names stand. Numbers in the full file are written with as many digits as float64 needs to be read back the same.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::manifest::Failure;
use crate::measure::{Outcome, Plan};
use crate::modules::Module;
use crate::output::python_json;
use crate::select::{Chosen, Pool, Pooling};
use crate::spectrum;
use crate::statistic::Statistic;

/// The full file: every measured module in model order, keyed by its name, then the pools of experts if there are any.
pub fn full(modules: &[Module], outcomes: &[Outcome], pools: &[Pool], how: Pooling) -> Vec<u8> {
    // All members of a pool with a ratio were measured; those of others may be missing.
    let pools: Vec<&Pool> = pools.iter().filter(|pool| pool.snr.is_some()).collect();
    let targets: Vec<Vec<String>> = pools.iter().map(|pool| pool_targets(pool, modules)).collect();
    let measured = modules.iter().zip(outcomes).filter_map(|(module, outcome)| {
        let measurement = outcome.as_ref().ok()?;
        Some((module.name.as_str(), Entry::Module(Record::new(module, &measurement.statistic))))
    });
    let pools = pools.iter().zip(&targets).filter_map(|(pool, target)| {
        let snr = Some(pool.snr?).filter(|snr| snr.is_finite());
        let (module, kind) = (pool.name.as_str(), pool.kind.as_str());
        let identity = Identity { module, r#type: kind, target, ..Identity::of(&modules[pool.members[0]]) };
        Some((module, Entry::Pool(PoolRecord { snr, identity, pool: how, experts: pool.experts })))
    });
    python_json(&AsMap(measured.chain(pools).collect()))
}

/// What a trainer sees of a pool: the targets of its members, each once; none if that is the pool's name alone.
fn pool_targets(pool: &Pool, modules: &[Module]) -> Vec<String> {
    let members = pool.members.iter().map(|place| &modules[*place]);
    let mut targets: Vec<String> = members.flat_map(|member| member.targets_in_memory().to_vec()).collect();
    targets.dedup();
    if targets == [pool.name.as_str()] { Vec::new() } else { targets }
}

/// The top-N file: for each type the names of its best modules.
pub fn top(chosen: &[Chosen<'_>]) -> Vec<u8> {
    let names = |chosen: &Chosen<'_>| chosen.modules.iter().map(|module| module.name.to_owned()).collect();
    let types: Vec<(&str, Vec<String>)> = chosen.iter().map(|chosen| (chosen.kind, names(chosen))).collect();
    python_json(&AsMap(types))
}

/// What a dry run found, for programs.
pub fn dry_run(plan: &Plan, download: u64) -> Vec<u8> {
    let shards = plan.needed_shards().into_iter().map(|shard| &plan.checkpoint.shards[shard]);
    python_json(&DryRun {
        model: &plan.model.spelling,
        commit: plan.model.commit.as_deref(),
        files: shards.map(|shard| (shard.file.as_str(), shard.size)).collect(),
        download_bytes: download,
        flops: plan.flops(),
        modules: plan.modules.iter().map(Planned::new).collect(),
        quantization: plan.quantizations(),
        failed: plan.missing.iter().map(Failure::missing).collect(),
        left_out: &plan.left_out,
    })
}

/// What a module is. `module` is the seed's key, `type` is Spectrum's.
#[derive(Serialize)]
struct Identity<'a> {
    module: &'a str,
    r#type: &'a str,
    layer: Option<usize>,
    shape: [usize; 2],
    dtype: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty", serialize_with = "one_or_several")]
    target: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    target_is_parameter: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    target_is_matrix: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    part_of: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn of(module: &'a Module) -> Self {
        Self {
            module: &module.name,
            r#type: &module.kind,
            layer: module.layer,
            shape: module.shape,
            dtype: module.weight.dtype(),
            target: &module.targets,
            target_is_parameter: module.is_parameter,
            target_is_matrix: module.is_matrix(),
            part_of: module.part_of.as_deref(),
        }
    }
}

/// A module's entry in the full file. `snr` is the seed's key.
#[derive(Serialize)]
struct Record<'a> {
    /// `null` where the noise is zero: JSON has no infinity.
    snr: Option<f64>,
    #[serde(flatten)]
    identity: Identity<'a>,
    #[serde(flatten)]
    statistic: &'a Statistic,
}

/// A pool's entry in the full file: what its experts have in common, and their ratio.
#[derive(Serialize)]
struct PoolRecord<'a> {
    snr: Option<f64>,
    #[serde(flatten)]
    identity: Identity<'a>,
    pool: Pooling,
    experts: usize,
}

/// An entry in the full file.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Module(Record<'a>),
    Pool(PoolRecord<'a>),
}

impl<'a> Record<'a> {
    fn new(module: &'a Module, statistic: &'a Statistic) -> Self {
        let snr = Some(statistic.snr()).filter(|snr| snr.is_finite());
        Self { snr, identity: Identity::of(module), statistic }
    }
}

#[derive(Serialize)]
struct DryRun<'a> {
    model: &'a str,
    commit: Option<&'a str>,
    #[serde(serialize_with = "as_map")]
    files: Vec<(&'a str, u64)>,
    download_bytes: u64,
    flops: f64,
    modules: Vec<Planned<'a>>,
    quantization: Vec<&'a str>,
    failed: Vec<Failure<'a>>,
    left_out: &'a [crate::modules::LeftOut],
}

/// A module's entry in a dry run.
#[derive(Serialize)]
struct Planned<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    flops: f64,
}

impl<'a> Planned<'a> {
    fn new(module: &'a Module) -> Self {
        Self { identity: Identity::of(module), flops: spectrum::flops(module.shape) }
    }
}

/// A name by itself, or a list of several.
fn one_or_several<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match names {
        [name] => serializer.serialize_str(name),
        names => names.serialize(serializer),
    }
}

/// Pairs that are written as an object, in their order.
struct AsMap<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for AsMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_map(&self.0, serializer)
    }
}

fn as_map<K: Serialize, V: Serialize, S: Serializer>(pairs: &[(K, V)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (key, value) in pairs {
        map.serialize_entry(key, value)?;
    }
    map.end()
}
