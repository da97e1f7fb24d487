//! A scan: the modules of a model with their numbers, and the files that hold it.
//!
//! [`Scan`] is the result of a run, the content of a file, and the input of everything after it. Its files are written
//! and read here (`write.rs`, `read.rs`, `manifest.rs`), and results of other programs are read here too. Writing a
//! scan that was read gives the same bytes.

mod fields;
mod format;
mod join;
mod manifest;
mod merge;
mod others;
mod outputs;
mod ownership;
mod part;
mod pool;
mod provenance;
mod read;
mod read_error;
mod record;
mod spectra;
mod write;

pub use format::Format;
pub use join::JoinError;
pub use manifest::ManifestError;
pub use merge::{MergeError, PartScan, absence};
pub(crate) use others::{Rated, spectrum, spectrum_sorted};
pub use outputs::{Destination, Outputs, files_of, manifest_of};
pub use ownership::is_top;
pub use part::{NoPart, Part, Portion};
pub use pool::{Fused, INCOMPLETE_POOL, Pool, Pooling};
pub use provenance::{
    Base, Failure, Host, LeftOut, Merged, Methods, Options, PartRun, Processors, Provenance, Seconds, WeightFile,
};
pub use read_error::{OpenError, ReadError};
pub use record::{Numbers, Record, Unmeasured};
pub use spectra::{Spectra, SpectraError, spectra_of};
pub(crate) use write::Described;

use std::collections::HashSet;

use rayon::prelude::*;

use crate::modules::{Info, Role};
use crate::statistic::{Criterion, Ranking, Statistics};

/// The modules of a model with their numbers, and what is known of the model around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    records: Vec<Record>,
    pooling: Pooling,
    pools: Vec<Pool>,
    ranking: Ranking,
    /// The format of the file that it was read from, or this program's own.
    pub format: Format,
    pub surroundings: Option<Surroundings>,
    pub provenance: Option<Provenance>,
    /// Which part of a scan it is; `None` for a whole one.
    pub part: Option<Portion>,
    /// The singular values of the measured modules, if they are at hand.
    pub spectra: Option<Spectra>,
    /// The modules that could not be measured, in the manifest's words.
    pub failures: Vec<Failure>,
    /// The model's tensors that were not meant to be measured.
    pub left_out: Vec<LeftOut>,
}

/// Why a scan cannot be ranked as it was asked for. The module is the first that lacks something.
#[derive(Debug, thiserror::Error)]
pub enum Unrankable {
    #[error("the spectrum of '{0}' is not known, which other statistics than that of laser-QLoRA need")]
    NoSpectrum(String),
    #[error("the numbers of '{0}' are of a weight and not of a change, so that they have no relative norm")]
    NoDelta(String),
}

/// What is known of a model besides the modules of a scan. A trainer's patterns also match the names of what is here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The model as trainers know it: a Hub id, or a folder's name.
    pub model: String,
    /// The `model_type` of each component that has one.
    pub model_types: Vec<String>,
    /// The class of each component whose configuration names one.
    pub architectures: Vec<String>,
    /// The line of transformers whose names in memory are used: 4 or 5.
    pub transformers: u8,
    /// The names of the components, if the model is a pipeline of several.
    pub components: Vec<String>,
    pub ties_embeddings: bool,
    /// The linear modules that are not in the scan: heads, routers, and what was excluded.
    pub modules: Vec<Info>,
    /// The names of all other tensors in memory.
    pub names: Vec<String>,
}

