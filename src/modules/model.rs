//! One model's weights -> its modules.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::architectures::{Architecture, Odd, Stack};
use super::left_out::Reason;
use super::loading::{Kind, Known, Loader};
use super::name::{Place, Several, module_name, number};
use super::places::Places;
use super::tied::Ties;
use super::{InMemory, Info, KnownBy, Module, Role, WEIGHT, Wanted};
use crate::checkpoint::{Axis, Band, Component, Config, Selection, Weight};

/// The segment of a name that is followed by an expert's.
const EXPERTS: &str = "experts";

/// The segment of a name that has the experts' modules directly beneath it in some models, each a stack.
const MIXTURE: &str = "moe";

/// The parameter of `torch.nn.MultiheadAttention` with queries, keys and values.
const ATTENTION_INPUT: &str = "in_proj_weight";

/// How `torch.nn.utils.weight_norm` calls the length and the direction of a weight, in its old form and in its new one.
const NORMALIZED: [&str; 4] =
    [".weight_g", ".weight_v", ".parametrizations.weight.original0", ".parametrizations.weight.original1"];

/// A component of a model, with all that decides how its modules are found and named.
pub struct Model<'a> {
    pub component: &'a Component,
    /// The component's configuration, completed by the defaults of its architecture.
    pub config: &'a Config,
    pub architecture: &'static Architecture,
    pub places: Places<'a>,
    /// The names of the tensors of convolutions that have one channel because the model's input has.
    pub one_channel: HashSet<&'a str>,
    pub wanted: Wanted,
    pub loader: Loader<'a>,
    /// What version 5 makes of the names, if `loader` is of another version: what a module is for does not depend on it.
    pub classes: Option<Loader<'a>>,
    pub ties: Ties,
    /// The names of transposed convolutions, as far as their biases tell.
    pub transposed: HashSet<&'a str>,
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
    /// Whether a library or a row of the table knows the architecture.
    pub fn is_known(&self) -> bool {
        self.loader.is_of_library() || self.architecture.has_row()
    }

    /// The matrices in the `weight` of the module at this `place`, or why there are none. Whether their numbers can be read is not
    /// checked, because packed codes may have any shape.
    pub fn matrices<'a>(&self, weight: &'a Arc<Weight>, place: Place) -> Result<Vec<Matrix<'a>>, Reason> {
        let module = weight.name.strip_suffix(WEIGHT).filter(|module| !module.is_empty());
        let name = module.unwrap_or(&weight.name);
        let kind = self.kind(&weight.name);
        let is_stack = kind == Some(Kind::Experts) || is_stack(name, &weight.shape);
        let stack = self.architecture.stack(name).or_else(|| is_stack.then_some(Stack::Leading));
        let stack = stack.filter(|stack| *stack != Stack::Leading || weight.shape.len() == 3);
        let is_multiplied = matches!(kind, Some(Kind::Linear | Kind::Router)) || self.is_attention_input(name, weight);
        if module.is_none() && stack.is_none() && !is_multiplied {
            let is_normalized = NORMALIZED.iter().any(|ending| name.ends_with(ending));
            return Err(if is_normalized { Reason::Normalized } else { Reason::NoWeight });
        }
        if weight.shape.contains(&0) {
            return Err(Reason::Empty);
        }
        if stack.is_none() && weight.shape.len() > 2 {
            self.check_convolution(name, weight)?;
        }
        let selections = self.selections(&weight.shape, stack)?;
        let is_vector = selections.first().is_none_or(|selection| selection.shape(&weight.shape).contains(&1));
        if is_vector && weight.is_floating() {
            return Err(Reason::Vector);
        }
        if stack.is_none() {
            return Ok(vec![Matrix::whole(place, weight)]);
        }
        let expert = |(index, selection)| Matrix {
            place: self.places.place(&expert_name(name, index)),
            weight,
            selection,
            stack: Some(name.to_owned()),
        };
        Ok(selections.into_iter().enumerate().map(expert).collect())
    }

    /// Whether a tensor without a module of its own holds queries, keys and values of `torch.nn.MultiheadAttention`.
    fn is_attention_input(&self, name: &str, weight: &Weight) -> bool {
        let path = attention_input(name);
        let is_tripled = matches!(weight.shape[..], [rows, columns] if columns.checked_mul(3) == Some(rows));
        is_tripled && path.is_some_and(|path| self.places.has(&format!("{path}out_proj{WEIGHT}")))
    }

    /// The role of the module at this `place`, whose weight has so many rows.
    fn role(&self, place: &Place, rows: Option<usize>) -> Role {
        Role::of(place, self.kind_of_module(&place.name), rows, self.architecture, self.config)
    }

    /// Fails if the convolution called `name` does not multiply with one matrix of outputs by inputs and positions.
    fn check_convolution(&self, name: &str, weight: &Weight) -> Result<(), Reason> {
        if weight.shape[1] == 1 && weight.shape.len() <= 5 && !self.one_channel.contains(weight.name.as_str()) {
            return Err(Reason::Depthwise);
        }
        match self.architecture.odd(name) {
            Some(Odd::Transposed) => Err(Reason::Transposed),
            _ if self.transposed.contains(name) => Err(Reason::Transposed),
            Some(Odd::Grouped) => Err(Reason::Grouped),
            None => Ok(()),
        }
    }

    /// Why the module called `name`, whose weight has so many rows, should not be measured, if there is a reason.
    pub fn reason_against(&self, name: &str, rows: Option<usize>) -> Option<Reason> {
        let kind = self.kind_of_module(name);
        let role = Role::of(&self.places.place(name), kind, rows, self.architecture, self.config);
        self.reason_for(name, kind, role)
    }

    /// As [`Self::reason_against`], for a module of this `role` that is of this `kind` in the library's class.
    pub fn reason_for(&self, name: &str, kind: Option<Kind>, role: Role) -> Option<Reason> {
        if kind == Some(Kind::Other) && self.architecture.stack(name).is_none() {
            return Some(Reason::NoWeight);
        }
        match role {
            Role::Linear => None,
            Role::Head if self.ties.contains(name) => Some(Reason::TiedHead),
            role if role.is_linear() && self.wanted.all_linear => None,
            role => Some(Reason::Role(role)),
        }
    }

    fn kind_of_module(&self, name: &str) -> Option<Kind> {
        self.kind(&format!("{name}{WEIGHT}")).or_else(|| self.kind(name))
    }

    /// What the stored `tensor` is for in the library's class.
    fn kind(&self, tensor: &str) -> Option<Kind> {
        self.known().kind_of_stored(tensor)
    }

    /// What version 5 makes of the names.
    pub fn known(&self) -> &Loader<'_> {
        self.classes.as_ref().unwrap_or(&self.loader)
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
            (_, [_, _, ..]) if shape.len() <= 5 => {
                let wanted = self.wanted.convolutions || self.architecture.convolutions;
                if wanted { Ok(vec![Selection::default()]) } else { Err(Reason::Convolution) }
            }
            _ => Err(Reason::Dimensions(shape.len())),
        }
    }

    /// The module with this matrix, followed by its parts if they are wanted.
    pub fn modules(&self, matrix: Matrix<'_>, several: Several) -> Vec<Module> {
        let stack = matrix.stack.clone();
        let stored = stack.as_deref().unwrap_or(&matrix.place.name).to_owned();
        let module = self.module(matrix, several);
        let parts = if self.wanted.parts { self.parts(&module, &stored, stack.is_some()) } else { Vec::new() };
        std::iter::once(module).chain(parts).collect()
    }

    /// The module with this matrix.
    pub fn module(&self, matrix: Matrix<'_>, several: Several) -> Module {
        let Matrix { place, weight, selection, stack } = matrix;
        let stored = stack.as_deref().unwrap_or(&place.name);
        let tensor = if weight.name.ends_with(WEIGHT) { format!("{stored}{WEIGHT}") } else { stored.to_owned() };
        let Known { parameters, known_by, .. } = self.loader.known(&tensor).into_owned();
        let known_by = match known_by {
            KnownBy::Nothing if self.architecture.has_row() => KnownBy::Row,
            known_by => known_by,
        };
        let memory = self.in_memory(parameters, &place, stack.is_some(), selection.band.is_some());
        let shape = selection.shape(&weight.shape);
        let role = match &stack {
            Some(stack) => self.role(&self.places.place(stack), Some(shape[0])),
            None => self.role(&place, Some(shape[0])),
        };
        let name = self.component.full_name(&place.name);
        let info = Info {
            kind: self.component.full_name(&place.kind(several)),
            role,
            layer: place.layer,
            shape: Some(shape),
            dtype: Some(weight.dtype()),
            memory,
            known_by,
            part_of: None,
            name,
        };
        Module {
            info,
            tensor: self.component.full_name(&weight.name),
            weight: Arc::clone(weight),
            selection,
            change: None,
        }
    }

    /// What the matrix at this `place` is in memory, where the tensor that it is in becomes these `parameters`.
    fn in_memory(&self, mut parameters: Vec<String>, place: &Place, is_stacked: bool, is_band: bool) -> InMemory {
        let is_one = is_stacked || (is_expert(&place.name) && !parameters.iter().any(|name| is_expert(name)));
        match parameters.len() {
            1 if is_stacked && is_band => InMemory::RowsOf(parameters.remove(0)),
            1 if is_one || attention_input(&parameters[0]).is_some() => InMemory::Parameter(parameters.remove(0)),
            0 | 1 => InMemory::Modules(parameters.iter().map(|name| module_name(name).to_owned()).collect()),
            _ if is_stacked => InMemory::Parameters(parameters),
            _ => InMemory::Modules(parameters.iter().map(|name| module_name(name).to_owned()).collect()),
        }
    }
}

