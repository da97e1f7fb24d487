//! Two scans -> how their rankings differ. In JSON an infinite number is `null`, as in a scan's file.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::modules::Info;
use crate::scan::{Record, Scan};

/// How two scans, A and B, differ. Parts of fused modules are left out, because no trainer can select one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// The types of which both scans have measured a module, in A's order.
    pub types: Vec<TypeDiff>,
    pub only_in_a: Vec<String>,
    pub only_in_b: Vec<String>,
    /// The modules that are in both scans, but not measured in one of them, by their names in A.
    pub unmeasured: Vec<String>,
}

/// How the rankings of a type differ, among the modules that both scans have measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeDiff {
    /// The type's name in A.
    #[serde(rename = "type")]
    pub kind: String,
    pub pairs: usize,
    /// Spearman's rank correlation; `None` for fewer than two modules, or where all ratios of a scan are equal.
    pub spearman: Option<f64>,
    /// How many of the best were compared: as many as asked for, at most all.
    pub top: usize,
    /// How many modules are among the best in both scans.
    pub common: usize,
    /// The largest relative change of a ratio, without its sign.
    pub largest_change: f64,
    /// All modules in A's order.
    pub moves: Vec<Move>,
}

/// How a module's ratio and rank differ. The best has rank 1; equal ratios are ranked in A's order. Where the scans are ranked by
/// another statistic than the ratio, these are its values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Move {
    /// The module's name in A.
    pub name: String,
    pub layer: Option<usize>,
    pub snr_a: f64,
    pub snr_b: f64,
    pub rank_a: usize,
    pub rank_b: usize,
    /// `(b - a) / a` of the ratios. It is infinite if just one of them is, and if just the one in A is zero.
    pub change: f64,
}

/// Two scans have too few modules in common to be of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only {common} of {all} modules are in both, fewer than half: they are not scans of one architecture")]
pub struct TooFew {
    common: usize,
    all: usize,
}

impl Diff {
    /// Fails if fewer than half of the modules are in both scans.
    pub fn check(&self) -> Result<(), TooFew> {
        let common = self.types.iter().map(|kind| kind.pairs).sum::<usize>() + self.unmeasured.len();
        let all = common + self.only_in_a.len().max(self.only_in_b.len());
        if 2 * common < all { Err(TooFew { common, all }) } else { Ok(()) }
    }
}

/// A module that both scans have measured. The information is A's.
struct Pair<'a> {
    info: &'a Info,
    snr_a: f64,
    snr_b: f64,
}

/// Compares scan `a` with scan `b`, which are ranked by one statistic, and the best `top` of each type. Modules are the same if they have the same name, or, where
/// the other scan does not have that name, a name in memory in common that no other module of either scan has.
pub fn diff(a: &Scan, b: &Scan, top: usize) -> Diff {
    let value = |scan: &Scan, record: &Record| record.score(scan.ranking()).map(|score| score.value);
    let (value_in_a, value_in_b) = (|record: &Record| value(a, record), |record: &Record| value(b, record));
    let (a, b) = (whole(a), whole(b));
    let partners = partners(&a, &b);
    let taken: HashSet<usize> = partners.iter().flatten().copied().collect();
    let name = |record: &Record| record.info.name.clone();
    let (mut pairs, mut only_in_a, mut unmeasured) = (Vec::new(), Vec::new(), Vec::new());
    for (record, partner) in a.iter().zip(&partners) {
        match (value_in_a(record), partner.map(|partner| value_in_b(b[partner]))) {
            (_, None) => only_in_a.push(name(record)),
            (Some(snr_a), Some(Some(snr_b))) => pairs.push(Pair { info: &record.info, snr_a, snr_b }),
            (_, Some(_)) => unmeasured.push(name(record)),
        }
    }
    Diff {
        types: by_type(pairs).iter().map(|pairs| type_diff(pairs, top)).collect(),
        only_in_a,
        only_in_b: (0..b.len()).filter(|place| !taken.contains(place)).map(|place| name(b[place])).collect(),
        unmeasured,
    }
}

/// The records without the parts of fused modules.
fn whole(scan: &Scan) -> Vec<&Record> {
    scan.records().iter().filter(|record| record.info.part_of.is_none()).collect()
}

