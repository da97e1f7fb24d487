//! Which module is measured next, and where.
//!
//! The largest modules come first, so that little is left when lanes run out of modules: on the CPU, idle threads then
//! help with the arithmetic of the last ones. Whichever device has a free lane takes the next module, so that faster
//! devices get more. Small modules are taken in batches, and no module is taken before there is memory for it.
//!
//! GPUs, if there are any, take all modules. What they cannot measure is left to the CPU.

mod task;

use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use task::Task;

use crate::spectrum::Device;

/// The floating-point operations of a batch: a few milliseconds of work, compared with which the cost of scheduling is
/// small.
const BATCH: f64 = 1e8;

/// The station of the CPU.
pub const CPU: usize = 0;

/// Tasks for one lane of a station, to be done one after the other. They count as in work until the batch is dropped.
pub struct Batch<'a> {
    schedule: &'a Schedule,
    /// Largest first.
    pub tasks: Vec<Task>,
    station: usize,
    /// The bytes that the largest task takes.
    bytes: u64,
}

impl Drop for Batch<'_> {
    /// Frees the lane and the memory.
    fn drop(&mut self) {
        let mut state = self.schedule.lock();
        let station = &mut state.stations[self.station];
        station.in_work -= 1;
        station.in_use -= self.bytes;
        self.schedule.changed.notify_all();
    }
}

/// A device, and how much may be in work there.
pub struct Station {
    device: Device,
    /// The number of its lanes; zero once the device is given up.
    lanes: usize,
    /// How many lanes may work at once.
    at_once: usize,
    /// The most bytes that tasks in work take together, except that a single task may take more.
    ceiling: u64,
    in_work: usize,
    in_use: u64,
}

impl Station {
    pub fn new(device: Device, lanes: usize, ceiling: u64) -> Self {
        Self { device, lanes, at_once: lanes, ceiling, in_work: 0, in_use: 0 }
    }
}

/// Closes a schedule when it is dropped, even by a panic, so that no lane waits for tasks that will not come.
pub struct Closing<'a>(&'a Schedule);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_open = false;
        self.0.changed.notify_all();
    }
}

/// What happens to a task for which a device had no memory.
#[derive(Debug, PartialEq, Eq)]
pub enum Relief {
    /// It waits for a GPU, while this GPU works on at most so many tasks at once.
    Fewer(usize),
    /// It waits for the CPU, because it was alone on the GPU, or because no GPU works any more.
    Cpu,
}

/// The waiting tasks, and the stations at which tasks are in work.
pub struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stations: Vec<Station>,
    /// The tasks for any GPU.
    ready: BinaryHeap<Task>,
    ready_for_cpu: BinaryHeap<Task>,
    /// Whether more tasks will be offered.
    is_open: bool,
    is_aborted: bool,
}

