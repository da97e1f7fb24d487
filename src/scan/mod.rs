//! The pipeline: open, discover, schedule, measure, journal, collect.
//!
//! [`Plan::new`] finds out what there is to do from headers alone; [`Plan::run`] does it. Shards come to disk one after the
//! other while the modules of those that are there are measured, the largest first: on the CPU one a thread, and threads for
//! which there is no module help with the arithmetic of the others; on a GPU several at once. What one device cannot do, another
//! does. What happens is told as [`Event`]s to whoever watches.

mod journal;
mod measure;
mod memory;
mod schedule;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rayon::Scope;

pub use journal::{Journal, JournalError};
pub use measure::Measurement;
pub use memory::ceiling as memory_ceiling;

use crate::checkpoint::{Checkpoint, CheckpointError, Mapped, Selection, Storage};
use crate::modules::{self, Discovery, Filter, LeftOut, Line, Module, Wanted};
use crate::results::{Entry, Other, Surroundings};
use crate::source::{Model, Source, Transfer};
use crate::spectrum::{self, Device, Fault, Lane, Method, Processor};
use measure::{Attempt, attempt};
use schedule::{CPU, Relief, Schedule, Station, Task};

/// The stack of a thread, in bytes. One that waits for others' parts of its module may begin the next module meanwhile, on
/// top of it.
const STACK: usize = 16 << 20;

/// Files beside the weights that say what they are.
const DESCRIPTIONS: [&str; 7] = [
    "config.json",
    "model_index.json",
    "adapter_config.json",
    "quantize_config.json",
    "quant_config.json",
    "hf_quant_config.json",
    "tokenizer.json",
];

/// What a scan will do.
#[derive(Debug)]
pub struct Plan {
    /// The model.
    pub model: Model,
    /// Its weight files.
    pub checkpoint: Checkpoint,
    /// The modules to measure, in model order.
    pub modules: Vec<Module>,
    /// The tensors that are not measured.
    pub left_out: Vec<LeftOut>,
    /// The architectures that are not known, so that general rules had to find the modules.
    pub unknown: Vec<String>,
    /// The linear modules that are not measured.
    pub others: Vec<Module>,
    /// What all other tensors are called in memory.
    pub names: Vec<String>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: bool,
    /// The line of transformers whose names in memory the modules have.
    pub line: Line,
}

/// How a scan is carried out; none of it changes a result.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Where singular values are computed: the CPU, or GPUs, whose failures the CPU makes up for.
    pub devices: Vec<Device>,
    /// How many threads compute on the CPU, at least one, and how many modules are measured there at once at most.
    pub threads: usize,
    /// How many bytes of the system's memory the modules in work may take together.
    pub memory: u64,
}

/// The result for one module: its measurement, or why it has none.
pub type Outcome = Result<Measurement, String>;

/// What happens during a scan.
#[derive(Debug)]
pub enum Event<'a> {
    /// Modules are known from an interrupted scan.
    Resumed {
        /// How many.
        modules: usize,
        /// The floating-point operations that they took.
        flops: f64,
    },
    /// News of a shard's download.
    Fetching {
        /// The shard's file.
        file: &'a str,
        /// The news.
        transfer: Transfer,
    },
    /// A shard is on disk.
    Fetched {
        /// The shard's file.
        file: &'a str,
    },
    /// A module is done.
    Finished {
        /// The module.
        module: &'a Module,
        /// Its result.
        outcome: &'a Outcome,
        /// How long it took.
        elapsed: Duration,
    },
    /// A device is short of memory; it goes on with fewer modules at once.
    Crowded {
        /// The device.
        device: &'a str,
        /// How many modules at once at most.
        at_once: usize,
    },
    /// A device has no memory for a module, which the CPU measures instead.
    TooLarge {
        /// The device.
        device: &'a str,
        /// The module.
        module: &'a Module,
    },
    /// A device does not work any more; the others or the CPU measure its modules.
    GivenUp {
        /// The device.
        device: &'a str,
        /// Why.
        fault: &'a Fault,
    },
}

impl Plan {
    /// Reads the headers of `source` and decides what is measured.
    ///
    /// # Errors
    ///
    /// Fails if the weights cannot be read, or hold no module that the filter keeps.
    pub fn new(source: &dyn Source, filter: &Filter, wanted: Wanted) -> Result<Self> {
        let checkpoint = Checkpoint::open(source)?;
        let model = source.model().clone();
        let mut discovery = modules::discover(&checkpoint.components, wanted);
        anyhow::ensure!(
            !discovery.modules.is_empty(),
            "'{}' holds no linear module: none of its {} tensors is the weight of one",
            model.spelling,
            discovery.left_out.len()
        );
        let mut names = HashSet::new();
        if let Some(twice) = discovery.modules.iter().find(|module| !names.insert(module.name.as_str())) {
            anyhow::bail!(
                "'{}' holds two weights of the module '{}': it is not clear which counts",
                model.spelling,
                twice.name
            );
        }
        filter.apply(&mut discovery)?;
        let Discovery { modules, left_out, unknown, others, names, ties_embeddings } = discovery;
        Ok(Self { model, checkpoint, modules, left_out, unknown, others, names, ties_embeddings, line: wanted.line })
    }

