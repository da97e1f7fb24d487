//! What a trainer has as one module where the scan has several: it takes all of them or none.

use super::Trainer;
use super::targets::{Target, Targets};
use crate::modules::name::number;
use crate::scan::{Fused, Pooling, Scan};

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

/// What is one module for the trainer and several in the scan. Its type is its name with stars for numbers.
fn fused(trainer: &dyn Trainer, scan: &Scan, component: Option<&str>) -> Vec<Fused> {
    let Ok(naming) = trainer.naming(scan, component) else { return Vec::new() };
    let is_scanned = |members: &[usize]| members.iter().all(|place| *place < scan.records().len());
    let targets = Targets::new(scan, component, &*naming).all;
    let joined = targets.into_iter().filter(|target| target.is_joined() && is_scanned(&target.members));
    let fused = |Target { name, members, .. }: Target| {
        let name = component.map_or_else(|| name.clone(), |component| format!("{component}.{name}"));
        let segments = name.split('.').map(|segment| number(segment).map_or(segment, |_| "*"));
        Fused { kind: segments.collect::<Vec<_>>().join("."), name, parts: members }
    };
    joined.map(fused).collect()
}
