//! A scan -> the chosen modules. Pure.
//!
//! Whatever the rule, infinite ratios come before finite ones, then the highest, then equal ones in model order.

mod cost;
mod layers;
mod pool;
mod rules;

use std::cmp::Ordering;
use std::collections::HashMap;

pub use cost::{Budget, Cost, Counted};
pub use layers::Layers;
pub use pool::{INCOMPLETE_POOL, Pool, Pooling, pool};
pub use rules::{Count, Rules, SelectError, Types};

use crate::modules;
use crate::scan::Entry;

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

/// How many names a message gives at most.
const NAMED: usize = 12;

/// A measured module or pool, as far as selection needs it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type it is ranked within.
    pub kind: &'a str,
    /// The layer it belongs to.
    pub layer: Option<usize>,
    /// Its signal-to-noise ratio over its largest singular value; may be infinite.
    pub snr: f64,
    /// Whether a trainer sees it under another name.
    pub is_renamed: bool,
    /// What training it takes, if its shape is known.
    pub cost: Option<Cost>,
    /// Its place among the entries, or that of its first member.
    pub place: usize,
    /// The pool that it is.
    pub pool: Option<&'a Pool>,
}

/// The modules chosen of one type, best first.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// The type.
    pub kind: &'a str,
    /// How many modules of the type there are.
    pub measured: usize,
    /// Those that are chosen, at least one.
    pub modules: Vec<Candidate<'a>>,
}

impl Candidate<'_> {
    /// The places of the modules that it stands for.
    pub fn members(&self) -> Vec<usize> {
        self.pool.map_or_else(|| vec![self.place], |pool| pool.members.clone())
    }
}

/// What is ranked, in model order: the measured modules, with pools in place of their members where there are any. Parts of
/// fused modules are measured to be looked at: no trainer can select one.
pub fn candidates<'a>(entries: &'a [Entry], pools: &'a [Pool]) -> Vec<Candidate<'a>> {
    let pooled: HashMap<usize, &Pool> =
        pools.iter().flat_map(|pool| pool.members.iter().map(move |place| (*place, pool))).collect();
    let candidate = |(place, entry): (usize, &'a Entry)| match pooled.get(&place).copied() {
        Some(pool) if pool.members[0] != place => None,
        Some(pool) => Some(Candidate {
            name: &pool.name,
            kind: &pool.kind,
            layer: entry.layer,
            snr: pool.snr?,
            is_renamed: entry.targets.len() > 1 || entry.targets[0] != pool.name,
            cost: Cost::of(pool.members.iter().map(|place| &entries[*place])),
            place,
            pool: Some(pool),
        }),
        None => Some(Candidate {
            name: &entry.name,
            kind: &entry.kind,
            layer: entry.layer,
            snr: entry.snr?,
            is_renamed: entry.is_renamed(),
            cost: Cost::of(std::iter::once(entry)),
            place,
            pool: None,
        }),
    };
    let ranked = entries.iter().enumerate().filter(|(_, entry)| entry.part_of.is_none());
    ranked.filter_map(candidate).collect()
}

/// The best by `rules`, by type and best first. The seven types of the seed come in its order, others after them in the
/// order in which they appear; types of which nothing is chosen do not come.
///
/// # Errors
///
/// Fails if the rules leave nothing to choose, or if a budget cannot be counted.
pub fn choose<'a>(candidates: &[Candidate<'a>], rules: &Rules) -> Result<Vec<Chosen<'a>>, SelectError> {
    let mut kinds = kinds(candidates);
    let eligible = eligible(candidates, rules)?;
    let mut best: Vec<Candidate<'a>> = if rules.global {
        ranked(eligible, rules.count)
    } else {
        let of = |kind: &str| eligible.iter().filter(|candidate| candidate.kind == kind).copied().collect::<Vec<_>>();
        kinds.iter().flat_map(|(kind, _)| ranked(of(kind), rules.count)).collect()
    };
    if let Some(budget) = &rules.budget {
        best = budget.fill(best)?;
    }
    let place = |kind: &str| SEED_ORDER.iter().position(|known| *known == kind).unwrap_or(SEED_ORDER.len());
    kinds.sort_by_key(|(kind, _)| place(kind));
    let chosen = kinds.into_iter().map(|(kind, measured)| {
        let modules = best.iter().filter(|candidate| candidate.kind == kind).copied().collect();
        Chosen { kind, measured, modules }
    });
    Ok(chosen.filter(|chosen| !chosen.modules.is_empty()).collect())
}

