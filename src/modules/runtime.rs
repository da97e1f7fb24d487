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

impl Line {
    /// Its number.
    pub fn version(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }
}

/// Some architectures' names in memory.
struct Renaming {
    /// Their `model_type`s, or the classes that wrote them, with spaces between them.
    names: &'static str,
    /// Whether only version 5 renames.
    only_five: bool,
    /// What is renamed, one after the other: runs of segments. `#` stands for a number, `^` for the name's beginning. A
    /// number of the first that the second lacks is dropped. What becomes several modules has them in braces.
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

/// A language model that moved below the model around it, with what stands beside it.
const UNDER_MODEL: &[(&str, &str)] = &[
    ("^.language_model.lm_head", "^.lm_head"),
    ("^.language_model.model", "^.model.language_model"),
    ("^.vision_tower", "^.model.vision_tower"),
    ("^.vision_model", "^.model.vision_model"),
    ("^.vision_embed_tokens", "^.model.vision_embed_tokens"),
    ("^.audio_tower", "^.model.audio_tower"),
    ("^.multi_modal_projector", "^.model.multi_modal_projector"),
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
    // Mixtures of experts.
    Renaming {
        names: "qwen2_moe qwen3_moe qwen3_next qwen3_5_moe qwen3_5_moe_text qwen3_omni_moe qwen3_omni_moe_thinker olmoe \
                flex_olmo deepseek_v2 deepseek_v3 deepseek_v32 kimi_k25 glm4_moe glm4_moe_lite glm4v_moe glm_moe_dsa dots1 \
                ernie4_5_moe hunyuan_v1_moe longcat_flash exaone_moe solar_open afmoe jamba cohere2_moe",
        only_five: true,
        rules: STACKED,
    },
    Renaming { names: "mixtral minimax minimax_m2 phimoe", only_five: true, rules: STACKED_AS_MIXTRAL },
    Renaming { names: "mixtral minimax minimax_m2", only_five: true, rules: &[("block_sparse_moe.gate", "mlp.gate")] },
    Renaming { names: "phimoe", only_five: true, rules: &[("block_sparse_moe.gate", "mlp.router")] },
    Renaming {
        names: "granitemoe granitemoeshared granitemoehybrid",
        only_five: true,
        rules: &[
            ("block_sparse_moe.input_linear", "block_sparse_moe.experts.gate_up_proj"),
            ("block_sparse_moe.output_linear", "block_sparse_moe.experts.down_proj"),
            ("block_sparse_moe.router.layer", "block_sparse_moe.router"),
        ],
    },
    Renaming {
        names: "lfm2_moe",
        only_five: true,
        rules: &[
            ("feed_forward.experts.#.w1", "feed_forward.experts.gate_up_proj"),
            ("feed_forward.experts.#.w3", "feed_forward.experts.gate_up_proj"),
            ("feed_forward.experts.#.w2", "feed_forward.experts.down_proj"),
        ],
    },
    Renaming {
        names: "nemotron_h",
        only_five: true,
        rules: &[
            ("^.backbone", "^.model"),
            ("mixer.experts.#.up_proj", "mixer.experts.up_proj"),
            ("mixer.experts.#.down_proj", "mixer.experts.down_proj"),
        ],
    },
    // Language models.
    Renaming { names: "gpt_neox", only_five: true, rules: &[("^.embed_out", "^.lm_head")] },
    // Multimodal models.
    Renaming {
        names: "qwen2_vl qwen2_5_vl",
        only_five: false,
        rules: &[("^.visual", "^.model.visual"), ("^.model.layers", "^.model.language_model.layers")],
    },
    Renaming {
        names: "qwen2_5_omni qwen3_omni_moe",
        only_five: true,
        rules: &[
            ("^.thinker.audio_tower", "^.thinker.model.audio_tower"),
            ("^.thinker.visual", "^.thinker.model.visual"),
            ("^.thinker.model.layers", "^.thinker.model.language_model.layers"),
        ],
    },
    Renaming {
        names: "qwen2_5_omni_thinker qwen3_omni_moe_thinker",
        only_five: true,
        rules: &[
            ("^.audio_tower", "^.model.audio_tower"),
            ("^.visual", "^.model.visual"),
            ("^.model.layers", "^.model.language_model.layers"),
        ],
    },
    Renaming {
        names: "kimi_k25",
        only_five: true,
        rules: &[
            ("^.language_model.lm_head", "^.lm_head"),
            ("^.language_model.model", "^.model.language_model"),
            ("^.model.language_model.blocks.#", "^.model.language_model.layers.#"),
            ("^.mm_projector.proj.0", "^.model.mm_projector.in_proj"),
            ("^.mm_projector.proj.2", "^.model.mm_projector.out_proj"),
            ("^.vision_tower.encoder.blocks.#.mlp.fc1", "^.model.vision_tower.layers.#.mlp.fc2"),
            ("^.vision_tower.encoder.blocks.#.mlp.fc0", "^.model.vision_tower.layers.#.mlp.fc1"),
            ("^.vision_tower.encoder.blocks.#.wo", "^.model.vision_tower.layers.#.attn.proj"),
            ("^.vision_tower.encoder.blocks.#.wqkv", "^.model.vision_tower.layers.#.attn.{q_proj,k_proj,v_proj}"),
            ("^.vision_tower", "^.model.vision_tower"),
        ],
    },
    Renaming {
        names: "llava llava_next llava_onevision vipllava gemma3 mistral3 internvl paligemma aya_vision got_ocr2 mllama fuyu \
                aria",
        only_five: false,
        rules: UNDER_MODEL,
    },
    Renaming { names: "voxtral qwen2_audio", only_five: true, rules: UNDER_MODEL },
    Renaming {
        names: "aria",
        only_five: true,
        rules: &[("mlp.experts.fc1", "mlp.experts.gate_up_proj"), ("mlp.experts.fc2", "mlp.experts.down_proj")],
    },
    Renaming {
        names: "llava llava_next llava_onevision vipllava gemma3 paligemma aya_vision",
        only_five: true,
        rules: &[("^.model.vision_tower.vision_model", "^.model.vision_tower")],
    },
    // Encoders of images, text and sound.
    Renaming {
        names: "CLIPTextModel",
        only_five: true,
        rules: &[("^.text_model.encoder", "^.encoder"), ("^.text_model.embeddings", "^.embeddings")],
    },
    Renaming {
        names: "CLIPVisionModel",
        only_five: true,
        rules: &[("^.vision_model.encoder", "^.encoder"), ("^.vision_model.embeddings", "^.embeddings")],
    },
    Renaming { names: "vit_msn", only_five: true, rules: &[("^.encoder", "^.vit.encoder")] },
    Renaming {
        names: "vit_mae",
        only_five: true,
        rules: &[("decoder.decoder_encoder.layer.#", "decoder.decoder_layers.#")],
    },
    Renaming {
        names: "vit deit beit vit_mae vit_msn ijepa vivit audio-spectrogram-transformer",
        only_five: true,
        rules: &[("encoder.layer.#", "layers.#")],
    },
    Renaming {
        names: "segformer",
        only_five: true,
        rules: &[
            ("encoder.block.#.#", "stages.#.blocks.#"),
            ("encoder.patch_embeddings.#", "stages.#.patch_embeddings"),
            ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
            ("mlp.dense1", "mlp.fc1"),
            ("mlp.dense2", "mlp.fc2"),
            ("decode_head.linear_c.#", "decode_head.linear_projections.#"),
        ],
    },
    Renaming {
        names: "vit deit beit vit_mae vit_msn ijepa vivit audio-spectrogram-transformer dinov2 dinov2_with_registers swin \
                segformer",
        only_five: true,
        rules: VISION_ATTENTION,
    },
    Renaming {
        names: "vit deit beit vit_mae vit_msn ijepa vivit audio-spectrogram-transformer swin",
        only_five: true,
        rules: VISION_MLP,
    },
    Renaming {
        names: "dinov2 dinov2_with_registers",
        only_five: true,
        rules: &[("mlp.weights_in", "mlp.{gate_proj,up_proj}"), ("mlp.weights_out", "mlp.down_proj")],
    },
];

/// What renames the modules of one model.
pub struct Runtime {
    rules: Vec<(&'static str, &'static str)>,
    has_head: bool,
}

impl Runtime {
    /// What renames the modules of a model with this configuration under a `line` of transformers.
    pub fn new(config: &Config, line: Line) -> Self {
        let is_called =
            |known: &str| config.model_type.as_deref() == Some(known) || config.architecture.as_deref() == Some(known);
        let applies = |renaming: &&Renaming| {
            (line == Line::Five || !renaming.only_five) && renaming.names.split_whitespace().any(is_called)
        };
        let rules = RENAMINGS.iter().filter(applies).flat_map(|renaming| renaming.rules).copied().collect();
        Self { rules, has_head: has_head(config) }
    }

