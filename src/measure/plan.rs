//! What a scan will do, which is known from headers alone, and the scan that results.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::run::Work;
use super::{Event, Journal, Key, Measurement, Outcome, Resources, flops};
use crate::checkpoint::{Checkpoint, Look, Matrices, Selection, Storage, Weight};
use crate::modules::{self, Change, Discovery, Filter, Line, Missing, Module, UnreadableError, Wanted};
use crate::output::timestamp;
use crate::scan::{
    Base, Failure, Format, Host, LeftOut, Methods, Numbers, Options, Portion, Processors, Provenance, Record, Scan,
    Seconds, Surroundings, Unmeasured, WeightFile,
};
use crate::source::{Model, Source};
use crate::spectrum::{self, Device, Method, Processor};

/// Files beside the weights that describe them.
#[rustfmt::skip]
const DESCRIPTIONS: [&str; 8] = [
    "config.json", "model_index.json", "modules.json", "adapter_config.json", "quantize_config.json", "quant_config.json",
    "hf_quant_config.json", "tokenizer.json",
];

/// What a scan will do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub model: Model,
    pub checkpoint: Checkpoint,
    /// The modules to measure, in model order.
    pub modules: Vec<Module>,
    pub left_out: Vec<modules::LeftOut>,
    /// The modules that should be measured, but whose matrices are not stored or cannot be read.
    pub missing: Vec<Missing>,
    /// The unknown architectures, for which only general rules were used.
    pub unknown: Vec<String>,
    /// The linear modules that are not measured.
    pub others: Vec<Module>,
    /// The names of all other tensors in memory.
    pub names: Vec<String>,
    pub ties_embeddings: bool,
    /// The line of transformers whose names in memory are used.
    pub line: Line,
    /// Modules of an adapter that its base does not have, and of which there is no change.
    pub added: Vec<String>,
    /// Which part of the whole plan it is; `None` for the whole.
    pub part: Option<Portion>,
    /// The formats of quantised weights, each once.
    pub quantizations: Vec<String>,
    /// The model whose changes are measured; `None` if weights themselves are.
    pub base: Option<Model>,
}

/// What a run's provenance tells besides the measurements.
#[derive(Clone, Debug)]
pub struct Run {
    pub begun: SystemTime,
    /// How long finding the model and reading headers took.
    pub planned: Duration,
    /// How long downloading and measuring took, which overlap.
    pub measured: Duration,
    pub options: Options,
}

impl Plan {
    /// Reads the headers of `source` and decides what is measured.
    ///
    /// # Errors
    ///
    /// Fails if the headers cannot be read, or if there is no module that the filter keeps.
    pub fn new(source: &dyn Source, filter: &Filter, wanted: Wanted) -> Result<Self> {
        Self::of(Checkpoint::open(source)?, source, filter, wanted)
    }

    /// The plan for the `checkpoint` of `source`. Fails if there is no module that the filter keeps.
    pub(super) fn of(checkpoint: Checkpoint, source: &dyn Source, filter: &Filter, wanted: Wanted) -> Result<Self> {
        let model = source.model().clone();
        let is_alike = |one: &Weight, other: &Weight, look: Look| checkpoint.are_alike(source, one, other, look);
        let mut discovery = modules::discover(&checkpoint.components, wanted, &is_alike)?;
        if discovery.modules.is_empty() {
            modules::check_readable(&model.spelling, &discovery.missing, &[])?;
        }
        modules::check_any(&model.spelling, &discovery)?;
        let mut names = HashSet::new();
        if let Some(twice) = discovery.modules.iter().find(|module| !names.insert(module.info.name.as_str())) {
            anyhow::bail!(
                "'{}' holds two weights of the module '{}': it is not clear which counts",
                model.spelling,
                twice.info.name
            );
        }
        filter.apply(&mut discovery)?;
        let Discovery { modules, left_out, missing, unknown, others, names, ties_embeddings } = discovery;
        let formats = checkpoint.components.iter().filter_map(|component| component.quantization.clone());
        let quantizations: BTreeSet<String> = formats.collect();
        Ok(Self {
            model,
            checkpoint,
            modules,
            left_out,
            missing,
            unknown,
            others,
            names,
            ties_embeddings,
            line: wanted.line,
            quantizations: quantizations.into_iter().collect(),
            base: None,
            added: Vec::new(),
            part: None,
        })
    }

