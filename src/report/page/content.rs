//! A selection -> what the page shows of each module and type.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Page;
use crate::modules::Info;
use crate::report::Move;
use crate::scan::{Record, Scan};
use crate::select::Candidate;
use crate::spectrum::Spectrum;
use crate::statistic::{Criterion, MpEdge, Statistic, Undefined};

pub struct Content<'a> {
    /// By what the modules are ranked.
    pub criterion: Criterion,
    /// The types in the order in which they appear.
    pub types: Vec<Type<'a>>,
    /// The ranked modules in model order, then those that are not ranked.
    pub modules: Vec<Module<'a>>,
    /// Whether spectra are shown.
    pub has_spectra: bool,
    /// Whether the shares of singular values above the threshold are known.
    pub has_shares: bool,
    /// Whether another scan is compared with this one.
    pub has_moves: bool,
}

/// A module, or a pool of experts.
pub struct Module<'a> {
    pub name: &'a str,
    /// The place of its type.
    pub kind: usize,
    /// The module, or the first one of the pool.
    pub info: &'a Info,
    /// The places in the scan of the module, or of all modules of the pool.
    pub members: Vec<usize>,
    /// What it is ranked by; `None` if it was not measured or if that is not defined for it.
    pub value: Option<f64>,
    /// The rank within the type, from 1; 0 without a value.
    pub rank: usize,
    pub is_chosen: bool,
    /// Whether the rules allow it to be chosen.
    pub is_eligible: bool,
    /// How many singular values are above laser-QLoRA's threshold, and how many are not. Both are 0 if that is not known.
    pub above: usize,
    pub below: usize,
    /// What is known of a single module; nothing of a pool.
    pub laser: Option<&'a Statistic>,
    pub mp: Option<&'a Result<MpEdge, Undefined>>,
    pub spectrum: Option<&'a Spectrum>,
    /// How its rank differs in the other scan.
    pub moved: Option<&'a Move>,
}

/// The modules of a type. Its columns are layers, or single modules if one of them is in no layer.
pub struct Type<'a> {
    pub kind: &'a str,
    pub is_layered: bool,
    /// The places of the modules, best first; those without a rank come last.
    pub sorted: Vec<usize>,
    /// The modules of each column, in the same order. No column is empty.
    pub columns: BTreeMap<usize, Vec<usize>>,
    /// The best rank of each column, in ascending order.
    pub best: Vec<usize>,
    pub measured: usize,
    pub chosen: usize,
    /// How many modules the other scan has, too.
    pub paired: usize,
}

impl<'a> Content<'a> {
    pub fn new(page: &Page<'a>) -> Self {
        let selection = page.selection;
        let chosen: HashSet<usize> = selection.chosen().map(|candidate| candidate.place).collect();
        let eligible: HashSet<usize> = selection.eligible.iter().map(|candidate| candidate.place).collect();
        let mut kinds = Kinds::default();
        let mut modules: Vec<Module<'a>> = Vec::new();
        for (candidate, rank) in selection.ranked.iter().zip(selection.ranks()) {
            let is_chosen = chosen.contains(&candidate.place);
            let is_eligible = eligible.contains(&candidate.place);
            let kind = kinds.place(candidate.kind());
            modules.push(Module { is_chosen, is_eligible, ..Module::ranked(selection.scan, candidate, kind, rank) });
        }
        modules.extend(unranked(selection.scan, &selection.ranked, &mut kinds));
        if let Some(against) = &page.against {
            let moves: HashMap<&str, &'a Move> =
                against.diff.types.iter().flat_map(|kind| &kind.moves).map(|one| (one.name.as_str(), one)).collect();
            modules.iter_mut().for_each(|module| module.moved = moves.get(module.name).copied());
        }
        let types = Type::all(&kinds.names, &modules);
        Self {
            criterion: selection.scan.ranking().criterion,
            types,
            has_spectra: modules.iter().any(|module| module.spectrum.is_some()),
            has_shares: modules.iter().any(|module| module.share().is_some()),
            has_moves: page.against.is_some(),
            modules,
        }
    }

    /// What the values are called that rank the modules.
    pub fn value_name(&self) -> &'static str {
        value_name(self.criterion)
    }
}

pub fn value_name(criterion: Criterion) -> &'static str {
    if criterion == Criterion::Laser { "snr" } else { criterion.key() }
}

/// The names of types, each with its place.
#[derive(Default)]
struct Kinds<'a> {
    names: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Kinds<'a> {
    fn place(&mut self, kind: &'a str) -> usize {
        *self.places.entry(kind).or_insert_with(|| {
            self.names.push(kind);
            self.names.len() - 1
        })
    }
}

