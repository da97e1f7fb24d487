//! A plan -> the outcomes of its modules, on threads and GPUs.

mod lanes;
mod stream;

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rayon::Scope;
use stream::Streamed;

use super::arrival::{Measured, Unverified, Waiting};
use super::attempt::{Attempt, attempt};
use super::schedule::{CPU, Schedule, Station, Task};
use super::{Event, Journal, Outcome, Plan, Resources, flops};
use crate::checkpoint::{Matrices, Shard};
use crate::scan::Unmeasured;
use crate::source::{Source, SourceError, Transfer};
use crate::spectrum::{Device, Fault, Lane, Method, Processor};

/// The bytes of a thread's stack. A thread that waits for other threads' parts of its module may begin another module
/// meanwhile, whose calls come on top of the stack.
const STACK: usize = 16 << 20;

/// The state that the threads of a running scan share.
pub struct Work<'a> {
    plan: &'a Plan,
    journal: &'a Journal,
    observer: &'a (dyn Fn(Event<'_>) + Sync),
    /// The number of threads that compute on the CPU.
    threads: usize,
    gpus: Vec<&'a Device>,
    schedule: Schedule,
    weights: Matrices,
    /// The modules whose weights the system was asked to read ahead.
    read_ahead: Mutex<HashSet<usize>>,
    unverified: Mutex<Unverified>,
    outcomes: Mutex<Vec<Option<Outcome>>>,
    /// What is read by byte range, if the weights are not to be downloaded.
    streamed: OnceLock<Streamed>,
    resources: &'a Resources,
    /// The error that ends the scan.
    error: Mutex<Option<anyhow::Error>>,
}

impl<'a> Work<'a> {
    /// The work that is left to do for `plan` if these `outcomes` are already known.
    pub fn new(
        plan: &'a Plan,
        journal: &'a Journal,
        resources: &'a Resources,
        observer: &'a (dyn Fn(Event<'_>) + Sync),
        outcomes: Vec<Option<Outcome>>,
    ) -> Self {
        let threads = resources.threads.max(1);
        let (cpus, gpus): (Vec<&Device>, Vec<&Device>) =
            resources.devices.iter().partition(|device| device.processor() == Processor::Cpu);
        // How much memory GPUs have is asked once their lanes are open.
        let station = |gpu: &&Device| Station::new((*gpu).clone(), gpu.lanes(threads), 0);
        let cpu = Station::new(Device::CPU, Device::CPU.lanes(threads), resources.memory);
        let stations = [cpu].into_iter().chain(gpus.iter().map(station));
        let schedule = Schedule::new(stations.collect(), !gpus.is_empty() && !cpus.is_empty());
        Self {
            plan,
            journal,
            observer,
            threads,
            schedule,
            gpus,
            weights: Matrices::new(&plan.checkpoint.shards),
            read_ahead: Mutex::new(HashSet::new()),
            unverified: Mutex::new(Unverified::new(plan.checkpoint.shards.len())),
            outcomes: Mutex::new(outcomes),
            streamed: OnceLock::new(),
            resources,
            error: Mutex::new(None),
        }
    }

    /// Measures what is left, and returns the outcomes of all modules. Fails as [`Plan::run`] does.
    pub fn carry_out(self, source: &dyn Source) -> Result<Vec<Outcome>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).stack_size(STACK).build();
        pool.context("cannot start the threads")?.in_place_scope(|scope| {
            thread::scope(|lanes| {
                for (at, gpu) in self.gpus.iter().enumerate() {
                    let count = gpu.lanes(self.threads);
                    let opened = Arc::new(Barrier::new(count));
                    for _ in 0..count {
                        let (work, opened) = (&self, Arc::clone(&opened));
                        lanes.spawn(move || work.serve(CPU + 1 + at, gpu, &opened, scope));
                    }
                }
                // The guard closes the schedule even after a panic, so that no lane waits for tasks that will not come.
                let _closing = self.schedule.closing();
                self.bring(source, scope).inspect_err(|_| self.schedule.abort())
            })
        })?;
        if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        // Only now do the dates of files show some changes.
        self.check_files(source)?;
        let outcomes = self.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Unmeasured::NotReached))).collect())
    }
}