    /// What the tensor or module called `name` on disk is called in memory: one name, or several where it is divided.
    /// `base` is what everything but the head is in, where the checkpoint lacks it.
    pub fn names(&self, name: &str, base: Option<&str>) -> Vec<String> {
        let name = match base {
            Some(base) if self.has_head => format!("{base}.{name}"),
            _ => name.to_owned(),
        };
        self.rules.iter().fold(vec![name], |names, (from, to)| {
            let renamed = |name: String| {
                let others: Option<Vec<String>> = alternatives(to).iter().map(|to| rename(&name, from, to)).collect();
                others.unwrap_or_else(|| vec![name])
            };
            names.into_iter().flat_map(renamed).collect()
        })
    }
}

/// What a rule's right side stands for: itself, or one name for each of the alternatives that it has in braces. Braces in
/// a name from a file are the name's own.
fn alternatives(to: &str) -> Vec<String> {
    let braces = to.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match braces {
        Some((before, (alternatives, after))) => {
            alternatives.split(',').map(|alternative| format!("{before}{alternative}{after}")).collect()
        }
        None => vec![to.to_owned()],
    }
}

/// Whether a trainer loads the model with a head around it. A class that ends in `Model` is the model without one.
fn has_head(config: &Config) -> bool {
    let is_base =
        |class: &str| class.ends_with("Model") && !class.ends_with("HeadModel") && !class.ends_with("HeadsModel");
    !config.architecture.as_deref().is_some_and(is_base)
}

/// Whether the model that a trainer loads projects onto the vocabulary; one that classifies does not.
pub fn has_vocabulary_head(config: &Config) -> bool {
    let other = ["Classification", "QuestionAnswering", "MultipleChoice"];
    let is_other = |class: &str| other.iter().any(|task| class.contains(task));
    has_head(config) && !config.architecture.as_deref().is_some_and(is_other)
}

/// `name` with the first run of segments that `from` describes replaced by `to`.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let (anchored, from) = from.strip_prefix("^.").map_or((false, from), |from| (true, from));
    let from: Vec<&str> = from.split('.').collect();
    let matches = |run: &[&str]| {
        run.iter().zip(&from).all(|(segment, wanted)| match *wanted {
            "#" => number(segment).is_some(),
            wanted => *segment == wanted,
        })
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
        let name = |line| Runtime::new(&config("mixtral"), line).names(disk, None);
        assert_eq!(name(Line::Five), ["model.layers.3.mlp.experts.gate_up_proj"]);
        assert_eq!(name(Line::Four), [disk]);
    }