/// For each record of `a` the place of the same module in `b`.
fn partners(a: &[&Record], b: &[&Record]) -> Vec<Option<usize>> {
    let (names_a, names_b) = (places(a), places(b));
    let (owners_a, owners_b) = (owners(a), owners(b));
    let by_target = |place: usize| {
        let partner = only_owner(&a[place].info, &owners_b)?;
        let is_mutual = only_owner(&b[partner].info, &owners_a) == Some(place);
        (is_mutual && !names_a.contains_key(b[partner].info.name.as_str())).then_some(partner)
    };
    let partner = |(place, record): (usize, &&Record)| match names_b.get(record.info.name.as_str()) {
        Some(partner) => Some(*partner),
        None => by_target(place),
    };
    a.iter().enumerate().map(partner).collect()
}

fn places<'a>(records: &[&'a Record]) -> HashMap<&'a str, usize> {
    records.iter().enumerate().map(|(place, record)| (record.info.name.as_str(), place)).collect()
}

/// For each name in memory the place of its module; `None` if several have it, such as the experts in one parameter.
fn owners<'a>(records: &[&'a Record]) -> HashMap<&'a str, Option<usize>> {
    let mut owners = HashMap::new();
    for (place, record) in records.iter().enumerate() {
        for name in record.info.memory.names() {
            let owner = owners.entry(name.as_str()).or_insert(Some(place));
            *owner = owner.filter(|known| *known == place);
        }
    }
    owners
}

/// The one of `owners` to which all names in memory of the module belong that are known there.
fn only_owner(info: &Info, owners: &HashMap<&str, Option<usize>>) -> Option<usize> {
    let mut found = info.memory.names().iter().filter_map(|name| owners.get(name.as_str()).copied());
    let first = found.next()??;
    found.all(|owner| owner == Some(first)).then_some(first)
}

/// The pairs of each type, in the order in which the types appear.
fn by_type(pairs: Vec<Pair<'_>>) -> Vec<Vec<Pair<'_>>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut types: Vec<Vec<Pair<'_>>> = Vec::new();
    for pair in pairs {
        let place = *places.entry(&pair.info.kind).or_insert(types.len());
        if place == types.len() {
            types.push(Vec::new());
        }
        types[place].push(pair);
    }
    types
}

/// Compares the rankings of one type, which has at least one pair.
fn type_diff(pairs: &[Pair<'_>], top: usize) -> TypeDiff {
    let a: Vec<f64> = pairs.iter().map(|pair| pair.snr_a).collect();
    let b: Vec<f64> = pairs.iter().map(|pair| pair.snr_b).collect();
    let ranks = ranks(&a).into_iter().zip(ranks(&b));
    let moves: Vec<Move> = pairs.iter().zip(ranks).map(|(pair, ranks)| Move::new(pair, ranks)).collect();
    TypeDiff {
        kind: pairs[0].info.kind.clone(),
        pairs: pairs.len(),
        spearman: spearman(&a, &b),
        top: top.min(pairs.len()),
        common: moves.iter().filter(|module| module.rank_a.max(module.rank_b) <= top).count(),
        largest_change: moves.iter().map(|module| module.change.abs()).fold(0.0, f64::max),
        moves,
    }
}

impl Move {
    fn new(pair: &Pair<'_>, (rank_a, rank_b): (usize, usize)) -> Self {
        let Pair { info, snr_a, snr_b } = *pair;
        let change = change(snr_a, snr_b);
        Self { name: info.name.clone(), layer: info.layer, snr_a, snr_b, rank_a, rank_b, change }
    }
}

/// The relative change from `a` to `b`. From infinity to a number it is negative infinity.
fn change(a: f64, b: f64) -> f64 {
    if a == b {
        0.0
    } else if a.is_infinite() {
        f64::NEG_INFINITY
    } else {
        (b - a) / a
    }
}

/// The places of `ratios`, the highest first. Equal ones keep their order.
fn best_first(ratios: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..ratios.len()).collect();
    places.sort_by(|x, y| ratios[*y].total_cmp(&ratios[*x]));
    places
}

