//! A scan that somebody else made, joined with the model that it is of.

use std::collections::HashMap;

use super::{Entry, Other, Surroundings};
use crate::modules::{Class, Module};

/// A scan's module that the model does not have.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' of the scan is no module of the model: is it the model that was scanned?")]
pub struct NotInModel(pub String);

/// Completes a scan's `entries` with the names and shapes of the model's `modules`, which its `surroundings` have all of.
/// Those that are not in the scan become what surrounds it.
///
/// # Errors
///
/// Fails if the model lacks a module of the scan.
pub fn join<'a>(
    entries: &mut [Entry],
    modules: impl Iterator<Item = &'a Module>,
    surroundings: &mut Surroundings,
) -> Result<(), NotInModel> {
    let modules: Vec<&Module> = modules.filter(|module| module.part_of.is_none()).collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, module) in modules.iter().enumerate() {
        // Names on disk go before names in memory, which several experts share.
        places.insert(&module.name, place);
        if !module.is_parameter {
            module.targets.iter().for_each(|target| {
                places.entry(target).or_insert(place);
            });
        }
    }
    let mut is_scanned = vec![false; modules.len()];
    for entry in entries.iter_mut().filter(|entry| entry.part_of.is_none()) {
        let place = *places.get(entry.name.as_str()).ok_or_else(|| NotInModel(entry.name.clone()))?;
        let module = modules[place];
        is_scanned[place] = true;
        entry.shape = Some(module.shape);
        entry.layer = module.layer;
        entry.targets = module.targets_in_memory().to_vec();
        entry.is_parameter = module.is_parameter;
    }
    let others = modules.iter().zip(is_scanned).filter(|(_, is_scanned)| !is_scanned);
    let other = |module: &Module| Other::new(Entry::new(module, None), module.class, module.shape);
    surroundings.modules = others.map(|(module, _)| other(module)).collect();
    Ok(())
}

/// Whether a module's name alone tells that a default scan would rank it. Spectrum measures norms, embeddings and heads too.
pub fn is_ranked(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    crate::modules::class_by_name(name) == Class::Linear && !leaf.contains("norm") && !leaf.starts_with("ln_")
}
