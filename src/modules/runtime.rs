//! Names on disk -> names in memory, as a table.
//!
//! A trainer sees the modules of a model that transformers has loaded, and those are not always called as on disk:
//! version 5 stacks experts into one parameter, and multimodal models and vision encoders were renamed over time. The
//! renamings were observed by loading checkpoints under transformers 4.57.3 and 5.23.0 and looking where their values
//! went (`tests/catalogue/make_families.py`).

use super::name::number;
use crate::checkpoint::Config;

/// A line of versions of transformers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// 4.57, the last of version 4.
    Four,
    /// Version 5.
    #[default]
    Five,
}

/// Some architectures' names in memory.
struct Renaming {
    /// Their `model_type`s.
    names: &'static [&'static str],
    /// Whether only version 5 renames.
    only_five: bool,
    /// What is renamed, one after the other: runs of segments. `#` stands for a number, `^` for the name's beginning. A
    /// number of the first that the second lacks is dropped.
    rules: &'static [(&'static str, &'static str)],
}

/// Experts that are loaded into one parameter for each projection.
const STACKED: &[(&str, &str)] = &[
    ("experts.#.gate_proj", "experts.gate_up_proj"),
    ("experts.#.up_proj", "experts.gate_up_proj"),
    ("experts.#.down_proj", "experts.down_proj"),
];

/// The same under Mixtral's names.
const STACKED_AS_MIXTRAL: &[(&str, &str)] = &[
    ("block_sparse_moe.experts.#.w1", "mlp.experts.gate_up_proj"),
    ("block_sparse_moe.experts.#.w3", "mlp.experts.gate_up_proj"),
    ("block_sparse_moe.experts.#.w2", "mlp.experts.down_proj"),
];

