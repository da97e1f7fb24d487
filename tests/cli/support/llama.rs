//! Small models like Llama, named `m`.

use std::fs;
use std::ops::Range;

use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, matrix, vector, write_shards};
use crate::support::program::{Run, Workplace};

/// The types of a Llama-like layer.
pub const LLAMA: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// The tensors of Llama-like layers, with norms and embeddings.
pub fn llama(layers: Range<usize>) -> Vec<Tensor> {
    let mut tensors = vec![matrix("model.embed_tokens.weight", 16, 8), vector("model.norm.weight", 8)];
    for layer in layers {
        let name = |leaf: &str| format!("model.layers.{layer}.{leaf}.weight");
        tensors.extend(LLAMA.map(|leaf| matrix(&name(leaf), 8, 8)));
        tensors.extend(["input_layernorm", "post_attention_layernorm"].map(|leaf| vector(&name(leaf), 8)));
    }
    tensors
}

/// The configuration of a Llama with so many layers.
pub fn config(layers: usize) -> Value {
    json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers})
}

/// Writes the model `m`.
fn write(place: &Workplace, config: &Value, tensors: Vec<Tensor>) {
    write_shards(&place.path("m"), &[("model.safetensors", tensors)]);
    fs::write(place.path("m/config.json"), config.to_string()).expect("written");
}

/// Scans a model of these tensors.
pub fn scan(place: &Workplace, config: &Value, tensors: Vec<Tensor>, arguments: &[&str]) -> Run {
    write(place, config, tensors);
    // Matrices as small as these often have infinite ratios. With this option there is no warning of them.
    place.run(&[&["--model", "m", "--ties", "margin"], arguments].concat())
}

/// Puts tensors in the place of those of the same names.
pub fn replaced(mut tensors: Vec<Tensor>, others: impl IntoIterator<Item = Tensor>) -> Vec<Tensor> {
    for other in others {
        match tensors.iter_mut().find(|tensor| tensor.name == other.name) {
            Some(tensor) => *tensor = other,
            None => tensors.push(other),
        }
    }
    tensors
}