/// The modules that have no rank, because they were not measured or because the statistic is not defined for them. Parts of
/// fused modules are left out, because no trainer can select one.
fn unranked<'a>(scan: &'a Scan, ranked: &[Candidate<'a>], kinds: &mut Kinds<'a>) -> Vec<Module<'a>> {
    let known: HashSet<usize> = ranked.iter().flat_map(|candidate| candidate.members()).copied().collect();
    let pooled: HashSet<usize> = scan.pools().iter().flat_map(|pool| &pool.members).copied().collect();
    let is_left = |(place, record): &(usize, &Record)| {
        record.info.part_of.is_none() && !known.contains(place) && (record.result.is_err() || !pooled.contains(place))
    };
    let records = scan.records().iter().enumerate().filter(is_left);
    records.map(|(_, record)| Module::alone(scan, record, kinds.place(&record.info.kind))).collect()
}

impl<'a> Module<'a> {
    fn ranked(scan: &'a Scan, candidate: &Candidate<'a>, kind: usize, rank: usize) -> Self {
        let module = Self::alone(scan, candidate.record, kind);
        let rank = if candidate.score.value.is_nan() { 0 } else { rank };
        let value = Some(candidate.score.value).filter(|_| rank > 0);
        let members = candidate.members().to_vec();
        let Some(pool) = candidate.pool else { return Self { value, rank, members, ..module } };
        let known = pool.members.iter().filter_map(|place| laser(&scan.records()[*place]));
        let sum = |count: fn(&Statistic) -> usize| known.clone().map(count).sum();
        let (above, below) = (sum(|laser| laser.signal_count), sum(|laser| laser.noise_count));
        Self { name: &pool.name, value, rank, members, above, below, laser: None, mp: None, spectrum: None, ..module }
    }

    fn alone(scan: &'a Scan, record: &'a Record, kind: usize) -> Self {
        let laser = laser(record);
        let others = record.result.as_ref().ok().and_then(|numbers| numbers.statistics.as_deref());
        Self {
            name: &record.info.name,
            kind,
            info: &record.info,
            members: Vec::new(),
            value: None,
            rank: 0,
            is_chosen: false,
            is_eligible: false,
            above: laser.map_or(0, |laser| laser.signal_count),
            below: laser.map_or(0, |laser| laser.noise_count),
            laser,
            mp: others.map(|others| &others.mp),
            spectrum: scan.spectra.as_ref().and_then(|spectra| spectra.get(&record.info.name)),
            moved: None,
        }
    }

    /// The part of the singular values that is above laser-QLoRA's threshold, if that is known.
    pub fn share(&self) -> Option<f64> {
        let all = self.above + self.below;
        (all > 0).then(|| self.above as f64 / all as f64)
    }

    /// The value, if it is a number that a chart can show.
    pub fn finite(&self) -> Option<f64> {
        self.value.filter(|value| value.is_finite())
    }

    /// How many places higher it is ranked in the other scan.
    pub fn rise(&self) -> Option<i64> {
        self.moved.map(|moved| moved.rank_a as i64 - moved.rank_b as i64)
    }
}

fn laser(record: &Record) -> Option<&Statistic> {
    record.result.as_ref().ok()?.statistic.as_ref()
}

impl<'a> Type<'a> {
    fn all(kinds: &[&'a str], modules: &[Module<'a>]) -> Vec<Self> {
        let mut places: Vec<Vec<usize>> = vec![Vec::new(); kinds.len()];
        modules.iter().enumerate().for_each(|(place, module)| places[module.kind].push(place));
        kinds.iter().zip(places).map(|(kind, places)| Self::new(kind, places, modules)).collect()
    }

    /// The type of the modules in these places, which are in order.
    fn new(kind: &'a str, mut sorted: Vec<usize>, modules: &[Module<'a>]) -> Self {
        let is_layered = sorted.iter().all(|module| modules[*module].info.layer.is_some());
        let order: HashMap<usize, usize> = sorted.iter().enumerate().map(|(order, module)| (*module, order)).collect();
        sorted.sort_by_key(|module| (modules[*module].rank == 0, modules[*module].rank));
        let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for module in &sorted {
            let layer = modules[*module].info.layer.filter(|_| is_layered);
            columns.entry(layer.unwrap_or(order[module])).or_default().push(*module);
        }
        let best = columns.values().map(|column| modules[column[0]].rank).filter(|rank| *rank > 0);
        let mut best: Vec<usize> = best.collect();
        best.sort_unstable();
        let count = |is: fn(&Module<'_>) -> bool| sorted.iter().filter(|module| is(&modules[**module])).count();
        let measured = count(|module| module.rank > 0);
        let chosen = count(|module| module.is_chosen);
        let paired = count(|module| module.moved.is_some());
        Self { kind, is_layered, sorted, columns, best, measured, chosen, paired }
    }

    /// Whether a column has several modules, as layers have of experts.
    pub fn is_deep(&self) -> bool {
        self.columns.len() < self.sorted.len()
    }
}
