//! What a linear module is, whether or not it is measured.

use super::name::{Place, number};
use super::{KnownBy, Role, WEIGHT, attention_input, places, role, without_expert};

/// What is known of a linear module. A scan's records, its files, selections and trainers all use this description.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The tensor's name without `.weight`. For an expert of a stack, its number stands before the last segment; for a
    /// part of a fused module, the part's name follows the module's.
    pub name: String,
    /// The type within which it is ranked: its name after the layer, with other numbers replaced by `*`.
    pub kind: String,
    pub role: Role,
    /// `None` for a module outside the stack of layers.
    pub layer: Option<usize>,
    /// Rows and columns, as stored, where they are known.
    pub shape: Option<[usize; 2]>,
    /// The type of the stored elements, such as `BF16` or `NF4`, where it is known.
    pub dtype: Option<String>,
    /// Where a trainer finds it.
    pub memory: InMemory,
    pub known_by: KnownBy,
    /// The fused module that it is a part of. No trainer can select a part.
    pub part_of: Option<String>,
}

/// What a module on disk is in the memory of a program that has loaded the model.
#[derive(Clone, Debug, PartialEq)]
pub enum InMemory {
    /// A module of this name; several if the weight is divided when it is loaded. There is at least one name.
    Modules(Vec<String>),
    /// A parameter that holds this matrix beside others, such as all experts of a layer.
    Parameter(String),
    /// Parameters of which each holds a part of this matrix beside those of others, such as the gates and the ups of all experts that
    /// one tensor holds together. There are at least two names.
    Parameters(Vec<String>),
    /// A parameter that is one matrix, of which this module is a block of rows.
    RowsOf(String),
}

impl InMemory {
    /// The names, at least one.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Modules(names) | Self::Parameters(names) => names,
            Self::Parameter(name) | Self::RowsOf(name) => std::slice::from_ref(name),
        }
    }

    /// The name of the parameter, or of the first of several.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Modules(_) => None,
            Self::Parameters(names) => names.first().map(String::as_str),
            Self::Parameter(name) | Self::RowsOf(name) => Some(name),
        }
    }
}

impl Info {
    /// What is known of a module with this `name` and `kind` if it has the same name in memory.
    pub fn of_name(name: &str, kind: String) -> Self {
        Self::at(&places::by_name(name), kind)
    }

    /// What is known of a module at this `place` with this `kind` if it has the same name in memory.
    pub(crate) fn at(place: &Place, kind: String) -> Self {
        Self {
            name: place.name.clone(),
            kind,
            role: role::by_place(place),
            layer: place.layer,
            shape: None,
            dtype: None,
            memory: InMemory::Modules(vec![place.name.clone()]),
            known_by: KnownBy::Unsaid,
            part_of: None,
        }
    }

    /// The module that has the rows of all these `parts`; its shape is not known if one of theirs is not.
    pub(crate) fn joined<'i>(mut parts: impl Iterator<Item = &'i Self> + Clone) -> Option<Self> {
        let rows = parts.clone().map(|info| info.shape.map(|[rows, _]| rows)).sum::<Option<usize>>();
        let first = parts.next()?;
        Some(Self { shape: first.shape.zip(rows).map(|([_, columns], rows)| [rows, columns]), ..first.clone() })
    }

    pub fn is_renamed(&self) -> bool {
        self.memory.names() != [self.name.as_str()]
    }

    /// The name and the type of its pool, if it is an expert. Whatever a trainer can only select together is one pool:
    /// experts that are one parameter in memory, including gates and ups if those are fused. Otherwise a pool is the
    /// same projection of all experts of a layer.
    pub fn pool(&self) -> Option<(String, String)> {
        if self.part_of.is_some() || attention_input(&self.name).is_some() {
            return None;
        }
        let Some(target) = self.memory.parameter() else {
            return Some((without_expert(&self.name)?, pooled_kind(&self.kind, None)));
        };
        let name = target.strip_suffix(WEIGHT).unwrap_or(target);
        // The type follows from the name in memory, unless the expert's type has more than its name gives.
        let is_plain = within(&self.name, self.layer) == self.kind;
        let leaf = name.rsplit('.').next().unwrap_or(name);
        let kind = if is_plain { within(name, self.layer) } else { pooled_kind(&self.kind, Some(leaf)) };
        Some((name.to_owned(), kind))
    }
}

/// What follows the `layer` in a name, with `*` for other numbers.
fn within(name: &str, layer: Option<usize>) -> String {
    let segments: Vec<&str> = name.split('.').collect();
    let own = layer.and_then(|layer| segments.iter().position(|segment| number(segment) == Some(layer)));
    let within = segments.iter().skip(own.map_or(0, |at| at + 1));
    let within: Vec<&str> = within.map(|segment| number(segment).map_or(*segment, |_| "*")).collect();
    within.join(".")
}

/// The type of a pool: an expert's type without the expert's number, and with the parameter's last segment `leaf`.
/// Files of other programs may have the number itself instead of `*`.
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

    fn expert(name: &str, kind: &str, memory: InMemory) -> Info {
        Info { memory, ..Info::of_name(name, kind.to_owned()) }
    }

    #[test]
    fn experts_that_are_one_parameter_are_one_pool() {
        let pool = |name: &str, kind: &str, memory| expert(name, kind, memory).pool().expect("an expert");
        let module = |name: &str| InMemory::Modules(vec![name.to_owned()]);
        let fused = "m.layers.3.mlp.experts.gate_up_proj";
        for leaf in ["gate_proj", "up_proj"] {
            let (name, kind) = (format!("m.layers.3.mlp.experts.7.{leaf}"), format!("mlp.experts.*.{leaf}"));
            let parameter = InMemory::Parameter(fused.to_owned());
            assert_eq!(pool(&name, &kind, parameter), (fused.into(), "mlp.experts.gate_up_proj".into()));
            let apart = (format!("m.layers.3.mlp.experts.{leaf}"), format!("mlp.experts.{leaf}"));
            assert_eq!(pool(&name, &kind, module(&name)), apart);
        }
        let stack = InMemory::Parameter("m.layers.3.moe.input_linear.weight".to_owned());
        let stack = pool("m.layers.3.moe.5.input_linear", "moe.*.input_linear", stack);
        assert_eq!(stack, ("m.layers.3.moe.input_linear".into(), "moe.input_linear".into()));
        let dense = "m.layers.3.mlp.up_proj";
        assert_eq!(expert(dense, "mlp.up_proj", module(dense)).pool(), None);
    }
}
