//! A scan that somebody else made, joined with the model that it is of.

use std::collections::{HashMap, HashSet};

use super::{Record, Scan, Surroundings, Unmeasured};
use crate::modules::{InMemory, Info};

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

impl Scan {
    /// Completes the scan with the names and shapes of the model's `modules` and with what is around them. Those that are not
    /// in the scan become part of the surroundings, but for experts that are one parameter with some that are: those could
    /// not be measured.
    ///
    /// # Errors
    ///
    /// Fails if the model lacks a module of the scan, or has it in another shape.
    pub fn join<'a>(
        &mut self,
        modules: impl Iterator<Item = &'a Info>,
        surroundings: Surroundings,
    ) -> Result<(), JoinError> {
        let modules: Vec<&Info> = modules.filter(|info| info.part_of.is_none()).collect();
        let places = places(&modules);
        let mut is_scanned = vec![false; modules.len()];
        for info in self.records.iter_mut().map(|record| &mut record.info).filter(|info| info.part_of.is_none()) {
            let place = *places.get(info.name.as_str()).ok_or_else(|| JoinError::NotInModel(info.name.clone()))?;
            is_scanned[place] = true;
            complete(info, modules[place])?;
        }
        let parameters = self.records.iter().filter_map(|record| record.info.memory.parameter());
        let shared: HashSet<String> = parameters.map(str::to_owned).collect();
        let others = modules.into_iter().zip(is_scanned).filter(|(_, is_scanned)| !is_scanned).map(|(info, _)| info);
        let is_shared = |info: &&Info| info.memory.names().iter().any(|name| shared.contains(name));
        let (unmeasured, others): (Vec<&Info>, Vec<&Info>) = others.partition(is_shared);
        let record = |info: &Info| Record { info: info.clone(), result: Err(Unmeasured::NoRatio) };
        self.records.extend(unmeasured.into_iter().map(record));
        self.surroundings = Some(Surroundings { modules: others.into_iter().cloned().collect(), ..surroundings });
        self.pools = super::pool::pool(&self.records, self.pooling);
        Ok(())
    }
}

/// Where the module of each name is. Names on disk go before names in memory, which several experts share.
fn places<'a>(modules: &[&'a Info]) -> HashMap<&'a str, usize> {
    let mut places: HashMap<&str, usize> =
        modules.iter().enumerate().map(|(place, info)| (info.name.as_str(), place)).collect();
    for (place, info) in modules.iter().enumerate() {
        let InMemory::Modules(names) = &info.memory else { continue };
        for name in names {
            places.entry(name).or_insert(place);
        }
    }
    places
}

/// Gives a module of a scan what is known of it in the model. A scan of the model in memory has the parts of a divided weight
/// by themselves, which lie below each other and are equal.
fn complete(info: &mut Info, model: &Info) -> Result<(), JoinError> {
    let divided = model.memory.names().len();
    let is_part = divided > 1 && info.name != model.name;
    let shape = model.shape.map(|[rows, columns]| [if is_part { rows / divided } else { rows }, columns]);
    if let (Some(scanned), Some(model)) = (info.shape, shape)
        && scanned != model
    {
        return Err(JoinError::OtherShape { name: info.name.clone(), scanned, model });
    }
    if !is_part {
        info.memory = model.memory.clone();
    }
    info.shape = shape.or(info.shape);
    info.layer = model.layer;
    Ok(())
}
