//! Modules -> parts of about equal arithmetic, each with as few shards as possible.
//!
//! Shards are dealt out in their order. The k-th part ends where k/N of all arithmetic is done. If this is near the end of a shard, the
//! part ends with that shard, so that no two parts read it. Otherwise the modules of the shard are divided: the largest that still
//! fit come first, as for a bin that is filled in decreasing order of size. Ends are counted from the beginning, so that what one
//! part has too much the next has too little, and nothing adds up.

use std::collections::BTreeMap;

/// How far a part may end from where it should, over the arithmetic of a part. With both of its ends this makes a part at most a
/// twentieth too large or too small.
const SLACK: f64 = 0.0249;

/// What a module takes: its floating-point operations, and the last shard that it needs.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub flops: f64,
    pub shard: usize,
}

/// The part of each module, counted from 0, if they are divided into so many `parts`, at least one. The same loads give the same
/// division everywhere.
pub fn divide(loads: &[Load], parts: usize) -> Vec<usize> {
    let mut shards: BTreeMap<usize, Remaining> = BTreeMap::new();
    for (place, load) in loads.iter().enumerate() {
        shards.entry(load.shard).or_default().add(place, load.flops);
    }
    let each = loads.iter().map(|load| load.flops).sum::<f64>() / parts as f64;
    let mut division = Division { part_of: vec![0; loads.len()], part: 0, parts, each, done: 0.0 };
    shards.into_values().for_each(|shard| division.deal(shard));
    division.part_of
}

/// The modules of a shard that no part has yet.
#[derive(Default)]
struct Remaining {
    /// By size and then by place. The bits of positive numbers are ordered as the numbers.
    by_size: BTreeMap<(u64, usize), ()>,
    flops: f64,
}

impl Remaining {
    fn add(&mut self, place: usize, flops: f64) {
        self.by_size.insert((flops.to_bits(), place), ());
        self.flops += flops;
    }

    /// Removes the largest module that takes at most `room`.
    fn take_within(&mut self, room: f64) -> Option<(usize, f64)> {
        let most = (room.max(0.0).to_bits(), usize::MAX);
        let key = *self.by_size.range(..=most).next_back()?.0;
        Some(self.take(key))
    }

    /// Removes the smallest module if it takes less than `limit`.
    fn take_smallest_below(&mut self, limit: f64) -> Option<(usize, f64)> {
        let key = *self.by_size.keys().next().filter(|(bits, _)| f64::from_bits(*bits) < limit)?;
        Some(self.take(key))
    }

    fn take(&mut self, key: (u64, usize)) -> (usize, f64) {
        self.by_size.remove(&key);
        let flops = f64::from_bits(key.0);
        self.flops -= flops;
        (key.1, flops)
    }
}

struct Division {
    part_of: Vec<usize>,
    /// The part that is being filled.
    part: usize,
    parts: usize,
    /// The arithmetic of a part.
    each: f64,
    /// The arithmetic of all that is dealt out.
    done: f64,
}

impl Division {
    fn deal(&mut self, mut shard: Remaining) {
        while !shard.by_size.is_empty() {
            let room = self.each * (self.part + 1) as f64 - self.done;
            let slack = SLACK * self.each;
            if self.part + 1 == self.parts || shard.flops <= room + slack {
                let rest: Vec<(u64, usize)> = shard.by_size.keys().copied().collect();
                rest.into_iter().for_each(|key| self.give(shard.take(key)));
                if shard.by_size.is_empty() && self.is_full(slack) {
                    self.part += 1;
                }
                return;
            }
            if room > slack {
                self.fill(&mut shard);
            }
            self.part += 1;
        }
    }

    /// Fills the part with modules of a shard that it does not have whole.
    fn fill(&mut self, shard: &mut Remaining) {
        let room = |division: &Self| division.each * (division.part + 1) as f64 - division.done;
        while let Some(module) = shard.take_within(room(self)) {
            self.give(module);
        }
        // One more, if the part then ends nearer to where it should.
        if let Some(module) = shard.take_smallest_below(2.0 * room(self)) {
            self.give(module);
        }
    }

