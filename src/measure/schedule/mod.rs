//! Which module is measured next, and where.
//!
//! The largest modules come first, so that little is left when lanes run out of modules: on the CPU, idle threads then
//! help with the arithmetic of the last ones. Whichever device has a free lane takes the next module, so that faster
//! devices get more. Small modules are taken in batches, and no module is taken before there is memory for it.
//!
//! GPUs, if there are any, take all modules. What they cannot measure is left to the CPU. Where the CPU is as fast as
//! they are, it helps them with the smallest modules.
//!
//! A GPU that lacks memory for a module works on fewer at once, and on more again when modules went well. One that
//! refuses a module is kept, unless it refuses several in a row.

mod task;

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use task::Task;

use crate::spectrum::{Device, Fault};

/// The floating-point operations of a batch: a few milliseconds of work, compared with which the cost of scheduling is
/// small.
const BATCH: f64 = 1e8;

/// How many modules a GPU may refuse one after the other before it is given up.
const REFUSALS: usize = 3;

/// How many modules must go well on a GPU that was short of memory before it works on one more at once. It doubles
/// each time that this was too much.
const PATIENCE: usize = 16;

/// The station of the CPU.
pub const CPU: usize = 0;

/// Tasks for one lane of a station. They count as in work until the batch is dropped.
pub struct Batch<'a> {
    schedule: &'a Schedule,
    /// Largest first.
    pub tasks: Vec<Task>,
    /// Whether they are to be done together, and not one after the other.
    pub together: bool,
    station: usize,
    /// The bytes that the tasks take together, or that the largest takes.
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
    /// How many tasks were refused since the last that went well.
    refusals: usize,
    /// How many tasks went well since the last for which there was no memory.
    well: usize,
    /// How many must go well before one more works at once.
    patience: usize,
}

impl Station {
    pub fn new(device: Device, lanes: usize, ceiling: u64) -> Self {
        let (in_work, in_use, refusals, well) = (0, 0, 0, 0);
        Self { device, lanes, at_once: lanes, ceiling, in_work, in_use, refusals, well, patience: PATIENCE }
    }

    fn has_done_well(&mut self) {
        self.refusals = 0;
        self.well += 1;
        if self.well >= self.patience && self.at_once < self.lanes {
            self.at_once += 1;
            self.well = 0;
        }
    }

