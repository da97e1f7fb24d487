//! Joining a scan of another program with the model that was scanned.

use std::collections::{HashMap, HashSet};

use super::{Record, Scan, Surroundings, Unmeasured};
use crate::modules::{InMemory, Info};

/// Why a scan cannot be joined with a model.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("'{0}' of the scan is no module of the model: is it the model that was scanned?")]
    NotInModel(String),
    #[error("'{name}' is {scanned:?} in the scan and {model:?} in the model: is it the model that was scanned?")]
    OtherShape { name: String, scanned: [usize; 2], model: [usize; 2] },
}

impl Scan {
    /// Completes the scan with the names and shapes of the model's `modules` and with the model's `surroundings`.
    /// Modules that are not in the scan are added to the surroundings. But experts that are one parameter with an
    /// expert in the scan count as unmeasured.
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
        self.pools = super::pool::pool(&self.records, self.pooling, self.ranking);
        Ok(())
    }
}

/// The index of the module with each name. Names on disk take precedence over names in memory, which experts may share.
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

/// Completes a module of a scan with what is known from the model. Programs that scan the model in memory measure the
/// parts of a divided weight separately; these are equal blocks of its rows.
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
