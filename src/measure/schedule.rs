//! Which module is measured next, and where.
//!
//! The largest first, so that little is left when lanes run out of modules: on the CPU, idle threads then help with the
//! arithmetic of the last ones. Whichever device has a lane free takes the next, so that each gets work by its speed. Small
//! modules are taken by the batch; and none before there is memory for it.
//!
//! GPUs, if there are any, take all modules; what they cannot do is left to the CPU.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::modules::Module;
use crate::spectrum::{self, Device, Method};

/// The floating-point operations of a batch: a few milliseconds of work, beside which taking it is nothing.
const BATCH: f64 = 1e8;

/// The station of the CPU.
pub const CPU: usize = 0;

/// A module that is ready to be measured.
#[derive(Clone)]
pub struct Task {
    /// Its place in model order.
    pub place: usize,
    /// How it is to be measured.
    pub method: Method,
    /// Which arrival of its weight's bytes is meant, as [`crate::source::Blob::arrivals`] counts them.
    pub arrival: usize,
    /// Its weight's rows and columns.
    shape: [usize; 2],
    /// The bytes of its weight.
    stored: u64,
    /// The work it is, for comparison.
    flops: f64,
}

impl Task {
    /// The task of measuring the module in `place` by `method`, of bytes that were there from the beginning.
    pub fn new(place: usize, module: &Module, method: Method) -> Self {
        let stored = module.weight.bytes_in_memory(&module.selection);
        Self { place, method, arrival: 0, shape: module.shape(), stored, flops: spectrum::flops(module.shape()) }
    }

    /// The same of bytes that came so.
    pub fn of_arrival(self, arrival: usize) -> Self {
        Self { arrival, ..self }
    }

    /// The bytes that it takes on `device`.
    pub fn bytes(&self, device: &Device) -> u64 {
        device.bytes(self.stored, self.shape, self.method)
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

/// Tasks for one lane of a station, to be done one after the other. They are in work until this goes.
pub struct Batch<'a> {
    schedule: &'a Schedule,
    /// The tasks, largest first.
    pub tasks: Vec<Task>,
    /// Where they are to be done.
    station: usize,
    /// The bytes that the largest takes.
    bytes: u64,
}

impl Drop for Batch<'_> {
    /// Gives back the lane and the memory.
    fn drop(&mut self) {
        let mut state = self.schedule.lock();
        let station = &mut state.stations[self.station];
        station.in_work -= 1;
        station.in_use -= self.bytes;
        self.schedule.changed.notify_all();
    }
}

/// A device, and what may be in work there.
pub struct Station {
    device: Device,
    /// The lanes to it; none once it is given up.
    lanes: usize,
    /// How many of them may work at once.
    at_once: usize,
    /// How many bytes they take together at most, unless one alone takes more.
    ceiling: u64,
    in_work: usize,
    in_use: u64,
}

impl Station {
    /// A station with so many `lanes` to `device`, where tasks in work take at most `ceiling` bytes.
    pub fn new(device: Device, lanes: usize, ceiling: u64) -> Self {
        Self { device, lanes, at_once: lanes, ceiling, in_work: 0, in_use: 0 }
    }
}

/// Closes a schedule when it goes, also by a panic, so that no lane waits for what will not come.
pub struct Closing<'a>(&'a Schedule);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_open = false;
        self.0.changed.notify_all();
    }
}

/// What becomes of a task for which a device had no memory.
#[derive(Debug, PartialEq, Eq)]
pub enum Relief {
    /// It waits for a device, while this one works on so many at once at most.
    Fewer(usize),
    /// It was alone there, or there is no GPU any more: it waits for the CPU.
    Cpu,
}

/// The tasks that wait, and what those in work take.
pub struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stations: Vec<Station>,
    /// For the GPUs.
    ready: BinaryHeap<Task>,
    /// For the CPU.
    ready_for_cpu: BinaryHeap<Task>,
    /// Whether there are tasks to come.
    is_open: bool,
    is_aborted: bool,
}

