//! The place of a module in its model, read from its name.

use super::WEIGHT;

/// Segments of a name that are followed by a layer's number, even where there is only one.
#[rustfmt::skip]
const CONTAINERS: [&str; 9] = [
    "layers", "h", "blocks", "block", "layer", "resblocks", "conformer", "transformer_blocks", "single_transformer_blocks",
];

/// Endings of other such segments. They do not name the only stack of a model.
const CONTAINER_ENDINGS: [&str; 2] = ["_layers", "_blocks"];

/// The sides of a UNet. The blocks of each are numbered from zero.
pub const SIDES: [&str; 3] = ["down_blocks", "mid_block", "up_blocks"];

/// Last segments of names in the order in which the modules of a layer are defined and run. Others follow
/// alphabetically.
#[rustfmt::skip]
const LEAVES: [&str; 40] = [
    "q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "k_proj", "v_proj", "qkv_proj",
    "query_key_value", "query", "key", "value", "c_attn", "Wqkv", "in_proj", "x_proj", "dt_proj", "q", "k", "v", "o",
    "o_proj", "out_proj", "dense", "c_fc", "c_proj", "gate_proj", "gate_up_proj", "up_proj", "down_proj",
    "dense_h_to_4h", "dense_4h_to_h", "fc1", "fc2", "w1", "w3", "w2", "wi_0", "wi_1", "wo",
];

/// Last segments of the names of linear modules that neither [`LEAVES`] nor [`LINEAR_ENDINGS`] cover.
const OTHER_LINEAR: [&str; 15] = [
    "proj", "qkv", "wqkv", "wq", "wk", "wv", "v1", "to_q", "to_k", "to_v", "wi", "linear", "linear1", "linear2", "lin",
];

/// Endings of the names of linear modules.
const LINEAR_ENDINGS: [&str; 4] = ["_proj", "_linear", "_lin", "_fc"];

/// A module's place in its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    /// How many bytes of the name are its stack's.
    pub(super) stack_end: usize,
    /// `None` for a module outside a stack of layers.
    pub layer: Option<usize>,
    /// Whether the layers' container has a name that only such containers have.
    pub is_named: bool,
    /// Where in the name begins what follows the layer's number.
    pub(super) within_start: usize,
    /// What follows the layer's number with `*` in place of numbers that do not tell types of modules apart; `None` without such
    /// numbers.
    pub(super) pattern: Option<String>,
}

impl Place {
    /// What precedes the container of layers, such as `model` or `model.decoder`, with the container's name if nothing
    /// precedes it or if there are several.
    pub fn stack(&self) -> &str {
        &self.name[..self.stack_end]
    }

    /// What follows the layer's number, or the full name without one.
    fn within(&self) -> &str {
        &self.name[self.within_start..]
    }

    /// The type within which the module is ranked. It includes the stack if there are `several`, so that an encoder's
    /// modules do not compete with a decoder's.
    pub fn kind(&self, several: Several) -> String {
        let pattern = self.pattern.as_deref().unwrap_or(self.within());
        let mut within = Vec::new();
        let mut is_side = false;
        for segment in pattern.split('.') {
            let is_number = segment == "*" || number(segment).is_some();
            // The blocks of all sides of a UNet are compared with each other.
            let is_of_side = SIDES.contains(&segment) || (is_side && is_number);
            is_side = SIDES.contains(&segment);
            if !is_of_side {
                within.push(segment);
            }
        }
        let within = if within.is_empty() { pattern.to_owned() } else { within.join(".") };
        let several = if self.is_named { several.named } else { several.any };
        if several && self.layer.is_some() && self.stack_end > 0 {
            format!("{}.{within}", self.stack())
        } else {
            within
        }
    }

    /// The segments before the number of the module's layer; all of them without one.
    pub fn before_layer(&self) -> impl Iterator<Item = &str> {
        self.own_layer().unwrap_or(&self.name).split('.')
    }

    /// The path of the module's layer.
    fn own_layer(&self) -> Option<&str> {
        self.layer?;
        Some(&self.name[..self.within_start - 1])
    }

    /// What precedes the number of the module's layer, with the last dot, and what follows it, with the first.
    fn around_layer(&self) -> Option<(&str, &str)> {
        let own = self.own_layer()?;
        let number = own.rfind('.').map_or(0, |dot| dot + 1);
        Some((&own[..number], &self.name[own.len()..]))
    }

    /// The path of the module's layer, with `layer` in place of its number.
    pub fn layer_path(&self, layer: &str) -> Option<String> {
        let (before, _) = self.around_layer()?;
        Some([before, layer].concat())
    }

    /// The name of the module's counterpart in another layer.
    pub fn in_layer(&self, layer: &str) -> Option<String> {
        let (before, within) = self.around_layer()?;
        Some([before, layer, within].concat())
    }

    /// The place of the module's counterpart in another layer.
    pub fn moved(&self, layer: usize) -> Option<Self> {
        let name = self.in_layer(&layer.to_string())?;
        let within_start = name.len() - self.within().len();
        Some(Self { name, layer: Some(layer), within_start, ..self.clone() })
    }

    /// The name of the counterpart, in another layer, of something else called `name` in the module's layer.
    pub fn beside(&self, name: &str, layer: usize) -> Option<String> {
        let within = name.strip_prefix(self.own_layer()?)?;
        Some(format!("{}{within}", self.layer_path(&layer.to_string())?))
    }

