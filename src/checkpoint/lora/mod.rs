//! Reads LoRA adapters, which add a product of two small factors to some weights of a base model.
//!
//! Hu et al., arXiv 2106.09685: W' = W + scale · up · down, where `down` has few rows and `up` as many columns. PEFT calls the
//! factors `lora_B` and `lora_A`, kohya's scripts and diffusers `lora_up` and `lora_down`. The scale is not in the factors: PEFT
//! has it in `adapter_config.json`, diffusers in the file's metadata, and kohya's scripts in a tensor `alpha` beside each pair.

mod names;
mod scale;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::description::{exists, read_json};
use super::error::CheckpointError;
use super::files::WeightFiles;
use super::outline::Outline;
use super::part::Part;
use super::selection::Selection;
use super::shard::{self, Shard};
use super::weight::Weight;
use super::{Matrices, adapter, explain};
use crate::source::Source;
use names::{Meaning, meaning};
use scale::Scales;

/// The files that PEFT and diffusers write, in order of preference.
const FILES: [&str; 4] =
    ["adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin", "pytorch_lora_weights.bin"];

/// Initialisations of PEFT that change the base's weights too, so that the factors are not all that differs from the base.
const CHANGES_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// A LoRA adapter.
#[derive(Debug)]
pub struct Lora {
    /// The shards that were given, followed by the adapter's own.
    pub shards: Vec<Shard>,
    /// The changes, with the names of the modules as the adapter has them.
    pub changes: Vec<(String, LowRank)>,
    /// The weights of modules that were trained whole, by the names of these modules.
    pub whole: Vec<(String, Arc<Weight>)>,
}

/// A change of a weight by a product: scale · up · down.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    pub up: Arc<Weight>,
    /// Which rows of `up` are meant, for a part of the changed matrix.
    pub rows: Selection,
    pub down: Arc<Weight>,
    /// Which columns of `down` are meant, for a part of the changed matrix.
    pub columns: Selection,
    pub scale: f64,
}

/// Why an adapter is not read.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    #[error("is {0}, which is no product of two factors added to a weight: {MERGE}")]
    OtherKind(&'static str),
    #[error("is a DoRA adapter, which scales whole columns too: {MERGE}")]
    Dora,
    #[error("began with '{0}', which changes the base's weights too: {MERGE}")]
    ChangesBase(String),
    #[error("changes single parameters, such as '{0}', and not modules: {MERGE}")]
    Parameters(String),
    #[error("repeats layers of its base: {MERGE}")]
    Replicates,
    #[error("has the tensor '{0}', which is no factor that is known: {MERGE}")]
    UnknownFactor(String),
    #[error("has only one factor of two for '{0}': download or copy it again")]
    Unpaired(String),
    #[error("has factors of '{0}' that do not fit together: download or copy it again")]
    Unfit(String),
    #[error("has no adapter_config.json, without which its scale is not known: name the folder that has it")]
    NoScale,
    #[error("has an adapter_config.json that does not give '{0}': download or copy it again")]
    Incomplete(&'static str),
}

const MERGE: &str = "merge it into its base, as PEFT's merge_and_unload does, and name the result";

impl LowRank {
    /// The number of rows of `down`, which is that of the columns of `up`.
    pub fn rank(&self) -> usize {
        self.columns.without_band().shape(&self.down.shape)[0]
    }

    /// The rows and columns of the product.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows.shape(&self.up.shape)[0], self.columns.shape(&self.down.shape)[1]]
    }
}

impl Lora {
    /// Reads the headers of the adapter in `source`. The parts of its weights count their shards after those `before`.
    pub fn open(source: &dyn Source, before: Vec<Shard>) -> Result<Self, CheckpointError> {
        let refused = |error| CheckpointError::Lora { model: source.model().spelling.clone(), error };
        let file = source.single_file().map(str::to_owned);
        let file =
            file.or_else(|| FILES.iter().find(|file| source.size(file).is_some()).map(|file| (*file).to_owned()));
        let file = file.ok_or_else(|| explain::absence(source, ""))?;
        let config = config(source)?;
        check_config(&config).map_err(refused)?;
        let read = shard::read(source, WeightFiles::One(file), &mut Vec::new())?;
        let first = before.len();
        let mut lora = Self { shards: before, changes: Vec::new(), whole: Vec::new() };
        lora.shards.extend(read);
        let scales = Scales::new(source, &lora.shards[first], config)?;
        lora.sort(source, first, &scales)?;
        Ok(lora)
    }