    /// The modules with these outcomes, as plain data.
    pub fn entries(&self, outcomes: &[Outcome]) -> Vec<Entry> {
        let ratio = |outcome: &Outcome| outcome.as_ref().ok().map(|measurement| measurement.statistic.snr());
        self.modules.iter().zip(outcomes).map(|(module, outcome)| Entry::new(module, ratio(outcome))).collect()
    }

    /// What the model is beside the modules that have these outcomes.
    pub fn surroundings(&self, outcomes: &[Outcome]) -> Surroundings {
        let types = self.checkpoint.components.iter().filter_map(|component| component.config.model_type.clone());
        let unmeasured = self.modules.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err());
        let whole = |module: &&Module| module.part_of.is_none();
        Surroundings {
            // A commit tells that the model is the Hub's.
            model: if self.model.commit.is_some() { &self.model.spelling } else { &self.model.name }.clone(),
            model_types: types.collect(),
            components: self.checkpoint.components.iter().filter_map(|component| component.name.clone()).collect(),
            transformers: self.line.version(),
            ties_embeddings: self.ties_embeddings,
            modules: self.others.iter().filter(whole).map(Other::new).collect(),
            unmeasured: unmeasured.map(|(module, _)| module).filter(whole).map(Other::new).collect(),
            names: self.names.clone(),
        }
    }

    /// The formats that the model's weights are quantised in, each once; empty if they are not.
    pub fn quantizations(&self) -> Vec<&str> {
        let mut formats: Vec<&str> =
            self.checkpoint.components.iter().filter_map(|component| component.quantization.as_deref()).collect();
        formats.sort_unstable();
        formats.dedup();
        formats
    }

    /// The floating-point operations that the modules take.
    pub fn flops(&self) -> f64 {
        self.modules.iter().map(|module| spectrum::flops(module.shape)).sum()
    }

    /// The shards that hold modules, by their places among the checkpoint's.
    pub fn needed_shards(&self) -> Vec<usize> {
        let mut shards: Vec<usize> = self.modules.iter().flat_map(|module| module.weight.shards()).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The files of the model that are on disk, which no output may replace: weights, and what describes them.
    pub fn files_on_disk(&self, source: &dyn Source) -> Vec<PathBuf> {
        let is_of_model = |file: &&String| {
            let name = file.rsplit('/').next().unwrap_or(file);
            name.contains(".safetensors") || name.contains(".bin") || DESCRIPTIONS.contains(&name)
        };
        let files = source.files();
        let files = files.iter().filter(is_of_model).filter(|file| source.is_on_disk(file));
        files.filter_map(|file| source.fetch(file, &|_| {}).ok()).collect()
    }

    /// The bytes of the needed shards that are not on disk yet.
    pub fn bytes_to_download(&self, source: &dyn Source) -> u64 {
        let shards = self.needed_shards().into_iter().map(|shard| &self.checkpoint.shards[shard]);
        shards.filter(|shard| !source.is_on_disk(&shard.file)).map(|shard| shard.size).sum()
    }

    /// Measures every module that `journal` does not know, and notes each there. The outcomes are in the order of
    /// [`Plan::modules`], and the same whatever the resources.
    ///
    /// # Errors
    ///
    /// Fails if a shard cannot be had or the journal cannot be written. What cannot be measured of a module is no
    /// failure of the scan: it is the module's outcome.
    pub fn run(
        &self,
        source: &dyn Source,
        journal: &Journal,
        resources: &Resources,
        observer: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Vec<Outcome>> {
        // What the CPU computes is exactly reproducible, and a scan on the CPU takes nothing else.
        let is_on_cpu = resources.devices.iter().all(|device| device.processor() == Processor::Cpu);
        let serves = |measurement: &&Measurement| !is_on_cpu || measurement.processor == Processor::Cpu;
        let outcomes: Vec<Option<Outcome>> =
            self.modules.iter().map(|module| journal.get(&self.key(module)).filter(serves).cloned().map(Ok)).collect();
        let known = self.modules.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_some());
        let known: Vec<f64> = known.map(|(module, _)| spectrum::flops(module.shape)).collect();
        if !known.is_empty() {
            observer(Event::Resumed { modules: known.len(), flops: known.iter().sum() });
        }
        let threads = resources.threads.max(1);
        let gpus: Vec<&Device> =
            resources.devices.iter().filter(|device| device.processor() != Processor::Cpu).collect();
        let work = Work {
            plan: self,
            journal,
            observer,
            schedule: Schedule::new(self.stations(&gpus, threads, resources.memory)),
            weights: Mapped::new(&self.checkpoint),
            outcomes: Mutex::new(outcomes),
            error: Mutex::new(None),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
        let fetched = pool.context("cannot start the threads")?.in_place_scope(|scope| {
            thread::scope(|lanes| {
                for (at, gpu) in gpus.iter().copied().enumerate() {
                    for _ in 0..gpu.lanes(threads) {
                        let work = &work;
                        lanes.spawn(move || work.serve(CPU + 1 + at, gpu, scope));
                    }
                }
                let closing = work.schedule.closing();
                let fetched = work.feed(source, scope);
                if fetched.is_err() {
                    work.schedule.abort();
                }
                drop(closing);
                fetched
            })
        });
        fetched?;
        if let Some(error) = work.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let outcomes = work.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err("it was not reached".into()))).collect())
    }

    /// The CPU's station, and one for each of `gpus`.
    fn stations(&self, gpus: &[&Device], threads: usize, memory: u64) -> Vec<Station> {
        let mut stations = vec![Station::new(Device::CPU, threads, memory)];
        for gpu in gpus {
            let tasks = self.modules.iter().map(|module| Task::new(0, module, Method::Gram));
            let largest = tasks.map(|task| task.bytes(gpu)).max().unwrap_or(0);
            // A GPU that does not say what is free is found out when it is used.
            let free = gpu.free_memory().ok().flatten().unwrap_or(0);
            stations.push(Station::new((*gpu).clone(), gpu.lanes(threads), memory::ceiling_on_gpu(free, largest)));
        }
        stations
    }

    /// Tells of a journal's key whether it is of this model, but of no module of this scan: a scan of other modules may
    /// need its line.
    pub fn is_of_other_modules(&self) -> impl Fn(&str) -> bool {
        let own: HashSet<String> = self.modules.iter().map(|module| self.key(module)).collect();
        move |key| !own.contains(key) && self.checkpoint.shards.iter().any(|shard| key.ends_with(&shard.identity))
    }

    /// What identifies a module's measurement in a journal.
    fn key(&self, module: &Module) -> String {
        let weight = &module.weight;
        let mut key = format!("{} {} {:?} {}", spectrum::ALGORITHM, weight.dtype(), module.shape, module.tensor);
        if module.selection != Selection::default() {
            key += &format!(" {:?}", module.selection);
        }
        if let Storage::Quantized(quantized) = &weight.storage {
            key += &format!(" {}", quantized.description());
        }
        for shard in weight.shards() {
            key += &format!(" {}", self.checkpoint.shards[shard].identity);
        }
        key
    }
}

