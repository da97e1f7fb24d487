//! Which module is measured next.
//!
//! The largest first, so that no worker is left with a large one when the others are done; and none before there is
//! memory for it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::modules::Module;
use crate::spectrum::{self, Method};

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

    #[test]
    fn the_largest_comes_first_and_equals_in_model_order() {
        let schedule = Schedule::new(u64::MAX);
        schedule.offer(tasks(&[8, 32, 8, 64, 32]));
        schedule.close();
        let order: Vec<usize> = std::iter::from_fn(|| schedule.take()).map(|task| task.place).collect();
        assert_eq!(order, [3, 1, 4, 0, 2]);
    }

    #[test]
    fn tasks_in_work_stay_below_the_ceiling() {
        let sizes = [16; 12];
        let all = tasks(&sizes);
        let each = all[0].bytes;
        let schedule = Schedule::new(2 * each + each / 2);
        schedule.offer(all);
        schedule.close();
        let (working, most) = (Mutex::new(0), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(task) = schedule.take() {
                        let now = {
                            let mut working = working.lock().expect("no panic");
                            *working += 1;
                            *working
                        };
                        let mut seen = most.lock().expect("no panic");
                        *seen = now.max(*seen);
                        drop(seen);
                        std::thread::sleep(std::time::Duration::from_millis(2));
                        *working.lock().expect("no panic") -= 1;
                        schedule.release(&task);
                    }
                });
            }
        });
        assert_eq!(*most.lock().expect("no panic"), 2);
    }

    #[test]
    fn a_task_above_the_ceiling_runs_alone() {
        let schedule = Schedule::new(1);
        schedule.offer(tasks(&[16, 8]));
        schedule.close();
        for place in [0, 1] {
            let task = schedule.take().expect("a task");
            assert_eq!(task.place, place);
            schedule.release(&task);
        }
        assert!(schedule.take().is_none());
    }

    #[test]
    fn an_abort_ends_those_who_wait() {
        let schedule = Schedule::new(u64::MAX);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| schedule.take().is_none());
            schedule.abort();
            assert!(waiting.join().expect("no panic"));
        });
        schedule.offer(tasks(&[8]));
        assert!(schedule.is_aborted() && schedule.take().is_none());
    }
}
