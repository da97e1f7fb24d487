//! Which module is measured next.
//!
//! The largest first, so that no worker is left with a large one when the others are done; and none before there is
//! memory for it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::MappedShard;
use crate::modules::Module;
use crate::spectrum::{self, Method};

/// A module that is ready to be measured.
pub struct Task {
    /// Its place in model order.
    pub place: usize,
    /// The shard that holds its weight.
    pub shard: Arc<MappedShard>,
    /// How it is to be measured.
    pub method: Method,
    /// The bytes that this takes.
    bytes: u64,
    /// The work it is, for comparison.
    flops: f64,
}

impl Task {
    /// The task of measuring the module in `place` by `method`.
    pub fn new(place: usize, module: &Module, shard: Arc<MappedShard>, method: Method) -> Self {
        let stored = module.tensor.bytes.end - module.tensor.bytes.start;
        let bytes = stored + spectrum::workspace(module.shape, method);
        Self { place, shard, method, bytes, flops: spectrum::flops(module.shape) }
    }
}

impl Ord for Task {
    fn cmp(&self, other: &Self) -> Ordering {
        self.flops.total_cmp(&other.flops).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Task {}

/// The tasks that wait and the memory that those in work take.
pub struct Schedule {
    ceiling: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: BinaryHeap<Task>,
    in_use: u64,
    closed: bool,
    aborted: bool,
}

impl Schedule {
    /// An empty schedule whose tasks in work take at most `ceiling` bytes, unless one alone takes more.
    pub fn new(ceiling: u64) -> Self {
        Self { ceiling, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds tasks. A worker may do so even after [`Schedule::close`], as it will itself take what it adds.
    pub fn offer(&self, tasks: Vec<Task>) {
        self.lock().ready.extend(tasks);
        self.changed.notify_all();
    }

    /// Says that nothing more will come from outside.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Makes every [`Schedule::take`] from now on return nothing.
    pub fn abort(&self) {
        self.lock().aborted = true;
        self.changed.notify_all();
    }

    /// Whether the scan is ending early.
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// The largest waiting task, as soon as there is memory for it; `None` when all is done. The memory is given back
    /// with [`Schedule::release`].
    pub fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.aborted {
                return None;
            }
            match state.ready.peek() {
                None if state.closed => return None,
                Some(task) if state.in_use == 0 || state.in_use + task.bytes <= self.ceiling => {
                    let task = state.ready.pop()?;
                    state.in_use += task.bytes;
                    return Some(task);
                }
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Gives back the memory of a task that is no longer in work.
    pub fn release(&self, task: &Task) {
        self.lock().in_use -= task.bytes;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