/// The types of `candidates` in the order in which they appear, and how many there are of each.
fn kinds<'a>(candidates: &[Candidate<'a>]) -> Vec<(&'a str, usize)> {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for candidate in candidates {
        match kinds.iter_mut().find(|(kind, _)| *kind == candidate.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((candidate.kind, 1)),
        }
    }
    kinds
}

/// The candidates of the types and layers that may be chosen.
///
/// # Errors
///
/// Fails if a pattern matches no type, if a range matches no layer, or if both together leave no candidate.
pub fn eligible<'a>(candidates: &[Candidate<'a>], rules: &Rules) -> Result<Vec<Candidate<'a>>, SelectError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    check_types(candidates, &rules.types)?;
    let of_types = candidates.iter().filter(|candidate| rules.types.keep(candidate.kind)).copied();
    let Some(layers) = &rules.layers else { return Ok(of_types.collect()) };
    check_layers(candidates, layers)?;
    let is_in = |candidate: &Candidate<'_>| candidate.layer.is_some_and(|layer| layers.contains(layer));
    let kept: Vec<Candidate<'a>> = of_types.filter(is_in).collect();
    if kept.is_empty() { Err(SelectError::NotInLayers(layers.clone())) } else { Ok(kept) }
}

/// Makes sure that each of the patterns matches the type of a candidate.
fn check_types(candidates: &[Candidate<'_>], types: &Types) -> Result<(), SelectError> {
    let kinds = kinds(candidates);
    let Some(pattern) = types.unmatched(&kinds) else { return Ok(()) };
    let names = kinds.iter().map(|(kind, _)| *kind);
    let named: Vec<&str> = names.clone().take(NAMED).collect();
    let more = if kinds.len() > NAMED { ", …" } else { "" };
    let types = format!("{}{more}", named.join(", "));
    Err(SelectError::NoType { pattern: pattern.to_owned(), types, meant: modules::meant(pattern, names) })
}

/// Makes sure that each of the ranges has the layer of a candidate in it.
fn check_layers(candidates: &[Candidate<'_>], layers: &Layers) -> Result<(), SelectError> {
    let known: Vec<usize> = candidates.iter().filter_map(|candidate| candidate.layer).collect();
    let (Some(first), Some(last)) = (known.iter().min(), known.iter().max()) else {
        return Err(SelectError::Layerless(layers.clone()));
    };
    match layers.unmatched(&known) {
        Some(range) => Err(SelectError::NoLayer { range: range.to_owned(), first: *first, last: *last }),
        None => Ok(()),
    }
}

/// The best of `candidates`, in order.
fn ranked<'a>(mut candidates: Vec<Candidate<'a>>, count: Count) -> Vec<Candidate<'a>> {
    candidates.sort_by(best_first);
    candidates.truncate(count.of(candidates.len()));
    candidates
}