    /// Sorts the tensors of the shard in place `at` into factors and whole weights.
    fn sort(&mut self, source: &dyn Source, at: usize, scales: &Scales) -> Result<(), CheckpointError> {
        let refused = |error| CheckpointError::Lora { model: source.model().spelling.clone(), error };
        let mut factors: BTreeMap<String, Factors> = BTreeMap::new();
        let weight = |place: usize| Weight::plain(Part::new(at, self.shards[at].tensors[place].clone()));
        for (place, tensor) in self.shards[at].tensors.iter().enumerate() {
            let name = &tensor.name;
            match meaning(name) {
                Meaning::Up(module) => factors.entry(module).or_default().up = Some(weight(place)),
                Meaning::Down(module) => factors.entry(module).or_default().down = Some(weight(place)),
                Meaning::Alpha(module) => factors.entry(module).or_default().alpha = Some(weight(place)),
                Meaning::Magnitude => return Err(refused(LoraError::Dora)),
                Meaning::Whole(module) => self.whole.push((module, Arc::new(weight(place)))),
                Meaning::Beside => {}
                Meaning::Unknown => {
                    let kind = adapter::kind(std::iter::once(name.as_str()));
                    let other = kind.filter(|kind| *kind != adapter::LORA).map(LoraError::OtherKind);
                    return Err(refused(other.unwrap_or_else(|| LoraError::UnknownFactor(name.clone()))));
                }
            }
        }
        let mut alphas = Alphas::new(source, &self.shards[at]);
        // In the order of the model's layers, as far as the names are sorted by it.
        for (module, Factors { up, down, alpha }) in factors {
            let (Some(up), Some(down)) = (up, down) else { return Err(refused(LoraError::Unpaired(module))) };
            let own = alpha.map(|alpha| alphas.read(&alpha)).transpose()?;
            let (up, down) = (Arc::new(up), Arc::new(down));
            let (rows, columns) = (Selection::default(), Selection::default());
            let mut change = LowRank { up, rows, down, columns, scale: 1.0 };
            let inner = change.rows.shape(&change.up.shape)[1];
            if inner != change.rank() || inner == 0 || !change.up.is_floating() || !change.down.is_floating() {
                return Err(refused(LoraError::Unfit(module)));
            }
            change.scale = scales.of(&module, own, inner).map_err(refused)?;
            self.changes.push((module, change));
        }
        Ok(())
    }
}

/// The tensors that change one module.
#[derive(Default)]
struct Factors {
    up: Option<Weight>,
    down: Option<Weight>,
    alpha: Option<Weight>,
}

/// Reads scalars of one file, which is fetched when the first is read.
struct Alphas<'a> {
    source: &'a dyn Source,
    shard: &'a Shard,
    matrices: Option<Matrices>,
}

impl<'a> Alphas<'a> {
    fn new(source: &'a dyn Source, shard: &'a Shard) -> Self {
        Self { source, shard, matrices: None }
    }

    fn read(&mut self, alpha: &Weight) -> Result<f64, CheckpointError> {
        let unfit = || LoraError::Unfit(alpha.name.clone());
        let refused = |error| CheckpointError::Lora { model: self.source.model().spelling.clone(), error };
        if self.matrices.is_none() {
            let matrices = Matrices::new(std::slice::from_ref(self.shard));
            self.source.fetch(&self.shard.file, matrices.blob(0), &|_| {})?;
            matrices.open(0, self.shard)?;
            self.matrices = Some(matrices);
        }
        let part = alpha.parts().into_iter().next().cloned().ok_or_else(|| refused(unfit()))?;
        let own = Weight::plain(Part { shard: 0, ..part });
        let matrix = self.matrices.as_ref().and_then(|matrices| matrices.matrix(&own, &Selection::default()).ok());
        let numbers = matrix.and_then(|matrix| matrix.numbers());
        match numbers.as_deref() {
            Some(&[alpha]) if alpha.is_finite() => Ok(alpha),
            _ => Err(refused(unfit())),
        }
    }
}

/// `adapter_config.json`, if there is one.
fn config(source: &dyn Source) -> Result<Option<Value>, CheckpointError> {
    const FILE: &str = "adapter_config.json";
    if !exists(source, FILE)? {
        return Ok(None);
    }
    let bytes = read_json(source, FILE)?;
    Ok(Some(Outline::Whole.read(&bytes).map_err(|error| super::description::not_json(FILE, &error))?))
}

/// Checks that the adapter is what it seems: that its factors are all that differs from the base.
fn check_config(config: &Option<Value>) -> Result<(), LoraError> {
    let Some(config) = config else { return Ok(()) };
    let kind = adapter::called(config.get("peft_type").and_then(Value::as_str));
    if config.get("peft_type").is_some() && kind != adapter::LORA {
        return Err(LoraError::OtherKind(kind));
    }
    if config.get("use_dora").and_then(Value::as_bool) == Some(true) {
        return Err(LoraError::Dora);
    }
    let start = config.get("init_lora_weights").and_then(Value::as_str).unwrap_or_default();
    if CHANGES_BASE.iter().any(|known| start.to_ascii_lowercase().starts_with(known)) {
        return Err(LoraError::ChangesBase(start.to_owned()));
    }
    if let Some(parameter) = config.pointer("/target_parameters/0").and_then(Value::as_str) {
        return Err(LoraError::Parameters(parameter.to_owned()));
    }
    if config.get("layer_replication").is_some_and(|layers| !layers.is_null()) {
        return Err(LoraError::Replicates);
    }
    Ok(())
}
