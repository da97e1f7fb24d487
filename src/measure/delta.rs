//! Two models -> a plan to measure what one changed in the other.
//!
//! The modules are those of the base. What a fine-tuned checkpoint makes of each is its own weight, and what an adapter makes of it is
//! the base's weight and a product. Both are read from one list of shards, so that downloads, the journal and the check for changed
//! files are those of any other scan.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::Plan;
use crate::checkpoint::{Axis, Band, Checkpoint, CheckpointError, Lora, LowRank, Selection};
use crate::modules::{Adapted, AdaptedNames, Change, Filter, InMemory, Module, Reason, Wanted};
use crate::source::{Pair, Source};

/// Why two models have no difference that can be measured.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    #[error("'{0}' is an adapter, not a base: the base comes first, as in 'laser-scan delta BASE ADAPTER'")]
    BaseIsAdapter(String),
    #[error("only {found} of the {of} modules of '{base}' are in '{finetuned}': one is not made of the other")]
    Unrelated { base: String, finetuned: String, found: usize, of: usize },
    #[error(
        "'{without}' does not have the module '{module}' of '{with}'{}: only models with the same modules have a difference",
        and_others(*.others)
    )]
    Absent { without: String, with: String, module: String, others: usize },
    #[error(
        "'{finetuned}' holds factors of adapters beside its weights, such as '{tensor}', so that its weights are not what was trained: \
         merge them, as PEFT's merge_and_unload does, and name the result"
    )]
    Unmerged { finetuned: String, tensor: String },
    #[error(
        "the module '{module}' is {} in '{base}', but {} in '{finetuned}': only weights of equal shapes have a difference; \
         leave it out with --exclude '{module}'",
        times(.before),
        times(.after)
    )]
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
    #[error("'{adapter}' changes '{module}' twice, so that it is not clear which change counts")]
    Twice { adapter: String, module: String },
    #[error("'{adapter}' changes none of the linear modules of '{base}' that are measured")]
    Nothing { base: String, adapter: String },
}

fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", nor 1 other".to_owned(),
        count => format!(", nor {count} others"),
    }
}

fn times([rows, columns]: &[usize; 2]) -> String {
    format!("{rows} x {columns}")
}

/// What an adapter makes of the base's linear modules, by their names on disk. A change that does not fit is an error only where
/// the module is measured.
type Changes = HashMap<String, Result<Change, DeltaError>>;

/// Which of two models an error is about, whose files may have the same names.
fn unreadable(of: &dyn Source) -> String {
    format!("'{}' cannot be compared", of.model().spelling)
}

impl Plan {
    /// Reads the headers of both models of `pair`, and decides what is measured: the changes of the base's modules that the filter
    /// keeps.
    ///
    /// # Errors
    ///
    /// Fails as [`Plan::new`] does for either model, or if the second is not made of the first.
    pub fn of_delta(pair: &Pair<'_>, filter: &Filter, wanted: Wanted) -> Result<Self> {
        let (base, finetuned) = (&*pair.base, &*pair.finetuned);
        let checkpoint = match Checkpoint::open(base) {
            Err(CheckpointError::Adapter { model, .. }) => return Err(DeltaError::BaseIsAdapter(model).into()),
            checkpoint => checkpoint.with_context(|| unreadable(base))?,
        };
        // What an adapter or a fine-tuned model has is compared with all that the base has, whatever the filter keeps.
        let all = Self::of(checkpoint.clone(), base, &Filter::default(), wanted)?;
        let mut plan = Self::of(checkpoint, base, filter, wanted)?;
        let shards = std::mem::take(&mut plan.checkpoint.shards);
        let first = shards.len();
        match Checkpoint::open_after(finetuned, shards.clone()) {
            Ok(checkpoint) => {
                let other = Self::of(checkpoint, finetuned, &Filter::default(), wanted)?;
                plan.compare(&all, other)?;
            }
            Err(CheckpointError::Adapter { .. }) => plan.adapt(&all, pair, Lora::open(finetuned, shards)?)?,
            Err(error) => return Err(error).with_context(|| unreadable(finetuned)),
        }
        for (at, shard) in plan.checkpoint.shards.iter_mut().enumerate() {
            shard.file = if at < first { Pair::of_base(&shard.file) } else { Pair::of_finetuned(&shard.file) };
        }
        plan.base = Some(std::mem::replace(&mut plan.model, pair.model().clone()));
        Ok(plan)
    }

