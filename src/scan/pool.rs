//! Pools of experts, which are ranked and selected together.

use std::collections::HashMap;

use super::Record;
use crate::statistic::{Ranking, Score};

/// Why a pool has no ratio.
pub const INCOMPLETE_POOL: &str = "one of its experts could not be measured";

/// How the experts of a layer are pooled, for trainers that cannot select single experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Each expert is ranked by itself.
    #[default]
    None,
    /// A pool's ratio is the mean of its members'.
    Mean,
    /// A pool's ratio is the largest of its members'.
    Max,
}

/// Experts of a layer with one common ratio: the same projection of each, or all that is one parameter in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub name: String,
    /// The type within which it is ranked.
    pub kind: String,
    /// The indices of its members among the scan's records, in order.
    pub members: Vec<usize>,
    /// How many experts the members belong to.
    pub experts: usize,
    /// `None` if a member's ratio is not known.
    pub snr: Option<f64>,
    /// What it is ranked by; `None` if a member's score is not known.
    pub score: Option<Score>,
}

/// The pools of the experts among `records`, in the order of their first members. An infinite ratio makes a mean
/// infinite. Parts of fused modules are not pooled.
pub(super) fn pool(records: &[Record], how: Pooling, ranking: Ranking) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    if how == Pooling::None {
        return pools;
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        let Some((name, kind)) = record.info.pool() else { continue };
        let at = *places.entry(name.clone()).or_insert(pools.len());
        if at == pools.len() {
            pools.push(Pool { name, kind, members: Vec::new(), experts: 0, snr: None, score: None });
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
        pool.snr = ratios.map(|ratios| how.of(&ratios));
        let scores: Option<Vec<Score>> = members().map(|member| member.score(ranking)).collect();
        pool.score = scores.map(|scores| {
            let of = |number: fn(&Score) -> f64| how.of(&scores.iter().map(number).collect::<Vec<_>>());
            Score { value: of(|score| score.value), margin: of(|score| score.margin) }
        });
    }
    pools
}

impl Pooling {
    /// The common number of experts with these numbers.
    fn of(self, numbers: &[f64]) -> f64 {
        match self {
            Self::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::None | Self::Mean => numbers.iter().sum::<f64>() / numbers.len() as f64,
        }
    }
}