    /// A key that sorts modules into model order: by stack, by layer, attention before the rest, then in the order of
    /// [`LEAVES`]. Modules outside the layers come last.
    pub fn model_order(&self) -> impl Ord + use<> {
        let attention = self.within().split('.').any(|segment| segment.to_ascii_lowercase().contains("att"));
        let leaf = self.within().rsplit('.').next().unwrap_or_default();
        let rank = LEAVES.iter().position(|known| *known == leaf).unwrap_or(LEAVES.len());
        let within = (!attention, numbers(self.within()), rank);
        (self.layer.is_none(), self.stack().to_owned(), self.layer, within, self.name.clone())
    }
}

/// Whether a model's modules are in several stacks of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Several {
    /// Of those whose containers have a name that only such containers have. No other stack changes their types.
    named: bool,
    any: bool,
}

impl Several {
    pub fn among<'p>(places: impl Iterator<Item = &'p Place> + Clone) -> Self {
        let are_several = |only_named: bool| {
            let places = places.clone().filter(|place| place.layer.is_some() && (place.is_named || !only_named));
            let mut stacks = places.map(Place::stack);
            let first = stacks.next();
            stacks.any(|stack| Some(stack) != first)
        };
        Self { named: are_several(true), any: are_several(false) }
    }
}

/// Whether a segment is always followed by a layer's number.
pub fn is_layers(segment: &str) -> bool {
    CONTAINERS.contains(&segment)
}

/// Whether a segment is by its name one that is followed by a layer's number.
pub fn has_layers(segment: &str) -> bool {
    is_layers(segment) || CONTAINER_ENDINGS.iter().any(|ending| segment.ends_with(ending))
}

/// Whether the last segment of a name is one that usually only linear modules have.
pub fn is_called_linear(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    LEAVES.contains(&leaf) || OTHER_LINEAR.contains(&leaf) || LINEAR_ENDINGS.iter().any(|ending| leaf.ends_with(ending))
}

/// A tensor's name without `.weight`, which is the name of its module.
pub fn module_name(tensor: &str) -> &str {
    tensor.strip_suffix(WEIGHT).filter(|module| !module.is_empty()).unwrap_or(tensor)
}

pub fn number(segment: &str) -> Option<usize> {
    segment.bytes().all(|byte| byte.is_ascii_digit()).then(|| segment.parse().ok()).flatten()
}

/// The numbers in a name, so that expert 2 comes before expert 10.
fn numbers(name: &str) -> Vec<usize> {
    name.split('.').filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::places::by_name;

    #[test]
    fn layers_are_numbers_after_a_container() {
        let place = |name: &str| (by_name(name).stack().to_owned(), by_name(name).layer);
        assert_eq!(place("model.layers.3.mlp.up_proj"), ("model".into(), Some(3)));
        assert_eq!(place("h.0.attn.c_attn"), ("h".into(), Some(0)));
        assert_eq!(place("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"), (String::new(), None));
        assert_eq!(place("merger.mlp.0"), (String::new(), None));
        assert_eq!(place("model.layers.x.up"), (String::new(), None));
        assert_eq!(place("encoder.block.1.layer.0.SelfAttention.q"), ("encoder".into(), Some(1)));
        assert_eq!(place("a.layers.99999999999999999999999.b"), (String::new(), None));
        // A number with nothing after it is the module itself, not its layer.
        assert_eq!(place("head.layers.2"), (String::new(), None));
    }

    #[test]
    fn a_module_has_the_same_place_in_other_layers() {
        let place = |name: &str| (by_name(name).layer_path("7"), by_name(name).in_layer("*"));
        let (layer, other) = place("model.layers.3.mlp.up_proj");
        assert_eq!((layer.as_deref(), other.as_deref()), (Some("model.layers.7"), Some("model.layers.*.mlp.up_proj")));
        assert_eq!(place("h.0.attn.c_attn"), (Some("h.7".into()), Some("h.*.attn.c_attn".into())));
        assert_eq!(place("lm_head"), (None, None));
    }

    #[test]
    fn linear_modules_are_told_from_norms_by_their_last_segment() {
        let linear = ["h.0.attn.c_attn", "m.layers.0.self_attn.q_proj", "blocks.0.attn.qkv", "b.0.mlp.input_linear"];
        assert!(linear.into_iter().all(is_called_linear));
        let others =
            ["m.layers.0.input_layernorm", "m.layers.0.self_attn.q_norm", "m.norm", "h.0.ln_1", "c.layer_norm1"];
        assert!(!others.into_iter().any(is_called_linear));
    }

    #[test]
    fn experts_are_ordered_by_number() {
        let mut names =
            ["m.layers.0.mlp.experts.10.w1", "m.layers.0.mlp.experts.2.w2", "m.layers.0.mlp.experts.2.w1"].map(by_name);
        names.sort_by_cached_key(Place::model_order);
        let names = names.map(|place| place.name);
        assert_eq!(
            names,
            ["m.layers.0.mlp.experts.2.w1", "m.layers.0.mlp.experts.2.w2", "m.layers.0.mlp.experts.10.w1"]
        );
    }
}
