//! Two models -> a plan to measure what one changed in the other.
//!
//! The modules are those of the base. What a fine-tuned checkpoint makes of each is its own weight, and what an adapter makes of it is
//! the base's weight and a product. Both are read from one list of shards, so that downloads, the journal and the check for changed
//! files are those of any other scan.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;

use super::Plan;
use crate::checkpoint::{Axis, Band, Checkpoint, CheckpointError, Lora, LowRank, Selection};
use crate::modules::{Adapted, AdaptedNames, Change, Filter, InMemory, Module, Wanted};
use crate::source::{Pair, Source};

/// Why two models have no difference that can be measured.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    #[error("only {found} of the {of} modules of '{base}' are in '{finetuned}': one is not made of the other")]
    Unrelated { base: String, finetuned: String, found: usize, of: usize },
    #[error("'{finetuned}' does not have the module '{module}' of '{base}'{}", and_others(*.others))]
    Absent { base: String, finetuned: String, module: String, others: usize },
    #[error("the module '{module}' is {} in '{base}', but {} in '{finetuned}': only weights of equal shapes have a difference", times(.before), times(.after))]
    Shape { base: String, finetuned: String, module: String, before: [usize; 2], after: [usize; 2] },
    #[error(
        "'{adapter}' changes '{module}', which '{base}' does not have: name the model that it was trained on as the base"
    )]
    Unknown { base: String, adapter: String, module: String },
    #[error(
        "'{adapter}' changes '{module}', whose weight is stored in another way in '{base}': merge the adapter into its base, as PEFT's \
         merge_and_unload does, and name the result"
    )]
    Entangled { base: String, adapter: String, module: String },
    #[error("'{adapter}' changes none of the modules of '{base}' that are measured")]
    Nothing { base: String, adapter: String },
}

fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", and 1 other neither".to_owned(),
        count => format!(", and {count} others neither"),
    }
}

fn times([rows, columns]: &[usize; 2]) -> String {
    format!("{rows} x {columns}")
}

impl Plan {
    /// Reads the headers of both models of `pair`, and decides what is measured: the changes of the base's modules that the filter
    /// keeps.
    ///
    /// # Errors
    ///
    /// Fails as [`Plan::new`] does for either model, or if the second is not made of the first.
    pub fn of_delta(pair: &Pair<'_>, filter: &Filter, wanted: Wanted) -> Result<Self> {
        let mut plan = Self::new(&*pair.base, filter, wanted)?;
        let shards = std::mem::take(&mut plan.checkpoint.shards);
        let first = shards.len();
        match Checkpoint::open_after(&*pair.finetuned, shards.clone()) {
            Ok(checkpoint) => plan.compare(pair, checkpoint, wanted)?,
            Err(CheckpointError::Adapter { .. }) => plan.adapt(pair, Lora::open(&*pair.finetuned, shards)?)?,
            Err(error) => return Err(error.into()),
        }
        for (at, shard) in plan.checkpoint.shards.iter_mut().enumerate() {
            shard.file = if at < first { Pair::of_base(&shard.file) } else { Pair::of_finetuned(&shard.file) };
        }
        plan.base = Some(std::mem::replace(&mut plan.model, pair.model().clone()));
        Ok(plan)
    }

    /// Pairs the modules with those of a fine-tuned model's `checkpoint`.
    fn compare(&mut self, pair: &Pair<'_>, checkpoint: Checkpoint, wanted: Wanted) -> Result<()> {
        let other = Self::of(checkpoint, &*pair.finetuned, &Filter::default(), wanted)?;
        other.check_readable()?;
        let (base, finetuned) = (self.model.spelling.clone(), other.model.spelling.clone());
        let found = Counterparts::new(&other.modules);
        let absent: Vec<&Module> = self.modules.iter().filter(|module| found.of(module).is_none()).collect();
        if let Some(first) = absent.first() {
            let (of, found) = (self.modules.len(), self.modules.len() - absent.len());
            return Err(if 2 * found < of {
                DeltaError::Unrelated { base, finetuned, found, of }.into()
            } else {
                let (module, others) = (first.info.name.clone(), absent.len() - 1);
                DeltaError::Absent { base, finetuned, module, others }.into()
            });
        }
        for module in &mut self.modules {
            let Some(changed) = found.of(module) else { continue };
            let (before, after) = (module.shape(), changed.shape());
            if before != after {
                let module = module.info.name.clone();
                return Err(DeltaError::Shape { base, finetuned, module, before, after }.into());
            }
            module.change =
                Some(Change::To { weight: Arc::clone(&changed.weight), selection: changed.selection.clone() });
        }
        self.quantizations.extend(other.quantizations);
        self.quantizations.sort_unstable();
        self.quantizations.dedup();
        self.checkpoint.shards = other.checkpoint.shards;
        Ok(())
    }