/// The leaves of vision encoders.
const VISION_ATTENTION: &[(&str, &str)] = &[
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.self.query", "attention.q_proj"),
    ("attention.self.key", "attention.k_proj"),
    ("attention.self.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
];

const VISION_MLP: &[(&str, &str)] = &[("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2")];

/// The table. Every row that names an architecture applies, in this order.
const RENAMINGS: &[Renaming] = &[
    Renaming {
        names: &[
            "qwen2_moe",
            "qwen3_moe",
            "qwen3_next",
            "qwen3_5_moe",
            "qwen3_5_moe_text",
            "qwen3_omni_moe",
            "olmoe",
            "flex_olmo",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "kimi_k2",
            "kimi_k25",
            "glm4_moe",
            "glm4_moe_lite",
            "glm4v_moe",
            "dots1",
            "ernie4_5_moe",
            "hunyuan_v1_moe",
            "longcat_flash",
            "exaone_moe",
            "solar_open",
            "afmoe",
            "jamba",
        ],
        only_five: true,
        rules: STACKED,
    },
    Renaming { names: &["mixtral", "minimax", "minimax_m2", "phimoe"], only_five: true, rules: STACKED_AS_MIXTRAL },
    Renaming {
        names: &["mixtral", "minimax", "minimax_m2"],
        only_five: true,
        rules: &[("block_sparse_moe.gate", "mlp.gate")],
    },
    Renaming { names: &["phimoe"], only_five: true, rules: &[("block_sparse_moe.gate", "mlp.router")] },
    Renaming {
        names: &["granitemoe", "granitemoeshared", "granitemoehybrid"],
        only_five: true,
        rules: &[
            ("block_sparse_moe.input_linear", "block_sparse_moe.experts.gate_up_proj"),
            ("block_sparse_moe.output_linear", "block_sparse_moe.experts.down_proj"),
            ("block_sparse_moe.router.layer", "block_sparse_moe.router"),
        ],
    },
    Renaming { names: &["gpt_neox"], only_five: true, rules: &[("^.embed_out", "^.lm_head")] },
    Renaming {
        names: &["vit", "deit", "beit", "vit_mae", "vit_msn", "ijepa", "vivit"],
        only_five: true,
        rules: &[("encoder.layer.#", "layers.#")],
    },
    Renaming {
        names: &["segformer"],
        only_five: true,
        rules: &[
            ("encoder.block.#.#", "stages.#.blocks.#"),
            ("encoder.patch_embeddings.#", "stages.#.patch_embeddings"),
            ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
            ("mlp.dense1", "mlp.fc1"),
            ("mlp.dense2", "mlp.fc2"),
        ],
    },
    Renaming {
        names: &[
            "vit",
            "deit",
            "beit",
            "vit_mae",
            "vit_msn",
            "ijepa",
            "vivit",
            "dinov2",
            "dinov2_with_registers",
            "swin",
            "segformer",
        ],
        only_five: true,
        rules: VISION_ATTENTION,
    },
    Renaming {
        names: &["vit", "deit", "beit", "vit_mae", "vit_msn", "ijepa", "vivit", "swin"],
        only_five: true,
        rules: VISION_MLP,
    },
    Renaming {
        names: &["qwen2_vl", "qwen2_5_vl"],
        only_five: false,
        rules: &[("^.visual", "^.model.visual"), ("^.model.layers", "^.model.language_model.layers")],
    },
    Renaming {
        names: &[
            "llava",
            "llava_next",
            "llava_onevision",
            "vipllava",
            "gemma3",
            "mistral3",
            "internvl",
            "paligemma",
            "aya_vision",
            "got_ocr2",
            "mllama",
        ],
        only_five: false,
        rules: &[
            ("^.language_model.lm_head", "^.lm_head"),
            ("^.language_model.model", "^.model.language_model"),
            ("^.vision_tower", "^.model.vision_tower"),
            ("^.vision_model", "^.model.vision_model"),
            ("^.multi_modal_projector", "^.model.multi_modal_projector"),
        ],
    },
    Renaming {
        names: &["llava", "llava_next", "llava_onevision", "vipllava", "gemma3", "paligemma", "aya_vision"],
        only_five: true,
        rules: &[("^.model.vision_tower.vision_model", "^.model.vision_tower")],
    },
];

/// What the tensor or module called `name` on disk is called in memory under a `line` of transformers. `base` is what
/// everything but the head is in, where the checkpoint lacks it.
pub fn in_memory(name: &str, config: &Config, line: Line, base: Option<&str>) -> String {
    let mut name = match base {
        Some(base) if has_head(config) => format!("{base}.{name}"),
        _ => name.to_owned(),
    };
    let Some(architecture) = config.model_type.as_deref() else { return name };
    for renaming in RENAMINGS.iter().filter(|renaming| renaming.names.contains(&architecture)) {
        if renaming.only_five && line == Line::Four {
            continue;
        }
        for (from, to) in renaming.rules {
            if let Some(renamed) = rename(&name, from, to) {
                name = renamed;
            }
        }
    }
    name
}

/// Whether a trainer loads the model with a head around it. A class that ends in `Model` is the model without one.
fn has_head(config: &Config) -> bool {
    let is_base =
        |class: &str| class.ends_with("Model") && !class.ends_with("HeadModel") && !class.ends_with("HeadsModel");
    !config.architecture.as_deref().is_some_and(is_base)
}

/// `name` with the first run of segments that `from` describes replaced by `to`.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let (anchored, from) = from.strip_prefix("^.").map_or((false, from), |from| (true, from));
    let from: Vec<&str> = from.split('.').collect();
    let matches = |run: &[&str]| {
        run.iter()
            .zip(&from)
            .all(|(segment, wanted)| segment == wanted || (*wanted == "#" && number(segment).is_some()))
    };
    let at = segments.windows(from.len()).position(matches).filter(|at| !anchored || *at == 0)?;
    let mut numbers =
        segments[at..].iter().zip(&from).filter(|(_, wanted)| **wanted == "#").map(|(segment, _)| *segment);
    let to = to.strip_prefix("^.").unwrap_or(to).split('.');
    let replaced: Vec<&str> =
        to.map(|segment| if segment == "#" { numbers.next().unwrap_or("#") } else { segment }).collect();
    let parts = segments[..at].iter().copied().chain(replaced).chain(segments[at + from.len()..].iter().copied());
    Some(parts.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(model_type: &str) -> Config {
        Config { model_type: Some(model_type.into()), ..Config::default() }
    }

    #[test]
    fn experts_are_stacked_in_version_five_only() {
        let disk = "model.layers.3.block_sparse_moe.experts.7.w3";
        let name = |line| in_memory(disk, &config("mixtral"), line, None);
        assert_eq!(name(Line::Five), "model.layers.3.mlp.experts.gate_up_proj");
        assert_eq!(name(Line::Four), disk);
    }

    #[test]
    fn numbers_move_with_their_segments() {
        let name = in_memory("segformer.encoder.block.2.5.attention.self.key", &config("segformer"), Line::Five, None);
        assert_eq!(name, "segformer.stages.2.blocks.5.attention.k_proj");
    }

    #[test]
    fn renamings_are_anchored_and_do_not_repeat() {
        let name = |disk: &str| in_memory(disk, &config("qwen2_vl"), Line::Five, None);
        assert_eq!(name("visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("model.language_model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("lm_head"), "lm_head");
    }

    #[test]
    fn the_base_is_added_under_a_head_only() {
        let with = |architecture: &str| Config { architecture: Some(architecture.into()), ..config("gpt2") };
        let name = |config: &Config| in_memory("h.0.attn.c_attn", config, Line::Five, Some("transformer"));
        assert_eq!(name(&with("GPT2LMHeadModel")), "transformer.h.0.attn.c_attn");
        assert_eq!(name(&with("GPT2Model")), "h.0.attn.c_attn");
    }
}