impl Work<'_> {
    /// Brings the weights, and offers the modules whose bytes are there.
    fn bring<'scope>(&'scope self, source: &dyn Source, scope: &Scope<'scope>) -> Result<()> {
        if self.resources.stream || source.is_streamed_only() {
            let _ = self.streamed.set(self.streamed(source)?);
        }
        self.feed(source, scope)?;
        self.stream(source, scope);
        Ok(())
    }

    /// Whether a module is read by byte range.
    fn is_streamed(&self, place: usize) -> bool {
        self.streamed.get().is_some_and(|streamed| streamed.has(place))
    }

    /// Downloads one shard after the other, and offers the modules whose bytes are there.
    fn feed<'scope>(&'scope self, source: &dyn Source, scope: &Scope<'scope>) -> Result<()> {
        let shards = &self.plan.checkpoint.shards;
        // Modules wait for the last of their shards: a quantised weight's scales may be in another shard than its
        // codes.
        let mut waiting: Vec<Vec<(u64, usize)>> = vec![Vec::new(); shards.len()];
        let mut needed = vec![false; shards.len()];
        for (place, outcome) in self.lock_outcomes().iter().enumerate() {
            if outcome.is_none() && !self.is_streamed(place) {
                let module = &self.plan.modules[place];
                let shards = module.shards();
                shards.iter().for_each(|shard| needed[*shard] = true);
                let last = shards[shards.len() - 1];
                let needs = module.matrices().map(|(weight, selection)| self.weights.needs(last, weight, selection));
                waiting[last].push((needs.max().unwrap_or(0), place));
            }
        }
        let size_if_away = |(shard, needed): (&Shard, &bool)| {
            if *needed && source.path(&shard.file).is_none() { shard.size } else { 0 }
        };
        let away: Vec<u64> = shards.iter().zip(&needed).map(size_if_away).collect();
        let bytes = away.iter().sum();
        if bytes > 0 {
            (self.observer)(Event::ToFetch { bytes });
        }
        for (at, (shard, waiting)) in shards.iter().zip(waiting).enumerate() {
            if self.schedule.is_aborted() {
                break;
            }
            if needed[at] {
                let waiting = RefCell::new(Waiting::new(waiting));
                let offer = |length: u64| {
                    if self.offer(at, waiting.borrow_mut().next(length)) {
                        self.start(scope);
                    }
                };
                self.fetch(source, at, &offer, &|| waiting.borrow_mut().begin_again())?;
                self.open(source, at)?;
                (self.observer)(Event::Fetched { file: &shard.file, bytes: away[at] });
                let measured = self.lock_unverified().verify(at);
                measured.into_iter().try_for_each(|measured| self.settle(measured))?;
                offer(u64::MAX);
            }
        }
        Ok(())
    }

    /// Downloads shard `at`. Meanwhile `received` is called with the number of its bytes that are there, and
    /// `restarted` when the earlier bytes are void.
    fn fetch(&self, source: &dyn Source, at: usize, received: &dyn Fn(u64), restarted: &dyn Fn()) -> Result<()> {
        let blob = self.weights.blob(at);
        let progress = |transfer: Transfer| {
            let length = match transfer {
                Transfer::Started { resumed_at, .. } => {
                    let discarded = self.lock_unverified().discard(|task| self.is_void(task));
                    if !discarded.is_empty() {
                        let flops = discarded.iter().map(|place| flops(&self.plan.modules[*place]));
                        (self.observer)(Event::Discarded { modules: discarded.len(), flops: flops.sum() });
                    }
                    restarted();
                    Some(resumed_at)
                }
                Transfer::Received(length) => Some(length),
                Transfer::Waiting | Transfer::Retrying { .. } => None,
            };
            (self.observer)(Event::Fetching { file: blob.name(), transfer });
            length.into_iter().for_each(received);
        };
        Ok(source.fetch(blob.name(), blob, &progress)?)
    }

    /// Offers modules whose bytes are in memory.
    fn offer_all(&self, places: &[usize]) {
        let task = |place: &usize| Task::new(*place, &self.plan.modules[*place], Method::Gram);
        self.schedule.offer(places.iter().map(task).collect());
    }

    /// Offers the modules in `places`, whose bytes of shard `at` have arrived, and returns whether there are any.
    fn offer(&self, at: usize, places: &[(u64, usize)]) -> bool {
        if !places.is_empty() {
            let arrival = self.weights.blob(at).arrivals();
            let task = |place: usize| Task::new(place, &self.plan.modules[place], Method::Gram).of_arrival(arrival);
            self.schedule.offer(places.iter().map(|(_, place)| task(*place)).collect());
        }
        !places.is_empty()
    }

    /// Opens shard `at`, which is complete, if it is still the file for which the plan was made.
    fn open(&self, source: &dyn Source, at: usize) -> Result<()> {
        let shard = &self.plan.checkpoint.shards[at];
        self.weights.blob(at).wait_until_settled();
        let opened = self.weights.open(at, shard);
        // This comes last: it finds changes from before the blob was there, and the blob's own check finds later ones.
        if source.identity(&shard.file)? != shard.identity {
            return Err(SourceError::Changed { file: shard.file.clone() }.into());
        }
        Ok(opened?)
    }

    /// Checks that every file with results is still the file for which the plan was made.
    fn check_files(&self, source: &dyn Source) -> Result<()> {
        let needed = self.plan.needed_shards();
        self.weights.check(&needed)?;
        // The files of a commit do not change. Files of a folder may not be mapped, if the journal had all their
        // modules.
        for shard in needed.into_iter().map(|place| &self.plan.checkpoint.shards[place]) {
            if !shard.is_of_commit && source.identity(&shard.file)? != shard.identity {
                return Err(SourceError::Changed { file: shard.file.clone() }.into());
            }
        }
        Ok(())
    }

    /// Starts as many of the modules that wait for the CPU as threads and memory allow.
    fn start<'scope>(&'scope self, scope: &Scope<'scope>) {
        while let Some(batch) = self.schedule.take(CPU) {
            scope.spawn(move |scope| {
                for task in &batch.tasks {
                    // On the CPU there are no faults: every failure is part of an outcome.
                    let _ = self.measure(CPU, task, &Lane::CPU);
                }
                drop(batch);
                self.start(scope);
            });
        }
    }

    /// Measures one module, and returns whether there is an outcome. Fails if the device of `station` does.
    fn measure(&self, station: usize, task: &Task, lane: &Lane) -> Result<bool, Fault> {
        if self.schedule.is_aborted() || self.is_void(task) {
            return Ok(false);
        }
        self.read_ahead(station);
        let module = &self.plan.modules[task.place];
        let begun = Instant::now();
        // A panic must neither end the other modules nor keep memory from them. With a GPU it may come from the GPU,
        // whose handles cudarc may have failed to destroy, so that the module is left to another device.
        let attempt = catch_unwind(AssertUnwindSafe(|| attempt(&self.weights, module, task.method, lane)));
        let attempt = attempt.unwrap_or_else(|_| match station {
            CPU => Attempt::Done(Err(Unmeasured::Defect)),
            _ => Attempt::Faulted(Fault::Broken(Unmeasured::Defect.to_string())),
        });
        self.conclude(station, task, attempt, begun.elapsed())
    }

    /// Takes what came of an attempt at a task, which took so long, and returns whether that is an outcome. Fails if the device of
    /// `station` did.
    fn conclude(&self, station: usize, task: &Task, attempt: Attempt, elapsed: Duration) -> Result<bool, Fault> {
        match attempt {
            Attempt::Done(outcome) => {
                if let Err(error) = self.finish(task, outcome, elapsed) {
                    self.fail(error);
                }
                Ok(true)
            }
            Attempt::Inaccurate => {
                let module = &self.plan.modules[task.place];
                let direct = Task::new(task.place, module, Method::Direct).of_arrival(task.arrival);
                // The CPU's direct route is the last resort, and GPUs may have finished while the CPU still works.
                if station == CPU || task.method == Method::Direct {
                    self.schedule.offer_to_cpu(direct);
                } else {
                    self.schedule.offer(vec![direct]);
                }
                Ok(false)
            }
            Attempt::Faulted(fault) => Err(fault),
        }
    }

    /// Has the weights that come next on `station` read from the disk while others are measured.
    fn read_ahead(&self, station: usize) {
        let upcoming = self.schedule.upcoming(station);
        let mut asked = self.read_ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<usize> = upcoming.into_iter().filter(|place| asked.insert(*place)).collect();
        drop(asked);
        for module in new.into_iter().map(|place| &self.plan.modules[place]) {
            module.matrices().for_each(|(weight, selection)| self.weights.prefetch(weight, selection));
        }
    }

    /// The index of the last shard that a module needs.
    fn last_shard(&self, task: &Task) -> usize {
        self.plan.modules[task.place].shards().last().copied().unwrap_or(0)
    }

    /// Whether the bytes for which the task was offered were discarded. Once new bytes arrive, the module is offered
    /// again.
    fn is_void(&self, task: &Task) -> bool {
        self.weights.blob(self.last_shard(task)).arrivals() != task.arrival
    }

    /// Takes the outcome of a module. Until its shard is verified, a measurement is shown but not yet noted. A failure
    /// is not even shown, because wrong bytes may have caused it.
    fn finish(&self, task: &Task, outcome: Outcome, elapsed: Duration) -> Result<()> {
        let module = &self.plan.modules[task.place];
        let mut measured = Measured { task: task.clone(), outcome, elapsed, is_shown: false };
        let mut unverified = self.lock_unverified();
        if self.is_void(task) {
            return Ok(());
        }
        if !self.is_streamed(task.place) && !unverified.is_verified(self.last_shard(task)) {
            if measured.outcome.is_ok() {
                // The lock is still held, so that the outcome cannot be discarded before it is shown.
                (self.observer)(Event::Finished { module, outcome: &measured.outcome, elapsed });
                measured.is_shown = true;
            }
            unverified.keep(measured);
            return Ok(());
        }
        drop(unverified);
        self.settle(measured)
    }

    /// Notes the outcome of a module whose shards are verified.
    fn settle(&self, measured: Measured) -> Result<()> {
        let Measured { task, outcome, elapsed, is_shown } = measured;
        let module = &self.plan.modules[task.place];
        // The outcome counts only if the files have not changed.
        self.weights.check(&module.shards())?;
        if let Ok(measurement) = &outcome {
            self.journal.append(&self.plan.key(module), measurement)?;
            (self.observer)(Event::Noted { modules: 1 });
        }
        if !is_shown {
            (self.observer)(Event::Finished { module, outcome: &outcome, elapsed });
        }
        self.lock_outcomes()[task.place] = Some(outcome);
        self.release(task.place);
        Ok(())
    }

    /// Ends the scan because of `error`, unless it is ending already.
    fn fail(&self, error: anyhow::Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.schedule.abort();
    }

    fn lock_outcomes(&self) -> MutexGuard<'_, Vec<Option<Outcome>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_unverified(&self) -> MutexGuard<'_, Unverified> {
        self.unverified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
