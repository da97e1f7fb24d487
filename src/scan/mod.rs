//! A scan's results as plain data, whoever wrote them.

mod files;
mod joined;
mod outputs;
mod ownership;
mod read;
mod read_error;
mod surroundings;

pub use files::{ManifestError, OpenError, open, surroundings};
pub use joined::{JoinError, is_ranked, join};
pub use outputs::{Destination, Outputs, manifest_of};
pub use read::{Format, Results, read};
pub use read_error::ReadError;
pub use surroundings::{Other, Surroundings};

use crate::modules::name::Place;
use crate::modules::{self, Module};

/// A module of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name, as the scan spells it.
    pub name: String,
    /// The type that it is ranked within.
    pub kind: String,
    /// The layer that it belongs to.
    pub layer: Option<usize>,
    /// Its ratio, which may be infinite; `None` if it could not be measured.
    pub snr: Option<f64>,
    /// Rows and columns, if the scan gives them.
    pub shape: Option<[usize; 2]>,
    /// What a trainer sees in memory: a module, or the parameter that holds all experts; several where a weight is
    /// divided. Never empty.
    pub targets: Vec<String>,
    /// Whether the target is a parameter of a module that is not linear itself.
    pub is_parameter: bool,
    /// Whether that parameter is a matrix, of which this is a block of rows.
    pub is_matrix: bool,
    /// The fused module that it is a part of; no trainer can select it then.
    pub part_of: Option<String>,
}

impl Entry {
    /// The entry of a scan's module with this ratio.
    pub fn new(module: &Module, snr: Option<f64>) -> Self {
        Self {
            name: module.name.clone(),
            kind: module.kind.clone(),
            layer: module.layer,
            snr,
            shape: module.known_shape(),
            targets: module.targets_in_memory().to_vec(),
            is_parameter: module.is_parameter,
            is_matrix: module.is_matrix(),
            part_of: module.part_of.clone(),
        }
    }

    /// Whether a trainer sees it under another name.
    pub fn is_renamed(&self) -> bool {
        self.targets != [self.name.as_str()]
    }

    /// The name and the type of the pool that it is in, if it is an expert's. What a trainer can only select together is
    /// one pool: experts that are one parameter in memory, gates and ups too where those are fused. Otherwise a pool is the
    /// same projection of all experts of a layer.
    pub fn pool(&self) -> Option<(String, String)> {
        match self.targets.as_slice() {
            _ if self.part_of.is_some() => None,
            [target] if self.is_parameter => {
                let name = target.strip_suffix(modules::WEIGHT).unwrap_or(target);
                // By its name in memory, unless the type tells more than the name does.
                let is_plain = Place::of(&self.name).kind(false) == self.kind;
                let leaf = name.rsplit('.').next().unwrap_or(name);
                let kind = if is_plain { Place::of(name).kind(false) } else { pooled_kind(&self.kind, Some(leaf)) };
                Some((name.to_owned(), kind))
            }
            _ => Some((modules::without_expert(&self.name)?, pooled_kind(&self.kind, None))),
        }
    }
}

/// The type of a pool: that of an expert without its number, which others spell out; with the parameter's last segment.
fn pooled_kind(kind: &str, leaf: Option<&str>) -> String {
    let is_number = |segment: &str| segment == "*" || segment.bytes().all(|byte| byte.is_ascii_digit());
    let mut segments: Vec<&str> = kind.split('.').collect();
    let after_experts = segments.windows(2).position(|pair| pair[0] == "experts" && is_number(pair[1]));
    let before_leaf = segments.len().checked_sub(2).filter(|at| is_number(segments[*at]));
    if let Some(number) = after_experts.map(|at| at + 1).or(before_leaf) {
        segments.remove(number);
    }
    if let (Some(leaf), Some(last)) = (leaf, segments.last_mut()) {
        *last = leaf;
    }
    segments.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expert(name: &str, kind: &str, target: &str, is_parameter: bool) -> Entry {
        Entry {
            name: name.into(),
            kind: kind.into(),
            layer: Some(3),
            snr: Some(1.0),
            shape: None,
            targets: vec![target.into()],
            is_parameter,
            is_matrix: false,
            part_of: None,
        }
    }

    #[test]
    fn experts_that_are_one_parameter_are_one_pool() {
        let pool = |name: &str, kind: &str, target: &str, is_parameter| {
            expert(name, kind, target, is_parameter).pool().expect("an expert")
        };
        let fused = "m.layers.3.mlp.experts.gate_up_proj";
        for leaf in ["gate_proj", "up_proj"] {
            let (name, kind) = (format!("m.layers.3.mlp.experts.7.{leaf}"), format!("mlp.experts.*.{leaf}"));
            assert_eq!(pool(&name, &kind, fused, true), (fused.into(), "mlp.experts.gate_up_proj".into()));
            let apart = (format!("m.layers.3.mlp.experts.{leaf}"), format!("mlp.experts.{leaf}"));
            assert_eq!(pool(&name, &kind, &name, false), apart);
        }
        let stack =
            pool("m.layers.3.moe.5.input_linear", "moe.*.input_linear", "m.layers.3.moe.input_linear.weight", true);
        assert_eq!(stack, ("m.layers.3.moe.input_linear".into(), "moe.input_linear".into()));
        assert_eq!(expert("m.layers.3.mlp.up_proj", "mlp.up_proj", "m.layers.3.mlp.up_proj", false).pool(), None);
    }
}