impl Scan {
    /// A scan of these modules, which are in model order.
    pub fn new(records: Vec<Record>, format: Format) -> Self {
        Self {
            records,
            pooling: Pooling::None,
            pools: Vec::new(),
            ranking: Ranking::default(),
            format,
            surroundings: None,
            provenance: None,
            part: None,
            spectra: None,
            failures: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The scan with its experts pooled as `how` says.
    pub fn pooled(mut self, how: Pooling) -> Self {
        self.pooling = how;
        self.pools = pool::pool(&self.records, how, self.ranking);
        self
    }

    /// The scan in which the parts of each of these `modules` are pooled too.
    pub fn with_fused(mut self, modules: Vec<Fused>, how: Pooling) -> Self {
        self.pools.extend(pool::fused(modules, &self.records, how, self.ranking));
        self
    }

    /// The scan with its modules ranked as `ranking` says. All statistics are computed from the spectra, if they are needed or
    /// `all` are asked for.
    ///
    /// # Errors
    ///
    /// Fails if a measured module's statistics are needed and neither they nor its spectrum are at hand, or if changes are to be
    /// ranked and the scan is not one of changes.
    pub fn ranked_by(mut self, ranking: Ranking, all: bool) -> Result<Self, Unrankable> {
        self.ranking = ranking;
        if ranking.needs_spectra() || all {
            let spectra = self.spectra.as_ref();
            self.records.par_iter_mut().try_for_each(|record| add_statistics(record, spectra))?;
        }
        if ranking.criterion == Criterion::RelativeNorm {
            let measured = self.records.iter().filter_map(|record| Some((record, record.result.as_ref().ok()?)));
            if let Some((record, _)) = measured.into_iter().find(|(_, numbers)| numbers.delta.is_none()) {
                return Err(Unrankable::NoDelta(record.info.name.clone()));
            }
        }
        let how = self.pooling;
        Ok(self.pooled(how))
    }

    /// By what the modules are ranked.
    pub fn ranking(&self) -> Ranking {
        self.ranking
    }

    /// The modules in model order, followed by those that are missing from the model's files.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The pools of experts in the order of their first members, and after them those of what a trainer has as one module.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pools without a ratio.
    pub fn incomplete_pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.score.is_none())
    }

    /// The scan as if all pending modules were measured, all with the same ratio. What can be selected from it shows,
    /// before anything is measured, what will be possible.
    pub fn foreseen(mut self) -> Self {
        for record in &mut self.records {
            if record.result == Err(Unmeasured::Pending) {
                record.result = Ok(Numbers::ratio(1.0));
            }
        }
        let how = self.pooling;
        self.pooled(how)
    }

    /// The names of all linear modules of the model and of the pools of its experts.
    pub fn names(&self) -> HashSet<String> {
        let outside = self.surroundings.iter().flat_map(|around| &around.modules);
        let infos = self.records.iter().map(|record| &record.info).chain(outside);
        infos.flat_map(|info| [info.pool().map(|(name, _)| name), Some(info.name.clone())]).flatten().collect()
    }

    /// The scan without the modules that this program would not rank, such as norms, embeddings and heads, which other
    /// programs measure too. Nothing is removed from a scan of this program, because the user asked for all its
    /// modules.
    pub fn rankable(mut self) -> Self {
        if self.format != Format::LaserScan {
            self.records.retain(|record| is_ranked(&record.info));
        }
        self
    }
}

/// Computes the other statistics of a measured module, unless they are known.
fn add_statistics(record: &mut Record, spectra: Option<&Spectra>) -> Result<(), Unrankable> {
    let Ok(numbers) = &mut record.result else { return Ok(()) };
    if numbers.statistics.is_none() {
        let spectrum = spectra.and_then(|spectra| spectra.get(&record.info.name));
        let known = spectrum.filter(|_| numbers.statistic.is_some() || numbers.doubt.is_some());
        let spectrum = known.ok_or_else(|| Unrankable::NoSpectrum(record.info.name.clone()))?;
        numbers.statistics = Some(Box::new(Statistics::of(spectrum, numbers.statistic.as_ref())));
    }
    Ok(())
}

/// Whether a scan ranks a module by default, judged by the module's name alone.
fn is_ranked(info: &Info) -> bool {
    let leaf = info.name.rsplit('.').next().unwrap_or(&info.name);
    info.role == Role::Linear && !leaf.contains("norm") && !leaf.starts_with("ln_")
}
