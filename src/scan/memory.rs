//! How much memory a scan may take.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The share of the memory that is free at the start which a scan takes at most. The rest is for the system's file
/// cache, which holds the mapped shards, and for whatever else is running.
const SHARE: f64 = 0.8;

/// The bytes that modules in work may take together: a share of what this machine, or the container that the process
/// runs in, has free.
pub fn ceiling() -> u64 {
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()));
    let machine = system.available_memory();
    // A container's file cache counts as used there, but makes room when it must: the mapped shards are most of it.
    let container = system.cgroup_limits().map(|limits| limits.total_memory.saturating_sub(limits.rss));
    let free = container.map_or(machine, |container| machine.min(container));
    (SHARE * free as f64) as u64
}
