//! How much memory a scan may take.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The share of the free memory that a scan takes at most. The rest is left to other programs and to the system's file
/// cache, which holds the mapped shards.
const SHARE: f64 = 0.8;

/// The bytes that modules in work may take together: a share of the free memory of this machine, or of the container in
/// which the process runs.
pub fn ceiling() -> u64 {
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()));
    let machine = system.available_memory();
    // A container's file cache counts as used memory, but is freed when memory is needed. Most of it are the mapped
    // shards.
    let container = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    let free = container.map_or(machine, |container| machine.min(container));
    (SHARE * free as f64) as u64
}

/// The bytes that weights in work may take together on a GPU with `free` free bytes and so many `lanes`, if the largest
/// batch takes `largest`: what they can take, or a share of what there is.
pub fn ceiling_on_gpu(free: u64, lanes: usize, largest: u64) -> u64 {
    largest.saturating_mul(lanes as u64).min((SHARE * free as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_filled_as_far_as_its_lanes_can_and_no_more_than_a_share() {
        let gib = 1 << 30;
        assert_eq!(ceiling_on_gpu(100 * gib, 8, gib / 2), 4 * gib);
        assert_eq!(ceiling_on_gpu(100 * gib, 8, 3 * gib), 24 * gib);
        // A card of 8 GB and the largest modules of a 7B and of a 70B.
        assert_eq!(ceiling_on_gpu(7 * gib, 8, gib / 2), 4 * gib);
        assert_eq!(ceiling_on_gpu(7 * gib, 8, 2 * gib), (0.8 * 7.0 * gib as f64) as u64);
    }
}
