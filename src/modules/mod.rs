//! Tensor names -> linear modules.
//!
//! Which weights are those of linear modules, what such a module is called, which layer it belongs to and which modules
//! are compared with each other (its type) is decided from names, shapes and the model's configuration alone: by rules
//! that hold across architectures (`name.rs`, `class.rs`), and by tables for what differs between them (`families.rs`), and
//! between names on disk and in memory (`runtime.rs`).

mod class;
mod families;
mod filter;
mod name;
mod runtime;

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

pub use class::Class;
pub use filter::{Filter, FilterError};
pub use runtime::Line;

use crate::checkpoint::{Axis, Band, Component, Config, Other, Selection, Weight};
use families::{Family, InputFirst, Stack};
use name::{Place, number};

/// The end of the name of a module's weight.
const WEIGHT: &str = ".weight";

/// The segment of a name below which experts are.
const EXPERTS: &str = "experts";

/// A matrix that is measured: the weight of a linear module, of one expert, or of a part of a fused module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its name, as trainers and the seed spell it: the tensor's without `.weight`. One expert of a stack has its number
    /// before the last segment; a part of a fused module has its own name after the module's.
    pub name: String,
    /// The weight that it is, or is in.
    pub weight: Arc<Weight>,
    /// The name by which the whole checkpoint knows the weight.
    pub tensor: String,
    /// Where in the weight it is.
    pub selection: Selection,
    /// What it is ranked with: its name after the layer, with other numbers replaced by `*`.
    pub kind: String,
    /// The layer it belongs to; `None` for a module outside the stack of layers.
    pub layer: Option<usize>,
    /// Rows and columns, as stored.
    pub shape: [usize; 2],
    /// What a trainer sees in memory, where that is called otherwise: a module, or the parameter that holds all experts.
    pub target: Option<String>,
    /// The fused module that it is a part of.
    pub part_of: Option<String>,
    /// What it is pooled with, if it is an expert's.
    pub pool: Option<Pool>,
}

/// The same projection of all experts of a layer, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name: an expert's without the number.
    pub name: String,
    /// What it is ranked with.
    pub kind: String,
}

/// A tensor that is not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The tensor's name.
    pub tensor: String,
    /// Why it is not measured.
    pub reason: Reason,
}

/// Why a tensor is not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its name is not that of a module's weight.
    NoWeight,
    /// It has no elements.
    Empty,
    /// It has one row or one column.
    Vector,
    /// It is a convolution's, and convolutions are not asked for.
    Convolution,
    /// It is a convolution's that takes each channel by itself.
    Depthwise,
    /// It has this many dimensions.
    Dimensions(usize),
    /// Its elements are of this type.
    Dtype(String),
    /// It is the weight of a module of this class.
    Class(Class),
    /// It is a head's that shares the embedding's weight.
    TiedHead,
    /// It is a part of a quantised weight.
    Companion,
    /// It is not in the index.
    Unlisted,
    /// No `--include` matches it.
    NotIncluded,
    /// An `--exclude` matches it.
    Excluded,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWeight => formatter.write_str("no module's weight"),
            Self::Empty => formatter.write_str("no elements"),
            Self::Vector => formatter.write_str("a vector, not a matrix"),
            Self::Convolution => formatter.write_str("a convolution"),
            Self::Depthwise => formatter.write_str("a depthwise convolution"),
            Self::Dimensions(count) => write!(formatter, "{count} dimensions, not two"),
            Self::Dtype(dtype) => write!(formatter, "dtype {dtype} is not supported"),
            Self::Class(class) => class.fmt(formatter),
            Self::TiedHead => formatter.write_str("a head that shares the embedding's weight"),
            Self::Companion => formatter.write_str("part of a quantised weight"),
            Self::Unlisted => formatter.write_str("not in the index"),
            Self::NotIncluded => formatter.write_str("not matched by --include"),
            Self::Excluded => formatter.write_str("matched by --exclude"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is to be measured beside the linear modules within the layers, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Heads, routers and embeddings' projections too.
    pub all_linear: bool,
    /// Convolutions too, in models where they are not measured anyway.
    pub convolutions: bool,
    /// The parts of fused modules too.
    pub parts: bool,
    /// The line of transformers whose names in memory are given.
    pub line: Line,
}

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Its linear modules, in model order: by layer, and within a layer as the model runs through them.
    pub modules: Vec<Module>,
    /// All its other tensors.
    pub left_out: Vec<LeftOut>,
    /// The architectures for which there is no row in the table, so that general rules had to do.
    pub unknown: Vec<String>,
}

