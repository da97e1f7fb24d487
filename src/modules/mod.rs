//! Tensor names -> linear modules.
//!
//! Which tensors are the weights of linear modules, what such a module is called, which layer it belongs to and which
//! modules are compared with each other (its type) is decided from names, shapes and the model's configuration alone,
//! by rules that hold across decoders, not by a list of architectures.

mod class;
mod filter;
mod name;
mod quantized;

use safetensors::Dtype;

pub use class::Class;
pub use filter::{Filter, FilterError};
pub use quantized::quantization;

use crate::checkpoint::{Config, TensorInfo};
use name::Place;

/// The end of the name of a module's weight.
const WEIGHT: &str = ".weight";

/// A linear module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, as trainers and the seed spell it: the tensor's without `.weight`.
    pub name: String,
    /// Its weight.
    pub tensor: TensorInfo,
    /// Which shard holds the weight, by its place among the checkpoint's shards.
    pub shard: usize,
    /// What it is ranked with: its name after the layer, with other numbers replaced by `*`.
    pub kind: String,
    /// The layer it belongs to; `None` for a module outside the stack of layers.
    pub layer: Option<usize>,
    /// Rows and columns of its weight, as stored.
    pub shape: [usize; 2],
}

/// A tensor that is not measured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// The tensor's name.
    pub tensor: String,
    /// Why it is not measured.
    pub reason: String,
}

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Its linear modules, in model order: by layer, and within a layer as the model runs through them.
    pub modules: Vec<Module>,
    /// All its other tensors.
    pub left_out: Vec<LeftOut>,
}

/// Finds the linear modules among `tensors`, each given with its shard. Heads, routers and embeddings' projections are
/// modules too if `all_linear` is set.
pub fn discover<'a>(
    tensors: impl IntoIterator<Item = (usize, &'a TensorInfo)>,
    config: &Config,
    all_linear: bool,
) -> Discovery {
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    for (shard, tensor) in tensors {
        match weight(tensor, config, all_linear) {
            Ok((name, shape)) => found.push((Place::of(name), shard, shape, tensor)),
            Err(reason) => left_out.push(LeftOut { tensor: tensor.name.clone(), reason }),
        }
    }
    let several_stacks = {
        let mut stacks = found.iter().filter_map(|(place, ..)| place.layer.map(|_| &place.stack));
        let first = stacks.next();
        stacks.any(|stack| Some(stack) != first)
    };
    found.sort_by(|(a, ..), (b, ..)| a.model_order(b));
    let modules = found.into_iter().map(|(place, shard, shape, tensor)| Module {
        kind: place.kind(several_stacks),
        layer: place.layer,
        name: place.name,
        tensor: tensor.clone(),
        shard,
        shape,
    });
    Discovery { modules: modules.collect(), left_out }
}

/// The module's name and shape if `tensor` is the weight of a linear module that is to be measured, or why not.
fn weight<'a>(tensor: &'a TensorInfo, config: &Config, all_linear: bool) -> Result<(&'a str, [usize; 2]), String> {
    let Some(name) = tensor.name.strip_suffix(WEIGHT).filter(|name| !name.is_empty()) else {
        return Err("no module's weight".into());
    };
    let shape = match tensor.shape[..] {
        [rows, columns] if rows > 1 && columns > 1 => [rows, columns],
        [_] | [_, _] => return Err("a vector, not a matrix".into()),
        [_, _, _, _] => return Err("a convolution".into()),
        _ => return Err(format!("{} dimensions, not two", tensor.shape.len())),
    };
    if !matches!(tensor.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        return Err(format!("dtype {} is not supported", tensor.dtype));
    }
    match Class::of(name, config) {
        Class::Linear => Ok((name, shape)),
        class if class.is_linear() && all_linear => Ok((name, shape)),
        class => Err(class.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], dtype: Dtype) -> TensorInfo {
        TensorInfo { name: name.into(), dtype, shape: shape.into(), bytes: 0..0 }
    }

    fn names(tensors: &[TensorInfo], config: &Config, all_linear: bool) -> Vec<String> {
        let discovery = discover(tensors.iter().map(|tensor| (0, tensor)), config, all_linear);
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
        let tensors: Vec<TensorInfo> = [10, 0, 2]
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
            tensor("model.layers.0.mlp.experts.down_proj", &[4, 8, 8], Dtype::F32),
            tensor("model.layers.1.self_attn.q_proj.weight", &[8, 8], Dtype::F32),
            tensor("model.layers.0.position_ids", &[1, 8], Dtype::I64),
            tensor("visual.patch_embed.proj.weight", &[8, 3, 2, 2], Dtype::F32),
            tensor("lm_head.weight", &[100, 8], Dtype::F32),
        ];
        let config = Config { layer_count: Some(1), ..Config::default() };
        let discovery = discover(tensors.iter().map(|tensor| (0, tensor)), &config, false);
        let modules: Vec<&str> = discovery.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(modules, ["model.layers.0.self_attn.q_proj"]);
        let reason = |name: &str| {
            let left_out = discovery.left_out.iter().find(|left_out| left_out.tensor == name);
            left_out
                .map_or_else(|| panic!("{name} is neither measured nor left out"), |left_out| left_out.reason.clone())
        };
        assert_eq!(reason("model.embed_tokens.weight"), "an embedding");
        assert_eq!(reason("lm_head.weight"), "a head");
        assert_eq!(reason("model.layers.0.mlp.gate.weight"), "a router");
        assert_eq!(reason("model.layers.0.input_layernorm.weight"), "a vector, not a matrix");
        assert_eq!(reason("visual.patch_embed.proj.weight"), "a convolution");
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
            let modules = discover(tensors.iter().map(|tensor| (0, tensor)), &Config::default(), false).modules;
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
        let modules = discover(tensors.iter().map(|tensor| (0, tensor)), &Config::default(), false).modules;
        let kinds: Vec<&str> = modules.iter().map(|module| module.kind.as_str()).collect();
        assert_eq!(kinds, ["decoder.layer.*.SelfAttention.q", "encoder.layer.*.SelfAttention.q"]);
    }
}
