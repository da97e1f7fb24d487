//! A scan -> the chosen modules. Pure.

use std::collections::HashMap;

use crate::modules::{Module, Pool};

/// The module types of a Llama-like model in the order in which the seed's script writes them.
const SEED_ORDER: [&str; 7] = [
    "self_attn.v_proj",
    "self_attn.k_proj",
    "self_attn.o_proj",
    "self_attn.q_proj",
    "mlp.down_proj",
    "mlp.up_proj",
    "mlp.gate_proj",
];

/// A measured module, as far as selection needs it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The module's name.
    pub name: &'a str,
    /// The type it is ranked within.
    pub kind: &'a str,
    /// The layer it belongs to.
    pub layer: Option<usize>,
    /// Its signal-to-noise ratio over its largest singular value; may be infinite.
    pub snr: f64,
    /// Whether a trainer sees it under another name.
    pub is_renamed: bool,
}

/// The modules chosen of one type, best first.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// The type.
    pub kind: &'a str,
    /// How many modules of the type there are.
    pub measured: usize,
    /// At most as many of them as were asked for.
    pub modules: Vec<Candidate<'a>>,
}

/// The `count` best of each type: infinite ratios first, then the highest, equal ones in the order given, which is model
/// order. The seven types of the seed come in its order, others after them in the order in which they appear.
pub fn top<'a>(candidates: &[Candidate<'a>], count: usize) -> Vec<Chosen<'a>> {
    let mut types: Vec<Chosen<'a>> = Vec::new();
    for candidate in candidates {
        match types.iter_mut().find(|chosen| chosen.kind == candidate.kind) {
            Some(chosen) => chosen.modules.push(*candidate),
            None => types.push(Chosen { kind: candidate.kind, measured: 0, modules: vec![*candidate] }),
        }
    }
    for chosen in &mut types {
        chosen.measured = chosen.modules.len();
        chosen.modules.sort_by(|a, b| b.snr.total_cmp(&a.snr));
        chosen.modules.truncate(count);
    }
    let place = |kind: &str| SEED_ORDER.iter().position(|known| *known == kind).unwrap_or(SEED_ORDER.len());
    types.sort_by_key(|chosen| place(chosen.kind));
    types
}

/// Why a pool has no ratio.
pub const INCOMPLETE_POOL: &str = "one of its experts could not be measured";

/// What is ranked, in model order: the measured modules, with pools in place of their experts where there are any; `ratio`
/// gives that of the module in a place. Parts of fused modules are measured to be looked at: no trainer can select one.
pub fn candidates<'a>(
    modules: &'a [Module],
    ratio: impl Fn(usize) -> Option<f64>,
    pools: &[Pooled<'a>],
) -> Vec<Candidate<'a>> {
    let pooled: HashMap<usize, &Pooled<'a>> =
        pools.iter().flat_map(|pooled| pooled.experts.iter().map(move |place| (*place, pooled))).collect();
    let ranked = modules.iter().enumerate().filter(|(_, module)| module.part_of.is_none());
    let candidate = |(place, module): (usize, &'a Module)| match pooled.get(&place) {
        Some(pooled) if pooled.experts[0] != place => None,
        Some(Pooled { pool, snr, .. }) => {
            let is_renamed = !pool.targets.is_empty();
            Some(Candidate { name: &pool.name, kind: &pool.kind, layer: module.layer, snr: (*snr)?, is_renamed })
        }
        None => {
            let is_renamed = !module.targets.is_empty();
            let snr = ratio(place)?;
            Some(Candidate { name: &module.name, kind: &module.kind, layer: module.layer, snr, is_renamed })
        }
    };
    ranked.filter_map(candidate).collect()
}

/// How the experts of a layer are taken together, for trainers that cannot select one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
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

/// The same projection of all experts of a layer, with one ratio.
#[derive(Clone, Debug)]
pub struct Pooled<'a> {
    /// What it is called and ranked with.
    pub pool: &'a Pool,
    /// The places of its experts, in their order.
    pub experts: Vec<usize>,
    /// Its ratio; `None` if that of an expert is not known.
    pub snr: Option<f64>,
}

/// Takes the experts among `modules` together; `ratio` gives that of the module in a place, if it is known. The pools come
/// in the order of their first experts; there are none if experts are not to be pooled. An infinite ratio makes a mean
/// infinite. Parts of fused modules are not pooled.
pub fn pool(modules: &[Module], ratio: impl Fn(usize) -> Option<f64>, how: Pooling) -> Vec<Pooled<'_>> {
    let mut pooled: Vec<Pooled<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, module) in modules.iter().enumerate() {
        let Some(pool) = module.pool.as_ref().filter(|_| how != Pooling::None) else { continue };
        let at = *places.entry(&pool.name).or_insert(pooled.len());
        if at == pooled.len() {
            pooled.push(Pooled { pool, experts: Vec::new(), snr: None });
        }
        pooled[at].experts.push(place);
    }
    for pool in &mut pooled {
        let ratios: Option<Vec<f64>> = pool.experts.iter().map(|place| ratio(*place)).collect();
        pool.snr = ratios.map(|ratios| match how {
            Pooling::Max => ratios.into_iter().fold(f64::NEG_INFINITY, f64::max),
            Pooling::None | Pooling::Mean => ratios.iter().sum::<f64>() / ratios.len() as f64,
        });
    }
    pooled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate<'a>(name: &'a str, kind: &'a str, snr: f64) -> Candidate<'a> {
        Candidate { name, kind, layer: None, snr, is_renamed: false }
    }

    #[test]
    fn infinite_first_then_highest_then_model_order() {
        let candidates = [
            candidate("a", "x", 1.0),
            candidate("b", "x", f64::INFINITY),
            candidate("c", "x", 2.0),
            candidate("d", "x", 1.0),
            candidate("e", "x", f64::INFINITY),
        ];
        let chosen = top(&candidates, 4);
        let names: Vec<&str> = chosen[0].modules.iter().map(|module| module.name).collect();
        assert_eq!(names, ["b", "e", "c", "a"]);
        assert_eq!(chosen[0].measured, 5);
    }

    #[test]
    fn types_come_in_the_order_of_the_seed() {
        let kinds = [
            "self_attn.q_proj",
            "self_attn.qkv_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "other",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ];
        let candidates = kinds.map(|kind| candidate("m", kind, 1.0));
        let order: Vec<&str> = top(&candidates, 1).iter().map(|chosen| chosen.kind).collect();
        assert_eq!(order[..7], SEED_ORDER);
        assert_eq!(order[7..], ["self_attn.qkv_proj", "other"]);
    }

    #[test]
    fn no_more_than_there_are() {
        assert_eq!(top(&[candidate("a", "x", 1.0)], 16)[0].modules.len(), 1);
        assert!(top(&[], 16).is_empty());
    }
}