/// Finds the linear modules of a checkpoint's components.
pub fn discover(components: &[Component], wanted: Wanted) -> Discovery {
    let mut discovery = Discovery::default();
    for component in components {
        discover_component(component, wanted, &mut discovery);
    }
    discovery
}

fn discover_component(component: &Component, wanted: Wanted, discovery: &mut Discovery) {
    let config = &component.config;
    let family = Family::of(config);
    if let (None, Some(name)) = (family, &config.model_type) {
        discovery.unknown.push(name.clone());
    }
    let model = Model { component, config, family: family.unwrap_or(&families::UNKNOWN), wanted };
    let mut found = Vec::new();
    for weight in &component.weights {
        match model.matrices(weight) {
            Ok(matrices) => found.extend(matrices),
            Err(reason) => {
                discovery.left_out.push(LeftOut { tensor: component.full_name(&weight.name), reason });
            }
        }
    }
    discovery.left_out.extend(component.others.iter().map(|(tensor, other)| LeftOut {
        tensor: component.full_name(tensor),
        reason: match other {
            Other::Unlisted => Reason::Unlisted,
            Other::Companion => Reason::Companion,
        },
    }));
    let several_stacks = {
        let mut stacks = found.iter().filter_map(|matrix| matrix.place.layer.map(|_| &matrix.place.stack));
        let first = stacks.next();
        stacks.any(|stack| Some(stack) != first)
    };
    found.sort_by_cached_key(|matrix| matrix.place.model_order());
    let base = model.missing_base();
    discovery.modules.extend(found.into_iter().flat_map(|matrix| model.modules(matrix, several_stacks, base)));
}

/// A model with what is asked about it.
struct Model<'a> {
    component: &'a Component,
    config: &'a Config,
    family: &'static Family,
    wanted: Wanted,
}

/// A matrix of a weight.
struct Matrix<'a> {
    place: Place,
    weight: &'a Arc<Weight>,
    selection: Selection,
    /// The name of the whole stack, for one of a stack.
    stack: Option<String>,
}