impl Schedule {
    /// An empty schedule for these stations, the first of which is the [`CPU`]'s.
    pub fn new(stations: Vec<Station>) -> Self {
        let (ready, ready_for_cpu) = (BinaryHeap::new(), BinaryHeap::new());
        let state = State { stations, ready, ready_for_cpu, is_open: true, is_aborted: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds tasks for the GPUs, or for the CPU if no GPU works.
    pub fn offer(&self, tasks: Vec<Task>) {
        let mut state = self.lock();
        if state.has_gpu() { &mut state.ready } else { &mut state.ready_for_cpu }.extend(tasks);
        self.changed.notify_all();
    }

    pub fn offer_to_cpu(&self, task: Task) {
        self.lock().ready_for_cpu.push(task);
    }

    /// Adds `task` again, for which the device of `station` had no memory. To be called before the task's batch is
    /// dropped.
    pub fn relieve(&self, station: usize, task: Task) -> Relief {
        let mut state = self.lock();
        let others = state.stations[station].in_work - 1;
        let relief = if others == 0 || !state.has_gpu() {
            state.ready_for_cpu.push(task);
            Relief::Cpu
        } else {
            let at_once = others.min(state.stations[station].at_once);
            state.stations[station].at_once = at_once;
            state.ready.push(task);
            Relief::Fewer(at_once)
        };
        self.changed.notify_all();
        relief
    }

    /// Removes a lane from `station`. With the last lane the device is given up. Returns whether this happened.
    pub fn close_lane(&self, station: usize) -> bool {
        let mut state = self.lock();
        let lanes = state.stations[station].lanes;
        if lanes > 1 {
            state.stations[station].lanes = lanes - 1;
        }
        let is_given_up = lanes == 1 && state.give_up(station);
        self.changed.notify_all();
        is_given_up
    }

    /// Gives up the device of `station`, whose tasks are left to the other GPUs or the CPU. Returns false if it was
    /// given up before.
    pub fn give_up(&self, station: usize) -> bool {
        let is_news = self.lock().give_up(station);
        self.changed.notify_all();
        is_news
    }

    pub fn is_given_up(&self, station: usize) -> bool {
        self.lock().stations[station].lanes == 0
    }

    /// A guard for offering tasks. Once it is dropped, only tasks at which a device failed are offered again.
    pub fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    /// Ends the scan early: from now on nothing can be taken.
    pub fn abort(&self) {
        self.lock().is_aborted = true;
        self.changed.notify_all();
    }

    pub fn is_aborted(&self) -> bool {
        self.lock().is_aborted
    }

    /// Takes the largest task that waits for `station` and, as long as they are small, the tasks that follow it.
    /// Returns `None` if there is no task, no free lane or no free memory.
    pub fn take(&self, station: usize) -> Option<Batch<'_>> {
        let (tasks, bytes) = self.lock().take(station)?;
        Some(Batch { schedule: self, tasks, station, bytes })
    }

    /// As [`Self::take`] for a GPU's station, but waits for tasks. Returns `None` if there will be no more.
    pub fn wait(&self, station: usize) -> Option<Batch<'_>> {
        let mut state = self.lock();
        loop {
            if let Some((tasks, bytes)) = state.take(station) {
                return Some(Batch { schedule: self, tasks, station, bytes });
            }
            // A GPU may fail at tasks that are in work, which are then offered again.
            let may_come = state.is_open || !state.ready.is_empty() || state.gpus().any(|gpu| gpu.in_work > 0);
            if state.is_aborted || state.stations[station].lanes == 0 || !may_come {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The index of the module that comes next on `station`.
    pub fn next(&self, station: usize) -> Option<usize> {
        self.lock().ready(station).peek().map(|task| task.place)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn gpus(&self) -> impl Iterator<Item = &Station> {
        self.stations.iter().skip(CPU + 1)
    }

    fn has_gpu(&self) -> bool {
        self.gpus().any(|gpu| gpu.lanes > 0)
    }

    /// The tasks that wait for `station`.
    fn ready(&mut self, station: usize) -> &mut BinaryHeap<Task> {
        if station == CPU { &mut self.ready_for_cpu } else { &mut self.ready }
    }

    fn give_up(&mut self, station: usize) -> bool {
        let is_news = std::mem::take(&mut self.stations[station].lanes) > 0;
        if !self.has_gpu() {
            let tasks = std::mem::take(&mut self.ready);
            self.ready_for_cpu.extend(tasks);
        }
        is_news
    }

    /// Takes tasks for station `at`, as [`Schedule::take`] does, and returns them with the memory that they take.
    fn take(&mut self, at: usize) -> Option<(Vec<Task>, u64)> {
        let Station { device, lanes, at_once, ceiling, in_work, in_use } = &self.stations[at];
        if self.is_aborted || in_work >= lanes.min(at_once) {
            return None;
        }
        let room = if *in_use == 0 { u64::MAX } else { ceiling.saturating_sub(*in_use) };
        let device = device.clone();
        let ready = self.ready(at);
        let first = ready.peek().filter(|task| task.bytes(&device) <= room)?;
        let (mut flops, bytes) = (first.flops, first.bytes(&device));
        let mut tasks: Vec<Task> = ready.pop().into_iter().collect();
        // Tasks are done one after the other, so smaller ones take no more memory than the first. A task that is
        // quantised in another way might.
        let fits = |task: &&Task, flops: f64| flops + task.flops <= BATCH && task.bytes(&device) <= bytes;
        while let Some(task) = ready.peek().filter(|task| fits(task, flops)) {
            flops += task.flops;
            tasks.extend(ready.pop());
        }
        let station = &mut self.stations[at];
        station.in_work += 1;
        station.in_use += bytes;
        Some((tasks, bytes))
    }
}

#[cfg(test)]
mod tests;