    #[test]
    fn numbers_move_with_their_segments() {
        let name = Runtime::new(&config("segformer"), Line::Five)
            .names("segformer.encoder.block.2.5.attention.self.key", None);
        assert_eq!(name, ["segformer.stages.2.blocks.5.attention.k_proj"]);
    }

    #[test]
    fn what_is_divided_has_several_names() {
        let name = Runtime::new(&config("dinov2"), Line::Five).names("dinov2.encoder.layer.3.mlp.weights_in", None);
        assert_eq!(name, ["dinov2.encoder.layer.3.mlp.gate_proj", "dinov2.encoder.layer.3.mlp.up_proj"]);
    }

    #[test]
    fn marks_in_a_name_are_its_own() {
        let name = |disk: &str| Runtime::new(&config("qwen3_moe"), Line::Five).names(disk, None);
        let others = [
            "model.layers.0.mlp.{up,down}_proj",
            "model.layers.0.mlp.}up{",
            "model.layers.0.mlp.experts.#.up_proj",
            "^.model.layers.0.mlp.%s",
        ];
        for disk in others {
            assert_eq!(name(disk), [disk]);
        }
        let divided = Runtime::new(&config("dinov2"), Line::Five).names("{a,b}.layer.3.mlp.weights_in", None);
        assert_eq!(divided, ["{a,b}.layer.3.mlp.gate_proj", "{a,b}.layer.3.mlp.up_proj"]);
    }

    #[test]
    fn renamings_are_anchored_and_do_not_repeat() {
        let name = |disk: &str| Runtime::new(&config("qwen2_vl"), Line::Five).names(disk, None).concat();
        assert_eq!(name("visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("model.language_model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("lm_head"), "lm_head");
    }

    #[test]
    fn the_base_is_added_under_a_head_only() {
        let with = |architecture: &str| Config { architecture: Some(architecture.into()), ..config("gpt2") };
        let name =
            |config: &Config| Runtime::new(config, Line::Five).names("h.0.attn.c_attn", Some("transformer")).concat();
        assert_eq!(name(&with("GPT2LMHeadModel")), "transformer.h.0.attn.c_attn");
        assert_eq!(name(&with("GPT2Model")), "h.0.attn.c_attn");
    }
}