    /// Checks that all modules that should be measured are stored in a form that can be read. A scan that silently left
    /// some out would be a scan of another model.
    ///
    /// # Errors
    ///
    /// The error names the first tensor that cannot be read, and how many others there are.
    pub fn check_readable(&self) -> Result<(), UnreadableError> {
        modules::check_readable(&self.model.spelling, &self.missing, &self.modules)
    }

    /// The scan before anything is measured.
    pub fn pending(&self) -> Scan {
        self.with_results(self.modules.iter().map(|_| Err(Unmeasured::Pending)))
    }

    /// The scan with these `outcomes` of the modules, which come from a `run` with `resources`.
    pub fn scan(&self, outcomes: Vec<Outcome>, resources: &Resources, run: Run) -> Scan {
        let result = |(module, outcome): (&Module, &Outcome)| match outcome {
            Ok(measurement) => {
                let delta = measurement.delta(module.change.as_ref().and_then(Change::scale));
                Ok(match &measurement.statistic {
                    Some(statistic) => Numbers { delta, ..Numbers::from(statistic.clone()) },
                    None => Numbers { delta, ..Numbers::doubtful(&measurement.spectrum) },
                })
            }
            Err(why) => Err(why.clone()),
        };
        let mut scan = self.with_results(self.modules.iter().zip(&outcomes).map(result));
        self.add_remarks(&mut scan);
        scan.provenance = Some(self.provenance(&outcomes, resources, run));
        let measured = self.modules.iter().zip(outcomes).filter_map(|(module, outcome)| {
            outcome.ok().map(|measurement| (module.info.name.clone(), measurement.spectrum))
        });
        scan.spectra = Some(measured.collect());
        scan
    }

    /// Adds to the planned `scan` which modules have no numbers, and what was left out.
    pub(super) fn add_remarks(&self, scan: &mut Scan) {
        let failed = scan.records()[..self.modules.len()].iter().filter_map(|record| {
            let reason = record.result.as_ref().err()?.to_string();
            Some(Failure { module: record.info.name.clone(), reason })
        });
        scan.failures = failed.chain(self.missing.iter().map(Failure::missing)).collect();
        scan.left_out = self.left_out.iter().map(LeftOut::from).collect();
    }

    fn provenance(&self, outcomes: &[Outcome], resources: &Resources, run: Run) -> Provenance {
        let measured = || outcomes.iter().flatten();
        let by = |method: Method| measured().filter(|measurement| measurement.spectrum.method == method).count();
        let on =
            |processor: Processor| measured().filter(|measurement| measurement.spectrum.processor == processor).count();
        let files = self.checkpoint.shards.iter().map(|shard| WeightFile {
            file: shard.file.clone(),
            size: shard.size,
            etag: shard.has_etag.then(|| shard.identity.clone()),
            identity: (!shard.has_etag).then(|| shard.identity.clone()),
        });
        let libraries = resources.devices.iter().map(|device| device.libraries().to_vec()).find(|all| !all.is_empty());
        // All GPUs have their libraries in common.
        let solved = measured()
            .map(|measurement| &measurement.spectrum)
            .filter(|spectrum| (spectrum.method, spectrum.processor) == (Method::Gram, Processor::Cuda));
        let gpu = resources.devices.iter().find(|device| device.processor() == Processor::Cuda);
        let eigensolvers: BTreeSet<String> =
            solved.filter_map(|spectrum| gpu.and_then(|gpu| gpu.eigensolver(spectrum.shape))).collect();
        let Run { begun, planned, measured: taken, options } = run;
        Provenance {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: timestamp(begun),
            host: Host::this(),
            model: self.model.spelling.clone(),
            origin: self.model.origin.clone(),
            commit: self.model.commit.clone(),
            base: self.base.as_ref().map(Base::from),
            files: files.collect(),
            quantization: self.quantizations.clone(),
            wrappers: self.wrappers().into_iter().map(str::to_owned).collect(),
            unknown_architectures: self.unknown.clone(),
            device: resources.devices.iter().map(Device::name).collect::<Vec<_>>().join(","),
            libraries: libraries.unwrap_or_default(),
            eigensolvers: eigensolvers.into_iter().collect(),
            emulation: gpu.and_then(Device::emulation).map(str::to_owned),
            algorithm: spectrum::ALGORITHM.to_owned(),
            precision: "float64".to_owned(),
            methods: Methods { gram: by(Method::Gram), direct: by(Method::Direct) },
            processors: Processors { cpu: on(Processor::Cpu), cuda: on(Processor::Cuda) },
            merged: None,
            options,
            seconds: Seconds {
                plan: planned.as_secs_f64(),
                scan: taken.as_secs_f64(),
                total: (planned + taken).as_secs_f64(),
            },
        }
    }

