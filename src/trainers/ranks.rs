//! The rank at which adapters have as many parameters as a budget allows.
//!
//! The two matrices of an adapter of rank r beside a weight of n x m have r (n + m) parameters. A rank above min(n, m) adds
//! nothing that a lower one cannot express (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021), so that none
//! is given to a module. What that leaves of the budget goes to the other modules, if a trainer takes a rank for each.

/// What a rank is rounded to, where that costs little of the budget.
pub const STEP: u64 = 8;

/// The part of the budget that may be missed, and by which rounding to [`STEP`] may miss it.
pub const TOLERANCE: f64 = 0.02;

/// An adapter that is to be given a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptable {
    /// The parameters that each rank adds.
    pub sides: u64,
    /// The highest rank that it can use.
    pub limit: u64,
}

/// The parameters of all adapters if each has this rank, or its own limit if that is lower.
pub fn used(adapters: &[Adaptable], rank: u64) -> u64 {
    adapters.iter().map(|adapter| rank.min(adapter.limit).saturating_mul(adapter.sides)).fold(0, u64::saturating_add)
}

/// The rank, at least 1, with which the `adapters` come as near as possible to the `budget` of parameters. With `each`, an adapter
/// stays at its own limit where the rank is higher; otherwise the rank is one that all can use. A multiple of [`STEP`] is taken
/// where it misses the budget by no more than [`TOLERANCE`].
pub fn matching(adapters: &[Adaptable], budget: u64, each: bool) -> u64 {
    let limits = adapters.iter().map(|adapter| adapter.limit);
    let most = if each { limits.max() } else { limits.min() }.unwrap_or(1).max(1);
    let missed = |rank: u64| (used(adapters, rank) as f64 / budget as f64 - 1.0).abs();
    let nearest = |low: u64, high: u64| {
        let (low, high) = (low.clamp(1, most), high.clamp(1, most));
        if missed(high) < missed(low) { high } else { low }
    };
    let below = highest_within(adapters, budget, most);
    let exact = nearest(below, below + 1);
    let step = exact / STEP * STEP;
    let round = nearest(step, step + STEP);
    if round.is_multiple_of(STEP) && missed(round) <= TOLERANCE { round } else { exact }
}

/// The highest rank up to `most` with which the adapters stay within the budget; 1 if there is none.
fn highest_within(adapters: &[Adaptable], budget: u64, most: u64) -> u64 {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if used(adapters, middle) <= budget {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(count: usize, sides: u64, limit: u64) -> Vec<Adaptable> {
        vec![Adaptable { sides, limit }; count]
    }

    #[test]
    fn ranks_are_those_of_the_seed() {
        // Inputs and outputs of the seven modules of a layer of Mistral-7B, of 32 layers.
        let layer = 2 * 8192 + 2 * 5120 + 3 * 18432;
        let rank = |layers: usize| matching(&alike(layers, layer, 1024), 32 * 32 * layer, true);
        assert_eq!([rank(32), rank(16), rank(4), rank(3)], [32, 64, 256, 344]);
        assert_eq!(rank(31), 33, "a multiple of 8 would miss the budget by 3 %");
    }

    #[test]
    fn no_rank_is_above_what_a_module_can_hold() {
        let mut adapters = alike(2, 100, 4);
        adapters.extend(alike(1, 100, 400));
        assert_eq!(matching(&adapters, 4800, true), 40);
        assert_eq!(used(&adapters, 40), 4800);
        assert_eq!(matching(&adapters, 4800, false), 4);
        assert_eq!(matching(&adapters, 1_000_000, true), 400);
        assert_eq!(matching(&adapters, 1, true), 1);
        assert_eq!(matching(&[], 100, true), 1);
    }
}
