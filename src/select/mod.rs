//! A scan and rules -> the chosen modules.
//!
//! Under every rule, modules are ordered by what the scan is ranked by, the highest and so the infinite first, and equal ones in
//! model order.

mod candidate;
mod cost;
mod layers;
mod rules;

use std::collections::HashMap;

pub use candidate::Candidate;
use candidate::{best_first, ranked};
pub use cost::{Budget, Cost, Counted};
pub use layers::Layers;
pub use rules::{Count, Rules, SelectError, Types};

use crate::modules;
use crate::output::python_json;
use crate::scan::Scan;

/// The module types of a Llama-like model in the order in which the original laser-QLoRA notebook writes them.
const SEED_ORDER: [&str; 7] = [
    "self_attn.v_proj",
    "self_attn.k_proj",
    "self_attn.o_proj",
    "self_attn.q_proj",
    "mlp.down_proj",
    "mlp.up_proj",
    "mlp.gate_proj",
];

/// How many names a message lists at most.
const NAMED: usize = 12;

/// What rules choose of a scan.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    pub scan: &'a Scan,
    /// The measured modules in model order, with each pool in place of its members.
    pub ranked: Vec<Candidate<'a>>,
    /// The ranked modules of the types and layers that the rules allow.
    pub eligible: Vec<Candidate<'a>>,
    /// What is chosen. The seven types of the original notebook come first, in its order, then others in the order in which
    /// they appear. There are no empty groups.
    pub groups: Vec<Group<'a>>,
}

/// The modules chosen of one type, best first.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    pub kind: &'a str,
    /// How many modules of the type are ranked.
    pub measured: usize,
    pub modules: Vec<Candidate<'a>>,
}

impl<'a> Selection<'a> {
    /// What `rules` choose of `scan`; an error if they leave nothing to choose, or if a budget cannot be counted. Parts of fused
    /// modules are never chosen, because no trainer can select one.
    pub fn new(scan: &'a Scan, rules: &Rules) -> Result<Self, SelectError> {
        let ranked = ranked(scan);
        let eligible = eligible(&ranked, rules)?;
        let groups = groups(&ranked, &eligible, rules)?;
        Ok(Self { scan, ranked, eligible, groups })
    }

    /// The selection in which everything eligible is chosen.
    pub fn of_all_eligible(&self) -> Self {
        let all = Rules { count: Count::All, global: false, budget: None, types: Types::default(), layers: None };
        // Rules that leave nothing out cannot fail.
        let groups = groups(&self.eligible, &self.eligible, &all).unwrap_or_default();
        Self { groups, ..self.clone() }
    }

    pub fn chosen(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.groups.iter().flat_map(|group| &group.modules)
    }

    /// The rank of each of [`Selection::ranked`] within its type, from 1.
    pub fn ranks(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.ranked.len()).collect();
        places.sort_by(|a, b| best_first(&self.ranked[*a], &self.ranked[*b]));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut ranks = vec![0; places.len()];
        for place in places {
            let count = counts.entry(self.ranked[place].kind()).or_default();
            *count += 1;
            ranks[place] = *count;
        }
        ranks
    }
}

/// The top-N file in the form of the original notebook: for each type the names of its best modules.
pub fn top_json(groups: &[Group<'_>]) -> Vec<u8> {
    let names = |group: &Group<'_>| group.modules.iter().map(|module| module.name().into()).collect();
    let types = groups.iter().map(|group| (group.kind.to_owned(), serde_json::Value::Array(names(group))));
    python_json(&types.collect::<serde_json::Map<_, _>>())
}

/// The best of the `eligible` candidates by type, with the number of `ranked` ones of the type.
fn groups<'a>(
    ranked: &[Candidate<'a>],
    eligible: &[Candidate<'a>],
    rules: &Rules,
) -> Result<Vec<Group<'a>>, SelectError> {
    let mut kinds = kinds(ranked);
    let mut best: Vec<Candidate<'a>> = if rules.global {
        best(eligible.to_vec(), rules.count)
    } else {
        let of = |kind: &str| eligible.iter().filter(|candidate| candidate.kind() == kind).copied().collect::<Vec<_>>();
        kinds.iter().flat_map(|(kind, _)| best(of(kind), rules.count)).collect()
    };
    if let Some(budget) = &rules.budget {
        best = budget.fill(best)?;
    }
    let place = |kind: &str| SEED_ORDER.iter().position(|known| *known == kind).unwrap_or(SEED_ORDER.len());
    kinds.sort_by_key(|(kind, _)| place(kind));
    let groups = kinds.into_iter().map(|(kind, measured)| {
        let modules = best.iter().filter(|candidate| candidate.kind() == kind).copied().collect();
        Group { kind, measured, modules }
    });
    Ok(groups.filter(|group| !group.modules.is_empty()).collect())
}