impl Schedule {
    /// An empty schedule for these stations, of which the first is the [`CPU`]'s.
    pub fn new(stations: Vec<Station>) -> Self {
        let (ready, ready_for_cpu) = (BinaryHeap::new(), BinaryHeap::new());
        let state = State { stations, ready, ready_for_cpu, is_open: true, is_aborted: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds tasks.
    pub fn offer(&self, tasks: Vec<Task>) {
        let mut state = self.lock();
        if state.has_gpu() { &mut state.ready } else { &mut state.ready_for_cpu }.extend(tasks);
        self.changed.notify_all();
    }

    /// Adds a task that only the CPU can do.
    pub fn offer_to_cpu(&self, task: Task) {
        self.lock().ready_for_cpu.push(task);
    }

    /// Adds `task` again, for which the device of `station` has had no memory. It is to be called before the task's batch
    /// goes.
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

    /// Does without a lane to `station`. Without any, the device is given up. Says whether it is.
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

    /// Gives up the device of `station`: the other GPUs, or the CPU, get what it would have done. Says whether it was not given
    /// up before.
    pub fn give_up(&self, station: usize) -> bool {
        let is_news = self.lock().give_up(station);
        self.changed.notify_all();
        is_news
    }

    /// Whether the device of `station` is given up.
    pub fn is_given_up(&self, station: usize) -> bool {
        self.lock().stations[station].lanes == 0
    }

    /// Until this goes tasks are to come; after that, only those that come back.
    pub fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    /// Makes every [`Schedule::take`] from now on return nothing.
    pub fn abort(&self) {
        self.lock().is_aborted = true;
        self.changed.notify_all();
    }

    /// Whether the scan is ending early.
    pub fn is_aborted(&self) -> bool {
        self.lock().is_aborted
    }

    /// For `station`: the largest waiting task and, as far as all are small, those that come after it; nothing, if there is no
    /// lane or no memory for them now.
    pub fn take(&self, station: usize) -> Option<Batch<'_>> {
        let (tasks, bytes) = self.lock().take(station)?;
        Some(Batch { schedule: self, tasks, station, bytes })
    }

    /// The same for a GPU's station, as soon as there is something to take; nothing, if there will not be.
    pub fn wait(&self, station: usize) -> Option<Batch<'_>> {
        let mut state = self.lock();
        loop {
            if let Some((tasks, bytes)) = state.take(station) {
                return Some(Batch { schedule: self, tasks, station, bytes });
            }
            // What is in work on a GPU may come back.
            let may_come = state.is_open || !state.ready.is_empty() || state.gpus().any(|gpu| gpu.in_work > 0);
            if state.is_aborted || state.stations[station].lanes == 0 || !may_come {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The place of the task that comes next on `station`.
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

    /// Whether a GPU works still.
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

    /// Tasks for the station `at`, which are in work from now on, and their memory.
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
        // One after the other they take no more memory than the first, unless they are quantised otherwise.
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::{Dtype, Part, Selection, TensorInfo, Weight};
    use crate::modules::Info;

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
                info: Info::of_name(&name, "up".into()),
                selection: Selection::default(),
            };
            Task::new(place, &module, Method::Gram)
        };
        sizes.iter().enumerate().map(task).collect()
    }

    /// The schedule of the CPU alone.
    fn on_cpu(threads: usize, ceiling: u64) -> Schedule {
        Schedule::new(vec![Station::new(Device::CPU, threads, ceiling)])
    }

    /// A schedule of two devices beside the CPU, which need not be GPUs to be scheduled as such.
    fn beside_cpu(lanes: usize, ceiling: u64) -> Schedule {
        let station = |lanes, ceiling| Station::new(Device::CPU, lanes, ceiling);
        Schedule::new(vec![station(1, u64::MAX), station(lanes, ceiling), station(lanes, ceiling)])
    }

    fn places(batch: &Batch) -> Vec<usize> {
        batch.tasks.iter().map(|task| task.place).collect()
    }

    #[test]
    fn the_largest_comes_first_and_equals_in_model_order() {
        let schedule = on_cpu(5, u64::MAX);
        schedule.offer(tasks(&[800, 3200, 800, 6400, 3200]));
        assert_eq!(schedule.next(CPU), Some(3));
        let order: Vec<_> = std::iter::from_fn(|| schedule.take(CPU)).flat_map(|batch| places(&batch)).collect();
        assert_eq!(order, [3, 1, 4, 0, 2]);
        assert_eq!(schedule.next(CPU), None);
    }

    #[test]
    fn small_ones_come_by_the_batch() {
        let schedule = on_cpu(9, u64::MAX);
        // 7/3 n³ operations: 0.61 million for n = 64, 98 million for n = 348.
        schedule.offer(tasks(&[[64; 200].as_slice(), &[2000, 348]].concat()));
        let batches: Vec<usize> = std::iter::from_fn(|| schedule.take(CPU)).map(|batch| batch.tasks.len()).collect();
        assert_eq!(batches, [1, 3, 163, 35]);
    }

