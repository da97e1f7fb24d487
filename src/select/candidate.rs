//! What can be chosen of a scan: a measured module, or several that are ranked as one.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::Cost;
use crate::modules::Info;
use crate::scan::{Pool, Record, Scan};
use crate::statistic::Score;

/// A measured module, or a pool of them.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The module, or the first of the pool.
    pub record: &'a Record,
    pub pool: Option<&'a Pool>,
    /// The place of the record in the scan.
    pub place: usize,
    pub score: Score,
    /// `None` if a shape is not known.
    pub cost: Option<Cost>,
}

impl<'a> Candidate<'a> {
    pub fn name(&self) -> &'a str {
        self.pool.map_or(&self.record.info.name, |pool| &pool.name)
    }

    pub fn kind(&self) -> &'a str {
        self.pool.map_or(&self.record.info.kind, |pool| &pool.kind)
    }

    /// Its type, and those of its parts if a trainer has them as one module.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let parts = self.pool.filter(|pool| pool.is_fused()).map_or(&[][..], |pool| &pool.kinds);
        std::iter::once(self.kind()).chain(parts.iter().map(String::as_str))
    }

    pub fn layer(&self) -> Option<usize> {
        self.record.info.layer
    }

    /// Whether its name in memory, which trainers see, differs from its name on disk.
    pub fn is_renamed(&self) -> bool {
        self.record.info.memory.names() != [self.name()]
    }

    /// The places in the scan of the module, or of all modules of the pool.
    pub fn members(&self) -> &[usize] {
        self.pool.map_or(std::slice::from_ref(&self.place), |pool| &pool.members)
    }
}

/// The measured modules of a `scan` in model order, with each pool in place of its members.
pub(super) fn ranked(scan: &Scan) -> Vec<Candidate<'_>> {
    let pools = scan.pools().iter();
    let pooled: HashMap<usize, &Pool> =
        pools.flat_map(|pool| pool.members.iter().map(move |place| (*place, pool))).collect();
    let infos = |places: &[usize]| Cost::of(places.iter().map(|place| &scan.records()[*place].info));
    let joined = |pool: &Pool| Info::joined(pool.members.iter().map(|place| &scan.records()[*place].info));
    let pooled_cost = |pool: &Pool| if pool.is_fused() { Cost::of(joined(pool).iter()) } else { infos(&pool.members) };
    let candidate = |(place, record): (usize, &'_ Record)| {
        let pool = pooled.get(&place).copied();
        let score = match pool {
            Some(pool) if pool.members[0] != place => None,
            Some(pool) => pool.score,
            None => record.score(scan.ranking()),
        };
        // What did not change at all has no place in a ranking of changes.
        let members = pool.map_or(std::slice::from_ref(&place), |pool| &pool.members);
        let is_changed = !members.iter().all(|place| scan.records()[*place].is_unchanged());
        score.filter(|_| is_changed).map(|score| (place, pool, score))
    };
    let whole = scan.records().iter().enumerate().filter(|(_, record)| record.info.part_of.is_none());
    whole
        .filter_map(candidate)
        .map(|(place, pool, score)| {
            let cost = pool.map_or_else(|| infos(&[place]), pooled_cost);
            Candidate { record: &scan.records()[place], pool, place, score, cost }
        })
        .collect()
}

/// The order of the ranking. It needs a stable sort, which keeps equal ones in model order.
pub(super) fn best_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    a.score.best_first(&b.score)
}
