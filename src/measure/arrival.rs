//! A file that is still coming: which modules can be measured of what is there, and what was measured of it so far.

use std::time::Duration;

use super::Outcome;
use super::schedule::Task;

/// The modules that wait for bytes of one file, in the order in which they can be measured.
pub struct Waiting {
    /// How many bytes each needs, and its place in model order.
    modules: Vec<(u64, usize)>,
    /// How many of them wait no longer.
    done: usize,
}

impl Waiting {
    /// The modules that need so many bytes of the file from its start on.
    pub fn new(mut modules: Vec<(u64, usize)>) -> Self {
        modules.sort_unstable();
        Self { modules, done: 0 }
    }

    /// Those of the modules that wait still for which `length` bytes are enough; they wait no longer.
    pub fn next(&mut self, length: u64) -> &[(u64, usize)] {
        let first = self.done;
        let more = self.modules[first..].iter().take_while(|(needed, _)| *needed <= length).count();
        self.done += more;
        &self.modules[first..self.done]
    }

    /// Has all modules wait again.
    pub fn begin_again(&mut self) {
        self.done = 0;
    }
}

/// How the measuring of a module ended.
pub struct Measured {
    /// What was to be done.
    pub task: Task,
    /// The outcome.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it has been told.
    pub is_shown: bool,
}

/// What was measured of files that are not proved to be the right ones yet. While a file comes, nobody can tell; once it is
/// whole, its hash does, and its header.
pub struct Unproved {
    measured: Vec<Measured>,
    is_proved: Vec<bool>,
}

impl Unproved {
    /// Nothing yet, of so many shards.
    pub fn new(shards: usize) -> Self {
        Self { measured: Vec::new(), is_proved: vec![false; shards] }
    }

    /// Whether the shard in place `at` is the right one.
    pub fn is_proved(&self, at: usize) -> bool {
        self.is_proved[at]
    }

    /// Keeps an outcome until it is proved.
    pub fn keep(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    /// Takes notice that the shard in place `at` is the right one, of which all is that was kept: one comes after the other.
    pub fn prove(&mut self, at: usize) -> Vec<Measured> {
        self.is_proved[at] = true;
        std::mem::take(&mut self.measured)
    }

    /// Drops what is void, and returns the places of the modules of it that were shown as done.
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