/// The types of `candidates` in the order in which they appear, each with the number of candidates.
fn kinds<'a>(candidates: &[Candidate<'a>]) -> Vec<(&'a str, usize)> {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for candidate in candidates {
        match kinds.iter_mut().find(|(kind, _)| *kind == candidate.kind()) {
            Some((_, count)) => *count += 1,
            None => kinds.push((candidate.kind(), 1)),
        }
    }
    kinds
}

/// The candidates of the types and layers that may be chosen. An error if a pattern matches no type, if a range matches no layer,
/// or if both together leave no candidate.
fn eligible<'a>(candidates: &[Candidate<'a>], rules: &Rules) -> Result<Vec<Candidate<'a>>, SelectError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    check_types(candidates, &rules.types)?;
    let is_wanted = |candidate: &&Candidate<'a>| candidate.kinds().any(|kind| rules.types.keep(kind));
    let of_types = candidates.iter().filter(is_wanted).copied();
    let Some(layers) = &rules.layers else { return Ok(of_types.collect()) };
    check_layers(candidates, layers)?;
    let is_in = |candidate: &Candidate<'_>| candidate.layer().is_some_and(|layer| layers.contains(layer));
    let kept: Vec<Candidate<'a>> = of_types.filter(is_in).collect();
    if kept.is_empty() {
        return Err(SelectError::NotInLayers(layers.clone()));
    }
    match rules.types.unmatched(|| kept.iter().flat_map(Candidate::kinds)) {
        Some(pattern) => Err(SelectError::TypeNotInLayers(layers.clone(), pattern.to_owned())),
        None => Ok(kept),
    }
}

