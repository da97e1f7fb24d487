//! Recognises adapters such as LoRA, which change a model's weights and are no model by themselves.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use rayon::prelude::*;

const ADAPTER: &str = "an adapter";
pub const LORA: &str = "a LoRA adapter";

struct Kind {
    /// The name with its article, for messages.
    name: &'static str,
    /// Its `peft_type` in lower case.
    peft: &'static str,
    /// Segments of the names of its factors in lower case, separated by spaces. Those that end in `_` are prefixes.
    segments: &'static str,
}

/// The names are those of PEFT's `adapter_layer_names`, LyCORIS, kohya's scripts, torchtune and MLX.
const KINDS: [Kind; 8] = [
    Kind {
        name: LORA,
        peft: "lora",
        segments: "lora_a lora_b lora_embedding_a lora_embedding_b lora_magnitude_vector lora_down lora_up lora_mid \
                   lora_linear_layer dora_scale",
    },
    Kind { name: "a LoHa adapter", peft: "loha", segments: "hada_" },
    Kind { name: "a LoKr adapter", peft: "lokr", segments: "lokr_" },
    Kind { name: "an IA3 adapter", peft: "ia3", segments: "ia3_" },
    Kind { name: "a VeRA adapter", peft: "vera", segments: "vera_" },
    Kind { name: "an OFT adapter", peft: "oft", segments: "oft_" },
    Kind { name: "a BOFT adapter", peft: "boft", segments: "boft_" },
    Kind {
        name: ADAPTER,
        peft: "",
        segments: "lora_e vblora_ randlora_ fourierft_ waveft_ shira_ c3a_ hra_u bone_block miss_block \
                   trainable_tokens_delta",
    },
];

/// Finds the segments of all kinds anywhere in a name, and what the older names of diffusers' factors have in common.
static MARKS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let segments = KINDS.iter().flat_map(|kind| kind.segments.split_whitespace()).chain(["lora"]);
    AhoCorasick::builder().ascii_case_insensitive(true).build(segments).expect("a few short words")
});

/// Prefixes of the names that kohya's scripts make from whole module names.
const KOHYA: [&str; 3] = ["lora_unet_", "lora_te", "lora_transformer_"];

/// A tensor that is a factor of an adapter.
struct Factor<'a> {
    /// The module that it changes; empty if the name does not tell.
    module: &'a str,
    kind: &'static str,
}

impl<'a> Factor<'a> {
    fn of(tensor: &'a str) -> Option<Self> {
        if KOHYA.iter().any(|start| tensor.starts_with(start)) {
            return Some(Self { module: "", kind: LORA });
        }
        // Most names of most models have nothing of an adapter's.
        if !MARKS.is_match(tensor) {
            return None;
        }
        let mut before = None;
        for (start, segment) in segments(tensor) {
            let lower = segment.to_ascii_lowercase();
            let of_kind = KINDS.iter().find(|kind| kind.segments.split(' ').any(|known| is_segment(&lower, known)));
            // diffusers writes `to_q_lora.down` and `to_q.lora.up`. RWKV's own `lora` modules have other parts.
            let is_of_diffusers = matches!(&*lower, "up" | "down") && before.is_some_and(is_lora);
            let kind = of_kind.map(|kind| kind.name).or(is_of_diffusers.then_some(LORA));
            if let Some(kind) = kind {
                let module = tensor[..start].trim_end_matches('.');
                // torch.nn.utils.parametrize stores a module's own weight beside the factors.
                let module = module.split_once(".parametrizations.").map_or(module, |(module, _)| module);
                return Some(Self { module, kind });
            }
            before = Some(segment);
        }
        None
    }
}

/// The segments of a name with their offsets.
fn segments(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    name.split('.').map(move |segment| {
        let place = start;
        start += segment.len() + 1;
        (place, segment)
    })
}

fn is_segment(segment: &str, known: &str) -> bool {
    if known.ends_with('_') { segment.starts_with(known) } else { segment == known }
}

/// Whether a segment is `lora`, `to_q_lora` or `qkv_lora1`.
fn is_lora(segment: &str) -> bool {
    let name = segment.trim_end_matches(|letter: char| letter.is_ascii_digit());
    name == "lora" || name.ends_with("_lora")
}

pub fn is_factor(tensor: &str) -> bool {
    Factor::of(tensor).is_some()
}

