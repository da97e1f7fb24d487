//! A scan that somebody else made, joined with the model that it is of.

use std::collections::{HashMap, HashSet};

use super::{Entry, Other, Surroundings};
use crate::modules::{self, Class, Module};

/// Why a scan cannot be joined with a model.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The model lacks a module of the scan.
    #[error("'{0}' of the scan is no module of the model: is it the model that was scanned?")]
    NotInModel(String),
    /// The model has a module of another shape.
    #[error("'{name}' is {scanned:?} in the scan and {model:?} in the model: is it the model that was scanned?")]
    OtherShape {
        /// The module.
        name: String,
        /// Its shape in the scan.
        scanned: [usize; 2],
        /// Its shape in the model.
        model: [usize; 2],
    },
}

/// Completes a scan's `entries` with the names and shapes of the model's `modules`. Those that are not in the scan become
/// what surrounds it, but for experts that are one parameter with some that are: those could not be measured.
///
/// # Errors
///
/// Fails if the model lacks a module of the scan, or has it in another shape.
pub fn join<'a>(
    entries: &mut Vec<Entry>,
    modules: impl Iterator<Item = &'a Module>,
    surroundings: &mut Surroundings,
) -> Result<(), JoinError> {
    let modules: Vec<&Module> = modules.filter(|module| module.part_of.is_none()).collect();
    let places = places(&modules);
    let mut is_scanned = vec![false; modules.len()];
    for entry in entries.iter_mut().filter(|entry| entry.part_of.is_none()) {
        let place = *places.get(entry.name.as_str()).ok_or_else(|| JoinError::NotInModel(entry.name.clone()))?;
        is_scanned[place] = true;
        complete(entry, modules[place])?;
    }
    let shared: HashSet<String> =
        entries.iter().filter(|entry| entry.is_parameter).flat_map(|entry| entry.targets.clone()).collect();
    let others = modules.iter().zip(is_scanned).filter(|(_, is_scanned)| !is_scanned).map(|(module, _)| *module);
    let is_shared = |module: &&Module| module.targets_in_memory().iter().any(|target| shared.contains(target));
    let (unmeasured, others): (Vec<&Module>, Vec<&Module>) = others.partition(is_shared);
    entries.extend(unmeasured.into_iter().map(|module| Entry::new(module, None)));
    surroundings.modules = others.into_iter().map(Other::new).collect();
    Ok(())
}

/// Where the module of each name is. Names on disk go before names in memory, which several experts share.
fn places<'a>(modules: &[&'a Module]) -> HashMap<&'a str, usize> {
    let mut places: HashMap<&str, usize> =
        modules.iter().enumerate().map(|(place, module)| (module.name.as_str(), place)).collect();
    for (place, module) in modules.iter().enumerate().filter(|(_, module)| !module.is_parameter) {
        for target in &module.targets {
            places.entry(target).or_insert(place);
        }
    }
    places
}

/// Gives an entry what is known of its module. A scan of the model in memory has the parts of a divided weight by
/// themselves, which lie below each other and are equal.
fn complete(entry: &mut Entry, module: &Module) -> Result<(), JoinError> {
    let divided = module.targets.len();
    let is_part = divided > 1 && entry.name != module.name;
    let shape = module.known_shape().map(|[rows, columns]| [if is_part { rows / divided } else { rows }, columns]);
    if let (Some(scanned), Some(model)) = (entry.shape, shape)
        && scanned != model
    {
        return Err(JoinError::OtherShape { name: entry.name.clone(), scanned, model });
    }
    if !is_part {
        entry.targets = module.targets_in_memory().to_vec();
    }
    entry.shape = shape.or(entry.shape);
    entry.layer = module.layer;
    entry.is_parameter = module.is_parameter;
    entry.is_matrix = module.is_matrix();
    Ok(())
}

/// Whether a module's name alone tells that a default scan would rank it. Spectrum measures norms, embeddings and heads too.
pub fn is_ranked(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    modules::class_by_name(name) == Class::Linear && !leaf.contains("norm") && !leaf.starts_with("ln_")
}
