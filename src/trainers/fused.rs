//! What a trainer has as one module where the scan has several: it takes all of them or none.

use super::Trainer;
use super::targets::Targets;
use crate::modules::name::number;
use crate::scan::{Pooling, Scan};

/// The `scan` in which the modules that are one for `trainer` are ranked as one, by the mean or the largest of their ratios. Where it
/// does not know the model, nothing is; its export says why.
pub fn pool_fused(trainer: &dyn Trainer, scan: Scan, how: Pooling) -> Scan {
    if how == Pooling::None {
        return scan;
    }
    let components = scan.surroundings.as_ref().map_or(&[][..], |around| &around.components);
    let components: Vec<Option<&str>> = match components {
        [] => vec![None],
        several => several.iter().map(|component| Some(component.as_str())).collect(),
    };
    let fused = components.into_iter().flat_map(|component| fused(trainer, &scan, component)).collect();
    scan.with_fused(fused, how)
}

/// The name, the type and the parts of each module of the trainer that is several of the scan. A type is a name with stars for its
/// numbers.
fn fused(trainer: &dyn Trainer, scan: &Scan, component: Option<&str>) -> Vec<(String, String, Vec<usize>)> {
    let Ok(naming) = trainer.naming(scan, component) else { return Vec::new() };
    let is_scanned = |members: &[usize]| members.iter().all(|place| *place < scan.records().len());
    let targets = Targets::new(scan, component, &*naming).all;
    let fused = targets.into_iter().filter(|target| target.is_joined() && is_scanned(&target.members));
    let within = |name: String| component.map_or(name.clone(), |component| format!("{component}.{name}"));
    let starred = |name: &str| {
        let segments = name.split('.').map(|segment| number(segment).map_or(segment, |_| "*"));
        segments.collect::<Vec<_>>().join(".")
    };
    fused.map(|target| (within(target.name.clone()), within(starred(&target.name)), target.members)).collect()
}
