//! One model's weights -> its modules.

use std::sync::Arc;

use super::architectures::{Architecture, Stack};
use super::left_out::Reason;
use super::name::{Place, number};
use super::runtime::Runtime;
use super::tied::Ties;
use super::{InMemory, Info, Module, Role, WEIGHT, Wanted};
use crate::checkpoint::{Axis, Band, Component, Config, Selection, Weight};

/// First segments of the names of a base model's modules if the base model's own name is missing.
#[rustfmt::skip]
const ROOTS: [&str; 14] = [
    "layers", "h", "blocks", "encoder", "decoder", "embeddings", "connector", "feature_extractor", "feature_projection",
    "perceiver_resampler", "text_model", "vision_model", "language_model", "visual",
];

/// The segment of a name that is followed by an expert's.
const EXPERTS: &str = "experts";

/// A component of a model, with all that decides how its modules are found and named.
pub struct Model<'a> {
    pub component: &'a Component,
    /// The component's configuration, completed by the defaults of its architecture.
    pub config: &'a Config,
    pub architecture: &'static Architecture,
    pub wanted: Wanted,
    pub runtime: Runtime,
    pub ties: Ties,
}

/// A matrix in a weight.
#[derive(Clone)]
pub struct Matrix<'a> {
    pub place: Place,
    pub weight: &'a Arc<Weight>,
    pub selection: Selection,
    /// The name of the stack, for a matrix in a stack of experts.
    pub stack: Option<String>,
}

impl<'a> Matrix<'a> {
    /// The whole `weight` as the matrix of the module at this `place`.
    pub fn whole(place: Place, weight: &'a Arc<Weight>) -> Self {
        Self { place, weight, selection: Selection::default(), stack: None }
    }

    pub fn shape(&self) -> [usize; 2] {
        self.selection.shape(&self.weight.shape)
    }
}

