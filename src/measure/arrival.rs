//! A file that is still being downloaded: which modules can already be measured, and which already were.

use std::time::Duration;

use super::Outcome;
use super::schedule::Task;

/// The modules that wait for bytes of a file, in the order in which they can be measured.
pub struct Waiting {
    /// How many bytes of the file, from its start, each module needs, and the module's index.
    modules: Vec<(u64, usize)>,
    /// How many of them do not wait any more.
    done: usize,
}

impl Waiting {
    pub fn new(mut modules: Vec<(u64, usize)>) -> Self {
        modules.sort_unstable();
        Self { modules, done: 0 }
    }

    /// The waiting modules for which `length` bytes are enough. They do not wait any more.
    pub fn next(&mut self, length: u64) -> &[(u64, usize)] {
        let first = self.done;
        let more = self.modules[first..].iter().take_while(|(needed, _)| *needed <= length).count();
        self.done += more;
        &self.modules[first..self.done]
    }

    /// Lets all modules wait again.
    pub fn begin_again(&mut self) {
        self.done = 0;
    }
}

/// The outcome of a task.
pub struct Measured {
    pub task: Task,
    pub outcome: Outcome,
    pub elapsed: Duration,
    /// Whether the observer was told.
    pub is_shown: bool,
}

/// Outcomes from shards that are not verified yet. A shard can be verified only when it is complete, by its hash and
/// header.
pub struct Unverified {
    measured: Vec<Measured>,
    is_verified: Vec<bool>,
}

impl Unverified {
    pub fn new(shards: usize) -> Self {
        Self { measured: Vec::new(), is_verified: vec![false; shards] }
    }

    pub fn is_verified(&self, shard: usize) -> bool {
        self.is_verified[shard]
    }

    /// Keeps an outcome until its shard is verified.
    pub fn keep(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    /// Marks a shard as verified, and returns all outcomes that were kept: they come from this shard, because shards
    /// are downloaded one after the other.
    pub fn verify(&mut self, shard: usize) -> Vec<Measured> {
        self.is_verified[shard] = true;
        std::mem::take(&mut self.measured)
    }

    /// Drops the outcomes that are void, and returns the indices of their modules, as far as the observer was told of
    /// them.
    pub fn discard(&mut self, is_void: impl Fn(&Task) -> bool) -> Vec<usize> {
        let discarded = self.measured.extract_if(.., |measured| is_void(&measured.task));
        discarded.filter(|measured| measured.is_shown).map(|measured| measured.task.place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_wait_for_their_own_bytes_and_no_others() {
        let mut waiting = Waiting::new(vec![(30, 0), (10, 1), (u64::MAX, 2), (20, 3)]);
        assert_eq!(waiting.next(9), []);
        assert_eq!(waiting.next(25), [(10, 1), (20, 3)]);
        assert_eq!(waiting.next(25), []);
        waiting.begin_again();
        assert_eq!(waiting.next(10), [(10, 1)]);
        assert_eq!(waiting.next(u64::MAX), [(20, 3), (30, 0), (u64::MAX, 2)]);
    }
}
