//! Which module is measured next.
//!
//! The largest first, so that little is left when threads run out of modules: those then help with the arithmetic of the
//! last ones. Small ones are taken by the batch; and none before there is memory for it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::modules::Module;
use crate::spectrum::{self, Method};

/// The floating-point operations of a batch: a few milliseconds of work, beside which taking it is nothing.
const BATCH: f64 = 1e8;

/// A module that is ready to be measured.
pub struct Task {
    /// Its place in model order.
    pub place: usize,
    /// How it is to be measured.
    pub method: Method,
    /// The bytes that this takes.
    bytes: u64,
    /// The work it is, for comparison.
    flops: f64,
}

impl Task {
    /// The task of measuring the module in `place` by `method`.
    pub fn new(place: usize, module: &Module, method: Method) -> Self {
        let bytes = module.weight.bytes_in_memory(&module.selection) + spectrum::workspace(module.shape, method);
        Self { place, method, bytes, flops: spectrum::flops(module.shape) }
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

/// Tasks for one thread, to be done one after the other.
pub struct Batch {
    /// The tasks, largest first.
    pub tasks: Vec<Task>,
    /// The bytes that the largest takes.
    bytes: u64,
}

/// The tasks that wait, and what those in work take.
pub struct Schedule {
    threads: usize,
    ceiling: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: BinaryHeap<Task>,
    in_work: usize,
    in_use: u64,
    aborted: bool,
}

impl Schedule {
    /// An empty schedule for so many `threads`, whose tasks in work take at most `ceiling` bytes, unless one alone takes
    /// more.
    pub fn new(threads: usize, ceiling: u64) -> Self {
        Self { threads, ceiling, state: Mutex::default() }
    }

    /// Adds tasks.
    pub fn offer(&self, tasks: Vec<Task>) {
        self.lock().ready.extend(tasks);
    }

    /// Makes every [`Schedule::take`] from now on return nothing.
    pub fn abort(&self) {
        self.lock().aborted = true;
    }

    /// Whether the scan is ending early.
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// The largest waiting task and, as far as all are small, those that come after it; nothing, if there is no thread or
    /// no memory for them now. They are given back with [`Schedule::release`].
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        if state.aborted || state.in_work == self.threads {
            return None;
        }
        let first = state.ready.peek().filter(|task| state.in_use == 0 || state.in_use + task.bytes <= self.ceiling)?;
        let (mut flops, bytes) = (first.flops, first.bytes);
        let mut tasks: Vec<Task> = state.ready.pop().into_iter().collect();
        // One after the other they take no more memory than the first, unless they are quantised otherwise.
        while let Some(task) = state.ready.peek().filter(|task| flops + task.flops <= BATCH && task.bytes <= bytes) {
            flops += task.flops;
            tasks.extend(state.ready.pop());
        }
        state.in_work += 1;
        state.in_use += bytes;
        Some(Batch { tasks, bytes })
    }

    /// The place of the task that comes next.
    pub fn next(&self) -> Option<usize> {
        self.lock().ready.peek().map(|task| task.place)
    }

    /// Gives back the thread and the memory of tasks that are no longer in work.
    pub fn release(&self, batch: &Batch) {
        let mut state = self.lock();
        state.in_work -= 1;
        state.in_use -= batch.bytes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::{Dtype, Part, Selection, TensorInfo, Weight};

    /// Tasks for square modules of these sizes.
    fn tasks(sizes: &[usize]) -> Vec<Task> {
        let task = |(place, &size): (usize, &usize)| {
            let name = format!("model.layers.{place}.up");
            let tensor = TensorInfo {
                name: format!("{name}.weight"),
                dtype: Dtype::F32,
                shape: vec![size, size],
                bytes: 0..4 * (size * size) as u64,
            };
            let module = Module {
                tensor: tensor.name.clone(),
                weight: Arc::new(Weight::plain(Part { shard: 0, tensor })),
                name,
                selection: Selection::default(),
                kind: "up".into(),
                layer: Some(place),
                shape: [size, size],
                targets: Vec::new(),
                is_parameter: false,
                part_of: None,
                class: crate::modules::Class::Linear,
            };
            Task::new(place, &module, Method::Gram)
        };
        sizes.iter().enumerate().map(task).collect()
    }

    fn places(batch: &Batch) -> Vec<usize> {
        batch.tasks.iter().map(|task| task.place).collect()
    }

    #[test]
    fn the_largest_comes_first_and_equals_in_model_order() {
        let schedule = Schedule::new(5, u64::MAX);
        schedule.offer(tasks(&[800, 3200, 800, 6400, 3200]));
        assert_eq!(schedule.next(), Some(3));
        let order: Vec<_> = std::iter::from_fn(|| schedule.take()).flat_map(|batch| places(&batch)).collect();
        assert_eq!(order, [3, 1, 4, 0, 2]);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn small_ones_come_by_the_batch() {
        let schedule = Schedule::new(9, u64::MAX);
        // 7/3 n³ operations: 0.61 million for n = 64, 98 million for n = 348.
        schedule.offer(tasks(&[[64; 200].as_slice(), &[2000, 348]].concat()));
        let batches: Vec<usize> = std::iter::from_fn(|| schedule.take()).map(|batch| batch.tasks.len()).collect();
        assert_eq!(batches, [1, 3, 163, 35]);
    }

    #[test]
    fn no_more_is_in_work_than_there_are_threads() {
        let schedule = Schedule::new(2, u64::MAX);
        schedule.offer(tasks(&[1000; 3]));
        let (first, second) = (schedule.take(), schedule.take());
        assert!(first.is_some() && second.is_some() && schedule.take().is_none());
        schedule.release(&first.expect("a batch"));
        assert_eq!(schedule.take().as_ref().map(places), Some(vec![2]));
    }

    #[test]
    fn what_is_in_work_stays_below_the_ceiling() {
        let all = tasks(&[1000; 3]);
        let each = all[0].bytes;
        let schedule = Schedule::new(3, 2 * each + each / 2);
        schedule.offer(all);
        let (first, second) = (schedule.take().expect("a batch"), schedule.take().expect("a batch"));
        assert!(schedule.take().is_none());
        schedule.release(&first);
        schedule.release(&second);
        assert!(schedule.take().is_some());
    }

    #[test]
    fn a_task_above_the_ceiling_runs_alone() {
        let schedule = Schedule::new(2, 1);
        schedule.offer(tasks(&[1000, 900]));
        for place in [0, 1] {
            let batch = schedule.take().expect("a batch");
            assert_eq!(places(&batch), [place]);
            assert!(schedule.take().is_none());
            schedule.release(&batch);
        }
    }

    #[test]
    fn nothing_is_taken_after_an_abort() {
        let schedule = Schedule::new(1, u64::MAX);
        schedule.offer(tasks(&[8]));
        schedule.abort();
        assert!(schedule.is_aborted() && schedule.take().is_none());
    }
}
