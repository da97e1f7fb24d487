//! An earlier scan -> the numbers of a planned one, so that nothing is measured twice.

use std::collections::HashMap;

use super::Plan;
use crate::modules::{Change, Module};
use crate::scan::{Numbers, Options, Provenance, Record, Scan, Unmeasured, WeightFile};
use crate::spectrum::{ALGORITHM, Device, Processor};

impl Plan {
    /// The planned scan with the numbers of an `earlier` one, if these are the numbers that measuring on `devices` would give: they
    /// are of the same files, by the same arithmetic, and of all modules. The provenance is that of the earlier scan, but for the
    /// `options`.
    pub fn reused(&self, mut earlier: Scan, devices: &[Device], options: &Options) -> Option<Scan> {
        let provenance =
            earlier.provenance.take().filter(|provenance| self.is_of_these_numbers(provenance, devices))?;
        let known: HashMap<&str, &Record> =
            earlier.records().iter().map(|record| (record.info.name.as_str(), record)).collect();
        let results: Option<Vec<Result<Numbers, Unmeasured>>> =
            self.modules.iter().map(|module| result(module, known.get(module.info.name.as_str()).copied()?)).collect();
        let mut scan = self.with_results(results?.into_iter());
        self.add_remarks(&mut scan);
        let options = Options { memory: provenance.options.memory, ..options.clone() };
        scan.provenance = Some(Provenance { options, ..provenance });
        scan.spectra = earlier.spectra.take();
        Some(scan)
    }

    /// Whether the numbers of an earlier scan are of the files as they are now, and by the same arithmetic.
    fn is_of_these_numbers(&self, earlier: &Provenance, devices: &[Device]) -> bool {
        // Results of the CPU are exactly reproducible, so a scan on the CPU uses no others.
        let is_on_cpu = devices.iter().all(|device| device.processor() == Processor::Cpu);
        let is_of_gpu = earlier.processors.cuda > 0;
        let identities: HashMap<&str, &str> =
            earlier.files.iter().filter_map(|file| Some((file.file.as_str(), identity(file)?))).collect();
        let needed = self.needed_shards().into_iter().map(|shard| &self.checkpoint.shards[shard]);
        let is_same = |file: &str, own: &str| identities.get(file).is_some_and(|earlier| *earlier == own);
        earlier.algorithm == ALGORITHM
            && !(is_on_cpu && is_of_gpu)
            && earlier.quantization == self.quantizations
            && needed.into_iter().all(|shard| is_same(&shard.file, &shard.identity))
    }
}

fn identity(file: &WeightFile) -> Option<&str> {
    file.etag.as_deref().or(file.identity.as_deref())
}

/// The result for `module`, if the earlier `record` is of the same weight.
fn result(module: &Module, record: &Record) -> Option<Result<Numbers, Unmeasured>> {
    let is_same = record.info.shape == module.info.shape && record.info.dtype == module.info.dtype;
    let scale = module.change.as_ref().and_then(Change::scale);
    match &record.result {
        // The scale of an adapter is not in the files of its weights.
        Ok(numbers) if numbers.delta.and_then(|delta| delta.scale) != scale => None,
        Ok(numbers) => is_same.then(|| Ok(Numbers { statistics: None, ..numbers.clone() })),
        // What a weight itself prevents is the same again.
        Err(Unmeasured::Told(reason)) => Some(Err(Unmeasured::Told(reason.clone()))),
        Err(_) => None,
    }
}