/// The state that the threads of a running scan share.
struct Work<'a> {
    plan: &'a Plan,
    journal: &'a Journal,
    observer: &'a (dyn Fn(Event<'_>) + Sync),
    schedule: Schedule,
    weights: Mapped,
    outcomes: Mutex<Vec<Option<Outcome>>>,
    /// What ends the scan, if something does.
    error: Mutex<Option<anyhow::Error>>,
}

impl Work<'_> {
    /// Brings shard after shard to disk and has the modules measured whose shards are there.
    fn feed<'scope>(&'scope self, source: &dyn Source, scope: &Scope<'scope>) -> Result<()> {
        let shards = &self.plan.checkpoint.shards;
        // Modules wait for the last of their shards: a quantised weight's scales may be in another than its codes.
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); shards.len()];
        let mut needed = vec![false; shards.len()];
        for (place, outcome) in self.lock_outcomes().iter().enumerate() {
            if outcome.is_none() {
                let shards = self.plan.modules[place].weight.shards();
                shards.iter().for_each(|shard| needed[*shard] = true);
                waiting[shards[shards.len() - 1]].push(place);
            }
        }
        for (at, (shard, places)) in shards.iter().zip(waiting).enumerate() {
            if self.schedule.is_aborted() {
                break;
            }
            if !needed[at] {
                continue;
            }
            let file = shard.file.as_str();
            let path = source.fetch(file, &|transfer| (self.observer)(Event::Fetching { file, transfer }))?;
            if source.identity(file)? != shard.identity {
                return Err(CheckpointError::Changed { file: file.to_owned() }.into());
            }
            self.weights.map(at, &path, shard)?;
            (self.observer)(Event::Fetched { file });
            let tasks = places.into_iter().map(|place| Task::new(place, &self.plan.modules[place], Method::Gram));
            self.schedule.offer(tasks.collect());
            self.start(scope);
        }
        Ok(())
    }

    /// Starts as many of the modules that wait for the CPU as there are threads and memory for.
    fn start<'scope>(&'scope self, scope: &Scope<'scope>) {
        while let Some(batch) = self.schedule.take(CPU) {
            scope.spawn(move |scope| {
                for task in &batch.tasks {
                    // The CPU has no faults: what it cannot do is part of an outcome.
                    let _ = self.measure(CPU, task, &Lane::CPU);
                }
                drop(batch);
                self.start(scope);
            });
        }
    }

    /// Measures one module after the other on `gpu`, in a lane of its own, until there are no more.
    fn serve<'scope>(&'scope self, station: usize, gpu: &Device, scope: &Scope<'scope>) {
        let lane = match gpu.lane() {
            Ok(lane) => lane,
            Err(fault) => {
                let is_given_up = match fault {
                    Fault::OutOfMemory => self.schedule.close_lane(station),
                    Fault::Broken(_) => self.schedule.give_up(station),
                };
                self.tell_of_given_up(is_given_up, gpu, &fault);
                return self.start(scope);
            }
        };
        while let Some(batch) = self.schedule.wait(station) {
            for (at, task) in batch.tasks.iter().enumerate() {
                match self.measure(station, task, &lane) {
                    Ok(()) => {}
                    Err(Fault::OutOfMemory) => self.relieve(station, gpu, task),
                    Err(fault @ Fault::Broken(_)) => {
                        self.schedule.offer(batch.tasks[at..].to_vec());
                        let is_given_up = self.schedule.give_up(station);
                        self.tell_of_given_up(is_given_up, gpu, &fault);
                        break;
                    }
                }
            }
            drop(batch);
            // Some may have been left to the CPU.
            self.start(scope);
        }
        if self.schedule.is_given_up(station) {
            lane.abandon();
        }
    }

    /// Finds another way for a module that `gpu` has had no memory for.
    fn relieve(&self, station: usize, gpu: &Device, task: &Task) {
        let (device, module) = (&gpu.name(), &self.plan.modules[task.place]);
        (self.observer)(match self.schedule.relieve(station, task.clone()) {
            Relief::Fewer(at_once) => Event::Crowded { device, at_once },
            Relief::Cpu => Event::TooLarge { device, module },
        });
    }

    fn tell_of_given_up(&self, is_given_up: bool, gpu: &Device, fault: &Fault) {
        if is_given_up {
            (self.observer)(Event::GivenUp { device: &gpu.name(), fault });
        }
    }

    /// Measures a module.
    fn measure(&self, station: usize, task: &Task, lane: &Lane) -> Result<(), Fault> {
        if self.schedule.is_aborted() {
            return Ok(());
        }
        // The next weight comes from the disk while this one's arithmetic runs.
        if let Some(next) = self.schedule.next(station).map(|place| &self.plan.modules[place]) {
            self.weights.prefetch(&next.tensor, &next.selection);
        }
        let module = &self.plan.modules[task.place];
        let begun = Instant::now();
        // A defect in the arithmetic must not take down the other modules, nor keep its memory from them.
        let attempt = catch_unwind(AssertUnwindSafe(|| attempt(&self.weights, module, task.method, lane)))
            .unwrap_or_else(|_| Attempt::Done(Err("laser-scan has a defect; please report it".into())));
        match attempt {
            Attempt::Done(outcome) => {
                if let Err(error) = self.finish(task.place, outcome, begun.elapsed()) {
                    self.fail(error);
                }
            }
            Attempt::Inaccurate => {
                let direct = Task::new(task.place, module, Method::Direct);
                // The CPU has the last word, and GPUs may be done while it still works.
                if station == CPU || task.method == Method::Direct {
                    self.schedule.offer_to_cpu(direct);
                } else {
                    self.schedule.offer(vec![direct]);
                }
            }
            Attempt::Faulted(fault) => return Err(fault),
        }
        Ok(())
    }

    fn finish(&self, place: usize, outcome: Outcome, elapsed: Duration) -> Result<()> {
        let module = &self.plan.modules[place];
        if let Ok(measurement) = &outcome {
            self.journal.append(&self.plan.key(module), measurement)?;
        }
        (self.observer)(Event::Finished { module, outcome: &outcome, elapsed });
        self.lock_outcomes()[place] = Some(outcome);
        Ok(())
    }

    /// Ends the scan because of `error`, unless it is ending already.
    fn fail(&self, error: anyhow::Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.schedule.abort();
    }

    fn lock_outcomes(&self) -> std::sync::MutexGuard<'_, Vec<Option<Outcome>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