fn check_types(candidates: &[Candidate<'_>], types: &Types) -> Result<(), SelectError> {
    let Some(pattern) = types.unmatched(|| candidates.iter().flat_map(Candidate::kinds)) else { return Ok(()) };
    let kinds = kinds(candidates);
    let names = kinds.iter().map(|(kind, _)| *kind);
    let named: Vec<&str> = names.clone().take(NAMED).collect();
    let more = if kinds.len() > NAMED { ", …" } else { "" };
    let types = format!("{}{more}", named.join(", "));
    Err(SelectError::NoType { pattern: pattern.to_owned(), types, meant: modules::meant(pattern, names) })
}

fn check_layers(candidates: &[Candidate<'_>], layers: &Layers) -> Result<(), SelectError> {
    let known: Vec<usize> = candidates.iter().filter_map(|candidate| candidate.layer()).collect();
    let (Some(first), Some(last)) = (known.iter().min(), known.iter().max()) else {
        return Err(SelectError::Layerless(layers.clone()));
    };
    match layers.unmatched(&known) {
        Some(range) => Err(SelectError::NoLayer { range: range.to_owned(), first: *first, last: *last }),
        None => Ok(()),
    }
}

fn best<'a>(mut candidates: Vec<Candidate<'a>>, count: Count) -> Vec<Candidate<'a>> {
    candidates.sort_by(best_first);
    candidates.truncate(count.of(candidates.len()));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Info;
    use crate::scan::{Format, Numbers, Record};

    /// A scan of modules with these names, types and ratios. The letter `a` is in layer 0, `b` in layer 1, and so on.
    fn scan(modules: &[(&str, &str, f64)]) -> Scan {
        let record = |(name, kind, snr): &(&str, &str, f64)| {
            let layer = name.bytes().next().map(|byte| usize::from(byte - b'a'));
            let info = Info { layer, shape: Some([4, 4]), ..Info::of_name(name, (*kind).to_owned()) };
            Record { info, result: Ok(Numbers::ratio(*snr)) }
        };
        Scan::new(modules.iter().map(record).collect(), Format::LaserScan)
    }

    fn changed(scan: &Scan, change: impl Fn(&mut Info)) -> Scan {
        let mut records = scan.records().to_vec();
        records.iter_mut().for_each(|record| change(&mut record.info));
        Scan::new(records, Format::LaserScan)
    }

    fn rules(count: Count) -> Rules {
        Rules { count, global: false, budget: None, types: Types::default(), layers: None }
    }

    fn names(scan: &Scan, rules: &Rules) -> Vec<String> {
        let selection = Selection::new(scan, rules).expect("something to choose");
        selection.chosen().map(|module| module.name().to_owned()).collect()
    }

    fn two_types() -> Scan {
        scan(&[
            ("a", "x", 1.0),
            ("b", "y", 9.0),
            ("c", "x", 3.0),
            ("d", "y", 8.0),
            ("e", "x", f64::INFINITY),
            ("f", "y", 3.0),
        ])
    }

    #[test]
    fn infinite_first_then_highest_then_model_order() {
        let infinite = f64::INFINITY;
        let scan =
            scan(&[("a", "x", 1.0), ("b", "x", infinite), ("c", "x", 2.0), ("d", "x", 1.0), ("e", "x", infinite)]);
        assert_eq!(names(&scan, &rules(Count::Top(4))), ["b", "e", "c", "a"]);
        assert_eq!(Selection::new(&scan, &rules(Count::Top(4))).expect("chosen").groups[0].measured, 5);
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
        let scan = scan(&kinds.map(|kind| ("m", kind, 1.0)));
        let selection = Selection::new(&scan, &rules(Count::Top(1))).expect("chosen");
        let order: Vec<&str> = selection.groups.iter().map(|group| group.kind).collect();
        assert_eq!(order[..7], SEED_ORDER);
        assert_eq!(order[7..], ["self_attn.qkv_proj", "other"]);
    }

    #[test]
    fn counts_are_of_each_type_or_of_all() {
        let all = two_types();
        assert_eq!(names(&all, &rules(Count::Top(1))), ["e", "b"]);
        assert_eq!(names(&all, &rules(Count::Top(16))).len(), 6);
        assert_eq!(names(&all, &Rules { global: true, ..rules(Count::Top(3)) }), ["e", "b", "d"]);
        // Equal ratios of different types: model order.
        assert_eq!(names(&all, &Rules { global: true, ..rules(Count::Top(4)) }), ["e", "c", "b", "d"]);
        assert!(names(&scan(&[]), &rules(Count::Top(16))).is_empty());
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
        let error = |rules: Rules| Selection::new(&two_types(), &rules).expect_err("nothing is left").to_string();
        let layers = |text: &str| Some(text.parse().expect("layers"));
        let unmatched = error(Rules { types: types("q*"), ..all.clone() });
        assert_eq!(unmatched, "'q*' matches none of the types: x, y");
        let long = scan(&[("a", "self_attn.q_proj", 1.0)]);
        let unmatched =
            Selection::new(&long, &Rules { types: types("q_proj"), ..all.clone() }).expect_err("no such type");
        let meant = "'q_proj' matches none of the types: self_attn.q_proj; did you mean '*q_proj'?";
        assert_eq!(unmatched.to_string(), meant);
        for (text, range) in [("7-", "7-"), ("0-3, 30-99", "30-99"), ("9,1", "9")] {
            let expected = format!("{range} matches none of the layers: the layers are 0 to 5");
            assert_eq!(error(Rules { layers: layers(text), ..all.clone() }), expected);
        }
        // A range may reach beyond the last layer.
        assert_eq!(names(&two_types(), &Rules { layers: layers("4-99"), ..all.clone() }), ["e", "f"]);
        let neither = error(Rules { types: types("x"), layers: layers("1"), ..all.clone() });
        assert_eq!(neither, "1 has no module of the types that may be chosen");
        let scan = changed(&two_types(), |info| info.layer = None);
        let layerless = Selection::new(&scan, &Rules { layers: layers("0"), ..all }).expect_err("no layers");
        assert_eq!(layerless.to_string(), "0 matches nothing: none of the modules is in a layer");
    }

    #[test]
    fn a_budget_is_filled_highest_first() {
        let scan = changed(&two_types(), |info| info.shape = Some(if info.name == "d" { [10, 10] } else { [4, 4] }));
        let within = |parameters, counted| {
            let budget = Some(Budget { parameters, counted });
            names(&scan, &Rules { budget, ..rules(Count::All) })
        };
        // Infinite, then 9; 8 does not fit any more, the first 3 does.
        assert_eq!(within(55, Counted::Weights), ["e", "c", "b"]);
        assert_eq!(within(8 * 3 * 2, Counted::Lora { rank: 2 }), ["e", "c", "b"]);
        let budget = Some(Budget { parameters: 15, counted: Counted::Weights });
        let error = |scan: &Scan| {
            let rules = Rules { budget, ..rules(Count::All) };
            Selection::new(scan, &rules).expect_err("nothing fits").to_string()
        };
        let too_small = error(&scan);
        assert!(too_small.contains("a budget of 15") && too_small.contains("'e', takes 16"), "{too_small}");
        let unknown = error(&changed(&scan, |info| info.shape = info.shape.filter(|_| info.name != "a")));
        assert!(unknown.contains("'a' is not known"), "{unknown}");
    }
}