impl Model<'_> {
    /// The matrices of `weight` that are to be measured, or why there are none.
    fn matrices<'a>(&self, weight: &'a Arc<Weight>) -> Result<Vec<Matrix<'a>>, Reason> {
        let module = weight.name.strip_suffix(WEIGHT).filter(|module| !module.is_empty());
        let name = module.unwrap_or(&weight.name);
        let stack = self.family.stack(name).or_else(|| is_stack(name, &weight.shape).then_some(Stack::Leading));
        if module.is_none() && stack.is_none() {
            return Err(Reason::NoWeight);
        }
        if weight.shape.contains(&0) {
            return Err(Reason::Empty);
        }
        let selections = self.selections(&weight.shape, stack)?;
        if selections.first().is_none_or(|selection| selection.shape(&weight.shape).contains(&1)) {
            return Err(Reason::Vector);
        }
        if !weight.is_floating() {
            return Err(Reason::Dtype(weight.dtype()));
        }
        match Class::of(name, self.config) {
            Class::Linear => {}
            Class::Head if self.config.ties_embeddings && class::is_output(name) => return Err(Reason::TiedHead),
            class if class.is_linear() && self.wanted.all_linear => {}
            class => return Err(Reason::Class(class)),
        }
        let matrix = |(index, selection)| match stack {
            Some(_) => {
                Matrix { place: Place::of(&expert_name(name, index)), weight, selection, stack: Some(name.to_owned()) }
            }
            None => Matrix { place: Place::of(name), weight, selection, stack: None },
        };
        Ok(selections.into_iter().enumerate().map(matrix).collect())
    }

    /// The matrices that a weight of `shape` is made of.
    fn selections(&self, shape: &[usize], stack: Option<Stack>) -> Result<Vec<Selection>, Reason> {
        match (stack, shape) {
            (Some(Stack::Leading), &[count, _, _]) => Ok((0..count).map(Selection::at).collect()),
            (Some(Stack::Rows(key)), &[rows, _]) => {
                let count = self.config.number(&[key]).filter(|count| *count > 0 && rows.is_multiple_of(*count));
                let each = rows / count.ok_or(Reason::NoWeight)?;
                let block = |start| Band { axis: Axis::Rows, period: rows, range: start..start + each, repeats: 1 };
                Ok((0..rows).step_by(each).map(|start| Selection { index: None, band: Some(block(start)) }).collect())
            }
            (_, [_] | []) => Err(Reason::Vector),
            (_, [_, _]) => Ok(vec![Selection::default()]),
            // nn.Conv1d, nn.Conv2d and nn.Conv3d store [out, in / groups, …].
            (_, [_, 1, ..]) if shape.len() <= 5 => Err(Reason::Depthwise),
            (_, [_, _, ..]) if shape.len() <= 5 => {
                let wanted = self.wanted.convolutions || self.family.convolutions;
                if wanted { Ok(vec![Selection::default()]) } else { Err(Reason::Convolution) }
            }
            _ => Err(Reason::Dimensions(shape.len())),
        }
    }

    /// What everything but the head is in when the model is in memory, if the checkpoint's names lack it.
    fn missing_base(&self) -> Option<&'static str> {
        self.family.base.filter(|base| {
            let is_in_base = |name: &str| name.split('.').next() == Some(base);
            !self.component.weights.iter().any(|weight| is_in_base(&weight.name))
        })
    }

    /// The module that a matrix is, with its parts if they are wanted.
    fn modules(&self, matrix: Matrix<'_>, several_stacks: bool, base: Option<&str>) -> Vec<Module> {
        let Matrix { place, weight, selection, stack } = matrix;
        let stored = stack.as_deref().unwrap_or(&place.name);
        let is_at_root =
            ["layers", "h", "blocks", "encoder", "decoder"].contains(&stored.split('.').next().unwrap_or(""));
        let target = runtime::in_memory(stored, self.config, self.wanted.line, base.filter(|_| is_at_root));
        let pool = match &stack {
            Some(stack) => Some(stack.clone()),
            None => without_expert(&place.name),
        };
        let kind = |place: &Place| self.component.full_name(&place.kind(several_stacks));
        let pool = pool.map(|name| Pool { kind: kind(&Place::of(&name)), name: self.component.full_name(&name) });
        let name = self.component.full_name(&place.name);
        let module = Module {
            shape: selection.shape(&weight.shape),
            tensor: self.component.full_name(&weight.name),
            kind: kind(&place),
            layer: place.layer,
            target: Some(target).filter(|target| *target != name),
            part_of: None,
            weight: Arc::clone(weight),
            name,
            selection,
            pool,
        };
        let parts = if self.wanted.parts { self.parts(&module, stored, stack.is_some()) } else { Vec::new() };
        std::iter::once(module).chain(parts).collect()
    }

    /// The parts of `module`, if it is a fused one whose layout is known.
    fn parts(&self, module: &Module, stored: &str, is_stacked: bool) -> Vec<Module> {
        let Some(layout) = self.family.layout(stored).filter(|_| module.selection.band.is_none()) else {
            return Vec::new();
        };
        let axis = self.output_axis(module.shape, is_stacked);
        let lines = module.shape[usize::from(axis == Axis::Columns)];
        let Some(divided) = layout.divide(lines, self.config) else { return Vec::new() };
        let (period, repeats) = (divided.period(), divided.repeats);
        let mut start = 0;
        let part = |(name, lines): (&str, usize)| {
            let band = Band { axis, period, range: start..start + lines, repeats };
            start += lines;
            let selection = Selection { index: module.selection.index, band: Some(band) };
            Module {
                name: format!("{}.{name}", module.name),
                kind: format!("{}.{name}", module.kind),
                shape: selection.shape(&module.weight.shape),
                selection,
                target: Some(module.target.clone().unwrap_or_else(|| module.name.clone())),
                part_of: Some(module.name.clone()),
                pool: None,
                ..module.clone()
            }
        };
        let parts = divided.parts.into_iter().map(part);
        parts.filter(|part| part.shape.iter().all(|extent| *extent > 1)).collect()
    }

    /// Along which axis of a stored matrix its outputs lie.
    fn output_axis(&self, [rows, columns]: [usize; 2], is_stacked: bool) -> Axis {
        let hidden = self.config.number(&["hidden_size", "n_embd", "d_model"]);
        match self.family.input_first {
            InputFirst::Everything => Axis::Columns,
            // Gate and up are projections from the hidden size, so that it tells which extent is the input.
            _ if is_stacked && Some(rows) == hidden && columns != rows => Axis::Columns,
            _ if is_stacked && Some(columns) == hidden && columns != rows => Axis::Rows,
            InputFirst::Experts if is_stacked => Axis::Columns,
            _ => Axis::Rows,
        }
    }
}