/// The kind of adapter if `tensors` are those of an adapter; `None` if they are a model's, with or without factors.
///
/// A model contains the weight of a module in its layers that a factor changes. An adapter does not: beside factors it can
/// contain biases, modules that were trained whole, and the embedding or head if the vocabulary was extended.
pub fn kind(tensors: &[&str]) -> Option<&'static str> {
    let factors: Vec<Factor<'_>> = tensors.par_iter().copied().filter_map(Factor::of).collect();
    let kind = factors.first()?.kind;
    let is_other = |name: &&str| !is_factor(name) && !name.ends_with("bias");
    let others: BTreeSet<&str> = tensors.iter().copied().filter(is_other).collect();
    let is_in_layer = |module: &str| module.split('.').any(|segment| segment.parse::<usize>().is_ok());
    let has_weight = |module: &str| {
        let within = format!("{module}.");
        others.range(&*within..).next().is_some_and(|name| name.starts_with(&within))
    };
    let has_base = factors.iter().any(|factor| is_in_layer(factor.module) && has_weight(factor.module));
    (!has_base).then_some(kind)
}

/// What an adapter is called whose configuration has this `peft_type`, if it has any.
pub fn called(peft_type: Option<&str>) -> &'static str {
    let of_type = |peft: &str| KINDS.iter().find(|kind| kind.peft.eq_ignore_ascii_case(peft));
    peft_type.and_then(of_type).map_or(ADAPTER, |kind| kind.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(tensors: &[&str]) -> Option<&'static str> {
        kind(tensors)
    }

    #[test]
    fn factors_of_all_kinds_are_known() {
        for (tensor, name) in [
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", LORA),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", LORA),
            ("base_model.model.model.embed_tokens.lora_embedding_B", LORA),
            ("model.layers.0.self_attn.q_proj.lora_magnitude_vector.vision.weight", LORA),
            ("layers.0.attn.q_proj.lora_a.weight", LORA),
            ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", LORA),
            ("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", LORA),
            ("unet.down_blocks.0.attn1.processor.to_q_lora.up.weight", LORA),
            ("double_blocks.0.processor.qkv_lora1.down.weight", LORA),
            ("text_encoder.layers.0.to_k.lora.down.weight", LORA),
            ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", LORA),
            ("unet.mid_block.attn.to_q.lora_linear_layer.down.weight", LORA),
            ("base_model.model.layers.0.q_proj.hada_w1_a", "a LoHa adapter"),
            ("base_model.model.layers.0.q_proj.lokr_w1", "a LoKr adapter"),
            ("base_model.model.layers.0.q_proj.ia3_l", "an IA3 adapter"),
            ("base_model.model.layers.0.q_proj.vera_lambda_b", "a VeRA adapter"),
            ("base_model.model.layers.0.q_proj.oft_R.weight", "an OFT adapter"),
            ("base_model.model.layers.0.q_proj.boft_s", "a BOFT adapter"),
            ("base_model.model.layers.0.q_proj.randlora_lambda", ADAPTER),
        ] {
            assert_eq!(kind_of(&[tensor]), Some(name), "{tensor}");
        }
    }

    #[test]
    fn what_is_called_alike_is_no_factor() {
        for tensor in [
            "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
            // RWKV 7's own.
            "model.layers.0.attn.w_lora.lora.0.weight",
            "model.layers.0.mlp.down.weight",
            "model.layers.0.explora_a.weight",
            "down_blocks.0.up.weight",
        ] {
            assert!(!is_factor(tensor), "{tensor}");
        }
    }

    #[test]
    fn a_model_has_the_weights_that_its_factors_change() {
        let factor = "model.layers.0.self_attn.qkv_proj.lora_A.vision.weight";
        for weight in ["base_layer.weight", "weight", "base_layer.qweight"] {
            assert_eq!(kind_of(&[factor, &format!("model.layers.0.self_attn.qkv_proj.{weight}")]), None, "{weight}");
        }
        let parametrized = "encoder.layers.0.mixer.Wqkv.parametrizations.weight";
        assert_eq!(kind_of(&[&format!("{parametrized}.0.lora_A"), &format!("{parametrized}.original")]), None);
        for beside in [
            "lm_head.weight",
            "model.embed_tokens.weight",
            "model.norm.weight",
            "model.layers.0.mlp.gate.weight",
            "model.layers.0.self_attn.qkv_proj.bias",
            "model.layers.0.self_attn.qkv_proj2.weight",
        ] {
            assert_eq!(kind_of(&[factor, beside]), Some(LORA), "{beside}");
        }
        // The embedding is kept whole where the vocabulary grew.
        let embedding = ["model.embed_tokens.lora_embedding_A", "model.embed_tokens.base_layer.weight"];
        assert_eq!(kind_of(&embedding), Some(LORA));
        assert_eq!(kind_of(&["model.layers.0.self_attn.q_proj.weight"]), None);
    }
}
