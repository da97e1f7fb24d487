//! Experts taken together.

use std::collections::HashMap;

use super::Record;

/// Why a pool has no ratio.
pub const INCOMPLETE_POOL: &str = "one of its experts could not be measured";

/// How the experts of a layer are taken together, for trainers that cannot select one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// They are not: each is ranked by itself.
    #[default]
    None,
    /// By the mean of their ratios.
    Mean,
    /// By the largest of their ratios.
    Max,
}

/// Experts of a layer with one ratio: the same projection of each, or all that is one parameter in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The type it is ranked within.
    pub kind: String,
    /// The places of its members among the scan's records, in their order.
    pub members: Vec<usize>,
    /// How many experts they belong to.
    pub experts: usize,
    /// Its ratio; `None` if that of a member is not known.
    pub snr: Option<f64>,
}

/// Takes the experts among `records` together. The pools come in the order of their first members; there are none if
/// experts are not to be pooled. An infinite ratio makes a mean infinite. Parts of fused modules are not pooled.
pub(super) fn pool(records: &[Record], how: Pooling) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    if how == Pooling::None {
        return pools;
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        let Some((name, kind)) = record.info.pool() else { continue };
        let at = *places.entry(name.clone()).or_insert(pools.len());
        if at == pools.len() {
            pools.push(Pool { name, kind, members: Vec::new(), experts: 0, snr: None });
        }
        pools[at].members.push(place);
    }
    for pool in &mut pools {
        let members = || pool.members.iter().map(|place| &records[*place]);
        let mut kinds: Vec<&str> = members().map(|member| member.info.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        pool.experts = pool.members.len() / kinds.len();
        let ratios: Option<Vec<f64>> = members().map(Record::snr).collect();
        pool.snr = ratios.map(|ratios| match how {
            Pooling::Max => ratios.into_iter().fold(f64::NEG_INFINITY, f64::max),
            Pooling::None | Pooling::Mean => ratios.iter().sum::<f64>() / ratios.len() as f64,
        });
    }
    pools
}
