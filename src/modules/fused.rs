//! The parts of fused weights, such as which rows or columns are the queries.

use super::architectures::{InputFirst, Layout, QKV};
use super::model::{Model, attention_input};
use super::{InMemory, Info, Module};
use crate::checkpoint::{Axis, Band, Config, Selection};

/// The most outputs that a fused weight may have.
const MAX_LINES: usize = 1 << 31;

/// How the outputs of a fused weight are divided into parts. The pattern of the parts may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divided {
    pub repeats: usize,
    /// The parts of one repeat in their order, each with its number of lines (rows or columns).
    pub parts: Vec<(&'static str, usize)>,
}

impl Layout {
    /// How `lines` outputs are divided in a model with this `config`; `None` if the configuration does not say, or if
    /// what it says does not add up to as many lines.
    pub fn divide(self, lines: usize, config: &Config) -> Option<Divided> {
        // No count may exceed the number of lines, so that no product of two counts can overflow.
        let lines = Some(lines).filter(|lines| *lines <= MAX_LINES)?;
        let number = |keys: &[&str]| config.number(keys).filter(|number| *number <= lines);
        let heads = number(&["num_attention_heads", "n_head", "n_heads", "num_heads"]);
        let group_keys = ["num_key_value_heads", "num_kv_heads", "n_head_kv", "attn_config.kv_n_heads"];
        let groups = || number(&group_keys).or(heads);
        let parts = |repeats: usize, parts: Vec<(&'static str, usize)>| Some(Divided { repeats, parts });
        let equal = |repeats: usize, names: &[&'static str]| {
            let count = repeats.checked_mul(names.len()).filter(|count| *count > 0 && lines.is_multiple_of(*count))?;
            parts(repeats, names.iter().map(|name| (*name, lines / count)).collect())
        };
        let grouped = |groups: usize| {
            let queries = heads?.checked_div(groups)?;
            let width = lines.checked_div(groups * (queries + 2))?;
            parts(groups, vec![("q", queries * width), ("k", width), ("v", width)])
        };
        let delta = || {
            let keys = number(&["linear_num_key_heads"]).filter(|keys| *keys > 0)?;
            let ratio = number(&["linear_num_value_heads"])? / keys;
            Some((keys, ratio, number(&["linear_key_head_dim"])?, number(&["linear_value_head_dim"])?))
        };
        let divided = match self {
            Self::Blocks(names) => equal(1, names),
            Self::Alternating(names) => equal(lines / names.len(), names),
            Self::PerHead(names) => equal(heads?, names),
            Self::PerPart(count, names) => equal(count, names),
            Self::QueryKeyValue => {
                let (heads, groups) = (heads?, groups()?);
                let width = number(&["head_dim"]).or_else(|| lines.checked_div(heads + 2 * groups))?;
                parts(1, vec![("q", heads * width), ("k", groups * width), ("v", groups * width)])
            }
            Self::Falcon if config.flag("new_decoder_architecture") => grouped(groups()?),
            Self::Falcon | Self::BigCode if config.flag("multi_query") => grouped(1),
            Self::Falcon | Self::BigCode => equal(heads?, QKV),
            Self::GatedDeltaQkvz => {
                let (keys, ratio, key, value) = delta()?;
                parts(keys, vec![("q", key), ("k", key), ("v", ratio * value), ("z", ratio * value)])
            }
            Self::GatedDeltaBa => delta().and_then(|(keys, ratio, ..)| parts(keys, vec![("b", ratio), ("a", ratio)])),
            Self::GatedDeltaQkv => {
                let (keys, ratio, key, value) = delta()?;
                parts(1, vec![("q", keys * key), ("k", keys * key), ("v", (keys * ratio).min(lines) * value)])
            }
            Self::Mamba2 => {
                let heads = number(&["mamba_num_heads", "mamba_n_heads", "num_heads"])?;
                let inner = heads * number(&["mamba_head_dim", "mamba_d_head", "head_dim"])?;
                let groups = number(&["mamba_n_groups", "n_groups"])?;
                let states = 2 * groups * number(&["ssm_state_size", "mamba_d_state", "state_size"])?;
                parts(1, vec![("gate", inner), ("xBC", inner + states), ("dt", heads)])
            }
        };
        divided.filter(|divided| divided.repeats.checked_mul(divided.period()) == Some(lines))
    }
}

impl Divided {
    /// The number of lines of one repeat.
    pub fn period(&self) -> usize {
        self.parts.iter().fold(0, |sum: usize, (_, lines)| sum.saturating_add(*lines))
    }
}

impl Model<'_> {
    /// The parts of `module`, if it is a fused one whose layout is known.
    pub fn parts(&self, module: &Module, stored: &str, is_stacked: bool) -> Vec<Module> {
        let general = || attention_input(stored).map(|_| Layout::Blocks(QKV));
        let layout = self.architecture.layout(stored).or_else(general);
        let Some(layout) = layout.filter(|_| module.selection.band.is_none()) else { return Vec::new() };
        let axis = self.output_axis(module.shape(), is_stacked);
        let lines = module.shape()[usize::from(axis == Axis::Columns)];
        let Some(divided) = layout.divide(lines, self.config) else { return Vec::new() };
        let (period, repeats) = (divided.period(), divided.repeats);
        let (info, names) = (&module.info, module.info.memory.names());
        let is_divided_alike = names.len() == divided.parts.len();
        let mut start = 0;
        let part = |(at, (name, lines)): (usize, (&str, usize))| {
            let band = Band { axis, period, range: start..start + lines, repeats };
            start += lines;
            let selection = Selection { index: module.selection.index, band: Some(band) };
            let info = Info {
                name: format!("{}.{name}", info.name),
                kind: format!("{}.{name}", info.kind),
                shape: Some(selection.shape(&module.weight.shape)),
                memory: match &info.memory {
                    InMemory::Modules(names) if is_divided_alike => InMemory::Modules(vec![names[at].clone()]),
                    memory => memory.clone(),
                },
                part_of: Some(info.name.clone()),
                ..info.clone()
            };
            Module { info, selection, ..module.clone() }
        };
        let parts = divided.parts.into_iter().enumerate().map(part);
        parts.filter(|part| part.shape().iter().all(|extent| *extent > 1)).collect()
    }

    /// The axis of a stored matrix along which its outputs lie.
    fn output_axis(&self, [rows, columns]: [usize; 2], is_stacked: bool) -> Axis {
        let hidden = self.config.number(&["hidden_size", "n_embd", "d_model"]);
        match self.architecture.input_first {
            InputFirst::Everything => Axis::Columns,
            // Gate and up project from the hidden size, so that the extent of that size is the input.
            _ if is_stacked && Some(rows) == hidden && columns != rows => Axis::Columns,
            _ if is_stacked && Some(columns) == hidden && columns != rows => Axis::Rows,
            InputFirst::Experts if is_stacked => Axis::Columns,
            _ => Axis::Rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_add_up_is_not_divided() {
        let config = Config::parse(br#"{"num_attention_heads":4,"num_key_value_heads":2,"head_dim":8}"#).expect("JSON");
        let divided = Layout::QueryKeyValue.divide(64, &config).expect("64 = (4 + 2 + 2) * 8");
        assert_eq!(divided.parts, [("q", 32), ("k", 16), ("v", 16)]);
        assert_eq!(Layout::QueryKeyValue.divide(65, &config), None);
        assert_eq!(Layout::Blocks(&["gate", "up"]).divide(7, &config), None);
        assert_eq!(Layout::PerHead(QKV).divide(96, &Config::default()), None);
    }
}
