//! Weights that are read by byte range straight into memory, so that nothing but results lands on disk.
//!
//! Several threads each read the ranges of one weight after the other, the largest first, so that little is left to measure when the last
//! bytes arrive. How far they read ahead is limited by memory: the ranges of a weight are dropped when its modules are
//! settled.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rayon::Scope;

use super::super::{Event, flops};
use super::Work;
use crate::checkpoint::CheckpointError;
use crate::source::Source;

/// How many ranges are read at once.
const CONNECTIONS: usize = 8;

/// The most bytes of one request. A connection that breaks off loses no more.
const PIECE: u64 = 8 << 20;

/// The part of the memory that weights may take before they are measured.
const AHEAD: u64 = 4;

/// How long a thread that waits for memory goes without looking whether the scan has ended.
const PATIENCE: Duration = Duration::from_millis(200);

/// The ranges that some modules need, which are read together.
pub struct Unit {
    /// The modules' places in model order.
    places: Vec<usize>,
    /// Ranges of bytes of shards.
    ranges: Vec<(usize, Range<u64>)>,
    bytes: u64,
    /// How many of the modules are not settled yet.
    left: AtomicUsize,
}

/// What is streamed of a scan.
pub struct Streamed {
    units: Vec<Unit>,
    /// The unit of each module that is streamed.
    unit_of: HashMap<usize, usize>,
    /// The bytes that are held, or will be soon.
    held: Mutex<u64>,
    freed: Condvar,
    /// How many bytes may be held, except that a single unit may take more.
    most: u64,
    received: Mutex<u64>,
}

impl Streamed {
    /// The units of the modules in `places`, whose ranges `needed` gives; the units with the most arithmetic come first.
    pub fn new(
        places: impl Iterator<Item = usize>,
        needed: impl Fn(usize) -> Vec<(usize, Range<u64>)>,
        work: impl Fn(usize) -> f64,
        most: u64,
    ) -> Self {
        let mut by_ranges: HashMap<Vec<(usize, Range<u64>)>, Vec<usize>> = HashMap::new();
        places.for_each(|place| by_ranges.entry(needed(place)).or_default().push(place));
        let mut units: Vec<Unit> = by_ranges.into_iter().map(|(ranges, places)| Unit::new(ranges, places)).collect();
        let of = |unit: &Unit| unit.places.iter().map(|place| work(*place)).sum::<f64>();
        units.sort_by(|a, b| of(b).total_cmp(&of(a)).then(a.places.cmp(&b.places)));
        let unit_of = units.iter().enumerate().flat_map(|(at, unit)| unit.places.iter().map(move |place| (*place, at)));
        let unit_of = unit_of.collect();
        Self { units, unit_of, held: Mutex::new(0), freed: Condvar::new(), most, received: Mutex::new(0) }
    }

    pub fn has(&self, place: usize) -> bool {
        self.unit_of.contains_key(&place)
    }

    /// The bytes of all ranges.
    pub fn bytes(&self) -> u64 {
        self.units.iter().map(|unit| unit.bytes).sum()
    }

    /// Waits until there is memory for `bytes`. Returns false if `is_over` first.
    fn reserve(&self, bytes: u64, is_over: impl Fn() -> bool) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && *held + bytes > self.most {
            if is_over() {
                return false;
            }
            held = self.freed.wait_timeout(held, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        *held += bytes;
        true
    }

    fn free(&self, bytes: u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.freed.notify_all();
    }
}

impl Unit {
    fn new(ranges: Vec<(usize, Range<u64>)>, places: Vec<usize>) -> Self {
        let bytes = ranges.iter().map(|(_, range)| range.end - range.start).sum();
        Self { left: AtomicUsize::new(places.len()), places, ranges, bytes }
    }
}

impl Work<'_> {
    /// What of the unknown outcomes is streamed: the modules whose shards are not all on this machine.
    pub(super) fn streamed(&self, source: &dyn Source) -> Result<Streamed, CheckpointError> {
        let shards = &self.plan.checkpoint.shards;
        let is_away = |shard: &usize| source.path(&shards[*shard].file).is_none();
        let places: Vec<usize> = self
            .lock_outcomes()
            .iter()
            .enumerate()
            .filter(|(place, outcome)| outcome.is_none() && self.plan.modules[*place].shards().iter().any(is_away))
            .map(|(place, _)| place)
            .collect();
        let of = |place: &usize| self.plan.modules[*place].shards();
        if let Some(shard) = places.iter().flat_map(of).find(|shard| shards[*shard].is_pickle()) {
            return Err(CheckpointError::NotStreamed(shards[shard].file.clone()));
        }
        let needed = |place: usize| {
            let module = &self.plan.modules[place];
            module.matrices().flat_map(|(weight, selection)| self.weights.ranges(weight, selection)).collect()
        };
        let most = self.resources.memory / AHEAD;
        Ok(Streamed::new(places.into_iter(), needed, |place| flops(&self.plan.modules[place]), most))
    }

