//! Pools of modules that are ranked and selected together: of experts, and of what a trainer has as one module.

use std::collections::HashMap;

use super::Record;
use crate::statistic::{Ranking, Score};

/// Why a pool has no ratio.
pub const INCOMPLETE_POOL: &str = "one of its experts could not be measured";

/// How modules are pooled, for trainers that cannot select single ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Each module is ranked by itself.
    #[default]
    None,
    /// A pool's ratio is the mean of its members'.
    Mean,
    /// A pool's ratio is the largest of its members'.
    Max,
}

/// Modules with one common ratio: the same projection of each expert of a layer, all that is one parameter in memory, or the parts of
/// what a trainer has as one module.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub name: String,
    /// The type within which it is ranked.
    pub kind: String,
    /// The indices of its members among the scan's records, in order.
    pub members: Vec<usize>,
    /// The types of the members, each once.
    pub kinds: Vec<String>,
    /// How many experts the members belong to; 0 if they are the parts of one module.
    pub experts: usize,
    /// `None` if a member's ratio is not known.
    pub snr: Option<f64>,
    /// What it is ranked by; `None` if a member's score is not known.
    pub score: Option<Score>,
}

/// What is one module for a trainer and several in a scan.
#[derive(Clone, Debug)]
pub struct Fused {
    pub name: String,
    pub kind: String,
    /// The indices of its parts among the scan's records.
    pub parts: Vec<usize>,
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
            pools.push(Pool::new(name, kind, Vec::new()));
        }
        pools[at].members.push(place);
    }
    for pool in &mut pools {
        pool.rate(records, how, ranking);
        pool.experts = pool.members.len() / pool.kinds.len();
    }
    pools
}

/// The pools of modules that are one for a trainer.
pub(super) fn fused(modules: Vec<Fused>, records: &[Record], how: Pooling, ranking: Ranking) -> Vec<Pool> {
    let pool = |Fused { name, kind, parts }| {
        let mut pool = Pool::new(name, kind, parts);
        pool.rate(records, how, ranking);
        pool
    };
    modules.into_iter().map(pool).collect()
}

impl Pool {
    fn new(name: String, kind: String, members: Vec<usize>) -> Self {
        Self { name, kind, members, kinds: Vec::new(), experts: 0, snr: None, score: None }
    }

    /// Whether its members are the parts of what is one module for a trainer.
    pub fn is_fused(&self) -> bool {
        self.experts == 0
    }

    /// Gives the pool the ratio, the score and the types of its members.
    fn rate(&mut self, records: &[Record], how: Pooling, ranking: Ranking) {
        let members = || self.members.iter().map(|place| &records[*place]);
        let mut kinds: Vec<String> = members().map(|member| member.info.kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        self.kinds = kinds;
        let ratios: Option<Vec<f64>> = members().map(Record::snr).collect();
        let scores: Option<Vec<Score>> = members().map(|member| member.score(ranking)).collect();
        self.snr = ratios.map(|ratios| how.of(&ratios));
        self.score = scores.map(|scores| {
            let of = |number: fn(&Score) -> f64| how.of(&scores.iter().map(number).collect::<Vec<_>>());
            Score { value: of(|score| score.value), margin: of(|score| score.margin) }
        });
    }
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