/// Whether a tensor is by its name a stack of experts, and not a companion of their weights, such as scales.
fn is_stack(name: &str, shape: &[usize]) -> bool {
    let is_of_mixture = || name.split('.').any(|segment| segment == MIXTURE) && !shape[1..].contains(&1);
    shape.len() == 3 && !is_companion(name) && (is_of_experts(name) || is_of_mixture())
}

/// What precedes the name of the parameter in which `torch.nn.MultiheadAttention` has queries, keys and values, with the
/// last dot.
pub fn attention_input(name: &str) -> Option<&str> {
    name.strip_suffix(ATTENTION_INPUT).filter(|path| path.is_empty() || path.ends_with('.'))
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

/// An expert's name without its number; `None` for a module that is no expert.
pub fn without_expert(name: &str) -> Option<String> {
    let number = expert_number(name)?;
    Some([&name[..number.start], &name[number.end..]].concat())
}

/// Whether a name is that of an expert.
pub fn is_expert(name: &str) -> bool {
    expert_number(name).is_some()
}

/// Where in an expert's name its number is, with the dot before it.
fn expert_number(name: &str) -> Option<Range<usize>> {
    let mut before = "";
    let mut end = 0;
    for (at, segment) in name.split('.').enumerate() {
        let start = end;
        end = start + usize::from(at > 0) + segment.len();
        if before == EXPERTS && number(segment).is_some() {
            return Some(start..end);
        }
        before = segment;
    }
    None
}
