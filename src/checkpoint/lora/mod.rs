//! Reads LoRA adapters, which add a product of two small factors to some weights of a base model.
//!
//! Hu et al., arXiv 2106.09685: W' = W + scale · up · down, where `down` has few rows and `up` as many columns. PEFT calls the
//! factors `lora_B` and `lora_A`, kohya's scripts and diffusers `lora_up` and `lora_down`. The scale is not in the factors: PEFT
//! has it in `adapter_config.json`, diffusers in the file's metadata, and kohya's scripts in a tensor `alpha` beside each pair.

pub(super) mod error;
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
use super::{Matrices, adapter};
use crate::source::Source;
pub use error::LoraError;
use names::{Meaning, meaning};
use scale::Scales;

/// The files that PEFT and diffusers write, in order of preference.
const FILES: [&str; 4] =
    ["adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin", "pytorch_lora_weights.bin"];

/// Initialisations of PEFT after which the factors are not all that differs from the base: some change the base's weights too.
const CHANGES_BASE: [&str; 6] = ["pissa", "olora", "corda", "loftq", "lora_ga", "mica"];

/// The options by which PEFT's LoRA does more than add a product, under the names that `LoraConfig` gives them.
const VARIANTS: [&str; 8] = [
    "use_qalora",
    "velora_config",
    "monteclora_config",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "alora_invocation_tokens",
    "layer_replication",
];

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
    /// Reads the headers of the adapter in `source`. Its own shards follow those of another model, `before`.
    pub fn open(source: &dyn Source, before: Vec<Shard>) -> Result<Self, CheckpointError> {
        let refused = |error| CheckpointError::Lora { model: source.model().spelling.clone(), error };
        let file = source.single_file().map(str::to_owned);
        let file =
            file.or_else(|| FILES.iter().find(|file| source.size(file).is_some()).map(|file| (*file).to_owned()));
        let file = file.ok_or(LoraError::NoFile).map_err(refused)?;
        let config = config(source)?;
        config.as_ref().map_or(Ok(()), |config| check_config(|key| config.get(key))).map_err(refused)?;
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
        let mut whole = Vec::new();
        let weight = |place: usize| Weight::plain(Part::new(at, self.shards[at].tensors[place].clone()));
        for (place, tensor) in self.shards[at].tensors.iter().enumerate() {
            let name = &tensor.name;
            match meaning(name) {
                Meaning::Up(module) => set(&mut factors, module, weight(place), |all| &mut all.up).map_err(refused)?,
                Meaning::Down(module) => {
                    set(&mut factors, module, weight(place), |all| &mut all.down).map_err(refused)?
                }
                Meaning::Alpha(module) => {
                    set(&mut factors, module, weight(place), |all| &mut all.alpha).map_err(refused)?
                }
                Meaning::Magnitude => return Err(refused(LoraError::Dora)),
                Meaning::Whole(module) => {
                    let weight = weight(place);
                    if !weight.is_floating() {
                        return Err(refused(LoraError::Dtype { tensor: name.clone(), dtype: weight.dtype() }));
                    }
                    whole.push((module, Arc::new(weight)));
                }
                Meaning::Beside => {}
                Meaning::Unknown => {
                    let kind = adapter::kind(&[name.as_str()]);
                    let other = kind.filter(|kind| *kind != adapter::LORA).map(LoraError::OtherKind);
                    return Err(refused(other.unwrap_or_else(|| LoraError::UnknownFactor(name.clone()))));
                }
            }
        }
        let mut alphas = Alphas::new(source, &self.shards[at]);
        for (module, Factors { up, down, alpha }) in factors {
            let (Some(up), Some(down)) = (up, down) else { return Err(refused(LoraError::Unpaired(module))) };
            let own = alpha.map(|alpha| alphas.read(&alpha)).transpose()?;
            let (up, down) = (Arc::new(up), Arc::new(down));
            let (rows, columns) = (Selection::default(), Selection::default());
            let mut change = LowRank { up, rows, down, columns, scale: 1.0 };
            let inner = change.rows.shape(&change.up.shape)[1];
            if let Some(odd) = [&change.up, &change.down].into_iter().find(|factor| !factor.is_floating()) {
                return Err(refused(LoraError::Dtype { tensor: odd.name.clone(), dtype: odd.dtype() }));
            }
            if inner != change.rank() || inner == 0 {
                return Err(refused(LoraError::Unfit(module)));
            }
            change.scale = scales.of(&module, own, inner).map_err(refused)?;
            self.changes.push((module, change));
        }
        self.whole = whole;
        Ok(())
    }
}

/// Puts a tensor among those of its module. Fails if there is one in its place.
fn set(
    factors: &mut BTreeMap<String, Factors>,
    module: String,
    weight: Weight,
    place: fn(&mut Factors) -> &mut Option<Weight>,
) -> Result<(), LoraError> {
    match place(factors.entry(module.clone()).or_default()).replace(weight) {
        None => Ok(()),
        Some(_) => Err(LoraError::Twice(module)),
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
        let unfit = || LoraError::Alpha(alpha.name.clone());
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

/// Checks that the factors are all that differs from the base. `value` gives what a configuration has under a key.
fn check_config<'a>(value: impl Fn(&str) -> Option<&'a Value>) -> Result<(), LoraError> {
    let text = |key: &str| value(key).and_then(Value::as_str);
    let is_set = |key: &str| value(key).is_some_and(|value| !value.is_null() && *value != false);
    let kind = adapter::called(text("peft_type"));
    if value("peft_type").is_some() && kind != adapter::LORA {
        return Err(LoraError::OtherKind(kind));
    }
    if is_set("use_dora") {
        return Err(LoraError::Dora);
    }
    let start = text("init_lora_weights").unwrap_or_default();
    if CHANGES_BASE.iter().any(|known| start.to_ascii_lowercase().starts_with(known)) {
        return Err(LoraError::ChangesBase(start.to_owned()));
    }
    if let Some(parameter) = value("target_parameters").and_then(|list| list.get(0)).and_then(Value::as_str) {
        return Err(LoraError::Parameters(parameter.to_owned()));
    }
    VARIANTS.iter().find(|key| is_set(key)).map_or(Ok(()), |key| Err(LoraError::Variant(key)))
}
