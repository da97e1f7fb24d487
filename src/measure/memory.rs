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

/// The most bytes that weights in work take together on a GPU, if this is enough for two of them. More weights would
/// not be faster, and other programs may need the memory.
const ENOUGH: u64 = 5 << 29;

/// The bytes that weights in work may take together on a GPU with `free` free bytes, if the largest weight takes
/// `largest`.
pub fn ceiling_on_gpu(free: u64, largest: u64) -> u64 {
    ENOUGH.max(2 * largest).min((SHARE * free as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_not_filled_for_nothing() {
        let gib = 1 << 30;
        assert_eq!(ceiling_on_gpu(100 * gib, gib / 2), ENOUGH);
        assert_eq!(ceiling_on_gpu(100 * gib, 3 * gib), 6 * gib);
        assert_eq!(ceiling_on_gpu(gib, 3 * gib), (0.8 * gib as f64) as u64);
    }
}