    #[test]
    fn no_more_is_in_work_than_there_are_threads() {
        let schedule = on_cpu(2, u64::MAX);
        schedule.offer(tasks(&[1000; 3]));
        let (first, second) = (schedule.take(CPU), schedule.take(CPU));
        assert!(first.is_some() && second.is_some() && schedule.take(CPU).is_none());
        drop(first);
        assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![2]));
    }

    #[test]
    fn what_is_in_work_stays_below_the_ceiling() {
        let all = tasks(&[1000; 3]);
        let each = all[0].bytes(&Device::CPU);
        let schedule = on_cpu(3, 2 * each + each / 2);
        schedule.offer(all);
        let (first, second) = (schedule.take(CPU).expect("a batch"), schedule.take(CPU).expect("a batch"));
        assert!(schedule.take(CPU).is_none());
        drop(first);
        drop(second);
        assert!(schedule.take(CPU).is_some());
    }

    #[test]
    fn a_task_above_the_ceiling_runs_alone() {
        let schedule = on_cpu(2, 1);
        schedule.offer(tasks(&[1000, 900]));
        for place in [0, 1] {
            let batch = schedule.take(CPU).expect("a batch");
            assert_eq!(places(&batch), [place]);
            assert!(schedule.take(CPU).is_none());
            drop(batch);
        }
    }

    #[test]
    fn nothing_is_taken_after_an_abort() {
        let schedule = on_cpu(1, u64::MAX);
        schedule.offer(tasks(&[8]));
        schedule.abort();
        assert!(schedule.is_aborted() && schedule.take(CPU).is_none());
    }

    #[test]
    fn devices_take_turns_and_the_cpu_has_nothing_to_do() {
        let schedule = beside_cpu(1, u64::MAX);
        schedule.offer(tasks(&[1000, 3000, 2000]));
        assert!(schedule.take(CPU).is_none());
        let (first, second) = (schedule.take(1).expect("a batch"), schedule.take(2).expect("a batch"));
        assert_eq!((places(&first), places(&second)), (vec![1], vec![2]));
        assert!(schedule.take(1).is_none());
        drop(second);
        assert_eq!(schedule.take(2).as_ref().map(places), Some(vec![0]));
    }

    #[test]
    fn where_memory_is_short_fewer_are_in_work_and_at_last_the_cpu_is() {
        let schedule = beside_cpu(3, u64::MAX);
        schedule.offer(tasks(&[1000; 4]));
        let batches: Vec<Batch> = std::iter::from_fn(|| schedule.take(1)).collect();
        assert_eq!(batches.len(), 3);
        let mut batches = batches.into_iter();
        let mut relieve = || batches.next().map(|batch| schedule.relieve(1, batch.tasks[0].clone()));
        assert_eq!(relieve(), Some(Relief::Fewer(2)));
        assert!(schedule.take(1).is_none());
        assert_eq!(relieve(), Some(Relief::Fewer(1)));
        assert!(schedule.take(CPU).is_none());
        assert_eq!(relieve(), Some(Relief::Cpu));
        assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![2]));
        // The device goes on with the others, one at a time.
        let one = schedule.take(1);
        assert!(one.is_some() && schedule.take(1).is_none());
    }

    #[test]
    fn what_a_device_that_is_given_up_had_goes_to_the_other_and_then_to_the_cpu() {
        let schedule = beside_cpu(2, u64::MAX);
        schedule.offer(tasks(&[1000; 3]));
        let batch = schedule.take(1).expect("a batch");
        schedule.offer(batch.tasks.clone());
        assert!(schedule.give_up(1) && !schedule.give_up(1) && schedule.is_given_up(1));
        drop(batch);
        assert!(schedule.take(1).is_none() && schedule.wait(1).is_none() && schedule.take(CPU).is_none());
        assert_eq!(schedule.take(2).as_ref().map(places), Some(vec![0]));
        assert!(!schedule.close_lane(2) && schedule.close_lane(2));
        assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![1]));
        schedule.offer(tasks(&[500]));
        assert_eq!(schedule.next(CPU), Some(2));
    }

    #[test]
    fn what_finds_no_memory_on_the_last_device_as_it_is_given_up_goes_to_the_cpu() {
        let schedule = beside_cpu(2, u64::MAX);
        schedule.offer(tasks(&[1000; 2]));
        let (first, second) = (schedule.take(1).expect("a batch"), schedule.take(1).expect("a batch"));
        schedule.give_up(2);
        schedule.offer(first.tasks.clone());
        schedule.give_up(1);
        assert_eq!(schedule.relieve(1, second.tasks[0].clone()), Relief::Cpu);
        let left: Vec<_> = std::iter::from_fn(|| schedule.take(CPU).as_ref().map(places)).flatten().collect();
        assert_eq!(left, [0, 1]);
    }

    #[test]
    fn a_lane_waits_for_what_may_come_back() {
        let schedule = beside_cpu(1, u64::MAX);
        schedule.offer(tasks(&[1000]));
        drop(schedule.closing());
        let batch = schedule.take(1).expect("a batch");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| schedule.wait(2).as_ref().map(places));
            schedule.offer(batch.tasks.clone());
            schedule.give_up(1);
            drop(batch);
            assert_eq!(other.join().expect("no panic"), Some(vec![0]));
        });
    }

    #[test]
    fn a_lane_waits_no_longer_when_all_is_done() {
        let schedule = beside_cpu(1, u64::MAX);
        schedule.offer(tasks(&[1000]));
        let batch = schedule.take(1).expect("a batch");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| schedule.wait(2).is_none());
            drop(schedule.closing());
            drop(batch);
            assert!(other.join().expect("no panic"));
        });
    }
}