    fn is_full(&self, slack: f64) -> bool {
        self.part + 1 < self.parts && self.done >= self.each * (self.part + 1) as f64 - slack
    }

    fn give(&mut self, (place, flops): (usize, f64)) {
        self.part_of[place] = self.part;
        self.done += flops;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The arithmetic of each part over that of an equal one, and the shards of each.
    fn parts(loads: &[Load], count: usize) -> (Vec<f64>, Vec<usize>) {
        let part_of = divide(loads, count);
        assert_eq!(part_of.len(), loads.len());
        let total: f64 = loads.iter().map(|load| load.flops).sum();
        let mut flops = vec![0.0; count];
        let mut shards = vec![BTreeSet::new(); count];
        for (load, part) in loads.iter().zip(part_of) {
            flops[part] += load.flops / total * count as f64;
            shards[part].insert(load.shard);
        }
        (flops, shards.iter().map(BTreeSet::len).collect())
    }

    /// The modules of a model of this many layers like Llama-2-7B, with so many layers in each shard.
    fn llama(layers: usize, in_shard: usize) -> Vec<Load> {
        let flops = [(4096, 4096); 4].into_iter().chain([(4096, 11008); 3]);
        let of_layer = flops.map(|(short, long): (u64, u64)| (short * short * long) as f64).collect::<Vec<_>>();
        (0..layers)
            .flat_map(|layer| of_layer.iter().map(move |flops| Load { flops: *flops, shard: layer / in_shard }))
            .collect()
    }

    #[test]
    fn parts_of_a_model_are_balanced_and_read_few_shards() {
        for (layers, in_shard, count) in [(32, 16, 4), (28, 28, 7), (28, 7, 4), (80, 3, 8), (32, 11, 5), (61, 1, 20)] {
            let (flops, shards) = parts(&llama(layers, in_shard), count);
            assert!(flops.iter().all(|share| (0.95..=1.05).contains(share)), "{layers} in {count}: {flops:?}");
            let all = layers.div_ceil(in_shard);
            assert!(shards.iter().sum::<usize>() < all + count, "{layers} in {count}: {shards:?}");
        }
    }

    #[test]
    fn parts_end_with_shards_where_these_are_small() {
        let (flops, shards) = parts(&llama(160, 1), 8);
        assert_eq!(shards, [20; 8], "{flops:?}");
        // 163 shards in 8 parts: 20 or 21 each.
        let (flops, shards) = parts(&llama(163, 1), 8);
        assert_eq!(shards.iter().sum::<usize>(), 163, "{flops:?}");
        assert!(flops.iter().all(|share| (0.95..=1.05).contains(share)), "{flops:?}");
    }

    #[test]
    fn there_may_be_more_parts_than_modules() {
        let (flops, _) = parts(&llama(1, 1), 20);
        assert!(flops.iter().filter(|share| **share > 0.0).count() <= 7);
        assert_eq!(divide(&[], 3), [0; 0]);
        assert_eq!(divide(&llama(2, 1), 1), [0; 14]);
    }

    proptest! {
        #[test]
        fn no_part_is_further_off_than_a_twentieth_or_its_largest_module(
            sizes in prop::collection::vec((1u32..1000, 0usize..6), 1..300),
            count in 1usize..20,
        ) {
            let loads: Vec<Load> = sizes.iter().map(|(size, shard)| Load { flops: f64::from(*size), shard: *shard }).collect();
            let (flops, _) = parts(&loads, count);
            let total: f64 = loads.iter().map(|load| load.flops).sum();
            let largest = loads.iter().map(|load| load.flops).fold(0.0, f64::max) / total * count as f64;
            for share in flops {
                prop_assert!((share - 1.0).abs() <= 0.05 + largest, "{share} with {largest}");
            }
        }
    }
}