/// The order of the ranking, in which a stable sort leaves equals as they were.
pub fn best_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    b.snr.total_cmp(&a.snr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate<'a>(name: &'a str, kind: &'a str, snr: f64) -> Candidate<'a> {
        let layer = name.bytes().next().map(|byte| usize::from(byte - b'a'));
        let cost = Some(Cost { sides: 8, elements: 16 });
        Candidate { name, kind, layer, snr, is_renamed: false, cost, place: 0, pool: None }
    }

    fn rules(count: Count) -> Rules {
        Rules { count, global: false, budget: None, types: Types::default(), layers: None }
    }

    fn names<'a>(candidates: &[Candidate<'a>], rules: &Rules) -> Vec<&'a str> {
        let chosen = choose(candidates, rules).expect("something to choose");
        chosen.iter().flat_map(|chosen| chosen.modules.iter().map(|module| module.name)).collect()
    }

    fn two_types() -> [Candidate<'static>; 6] {
        [
            candidate("a", "x", 1.0),
            candidate("b", "y", 9.0),
            candidate("c", "x", 3.0),
            candidate("d", "y", 8.0),
            candidate("e", "x", f64::INFINITY),
            candidate("f", "y", 3.0),
        ]
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
        assert_eq!(names(&candidates, &rules(Count::Top(4))), ["b", "e", "c", "a"]);
        assert_eq!(choose(&candidates, &rules(Count::Top(4))).expect("chosen")[0].measured, 5);
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
        let chosen = choose(&candidates, &rules(Count::Top(1))).expect("chosen");
        let order: Vec<&str> = chosen.iter().map(|chosen| chosen.kind).collect();
        assert_eq!(order[..7], SEED_ORDER);
        assert_eq!(order[7..], ["self_attn.qkv_proj", "other"]);
    }

    #[test]
    fn counts_are_of_each_type_or_of_all() {
        let candidates = two_types();
        assert_eq!(names(&candidates, &rules(Count::Top(1))), ["e", "b"]);
        assert_eq!(names(&candidates, &rules(Count::Top(16))).len(), 6);
        assert_eq!(names(&candidates, &Rules { global: true, ..rules(Count::Top(3)) }), ["e", "b", "d"]);
        // Equal ratios of different types: model order.
        assert_eq!(names(&candidates, &Rules { global: true, ..rules(Count::Top(4)) }), ["e", "c", "b", "d"]);
        assert!(choose(&[], &rules(Count::Top(16))).expect("nothing").is_empty());
    }

    #[test]
    fn percentages_are_rounded_up_and_take_at_least_one() {
        let of = |percent, number| Count::Percent(percent).of(number);
        assert_eq!([of(50.0, 32), of(50.0, 3), of(0.1, 32), of(100.0, 7), of(10.0, 30)], [16, 2, 1, 7, 3]);
        assert_eq!(of(28.0, 25), 7, "7.000000000000001 is 7");
        assert_eq!(names(&two_types(), &rules(Count::Percent(50.0))), ["e", "c", "b", "d"]);
    }

    #[test]
    fn types_and_layers_narrow_the_choice() {
        let types = |pattern: &str| Types::new(&[pattern.to_owned()]).expect("a pattern");
        let all = rules(Count::Top(9));
        assert_eq!(names(&two_types(), &Rules { types: types("[xz]"), ..all.clone() }), ["e", "c", "a"]);
        let layers = Some("1-2,5".parse().expect("layers"));
        assert_eq!(names(&two_types(), &Rules { layers, ..all.clone() }), ["c", "b", "f"]);
        let error = |rules: Rules| choose(&two_types(), &rules).expect_err("nothing is left").to_string();
        let layers = |text: &str| Some(text.parse().expect("layers"));
        let unmatched = error(Rules { types: types("q*"), ..all.clone() });
        assert_eq!(unmatched, "--types 'q*' matches none of the types: x, y");
        let long = [candidate("a", "self_attn.q_proj", 1.0)];
        let unmatched = choose(&long, &Rules { types: types("q_proj"), ..all.clone() }).expect_err("no such type");
        let meant = "--types 'q_proj' matches none of the types: self_attn.q_proj; did you mean '*q_proj'?";
        assert_eq!(unmatched.to_string(), meant);
        for (text, range) in [("7-", "7-"), ("0-3, 30-99", "30-99"), ("9,1", "9")] {
            let expected = format!("--layers {range} matches none of the layers: the layers are 0 to 5");
            assert_eq!(error(Rules { layers: layers(text), ..all.clone() }), expected);
        }
        // A range that reaches beyond the model is what there is of it.
        assert_eq!(names(&two_types(), &Rules { layers: layers("4-99"), ..all.clone() }), ["e", "f"]);
        let neither = error(Rules { types: types("x"), layers: layers("1"), ..all.clone() });
        assert_eq!(neither, "--layers 1 has no module of the types that --types names");
        let candidates = two_types().map(|candidate| Candidate { layer: None, ..candidate });
        let layerless = choose(&candidates, &Rules { layers: layers("0"), ..all }).expect_err("no layers");
        assert_eq!(layerless.to_string(), "--layers 0 matches nothing: none of the modules is in a layer");
    }

    #[test]
    fn a_budget_is_filled_highest_first() {
        let mut candidates = two_types();
        candidates[3].cost = Some(Cost { sides: 20, elements: 100 });
        let within = |parameters, counted| {
            let budget = Some(Budget { parameters, counted });
            names(&candidates, &Rules { budget, ..rules(Count::All) })
        };
        // Infinite, then 9; 8 does not fit any more, the first 3 does.
        assert_eq!(within(55, Counted::Weights), ["e", "c", "b"]);
        assert_eq!(within(8 * 3 * 2, Counted::Lora { rank: 2 }), ["e", "c", "b"]);
        let budget = Some(Budget { parameters: 15, counted: Counted::Weights });
        let error = choose(&candidates, &Rules { budget, ..rules(Count::All) }).expect_err("too small").to_string();
        assert!(error.contains("--budget 15") && error.contains("'e', takes 16"), "{error}");
        candidates[0].cost = None;
        let error = choose(&candidates, &Rules { budget, ..rules(Count::All) }).expect_err("unknown").to_string();
        assert!(error.contains("'a' is not known"), "{error}");
    }
}
