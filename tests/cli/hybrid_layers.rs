//! Real architectures whose layers differ by design, of which no module is said to be missing.

use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, matrix};
use crate::support::llama::scan;
use crate::support::program::{Run, Workplace};

const QKVO: &[&str] = &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
const DENSE: &[&str] = &["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
/// Latent attention without and with a latent query.
const MLA: &[&str] = &["self_attn.q_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.kv_b_proj", "self_attn.o_proj"];
const MLA_OF_V3: &[&str] = &[
    "self_attn.q_a_proj",
    "self_attn.q_b_proj",
    "self_attn.kv_a_proj_with_mqa",
    "self_attn.kv_b_proj",
    "self_attn.o_proj",
];
/// Kimi Delta Attention beside its queries, keys, values and output.
const KDA: &[&str] =
    &["self_attn.f_a_proj", "self_attn.f_b_proj", "self_attn.g_a_proj", "self_attn.g_b_proj", "self_attn.b_proj"];
const DELTA_NET: &[&str] = &["linear_attn.in_proj_qkvz", "linear_attn.in_proj_ba", "linear_attn.out_proj"];
const MAMBA: &[&str] = &["mamba.in_proj", "mamba.x_proj", "mamba.dt_proj", "mamba.out_proj"];

/// The modules of some layers, by their names.
#[derive(Default)]
struct Layers(Vec<String>);

impl Layers {
    fn add(&mut self, layer: usize, leaves: &[&str]) {
        self.0.extend(leaves.iter().map(|leaf| format!("model.layers.{layer}.{leaf}")));
    }

    /// Two experts within the layer's `path`, with their router.
    fn add_experts(&mut self, layer: usize, path: &str) {
        for leaf in ["gate_proj", "up_proj", "down_proj"] {
            self.add(
                layer,
                &[0, 1].map(|expert| format!("{path}.experts.{expert}.{leaf}")).each_ref().map(|name| &**name),
            );
        }
        self.add(layer, &[&format!("{path}.gate")]);
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|module| module != name);
        self
    }

    fn scan(&self, place: &Workplace, config: &Value) -> Run {
        let tensors: Vec<Tensor> = self.0.iter().map(|name| matrix(&format!("{name}.weight"), 4, 4)).collect();
        scan(place, config, tensors, &["--dry-run"])
    }

    /// Checks that nothing is said to be missing.
    #[track_caller]
    fn quiet(&self, config: &Value) {
        let run = self.scan(&Workplace::new(), config);
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    }
}

fn config(model_type: &str, layers: usize) -> Value {
    json!({"model_type": model_type, "num_hidden_layers": layers})
}

/// A Kimi-Linear of this many layers, of which every fourth has latent attention.
fn kimi_linear(count: usize) -> Layers {
    let mut layers = Layers::default();
    for layer in 0..count {
        if layer % 4 == 3 {
            layers.add(layer, MLA);
        } else {
            layers.add(layer, QKVO);
            layers.add(layer, KDA);
        }
        layers.add(layer, DENSE);
    }
    layers
}

#[test]
fn linear_attention_and_latent_attention_under_one_name() {
    for count in [4, 7, 27] {
        kimi_linear(count).quiet(&config("kimi_linear", count));
    }
    // What is lost from one of the others is missed in spite of it.
    let run =
        kimi_linear(3).without("model.layers.1.self_attn.k_proj").scan(&Workplace::new(), &config("kimi_linear", 3));
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("has no weight, although others of the kind have one ('model.layers.1.self_attn.k_proj')")
    );
}

#[test]
fn dense_layers_before_experts() {
    let mut layers = Layers::default();
    for layer in 0..61 {
        layers.add(layer, MLA_OF_V3);
        if layer < 3 {
            layers.add(layer, DENSE);
        } else {
            layers.add_experts(layer, "mlp");
            layers.add(
                layer,
                &["mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj"],
            );
        }
    }
    layers.quiet(&config("deepseek_v3", 61));
}

#[test]
fn one_dense_layer_among_experts() {
    for dense in [0, 20, 47] {
        let mut layers = Layers::default();
        for layer in 0..48 {
            layers.add(layer, QKVO);
            if layer == dense {
                layers.add(layer, DENSE);
            } else {
                layers.add_experts(layer, "mlp");
            }
        }
        let mut config = config("qwen3_moe", 48);
        config["mlp_only_layers"] = json!([dense]);
        layers.quiet(&config);
    }
}

#[test]
fn three_linear_attentions_to_one() {
    for count in [4, 48] {
        let mut layers = Layers::default();
        for layer in 0..count {
            layers.add(layer, if layer % 4 == 3 { QKVO } else { DELTA_NET });
            layers.add_experts(layer, "mlp");
            layers.add(
                layer,
                &["mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj"],
            );
        }
        layers.quiet(&config("qwen3_next", count));
    }
}

#[test]
fn one_attention_to_seven_mambas_and_experts_in_every_other_layer() {
    for count in [8, 32] {
        let mut layers = Layers::default();
        for layer in 0..count {
            layers.add(layer, if layer % 8 == 4 { QKVO } else { MAMBA });
            if layer % 2 == 1 {
                layers.add_experts(layer, "feed_forward");
            } else {
                layers.add(layer, &["feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj"]);
            }
        }
        layers.quiet(&config("jamba", count));
    }
}

#[test]
fn keys_that_are_values_in_some_layers() {
    for count in [6, 30, 60] {
        let mut layers = Layers::default();
        let is_global = |layer: usize| layer % 6 == 5;
        for layer in 0..count {
            layers.add(layer, QKVO);
            layers.add(layer, DENSE);
        }
        layers.0.retain(|name| {
            let layer = name.split('.').nth(2).and_then(|number| number.parse().ok()).expect("a layer");
            !is_global(layer) || !name.ends_with("v_proj")
        });
        let kinds: Vec<&str> =
            (0..count).map(|layer| if is_global(layer) { "full_attention" } else { "sliding_attention" }).collect();
        for (key, value) in [("layer_types", json!(kinds)), ("attention_k_eq_v", json!(true))] {
            let mut text = config("gemma4_text", count);
            text[key] = value;
            layers.quiet(&json!({"model_type": "gemma4", "text_config": text}));
        }
    }
}