    /// Pairs the modules with those of a fine-tuned model. `all` are the base's modules, also those that are not measured.
    fn compare(&mut self, all: &Self, other: Self) -> Result<()> {
        let (base, finetuned) = (self.model.spelling.clone(), other.model.spelling.clone());
        if let Some(factor) = other.left_out.iter().find(|left_out| left_out.reason == Reason::Factor) {
            return Err(DeltaError::Unmerged { finetuned, tensor: factor.tensor.clone() }.into());
        }
        let (own, found) = (Counterparts::new(&all.modules), Counterparts::new(&other.modules));
        let absent: Vec<&Module> = self.modules.iter().filter(|module| found.of(module).is_none()).collect();
        if let Some(first) = absent.first() {
            // They may be stored in a form that is not read.
            other.check_readable()?;
            let (of, found) = (self.modules.len(), self.modules.len() - absent.len());
            return Err(if 2 * found < of {
                DeltaError::Unrelated { base, finetuned, found, of }.into()
            } else {
                DeltaError::absent(&finetuned, &base, first, absent.len()).into()
            });
        }
        let surplus: Vec<&Module> = other.modules.iter().filter(|module| own.of(module).is_none()).collect();
        if let Some(first) = surplus.first() {
            return Err(DeltaError::absent(&base, &finetuned, first, surplus.len()).into());
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

    /// Gives each module the change of an adapter. `all` are the base's modules, also those that are not measured.
    fn adapt(&mut self, all: &Self, pair: &Pair<'_>, lora: Lora) -> Result<(), DeltaError> {
        let (base, adapter) = (&self.model.spelling, &pair.finetuned.model().spelling);
        let names = AdaptedNames::new(&all.modules, &all.others, &all.names, all.ties_embeddings);
        let mut changes = Changes::new();
        let mut change = |named: &str, place: usize, shapes: &[[usize; 2]], change: Change| {
            let (module, before) = (all.modules[place].info.name.clone(), all.modules[place].shape());
            let shape = |after: [usize; 2]| DeltaError::Shape {
                base: base.clone(),
                finetuned: adapter.clone(),
                module: module.clone(),
                before,
                after,
            };
            let change = if shapes.contains(&before) { Ok(change) } else { Err(shape(shapes[0])) };
            match changes.insert(module.clone(), change) {
                None => Ok(()),
                Some(_) => Err(DeltaError::Twice { adapter: adapter.clone(), module: named.to_owned() }),
            }
        };
        for (module, product) in lora.changes {
            let (base, adapter) = (base.clone(), adapter.clone());
            match names.find(&module) {
                Some(Adapted::Measured(place)) => {
                    // Some weights are stored with inputs as rows.
                    let [rows, columns] = product.shape();
                    change(&module, place, &[[rows, columns], [columns, rows]], Change::Plus(Box::new(product)))?;
                }
                Some(Adapted::Other) => {}
                Some(Adapted::Entangled) => return Err(DeltaError::Entangled { base, adapter, module }),
                None => return Err(DeltaError::Unknown { base, adapter, module }),
            }
        }
        for (module, weight) in lora.whole {
            match names.find(&module) {
                Some(Adapted::Measured(place)) => {
                    let selection = Selection::default();
                    let shape = selection.shape(&weight.shape);
                    change(&module, place, &[shape], Change::To { weight, selection })?;
                }
                Some(Adapted::Entangled) => {
                    return Err(DeltaError::Entangled { base: base.clone(), adapter: adapter.clone(), module });
                }
                Some(Adapted::Other) => {}
                // A module that was added to the base, such as a classifier, has no weight there that it could be compared with.
                None => self.added.push(module),
            }
        }
        if changes.is_empty() {
            return Err(DeltaError::Nothing { base: base.clone(), adapter: adapter.clone() });
        }
        self.assign(all, changes)?;
        self.checkpoint.shards = lora.shards;
        Ok(())
    }

    /// Gives each module its change.
    fn assign(&mut self, all: &Self, mut changes: Changes) -> Result<(), DeltaError> {
        let shapes: HashMap<&str, [usize; 2]> =
            all.modules.iter().map(|module| (module.info.name.as_str(), module.shape())).collect();
        for module in &mut self.modules {
            let whole = module.info.part_of.as_ref().unwrap_or(&module.info.name);
            if let Some(Err(_)) = changes.get(whole) {
                changes.remove(whole).transpose()?;
            }
            let change = match changes.get(whole) {
                Some(Ok(change)) => change,
                _ => &Change::Nothing,
            };
            let shape = shapes.get(whole.as_str()).copied();
            let is_part = module.info.part_of.is_some();
            module.change = Some(match shape.filter(|_| is_part) {
                Some(shape) => part_of(change, shape, &module.selection),
                None => change.clone(),
            });
        }
        Ok(())
    }
}

impl DeltaError {
    /// The error that a model lacks so many modules that another has, the first of which is given.
    fn absent(without: &str, with: &str, first: &Module, count: usize) -> Self {
        let module = first.info.name.clone();
        Self::Absent { without: without.to_owned(), with: with.to_owned(), module, others: count - 1 }
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