/// The rank of each of `ratios`, from 1. No two have the same rank.
fn ranks(ratios: &[f64]) -> Vec<usize> {
    let mut ranks = vec![0; ratios.len()];
    for (before, place) in best_first(ratios).into_iter().enumerate() {
        ranks[place] = before + 1;
    }
    ranks
}

/// The rank of each of `ratios`, from 1. Equal ratios all get the mean of their ranks.
fn shared_ranks(ratios: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; ratios.len()];
    let mut before = 0;
    for equals in best_first(ratios).chunk_by(|x, y| ratios[*x] == ratios[*y]) {
        for place in equals {
            ranks[*place] = before as f64 + (equals.len() + 1) as f64 / 2.0;
        }
        before += equals.len();
    }
    ranks
}

/// Spearman's rank correlation, which is Pearson's correlation of the ranks. It is undefined if all ranks of a side are equal.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = (a.len() + 1) as f64 / 2.0;
    let deviations = |ratios: &[f64]| shared_ranks(ratios).into_iter().map(|rank| rank - mean).collect::<Vec<f64>>();
    let (a, b) = (deviations(a), deviations(b));
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let (spread_a, spread_b) = (product(&a, &a), product(&b, &b));
    (spread_a > 0.0 && spread_b > 0.0).then(|| product(&a, &b) / (spread_a * spread_b).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::InMemory;
    use crate::scan::{Format, Numbers, Unmeasured};

    const INF: f64 = f64::INFINITY;

    fn record(name: &str, kind: &str, snr: impl Into<Option<f64>>, memory: &[&str]) -> Record {
        let memory = InMemory::Modules(memory.iter().map(|name| (*name).to_owned()).collect());
        let info = Info { layer: None, memory, ..Info::of_name(name, kind.to_owned()) };
        Record { info, result: snr.into().map(Numbers::ratio).ok_or(Unmeasured::NoRatio) }
    }

    fn scan(ratios: &[f64]) -> Scan {
        let name = |(place, snr): (usize, &f64)| record(&format!("m{place}"), "t", *snr, &[&format!("m{place}")]);
        of(ratios.iter().enumerate().map(name).collect())
    }

    fn of(records: Vec<Record>) -> Scan {
        Scan::new(records, Format::LaserScan)
    }

    fn of_one_type(a: &[f64], b: &[f64], top: usize) -> TypeDiff {
        let mut types = diff(&scan(a), &scan(b), top).types;
        assert_eq!(types.len(), 1);
        types.remove(0)
    }

    #[test]
    fn spearman_is_that_of_scipy() {
        // python3 -c 'from scipy.stats import spearmanr; print(spearmanr(A, B).statistic)', scipy 1.17.1
        let cases: [(&[f64], &[f64], f64); 5] = [
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0], 0.7999999999999999),
            (&[3.0, 1.0, 2.0, 2.0, 9.0, 5.0], &[1.0, 1.0, 4.0, 2.0, 8.0, 8.0], 0.7164977208318385),
            (&[INF, INF, 3.5, 0.25, 7.0, 7.0, 7.0], &[9.0, INF, 1.0, 1.0, INF, 2.0, 0.5], 0.6193004463479486),
            (&[5.0, 4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0], -0.9999999999999999),
            (&[0.5, 0.5, 0.5, 2.0], &[3.0, 1.0, 2.0, 2.0], 0.0),
        ];
        for (a, b, expected) in cases {
            let found = spearman(a, b).expect("both sides vary");
            assert!((found - expected).abs() < 1e-14, "{a:?} {b:?}: {found} is not {expected}");
        }
        let exact = of_one_type(&[0.1, 0.2, INF, 0.2], &[1.0, 2.0, 7.0, 2.0], 2);
        assert_eq!(exact.spearman, Some(1.0));
        for (a, b) in [(&[1.0][..], &[2.0][..]), (&[1.0, 1.0], &[1.0, 2.0]), (&[1.0, 2.0], &[INF, INF])] {
            assert_eq!(of_one_type(a, b, 1).spearman, None, "{a:?} {b:?}");
        }
    }

    #[test]
    fn moves_are_between_ranks_of_the_pairs() {
        let found = of_one_type(&[2.0, INF, 0.0, 2.0, 4.0], &[3.0, INF, 0.0, 1.0, INF], 3);
        let moves: Vec<_> = found.moves.iter().map(|module| (module.rank_a, module.rank_b, module.change)).collect();
        assert_eq!(moves, [(3, 3, 0.5), (1, 1, 0.0), (5, 5, 0.0), (4, 4, -0.5), (2, 2, INF)]);
        assert_eq!((found.pairs, found.top, found.common, found.largest_change), (5, 3, 3, INF));
        let found = of_one_type(&[4.0, 3.0, INF, 0.0], &[1.0, 9.0, 2.0, 5.0], 2);
        let moves: Vec<_> = found.moves.iter().map(|module| (module.rank_a, module.rank_b, module.change)).collect();
        assert_eq!(moves, [(2, 4, -0.75), (3, 1, 2.0), (1, 3, -INF), (4, 2, INF)]);
        assert_eq!((found.top, found.common), (2, 0));
        let found = of_one_type(&[4.0, 3.0], &[1.0, 9.0], 16);
        assert_eq!((found.top, found.common, found.largest_change), (2, 2, 2.0));
    }

    #[test]
    fn modules_are_paired_by_name_or_else_by_target() {
        let mut part = record("b.q", "t", 1.0, &["b.q"]);
        part.info.part_of = Some("b".into());
        let a = [
            record("disk.0", "u", 1.0, &["memory.0"]),
            record("b", "t", 1.0, &["x"]),
            record("disk.1", "u", None, &["memory.1"]),
            record("e.0.w1", "e", 1.0, &["e.gate_up"]),
            record("e.1.w1", "e", 1.0, &["e.gate_up"]),
            record("in_proj", "t", 1.0, &["q", "k"]),
            record("both", "t", 1.0, &["both", "more"]),
            part,
        ];
        let b = [
            record("k", "t", 1.0, &["k"]),
            record("memory.1", "other", 1.0, &["memory.1"]),
            record("memory.0", "other", 2.0, &["memory.0"]),
            record("e.0.up", "e", 1.0, &["e.gate_up"]),
            record("q", "t", 1.0, &["q"]),
            // The name decides, whatever the names in memory.
            record("b", "t", 3.0, &["memory.0b"]),
            record("x", "t", 1.0, &["z"]),
            record("more", "t", 1.0, &["more"]),
            record("b.q", "t", 1.0, &["b.q"]),
        ];
        let found = diff(&of(a.to_vec()), &of(b.to_vec()), 1);
        let kinds: Vec<_> = found.types.iter().map(|of| (of.kind.as_str(), of.moves.len())).collect();
        assert_eq!(kinds, [("u", 1), ("t", 2)]);
        assert_eq!((found.types[0].moves[0].name.as_str(), found.types[0].moves[0].change), ("disk.0", 1.0));
        assert_eq!((found.types[1].moves[0].name.as_str(), found.types[1].moves[0].change), ("b", 2.0));
        assert_eq!(found.types[1].moves[1].name, "both");
        assert_eq!(found.unmeasured, ["disk.1"]);
        // A parameter of all experts does not say which expert it is, nor half of a module which half.
        assert_eq!(found.only_in_a, ["e.0.w1", "e.1.w1", "in_proj"]);
        assert_eq!(found.only_in_b, ["k", "e.0.up", "q", "x", "b.q"]);
        let nothing = diff(&of(Vec::new()), &of(Vec::new()), 1);
        assert!(nothing.types.is_empty() && nothing.only_in_a.is_empty() && nothing.only_in_b.is_empty());
    }

    #[test]
    fn infinite_numbers_are_null_in_json() {
        let found = diff(&scan(&[INF, 2.0]), &scan(&[1.0, 2.0]), 1);
        let json = serde_json::to_value(&found).expect("plain data");
        let of_type = &json["types"][0];
        assert_eq!((&of_type["type"], &of_type["spearman"]), (&"t".into(), &(-1.0).into()));
        assert!(of_type["largest_change"].is_null());
        let expected = serde_json::json!({
            "name": "m0", "layer": null, "snr_a": null, "snr_b": 1.0, "rank_a": 1, "rank_b": 2, "change": null
        });
        assert_eq!(of_type["moves"][0], expected);
    }
}