impl Model<'_> {
    /// The matrices in `weight`, or why there are none. Whether their numbers can be read is not checked, because
    /// packed codes may have any shape.
    pub fn matrices<'a>(&self, weight: &'a Arc<Weight>) -> Result<Vec<Matrix<'a>>, Reason> {
        let module = weight.name.strip_suffix(WEIGHT).filter(|module| !module.is_empty());
        let name = module.unwrap_or(&weight.name);
        let stack = self.architecture.stack(name).or_else(|| is_stack(name, &weight.shape).then_some(Stack::Leading));
        let stack = stack.filter(|stack| *stack != Stack::Leading || weight.shape.len() == 3);
        if module.is_none() && stack.is_none() {
            return Err(Reason::NoWeight);
        }
        if weight.shape.contains(&0) {
            return Err(Reason::Empty);
        }
        let selections = self.selections(&weight.shape, stack)?;
        let is_vector = selections.first().is_none_or(|selection| selection.shape(&weight.shape).contains(&1));
        if is_vector && weight.is_floating() {
            return Err(Reason::Vector);
        }
        let matrix = |(index, selection)| {
            let place = if stack.is_some() { Place::of(&expert_name(name, index)) } else { Place::of(name) };
            Matrix { place, weight, selection, stack: stack.map(|_| name.to_owned()) }
        };
        Ok(selections.into_iter().enumerate().map(matrix).collect())
    }

    /// Why the module called `name` should not be measured, if there is a reason.
    pub fn reason_against(&self, name: &str) -> Option<Reason> {
        match Role::of(name, self.architecture, self.config) {
            Role::Linear => None,
            Role::Head if self.ties.contains(name) => Some(Reason::TiedHead),
            role if role.is_linear() && self.wanted.all_linear => None,
            role => Some(Reason::Role(role)),
        }
    }

    /// The names in memory of the tensor or module called `stored` on disk. `base` is the base model's name if the
    /// checkpoint's names lack it.
    pub fn names(&self, stored: &str, base: Option<&str>) -> Vec<String> {
        let is_at_root = ROOTS.contains(&stored.split('.').next().unwrap_or(""));
        self.runtime.names(stored, base.filter(|_| is_at_root))
    }

    /// The matrices that a weight of `shape` consists of.
    fn selections(&self, shape: &[usize], stack: Option<Stack>) -> Result<Vec<Selection>, Reason> {
        match (stack, shape) {
            (Some(Stack::Leading), &[count, _, _]) => Ok((0..count).map(Selection::at).collect()),
            (Some(Stack::Rows(key)), &[rows, _]) => {
                let count = self.config.number(&[key]).filter(|count| *count > 0 && rows.is_multiple_of(*count));
                let each = rows / count.ok_or(Reason::ExpertsUncounted(key))?;
                let block = |start| Band { axis: Axis::Rows, period: rows, range: start..start + each, repeats: 1 };
                Ok((0..rows).step_by(each).map(|start| Selection { index: None, band: Some(block(start)) }).collect())
            }
            (_, [_] | []) => Err(Reason::Vector),
            (_, [_, _]) => Ok(vec![Selection::default()]),
            // nn.Conv1d, nn.Conv2d and nn.Conv3d store [out, in / groups, …].
            (_, [_, 1, ..]) if shape.len() <= 5 => Err(Reason::Depthwise),
            (_, [_, _, ..]) if shape.len() <= 5 => {
                let wanted = self.wanted.convolutions || self.architecture.convolutions;
                if wanted { Ok(vec![Selection::default()]) } else { Err(Reason::Convolution) }
            }
            _ => Err(Reason::Dimensions(shape.len())),
        }
    }

    /// The name of the base model, in which everything but the head is in memory, if the checkpoint's names lack it.
    pub fn missing_base(&self) -> Option<&'static str> {
        self.architecture.base.filter(|base| {
            let is_in_base = |name: &str| name.split('.').next() == Some(base);
            !self.component.weights.iter().any(|weight| is_in_base(&weight.name))
        })
    }

    /// The module with this matrix, followed by its parts if they are wanted.
    pub fn modules(&self, matrix: Matrix<'_>, several_stacks: bool, base: Option<&str>) -> Vec<Module> {
        let stack = matrix.stack.clone();
        let stored = stack.as_deref().unwrap_or(&matrix.place.name).to_owned();
        let module = self.module(matrix, several_stacks, base);
        let parts = if self.wanted.parts { self.parts(&module, &stored, stack.is_some()) } else { Vec::new() };
        std::iter::once(module).chain(parts).collect()
    }

    /// The module with this matrix.
    pub fn module(&self, matrix: Matrix<'_>, several_stacks: bool, base: Option<&str>) -> Module {
        let Matrix { place, weight, selection, stack } = matrix;
        let stored = stack.as_deref().unwrap_or(&place.name);
        let mut targets = self.names(stored, base);
        let is_expert = without_expert(&place.name).is_some();
        let is_parameter =
            stack.is_some() || (is_expert && targets.iter().all(|target| without_expert(target).is_none()));
        if stack.is_some() && weight.name.ends_with(WEIGHT) {
            // A stack that keeps its name is the `.weight` of a module of its own.
            let leaf = stored.rsplit('.').next().unwrap_or(stored);
            targets.iter_mut().filter(|target| target.ends_with(leaf)).for_each(|target| target.push_str(WEIGHT));
        }
        let is_rows = stack.is_some() && selection.band.is_some();
        let name = self.component.full_name(&place.name);
        let info = Info {
            kind: self.component.full_name(&place.kind(several_stacks)),
            role: Role::of(stored, self.architecture, self.config),
            layer: place.layer,
            shape: Some(selection.shape(&weight.shape)),
            dtype: Some(weight.dtype()),
            memory: in_memory(targets, is_parameter, is_rows),
            part_of: None,
            name,
        };
        Module { info, tensor: self.component.full_name(&weight.name), weight: Arc::clone(weight), selection }
    }
}

/// Whether a tensor is by its name a stack of experts, and not a companion of their weights, such as scales.
fn is_stack(name: &str, shape: &[usize]) -> bool {
    shape.len() == 3 && !is_companion(name) && is_of_experts(name)
}

/// Whether a name is that of a companion of a weight: a bias, scales or zero points.
pub fn is_companion(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    ["bias", "scale", "zero"].iter().any(|part| leaf.contains(part))
}

pub fn is_of_experts(name: &str) -> bool {
    name.split('.').any(|segment| segment == EXPERTS)
}

/// The name of an expert of the stack `name`: its number stands before the last segment.
fn expert_name(name: &str, expert: usize) -> String {
    match name.rsplit_once('.') {
        Some((path, leaf)) => format!("{path}.{expert}.{leaf}"),
        None => format!("{expert}.{name}"),
    }
}

fn in_memory(mut names: Vec<String>, is_parameter: bool, is_rows: bool) -> InMemory {
    match names.len() {
        1 if is_parameter && is_rows => InMemory::RowsOf(names.remove(0)),
        1 if is_parameter => InMemory::Parameter(names.remove(0)),
        _ => InMemory::Modules(names),
    }
}

/// An expert's name without its number; `None` for a module that is no expert.
pub fn without_expert(name: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let at = segments.windows(2).position(|pair| pair[0] == EXPERTS && number(pair[1]).is_some())? + 1;
    Some([&segments[..at], &segments[at + 1..]].concat().join("."))
}
