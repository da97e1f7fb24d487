//! What the names of an adapter's tensors mean.

use crate::checkpoint::adapter::is_factor;

/// What PEFT puts before the names of a model's modules.
const PEFT: &str = "base_model.model.";

/// What a tensor of an adapter is. Modules have the names that the adapter gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The factor with the rows of the changed matrix.
    Up(String),
    /// The factor with its columns.
    Down(String),
    /// What the scale is made of.
    Alpha(String),
    /// The lengths of the rows, which DoRA trains too.
    Magnitude,
    /// The weight of a module that was trained whole.
    Whole(String),
    /// A bias, or something of an embedding, which is no matrix that is multiplied with.
    Beside,
    Unknown,
}

/// The meaning of the tensor called `name`: in the forms of PEFT, of diffusers now and earlier, and of kohya's scripts.
pub fn meaning(name: &str) -> Meaning {
    let name = name.strip_prefix(PEFT).unwrap_or(name);
    let segments: Vec<&str> = name.split('.').collect();
    let until = |at: usize| segments[..at].join(".");
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).copied().unwrap_or_default();
        match (*segment, next) {
            ("lora_B" | "lora_up", _) => return of_weight(&segments, Meaning::Up(until(at))),
            ("lora_A" | "lora_down", _) => return of_weight(&segments, Meaning::Down(until(at))),
            ("lora" | "lora_linear_layer", "up") => return Meaning::Up(until(at)),
            ("lora" | "lora_linear_layer", "down") => return Meaning::Down(until(at)),
            (processed, "up") if processed.ends_with("_lora") => return Meaning::Up(of_processor(&segments[..=at])),
            (processed, "down") if processed.ends_with("_lora") => {
                return Meaning::Down(of_processor(&segments[..=at]));
            }
            ("lora_embedding_A" | "lora_embedding_B" | "trainable_tokens_delta", _) => return Meaning::Beside,
            ("lora_magnitude_vector" | "dora_scale", _) => return Meaning::Magnitude,
            ("alpha", "") if at > 0 => return Meaning::Alpha(until(at)),
            _ => {}
        }
    }
    if is_factor(name) {
        return Meaning::Unknown;
    }
    match segments.split_last() {
        // The weight that a trained copy, or the factors of a grown vocabulary, have replaced.
        _ if segments.contains(&"original_module") => Meaning::Beside,
        Some((&"weight", module)) => {
            let is_of_peft = |segment: &&&str| matches!(**segment, "modules_to_save" | "base_layer");
            let module: Vec<&str> = module.iter().take_while(|segment| !is_of_peft(segment)).copied().collect();
            Meaning::Whole(module.join("."))
        }
        Some((&("bias" | "diff_b"), _)) => Meaning::Beside,
        _ => Meaning::Unknown,
    }
}

/// The `meaning` of a factor, if it is a weight: a factor may have a bias, too.
fn of_weight(segments: &[&str], meaning: Meaning) -> Meaning {
    if segments.last() == Some(&"bias") { Meaning::Beside } else { meaning }
}

/// The module that diffusers' old processors of attention change: `attn1.processor.to_q_lora` stands for `attn1.to_q`.
fn of_processor(segments: &[&str]) -> String {
    let (last, before) = segments.split_last().map_or(("", segments), |(last, before)| (*last, before));
    let own = last.strip_suffix("_lora").unwrap_or(last);
    let before = before.strip_suffix(&["processor"]).unwrap_or(before);
    let own = if own == "to_out" { "to_out.0" } else { own };
    before.iter().copied().chain([own]).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_forms_are_understood() {
        let module = |name: &str| name.to_owned();
        for (name, expected) in [
            (
                "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
                Meaning::Down(module("model.layers.0.mlp.up_proj")),
            ),
            (
                "base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight",
                Meaning::Up(module("model.layers.0.mlp.up_proj")),
            ),
            ("base_model.model.model.layers.0.mlp.up_proj.lora_B.bias", Meaning::Beside),
            ("base_model.model.model.embed_tokens.lora_embedding_A", Meaning::Beside),
            ("base_model.model.lm_head.weight", Meaning::Whole(module("lm_head"))),
            ("base_model.model.score.modules_to_save.default.weight", Meaning::Whole(module("score"))),
            ("base_model.model.model.layers.0.q_proj.bias", Meaning::Beside),
            ("base_model.model.lm_head.original_module.weight", Meaning::Beside),
            ("base_model.model.model.embed_tokens.base_layer.weight", Meaning::Whole(module("model.embed_tokens"))),
            ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", Meaning::Beside),
            ("base_model.model.model.layers.0.mlp.experts.gate_up_proj", Meaning::Unknown),
            ("lora_unet_mid_block_attn_to_q.diff", Meaning::Unknown),
            ("base_model.model.layers.0.q_proj.lora_diag.default", Meaning::Unknown),
            ("base_model.model.layers.0.q.lora_magnitude_vector", Meaning::Magnitude),
            (
                "unet.down_blocks.0.attn1.processor.to_out_lora.up.weight",
                Meaning::Up(module("unet.down_blocks.0.attn1.to_out.0")),
            ),
            (
                "text_encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight",
                Meaning::Down(module("text_encoder.layers.0.self_attn.q_proj")),
            ),
            ("lora_unet_mid_block_attn_to_q.lora_up.weight", Meaning::Up(module("lora_unet_mid_block_attn_to_q"))),
            ("lora_unet_mid_block_attn_to_q.alpha", Meaning::Alpha(module("lora_unet_mid_block_attn_to_q"))),
            ("layers.0.attn.q_proj.lora_a.weight", Meaning::Unknown),
            ("base_model.model.layers.0.q_proj.hada_w1_a", Meaning::Unknown),
        ] {
            assert_eq!(meaning(name), expected, "{name}");
        }
    }
}