    /// Works on fewer at once: on the `others` that are in work.
    fn crowd(&mut self, others: usize) -> usize {
        if others < self.at_once {
            self.at_once = others;
            self.patience *= if self.patience < usize::MAX / 2 { 2 } else { 1 };
        }
        self.well = 0;
        self.at_once
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

/// What happens to a task that a GPU could not do although it works.
#[derive(Debug, PartialEq, Eq)]
pub enum Relief {
    /// It waits for a GPU, while this GPU works on at most so many tasks at once.
    Fewer(usize),
    /// It waits for the CPU, because it was alone on the GPU or was refused, or because no GPU works any more.
    Cpu,
    /// It waits for the CPU, and the GPU is given up, because it refused too many.
    GivenUp,
}

/// The waiting tasks, and the stations at which tasks are in work.
pub struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stations: Vec<Station>,
    /// The tasks for any GPU.
    ready: BTreeSet<Task>,
    ready_for_cpu: BTreeSet<Task>,
    /// Whether the CPU takes the smallest of the tasks that are for GPUs.
    cpu_helps: bool,
    /// Whether more tasks will be offered.
    is_open: bool,
    is_aborted: bool,
}

impl Schedule {
    /// An empty schedule for these stations, the first of which is the [`CPU`]'s. The CPU takes what GPUs cannot do,
    /// and, if it is to help, the smallest of their tasks.
    pub fn new(stations: Vec<Station>, cpu_helps: bool) -> Self {
        let (ready, ready_for_cpu) = (BTreeSet::new(), BTreeSet::new());
        let state = State { stations, ready, ready_for_cpu, cpu_helps, is_open: true, is_aborted: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds tasks for the GPUs, or for the CPU if no GPU works or takes them.
    pub fn offer(&self, tasks: Vec<Task>) {
        let mut state = self.lock();
        tasks.into_iter().for_each(|task| state.offer(task));
        self.changed.notify_all();
    }

    pub fn offer_to_cpu(&self, task: Task) {
        self.lock().ready_for_cpu.replace(task);
    }

    /// Takes note that a task went well on the device of `station`.
    pub fn has_done_well(&self, station: usize) {
        self.lock().stations[station].has_done_well();
        self.changed.notify_all();
    }

    /// Sets the most bytes that tasks in work at `station` take together.
    pub fn set_ceiling(&self, station: usize, ceiling: u64) {
        self.lock().stations[station].ceiling = ceiling;
    }

    /// Adds `task` again, at which the device of `station`, which works, has failed with this `fault`. To be called
    /// before the task's batch is dropped.
    pub fn relieve(&self, station: usize, task: Task, fault: &Fault) -> Relief {
        let mut state = self.lock();
        let others = state.stations[station].in_work - 1;
        let may_be_memory = matches!(fault, Fault::OutOfMemory | Fault::Unclear(_));
        let relief = if may_be_memory && others > 0 && state.has_gpu() {
            state.offer(task);
            Relief::Fewer(state.stations[station].crowd(others))
        } else {
            state.ready_for_cpu.replace(task);
            // That a weight is too large says nothing of the next one.
            let is_refused = *fault != Fault::OutOfMemory;
            state.stations[station].refusals += usize::from(is_refused);
            let is_last = is_refused && state.stations[station].refusals >= REFUSALS;
            if is_last && state.give_up(station) { Relief::GivenUp } else { Relief::Cpu }
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
        let taken = self.lock().take(station)?;
        Some(self.batch(station, taken))
    }

    /// As [`Self::take`] for a GPU's station, but waits for tasks. Returns `None` if there will be no more.
    pub fn wait(&self, station: usize) -> Option<Batch<'_>> {
        let mut state = self.lock();
        loop {
            if let Some(taken) = state.take(station) {
                return Some(self.batch(station, taken));
            }
            // A GPU may fail at tasks that are in work, which are then offered again.
            let may_come = state.is_open || !state.ready.is_empty() || state.gpus().any(|gpu| gpu.in_work > 0);
            if state.is_aborted || state.stations[station].lanes == 0 || !may_come {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The indices of the modules that come next on `station`: as many as work there at once and four more on a GPU,
    /// whose lanes would wait for the disk otherwise, or so many batches of small ones, and one on the CPU.
    pub fn upcoming(&self, station: usize) -> Vec<usize> {
        let mut state = self.lock();
        let Station { device, at_once, .. } = &state.stations[station];
        let (device, count) = (device.clone(), if station == CPU { 1 } else { at_once + 4 });
        let (ready, end) = state.ready(station);
        let count = count * end.peek(ready).map_or(1, |task| task.together(&device));
        let place = |task: &Task| task.place;
        match end {
            End::Largest => ready.iter().rev().take(count).map(place).collect(),
            End::Smallest => ready.iter().take(count).map(place).collect(),
        }
    }

    fn batch(&self, station: usize, Taken { tasks, together, bytes }: Taken) -> Batch<'_> {
        Batch { schedule: self, tasks, together, station, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`Batch`] says of the tasks that were taken.
struct Taken {
    tasks: Vec<Task>,
    together: bool,
    bytes: u64,
}

/// An end of the order of tasks.
#[derive(Clone, Copy)]
enum End {
    Largest,
    Smallest,
}

impl End {
    fn peek(self, tasks: &BTreeSet<Task>) -> Option<&Task> {
        match self {
            Self::Largest => tasks.last(),
            Self::Smallest => tasks.first(),
        }
    }

    fn pop(self, tasks: &mut BTreeSet<Task>) -> Option<Task> {
        match self {
            Self::Largest => tasks.pop_last(),
            Self::Smallest => tasks.pop_first(),
        }
    }
}

impl State {
    fn gpus(&self) -> impl Iterator<Item = &Station> {
        self.stations.iter().skip(CPU + 1)
    }

    fn has_gpu(&self) -> bool {
        self.gpus().any(|gpu| gpu.lanes > 0)
    }

    /// The tasks that wait for `station`, and at which end it takes them.
    fn ready(&mut self, station: usize) -> (&mut BTreeSet<Task>, End) {
        if station != CPU {
            (&mut self.ready, End::Largest)
        } else if self.cpu_helps && self.ready_for_cpu.is_empty() {
            (&mut self.ready, End::Smallest)
        } else {
            (&mut self.ready_for_cpu, End::Largest)
        }
    }

    /// Adds a task, also in place of an earlier one of the same module whose bytes are void.
    fn offer(&mut self, task: Task) {
        let is_taken = self.gpus().any(|gpu| gpu.lanes > 0 && task.is_for(&gpu.device));
        if is_taken { &mut self.ready } else { &mut self.ready_for_cpu }.replace(task);
    }

    fn give_up(&mut self, station: usize) -> bool {
        let is_news = std::mem::take(&mut self.stations[station].lanes) > 0;
        if !self.has_gpu() {
            let tasks = std::mem::take(&mut self.ready);
            self.ready_for_cpu.extend(tasks);
        }
        is_news
    }

    /// Takes tasks for station `at`, as [`Schedule::take`] does.
    fn take(&mut self, at: usize) -> Option<Taken> {
        let Station { device, lanes, at_once, ceiling, in_work, in_use, .. } = &self.stations[at];
        if self.is_aborted || in_work >= lanes.min(at_once) {
            return None;
        }
        let room = ceiling.saturating_sub(*in_use);
        let (device, lanes, is_idle) = (device.clone(), *lanes, *in_use == 0);
        // What batches of small tasks leave to the other lanes.
        let share = room / (lanes.min(*at_once) - in_work) as u64;
        let (ready, end) = self.ready(at);
        let first = end.peek(ready).filter(|task| is_idle || task.bytes(&device) <= room)?.clone();
        // What there is of small tasks is for all lanes.
        let most = first.together(&device).min(ready.len().div_ceil(lanes));
        let mut taken = Taken { bytes: first.bytes(&device), together: most > 1, tasks: Vec::new() };
        taken.tasks.extend(end.pop(ready));
        if taken.together {
            let fits = |task: &Task, taken: &Taken| {
                taken.tasks.len() < most && task.is_like(&first) && taken.bytes + task.bytes(&device) <= share
            };
            while let Some(task) = end.peek(ready).filter(|task| fits(task, &taken)) {
                taken.bytes += task.bytes(&device);
                taken.tasks.extend(end.pop(ready));
            }
        } else {
            let mut flops = first.flops;
            // Tasks are done one after the other, so smaller ones take no more memory than the first. A task that is
            // quantised in another way might.
            let fits =
                |task: &Task, flops: f64| flops + task.flops <= BATCH && task.bytes(&device) <= first.bytes(&device);
            while let Some(task) = end.peek(ready).filter(|task| fits(task, flops)) {
                flops += task.flops;
                taken.tasks.extend(end.pop(ready));
            }
        }
        let station = &mut self.stations[at];
        station.in_work += 1;
        station.in_use += taken.bytes;
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