    /// Reads the units one after the other, and offers their modules.
    pub(super) fn stream<'scope>(&'scope self, source: &dyn Source, scope: &Scope<'scope>) {
        let Some(streamed) = self.streamed.get() else { return };
        if !streamed.units.is_empty() {
            (self.observer)(Event::ToStream { bytes: streamed.bytes() });
        }
        let next = AtomicUsize::new(0);
        let read = || {
            while let Some(unit) = streamed.units.get(next.fetch_add(1, Ordering::Relaxed)) {
                let is_over = || self.schedule.is_aborted();
                if is_over() || !streamed.reserve(unit.bytes, is_over) {
                    return;
                }
                match self.read_unit(source, streamed, unit) {
                    Ok(()) => {
                        self.offer_all(&unit.places);
                        self.start(scope);
                    }
                    Err(error) => return self.fail(error),
                }
            }
        };
        thread::scope(|threads| {
            for _ in 0..CONNECTIONS.min(streamed.units.len()) {
                threads.spawn(read);
            }
        });
    }

    fn read_unit(&self, source: &dyn Source, streamed: &Streamed, unit: &Unit) -> Result<()> {
        for (shard, range) in &unit.ranges {
            let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
            while range.start + (bytes.len() as u64) < range.end {
                if self.schedule.is_aborted() {
                    return Ok(());
                }
                let start = range.start + bytes.len() as u64;
                let piece =
                    source.read(&self.plan.checkpoint.shards[*shard].file, start..range.end.min(start + PIECE))?;
                if piece.is_empty() {
                    return Err(CheckpointError::Ended(self.plan.checkpoint.shards[*shard].file.clone()).into());
                }
                let mut received = streamed.received.lock().unwrap_or_else(PoisonError::into_inner);
                *received += piece.len() as u64;
                (self.observer)(Event::Streamed { received: *received });
                drop(received);
                bytes.extend_from_slice(&piece);
            }
            self.weights.blob(*shard).hold(range.start, bytes);
        }
        Ok(())
    }

    /// Drops the ranges of a settled module, if no other module needs them.
    pub(super) fn release(&self, place: usize) {
        let Some(streamed) = self.streamed.get() else { return };
        let Some(unit) = streamed.unit_of.get(&place).map(|at| &streamed.units[*at]) else { return };
        if unit.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            for (shard, range) in &unit.ranges {
                self.weights.blob(*shard).release(range);
            }
            streamed.free(unit.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_need_the_same_bytes_are_one_unit_and_the_largest_come_first() {
        let needed = |place: usize| vec![(place / 2, 0..100 * (place / 2 + 1) as u64)];
        let streamed = Streamed::new([0, 1, 2, 3, 4].into_iter(), needed, |place| place as f64, 1000);
        let places: Vec<&[usize]> = streamed.units.iter().map(|unit| unit.places.as_slice()).collect();
        assert_eq!(places, [&[2, 3][..], &[4], &[0, 1]]);
        assert_eq!(streamed.bytes(), 100 + 200 + 300);
        assert_eq!((streamed.unit_of[&3], streamed.unit_of[&4]), (0, 1));
    }

    #[test]
    fn memory_is_waited_for_unless_the_scan_ends() {
        let streamed = Streamed::new(std::iter::empty(), |_| Vec::new(), |_| 0.0, 100);
        assert!(streamed.reserve(500, || true), "the first may be too large");
        assert!(!streamed.reserve(1, || true));
        streamed.free(500);
        assert!(streamed.reserve(60, || true) && streamed.reserve(40, || true) && !streamed.reserve(1, || true));
    }
}