    /// The scan in which the modules have these results, and missing modules have none.
    pub(super) fn with_results(&self, results: impl Iterator<Item = Result<Numbers, Unmeasured>>) -> Scan {
        let record = |(module, result): (&Module, _)| Record { info: module.info.clone(), result };
        let missing = self.missing.iter().flat_map(|missing| {
            let cause = &missing.cause;
            missing.modules.iter().map(|module| record((module, Err(Unmeasured::Missing(cause.clone())))))
        });
        let records = self.modules.iter().zip(results).map(record).chain(missing);
        let mut scan = Scan::new(records.collect(), Format::LaserScan);
        scan.part = self.part.clone();
        scan.surroundings = Some(self.surroundings());
        scan
    }

    /// The missing modules, as far as their names are known.
    pub fn missing_modules(&self) -> impl Iterator<Item = &Module> {
        self.missing.iter().flat_map(|missing| &missing.modules)
    }

    /// What is known of the model besides the modules to measure.
    pub fn surroundings(&self) -> Surroundings {
        let types = self.checkpoint.components.iter().filter_map(|component| component.config.model_type.clone());
        let classes = self.checkpoint.components.iter().filter_map(|component| component.config.architecture.clone());
        let others = self.others.iter().map(|module| &module.info).filter(|info| info.part_of.is_none());
        // What changed is trained in the base.
        let model = self.base.as_ref().unwrap_or(&self.model);
        Surroundings {
            // Only models of the Hub have a commit.
            model: if model.commit.is_some() { &model.spelling } else { &model.name }.clone(),
            model_types: types.collect(),
            architectures: classes.collect(),
            components: self.checkpoint.components.iter().filter_map(|component| component.name.clone()).collect(),
            transformers: self.line.version(),
            ties_embeddings: self.ties_embeddings,
            modules: others.cloned().collect(),
            names: self.names.clone(),
        }
    }

    /// What training tools have left in the names of stored tensors, and is taken off, each once.
    pub fn wrappers(&self) -> Vec<&str> {
        let found = self.checkpoint.components.iter().flat_map(|component| &component.wrappers);
        let mut wrappers: Vec<&str> = Vec::new();
        for wrapper in found {
            if !wrappers.contains(wrapper) {
                wrappers.push(wrapper);
            }
        }
        wrappers
    }

    /// The floating-point operations that all modules take.
    pub fn flops(&self) -> f64 {
        self.modules.iter().map(flops).sum()
    }