/// Whether a tensor of three dimensions is a stack of experts by its name. What is added to experts' outputs is not.
fn is_stack(name: &str, shape: &[usize]) -> bool {
    shape.len() == 3 && !name.ends_with("bias") && name.split('.').any(|segment| segment == EXPERTS)
}

/// The name of one expert of the stack `name`: its number stands before the last segment.
fn expert_name(name: &str, expert: usize) -> String {
    match name.rsplit_once('.') {
        Some((path, leaf)) => format!("{path}.{expert}.{leaf}"),
        None => format!("{expert}.{name}"),
    }
}

/// An expert's name without its number; `None` if it is no expert's.
fn without_expert(name: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let at = segments.windows(2).position(|pair| pair[0] == EXPERTS && number(pair[1]).is_some())? + 1;
    Some([&segments[..at], &segments[at + 1..]].concat().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, Part, TensorInfo};

    fn tensor(name: &str, shape: &[usize], dtype: Dtype) -> Weight {
        let tensor = TensorInfo { name: name.into(), dtype, shape: shape.into(), bytes: 0..0 };
        Weight::plain(Part { shard: 0, tensor })
    }

    fn found(weights: &[Weight], config: &Config, wanted: Wanted) -> Discovery {
        let component = Component {
            name: None,
            config: config.clone(),
            quantization: None,
            weights: weights.iter().cloned().map(Arc::new).collect(),
            others: Vec::new(),
        };
        discover(&[component], wanted)
    }

    fn names(weights: &[Weight], config: &Config, all_linear: bool) -> Vec<String> {
        let discovery = found(weights, config, Wanted { all_linear, ..Wanted::default() });
        discovery.modules.into_iter().map(|module| module.name).collect()
    }

    #[test]
    fn modules_come_in_model_order_whatever_the_order_on_disk() {
        let leaves = [
            "mlp.down_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "self_attn.k_proj",
            "self_attn.o_proj",
            "self_attn.q_proj",
            "self_attn.v_proj",
        ];
        let tensors: Vec<Weight> = [10, 0, 2]
            .iter()
            .flat_map(|layer| {
                leaves.map(|leaf| tensor(&format!("model.layers.{layer}.{leaf}.weight"), &[8, 8], Dtype::BF16))
            })
            .collect();
        let order = [
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ];
        let expected: Vec<String> =
            [0, 2, 10].iter().flat_map(|layer| order.map(|leaf| format!("model.layers.{layer}.{leaf}"))).collect();
        assert_eq!(names(&tensors, &Config::default(), false), expected);
    }

    #[test]
    fn what_is_no_linear_module_is_left_out_with_its_reason() {
        let tensors = [
            tensor("model.embed_tokens.weight", &[100, 8], Dtype::F32),
            tensor("model.layers.0.input_layernorm.weight", &[8], Dtype::F32),
            tensor("model.layers.0.self_attn.q_proj.weight", &[8, 8], Dtype::F32),
            tensor("model.layers.0.self_attn.q_proj.bias", &[8], Dtype::F32),
            tensor("model.layers.0.mlp.gate.weight", &[4, 8], Dtype::F32),
            tensor("model.layers.0.mlp.shared_expert_gate.weight", &[1, 8], Dtype::F32),
            tensor("model.layers.0.mlp.experts.down_proj_bias", &[4, 8, 8], Dtype::F32),
            tensor("model.layers.0.mlp.nothing.weight", &[0, 8], Dtype::F32),
            tensor("model.layers.0.mixer.conv1d.weight", &[8, 1, 4], Dtype::F32),
            tensor("model.layers.0.mlp.codes.weight", &[8, 8], Dtype::I16),
            tensor("model.layers.1.self_attn.q_proj.weight", &[8, 8], Dtype::F32),
            tensor("model.layers.0.position_ids", &[1, 8], Dtype::I64),
            tensor("visual.patch_embed.proj.weight", &[8, 3, 2, 2], Dtype::F32),
            tensor("lm_head.weight", &[100, 8], Dtype::F32),
        ];
        let config = Config { layer_count: Some(1), ..Config::default() };
        let discovery = found(&tensors, &config, Wanted::default());
        let modules: Vec<&str> = discovery.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(modules, ["model.layers.0.self_attn.q_proj"]);
        let reason = |name: &str| {
            let left_out = discovery.left_out.iter().find(|left_out| left_out.tensor == name);
            left_out.map_or_else(
                || panic!("{name} is neither measured nor left out"),
                |left_out| left_out.reason.to_string(),
            )
        };
        assert_eq!(reason("model.embed_tokens.weight"), "an embedding");
        assert_eq!(reason("lm_head.weight"), "a head");
        assert_eq!(reason("model.layers.0.mlp.gate.weight"), "a router");
        assert_eq!(reason("model.layers.0.input_layernorm.weight"), "a vector, not a matrix");
        assert_eq!(reason("visual.patch_embed.proj.weight"), "a convolution");
        assert_eq!(reason("model.layers.0.mixer.conv1d.weight"), "a depthwise convolution");
        assert_eq!(reason("model.layers.0.mlp.nothing.weight"), "no elements");
        assert_eq!(reason("model.layers.0.mlp.codes.weight"), "dtype I16 is not supported");
        assert_eq!(
            reason("model.layers.1.self_attn.q_proj.weight"),
            "a layer beyond those of the model: predicts further tokens"
        );
        assert_eq!(discovery.left_out.len(), tensors.len() - 1);
        assert_eq!(
            names(&tensors, &config, true),
            ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.gate", "lm_head"]
        );
    }

    #[test]
    fn decoders_of_many_families_are_understood() {
        let cases: [(&str, &[usize], &str, Option<usize>); 12] = [
            ("model.layers.31.self_attn.q_proj", &[8, 8], "self_attn.q_proj", Some(31)),
            ("model.layers.3.self_attn.qkv_proj", &[24, 8], "self_attn.qkv_proj", Some(3)),
            ("model.layers.3.mlp.gate_up_proj", &[32, 8], "mlp.gate_up_proj", Some(3)),
            ("h.11.attn.c_attn", &[8, 24], "attn.c_attn", Some(11)),
            ("transformer.h.0.mlp.c_fc", &[8, 32], "mlp.c_fc", Some(0)),
            ("gpt_neox.layers.5.attention.query_key_value", &[24, 8], "attention.query_key_value", Some(5)),
            ("transformer.h.7.self_attention.dense", &[8, 8], "self_attention.dense", Some(7)),
            ("model.decoder.layers.2.fc1", &[32, 8], "fc1", Some(2)),
            ("model.decoder.layers.2.self_attn.out_proj", &[8, 8], "self_attn.out_proj", Some(2)),
            ("backbone.layers.9.mixer.in_proj", &[32, 8], "mixer.in_proj", Some(9)),
            ("model.layers.4.mlp.experts.17.down_proj", &[8, 8], "mlp.experts.*.down_proj", Some(4)),
            ("transformer.blocks.1.ffn.up_proj", &[8, 8], "ffn.up_proj", Some(1)),
        ];
        for (name, shape, kind, layer) in cases {
            let tensors = [tensor(&format!("{name}.weight"), shape, Dtype::F16)];
            let modules = found(&tensors, &Config::default(), Wanted::default()).modules;
            assert_eq!(modules.len(), 1, "{name}");
            assert_eq!((modules[0].kind.as_str(), modules[0].layer), (kind, layer), "{name}");
        }
    }

    #[test]
    fn two_stacks_are_not_ranked_together() {
        let tensors = [
            tensor("encoder.block.0.layer.0.SelfAttention.q.weight", &[8, 8], Dtype::F32),
            tensor("decoder.block.0.layer.0.SelfAttention.q.weight", &[8, 8], Dtype::F32),
        ];
        let modules = found(&tensors, &Config::default(), Wanted::default()).modules;
        let kinds: Vec<&str> = modules.iter().map(|module| module.kind.as_str()).collect();
        assert_eq!(kinds, ["decoder.layer.*.SelfAttention.q", "encoder.layer.*.SelfAttention.q"]);
    }

    #[test]
    fn a_stack_of_experts_is_as_many_modules() {
        let weights = [tensor("model.layers.4.mlp.experts.gate_up_proj", &[2, 16, 8], Dtype::BF16)];
        let config = Config::parse(br#"{"model_type":"qwen3_moe","hidden_size":8}"#).expect("JSON");
        let modules = found(&weights, &config, Wanted { parts: true, ..Wanted::default() }).modules;
        let seen: Vec<_> = modules.iter().map(|module| (module.name.as_str(), module.kind.as_str())).collect();
        assert_eq!(seen[0], ("model.layers.4.mlp.experts.0.gate_up_proj", "mlp.experts.*.gate_up_proj"));
        assert_eq!(seen[1], ("model.layers.4.mlp.experts.0.gate_up_proj.gate", "mlp.experts.*.gate_up_proj.gate"));
        assert_eq!(seen.len(), 6);
        assert_eq!(modules[3].target.as_deref(), Some("model.layers.4.mlp.experts.gate_up_proj"));
        assert_eq!(modules[4].part_of.as_deref(), Some("model.layers.4.mlp.experts.1.gate_up_proj"));
        assert_eq!(modules[4].shape, [8, 8]);
        let pool = modules[3].pool.as_ref().expect("an expert");
        assert_eq!(
            (pool.name.as_str(), pool.kind.as_str()),
            ("model.layers.4.mlp.experts.gate_up_proj", "mlp.experts.gate_up_proj")
        );
    }

    #[test]
    fn a_head_that_shares_the_embedding_is_no_module() {
        let weights = [tensor("lm_head.weight", &[9, 8], Dtype::BF16), tensor("h.0.mlp.weight", &[8, 8], Dtype::BF16)];
        let config = Config { ties_embeddings: true, ..Config::default() };
        assert_eq!(names(&weights, &config, true), ["h.0.mlp"]);
        assert_eq!(names(&weights, &Config::default(), true), ["h.0.mlp", "lm_head"]);
    }
}