    /// Gives each module the change of an adapter.
    fn adapt(&mut self, pair: &Pair<'_>, lora: Lora) -> Result<(), DeltaError> {
        let names = AdaptedNames::new(&self.modules, &self.others, &self.names);
        let (base, adapter) = (self.model.spelling.clone(), pair.finetuned.model().spelling.clone());
        let place = |module: &str| match names.find(module) {
            Some(Adapted::Measured(place)) => Ok(Some(place)),
            Some(Adapted::Other) => Ok(None),
            Some(Adapted::Entangled) => {
                let (base, adapter, module) = (base.clone(), adapter.clone(), module.to_owned());
                Err(DeltaError::Entangled { base, adapter, module })
            }
            None => {
                let (base, adapter, module) = (base.clone(), adapter.clone(), module.to_owned());
                Err(DeltaError::Unknown { base, adapter, module })
            }
        };
        let mut changes: HashMap<String, Change> = HashMap::new();
        for (module, product) in lora.changes {
            let Some(place) = place(&module)? else { continue };
            let (info, before, after) = (&self.modules[place].info, self.modules[place].shape(), product.shape());
            // Some weights are stored with inputs as rows.
            if before != after && before != [after[1], after[0]] {
                let (finetuned, module) = (adapter, info.name.clone());
                return Err(DeltaError::Shape { base, finetuned, module, before, after });
            }
            changes.insert(info.name.clone(), Change::Plus(Box::new(product)));
        }
        for (module, weight) in lora.whole {
            let Some(place) = place(&module)? else { continue };
            let (info, before) = (&self.modules[place].info, self.modules[place].shape());
            let selection = Selection::default();
            let after = selection.shape(&weight.shape);
            if before != after {
                let (finetuned, module) = (adapter, info.name.clone());
                return Err(DeltaError::Shape { base, finetuned, module, before, after });
            }
            changes.insert(info.name.clone(), Change::To { weight, selection });
        }
        if changes.is_empty() {
            return Err(DeltaError::Nothing { base, adapter });
        }
        let wholes: HashMap<String, [usize; 2]> =
            self.modules.iter().map(|module| (module.info.name.clone(), module.shape())).collect();
        for module in &mut self.modules {
            module.change = Some(match &module.info.part_of {
                None => changes.get(&module.info.name).cloned().unwrap_or(Change::Nothing),
                Some(whole) => {
                    let change = changes.get(whole).zip(wholes.get(whole));
                    change.map_or(Change::Nothing, |(change, shape)| part_of(change, *shape, &module.selection))
                }
            });
        }
        self.checkpoint.shards = lora.shards;
        Ok(())
    }
}

/// What the `change` of a whole matrix of this `shape` makes of a part of it.
fn part_of(change: &Change, shape: [usize; 2], selection: &Selection) -> Change {
    match change {
        Change::To { weight, .. } => Change::To { weight: Arc::clone(weight), selection: selection.clone() },
        Change::Plus(product) => {
            let mut product: LowRank = (**product).clone();
            if let Some(band) = &selection.band {
                let is_transposed = product.shape() != shape;
                let is_of_rows = (band.axis == Axis::Rows) != is_transposed;
                let axis = if is_of_rows { Axis::Rows } else { Axis::Columns };
                let band = Some(Band { axis, ..band.clone() });
                if is_of_rows { &mut product.rows } else { &mut product.columns }.band = band;
            }
            Change::Plus(Box::new(product))
        }
        Change::Nothing => Change::Nothing,
    }
}

/// The modules of a fine-tuned model by their names.
struct Counterparts<'a> {
    by_name: HashMap<&'a str, &'a Module>,
    /// By the name in memory, of modules that are one module there.
    by_memory: HashMap<&'a str, &'a Module>,
}

impl<'a> Counterparts<'a> {
    fn new(modules: &'a [Module]) -> Self {
        let by_name = modules.iter().map(|module| (module.info.name.as_str(), module));
        let by_memory = modules.iter().filter_map(|module| Some((alone_in_memory(module)?, module)));
        Self { by_name: by_name.collect(), by_memory: by_memory.collect() }
    }

    /// The module that a module of the base has become: of the same name on disk, or else in memory.
    fn of(&self, module: &Module) -> Option<&'a Module> {
        let by_memory = || self.by_memory.get(alone_in_memory(module)?);
        self.by_name.get(module.info.name.as_str()).or_else(by_memory).copied()
    }
}

fn alone_in_memory(module: &Module) -> Option<&str> {
    match &module.info.memory {
        InMemory::Modules(names) if names.len() == 1 && module.info.part_of.is_none() => Some(&names[0]),
        _ => None,
    }
}