    /// The indices of the shards that hold modules.
    pub fn needed_shards(&self) -> Vec<usize> {
        let mut shards: Vec<usize> = self.modules.iter().flat_map(Module::shards).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The model's files on disk, which no output may replace: weights and their descriptions.
    pub fn files_on_disk(&self, source: &dyn Source) -> Vec<PathBuf> {
        let is_of_model = |file: &&String| {
            let name = file.rsplit('/').next().unwrap_or(file);
            name.contains(".safetensors") || name.contains(".bin") || DESCRIPTIONS.contains(&name)
        };
        source.files().iter().filter(is_of_model).filter_map(|file| source.path(file)).collect()
    }

    /// The bytes of the needed shards that are not on disk yet.
    pub fn bytes_to_download(&self, source: &dyn Source) -> u64 {
        let shards = self.needed_shards().into_iter().map(|shard| &self.checkpoint.shards[shard]);
        shards.filter(|shard| source.path(&shard.file).is_none()).map(|shard| shard.size).sum()
    }

    /// The bytes of the ranges that are read if weights that are not on disk yet are streamed.
    pub fn bytes_to_stream(&self, source: &dyn Source) -> u64 {
        let files = Matrices::new(&self.checkpoint.shards);
        let is_away = |shard: &usize| source.path(&self.checkpoint.shards[*shard].file).is_none();
        let away = self.modules.iter().filter(|module| module.shards().iter().any(is_away));
        let ranges = away.flat_map(Module::matrices).flat_map(|(weight, selection)| files.ranges(weight, selection));
        let each: HashSet<(usize, Range<u64>)> = ranges.collect();
        each.into_iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Measures every module that is not in `journal` yet, and notes it there. The outcomes are in the order of
    /// [`Plan::modules`]. Measurements on the CPU are the same for any resources.
    ///
    /// # Errors
    ///
    /// Fails if modules are stored in a form that cannot be read, if a shard cannot be downloaded or has changed since
    /// the plan was made, or if the journal cannot be written. The journal then has what was measured from unchanged
    /// files. That a module cannot be measured is no failure of the scan, but the module's outcome.
    pub fn run(
        &self,
        source: &dyn Source,
        journal: &Journal,
        resources: &Resources,
        observer: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Vec<Outcome>> {
        self.check_readable()?;
        // Results of the CPU are exactly reproducible, so a scan on the CPU uses no others.
        let is_on_cpu = resources.devices.iter().all(|device| device.processor() == Processor::Cpu);
        let serves = |measurement: &&Measurement| !is_on_cpu || measurement.spectrum.processor == Processor::Cpu;
        let outcomes: Vec<Option<Outcome>> =
            self.modules.iter().map(|module| journal.get(&self.key(module)).filter(serves).cloned().map(Ok)).collect();
        let known = self.modules.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_some());
        let known: Vec<f64> = known.map(|(module, _)| flops(module)).collect();
        if !known.is_empty() {
            observer(Event::Resumed { modules: known.len(), flops: known.iter().sum() });
        }
        Work::new(self, journal, resources, observer, outcomes).carry_out(source)
    }

    /// Returns a test for a journal's keys: whether a key belongs to this model as it is now, but to no module of this
    /// scan, so that a scan of other modules may need its line.
    pub fn is_of_other_modules(&self) -> impl Fn(&Key) -> bool {
        let own: HashSet<Key> = self.modules.iter().map(|module| self.key(module)).collect();
        let files: HashSet<&String> = self.checkpoint.shards.iter().map(|shard| &shard.identity).collect();
        move |key| {
            let is_of_model = key.files.iter().all(|file| files.contains(file));
            key.algorithm == spectrum::ALGORITHM && is_of_model && !own.contains(key)
        }
    }

    /// The key of a module's measurement in a journal.
    pub(super) fn key(&self, module: &Module) -> Key {
        let weight = &module.weight;
        let mut stored = format!("{} {:?} {}", weight.dtype(), module.shape(), module.tensor);
        if module.selection != Selection::default() {
            stored += &format!(" {:?}", module.selection);
        }
        if let Storage::Quantized(quantized) = &weight.storage {
            stored += &format!(" {}", quantized.description());
        }
        if let Some(change) = &module.change {
            stored += &format!(" {}", change.description());
        }
        let identity = |shard: usize| self.checkpoint.shards[shard].identity.clone();
        Key {
            algorithm: spectrum::ALGORITHM.to_owned(),
            weight: stored,
            files: module.shards().into_iter().map(identity).collect(),
        }
    }
}
