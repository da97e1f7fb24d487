//! What differs between architectures, as a table.
//!
//! Names and shapes tell most of what there is to know of a module (`name.rs`, `class.rs`); a row here says what they do
//! not: how a fused weight is divided, which tensors are stacks of experts though their names do not say so, and what a
//! base model's names begin with in memory. To teach laser-scan a new architecture, add its `model_type` to a row, or a
//! row. The layouts were read off the models' own code in transformers 5.23 and diffusers 0.42.

use super::fused::{Layout, QKV};
use crate::checkpoint::Config;

/// What there is to know of some architectures beside the general rules.
#[derive(Debug)]
pub struct Family {
    /// The `model_type`s of transformers, or classes of diffusers, that the row is about, with spaces between them.
    pub names: &'static str,
    /// Weights that are several in one: the end of the module's name, and how it is divided.
    pub fused: &'static [(&'static str, Layout)],
    /// Stacks of experts that the general rule does not find: the end of the tensor's name without `.weight`.
    pub stacks: &'static [(&'static str, Stack)],
    /// Heads that the general rules do not know: the module's name.
    pub heads: &'static [&'static str],
    /// What the names of everything but the head begin with in memory, where it may be missing on disk.
    pub base: Option<&'static str>,
    /// Which weights are stored as `[in, out]`.
    pub input_first: InputFirst,
    /// Whether the convolutions are as much of the model as its linear modules, so that they are measured unasked.
    pub convolutions: bool,
}

/// Which weights of an architecture are stored as `[in, out]`, the other way round than `nn.Linear` stores them. Singular
/// values are the same either way, but a fused weight is divided along its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFirst {
    /// None.
    Nothing,
    /// Stacks of experts, unless their extents say otherwise.
    Experts,
    /// All of them: they are `Conv1D`.
    Everything,
}

/// How experts are stacked in one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Along the first of three dimensions.
    Leading,
    /// As blocks of rows, as many as the configuration says under this key.
    Rows(&'static str),
}

const GATE_UP: &[&str] = &["gate", "up"];

/// Fused queries, keys and values of vision towers; these are everywhere the same.
const VISION: (&str, Layout) = ("attn.qkv", Layout::Blocks(QKV));

/// A row that the general rules are enough for.
const PLAIN: Family = Family {
    names: "",
    fused: &[VISION],
    stacks: &[],
    heads: &[],
    base: Some("model"),
    input_first: InputFirst::Nothing,
    convolutions: false,
};

/// A row whose models have every name in full on disk.
const BASELESS: Family = Family { base: None, ..PLAIN };

/// The table.
const FAMILIES: &[Family] = &[
    // Dense decoders.
    Family {
        names: "llama mistral ministral ministral3 qwen2 qwen3 gemma gemma2 gemma3_text gemma3n_text cohere cohere2 stablelm \
                olmo olmo2 olmo3 phi starcoder2 granite nemotron smollm3 helium arcee exaone4 seed_oss apertus ernie4_5 \
                hunyuan_v1_dense xglm opt",
        ..PLAIN
    },
    Family { names: "lfm2 lfm2_moe", fused: &[("conv.in_proj", Layout::Blocks(&["B", "C", "x"]))], ..PLAIN },
    Family { names: "biogpt", base: Some("biogpt"), ..PLAIN },
    Family { names: "gptj gpt_neo", base: Some("transformer"), ..PLAIN },
    Family {
        names: "phi3 phi4_multimodal",
        fused: &[("self_attn.qkv_proj", Layout::QueryKeyValue), ("mlp.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..PLAIN
    },
    Family { names: "glm glm4 glm4v", fused: &[VISION, ("mlp.gate_up_proj", Layout::Blocks(GATE_UP))], ..PLAIN },
    Family {
        names: "gpt2",
        fused: &[("attn.c_attn", Layout::Blocks(QKV))],
        base: Some("transformer"),
        input_first: InputFirst::Everything,
        ..PLAIN
    },
    Family { names: "gpt_bigcode", fused: &[("attn.c_attn", Layout::BigCode)], base: Some("transformer"), ..PLAIN },
    Family {
        names: "gpt_neox",
        fused: &[("attention.query_key_value", Layout::PerHead(QKV))],
        base: Some("gpt_neox"),
        ..PLAIN
    },
    Family {
        names: "gpt_neox_japanese",
        fused: &[("attention.query_key_value", Layout::PerHead(QKV))],
        base: Some("gpt_neox_japanese"),
        ..PLAIN
    },
    Family {
        names: "falcon",
        fused: &[("self_attention.query_key_value", Layout::Falcon)],
        base: Some("transformer"),
        ..PLAIN
    },
    Family {
        names: "bloom",
        fused: &[("self_attention.query_key_value", Layout::PerHead(QKV))],
        base: Some("transformer"),
        ..PLAIN
    },
    Family { names: "persimmon", fused: &[("self_attn.query_key_value", Layout::PerHead(QKV))], ..PLAIN },
    Family { names: "mpt", fused: &[("attn.Wqkv", Layout::Blocks(QKV))], base: Some("transformer"), ..PLAIN },
    Family {
        names: "codegen",
        fused: &[("attn.qkv_proj", Layout::PerPart(4, &["q", "v", "k"]))],
        base: Some("transformer"),
        ..PLAIN
    },
    // State-space models and linear attention.
    Family {
        names: "mamba falcon_mamba",
        fused: &[("mixer.in_proj", Layout::Blocks(&["x", "gate"]))],
        base: Some("backbone"),
        ..PLAIN
    },
    Family { names: "mamba2", fused: &[("mixer.in_proj", Layout::Mamba2)], base: Some("backbone"), ..PLAIN },
    Family { names: "nemotron_h", fused: &[("mixer.in_proj", Layout::Mamba2)], ..BASELESS },
    Family { names: "jamba", fused: &[("mamba.in_proj", Layout::Blocks(&["x", "gate"]))], ..PLAIN },
    Family { names: "minimax", fused: &[("self_attn.qkv_proj", Layout::PerHead(QKV))], ..PLAIN },
    Family {
        names: "qwen3_next qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text",
        fused: &[
            VISION,
            ("self_attn.q_proj", Layout::PerHead(&["query", "gate"])),
            ("linear_attn.in_proj_qkvz", Layout::GatedDeltaQkvz),
            ("linear_attn.in_proj_ba", Layout::GatedDeltaBa),
            ("linear_attn.in_proj_qkv", Layout::GatedDeltaQkv),
            ("experts.gate_up_proj", Layout::Blocks(GATE_UP)),
        ],
        ..PLAIN
    },
    // Mixtures whose experts are linear modules one by one, or stacked under a name that says so.
    Family {
        names: "mixtral qwen2_moe qwen3_moe olmoe flex_olmo deepseek_v2 deepseek_v3 deepseek_v32 kimi_k2 glm4_moe \
                glm4_moe_lite glm4v_moe glm_moe_dsa dots1 ernie4_5_moe hunyuan_v1_moe longcat_flash exaone_moe solar_open \
                afmoe minimax_m2 phimoe cohere2_moe",
        fused: &[VISION, ("experts.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..PLAIN
    },
    Family {
        names: "kimi_k25",
        fused: &[("wqkv", Layout::Blocks(QKV)), ("experts.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..BASELESS
    },
    Family {
        names: "llama4 llama4_text qwen3_vl_moe qwen3_vl_moe_text",
        fused: &[VISION, ("experts.gate_up_proj", Layout::Blocks(GATE_UP))],
        input_first: InputFirst::Experts,
        ..BASELESS
    },
    Family {
        names: "qwen2_5_omni qwen2_5_omni_thinker qwen3_omni_moe qwen3_omni_moe_thinker",
        fused: &[VISION, ("experts.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..BASELESS
    },
    Family {
        names: "gpt_oss",
        fused: &[("experts.gate_up_proj", Layout::Alternating(GATE_UP))],
        input_first: InputFirst::Experts,
        ..PLAIN
    },
    Family {
        names: "granitemoe granitemoeshared granitemoehybrid",
        fused: &[
            ("block_sparse_moe.input_linear", Layout::Blocks(GATE_UP)),
            ("shared_mlp.input_linear", Layout::Blocks(GATE_UP)),
            ("mamba.in_proj", Layout::Mamba2),
        ],
        stacks: &[
            ("block_sparse_moe.input_linear", Stack::Leading),
            ("block_sparse_moe.output_linear", Stack::Leading),
        ],
        ..PLAIN
    },
    Family {
        names: "jetmoe",
        fused: &[
            ("mlp.input_linear", Layout::Blocks(GATE_UP)),
            ("self_attention.kv_proj", Layout::Blocks(&["k", "v"])),
        ],
        stacks: &[("mlp.input_linear", Stack::Leading), ("mlp.output_linear", Stack::Leading)],
        ..PLAIN
    },
    Family {
        names: "dbrx",
        fused: &[("attn.Wqkv", Layout::QueryKeyValue)],
        stacks: &[
            ("ffn.experts.mlp.w1", Stack::Rows("ffn_config.moe_num_experts")),
            ("ffn.experts.mlp.v1", Stack::Rows("ffn_config.moe_num_experts")),
            ("ffn.experts.mlp.w2", Stack::Rows("ffn_config.moe_num_experts")),
        ],
        base: Some("transformer"),
        ..PLAIN
    },
    // Encoders, encoder-decoders, vision and audio.
    Family { names: "bart mbart", ..PLAIN },
    Family { names: "whisper", heads: &["proj_out"], ..BASELESS },
    Family {
        names: "t5 mt5 umt5 longt5 clip clip_text_model clip_vision_model siglip siglip2 audio-spectrogram-transformer",
        ..BASELESS
    },
    Family { names: "wav2vec2", base: Some("wav2vec2"), ..PLAIN },
    Family { names: "hubert", base: Some("hubert"), ..PLAIN },
    Family { names: "wavlm", base: Some("wavlm"), ..PLAIN },
    Family { names: "bert", base: Some("bert"), ..PLAIN },
    Family { names: "roberta xlm-roberta camembert", base: Some("roberta"), ..PLAIN },
    Family { names: "vit vit_mae vit_msn", base: Some("vit"), ..PLAIN },
    Family { names: "ijepa", base: Some("ijepa"), ..PLAIN },
    Family { names: "vivit", base: Some("vivit"), ..PLAIN },
    Family { names: "deit", base: Some("deit"), ..PLAIN },
    Family { names: "beit", base: Some("beit"), ..PLAIN },
    Family { names: "swin", base: Some("swin"), ..PLAIN },
    Family { names: "segformer", base: Some("segformer"), ..PLAIN },
    Family { names: "dinov2", fused: &[("mlp.weights_in", Layout::Blocks(GATE_UP))], base: Some("dinov2"), ..PLAIN },
    Family {
        names: "dinov2_with_registers",
        fused: &[("mlp.weights_in", Layout::Blocks(GATE_UP))],
        base: Some("dinov2_with_registers"),
        ..PLAIN
    },
    Family {
        names: "qwen2_vl qwen2_5_vl qwen3_vl llava llava_next llava_onevision vipllava gemma3 gemma3n mistral3 internvl paligemma \
                aya_vision got_ocr2 mllama pixtral qwen2_audio voxtral",
        ..BASELESS
    },
    Family { names: "idefics2 idefics3 smolvlm", ..PLAIN },
    Family {
        names: "aria",
        fused: &[("experts.fc1", Layout::Blocks(GATE_UP))],
        input_first: InputFirst::Experts,
        ..BASELESS
    },
    Family { names: "fuyu", fused: &[("self_attn.query_key_value", Layout::PerHead(QKV))], ..BASELESS },
    // diffusers.
    Family {
        names: "UNet2DConditionModel UNet2DModel AutoencoderKL AutoencoderTiny ControlNetModel",
        fused: &[("ff.net.0.proj", Layout::Blocks(&["value", "gate"]))],
        convolutions: true,
        ..BASELESS
    },
    Family {
        names: "FluxTransformer2DModel SD3Transformer2DModel PixArtTransformer2DModel QwenImageTransformer2DModel \
                WanTransformer3DModel AuraFlowTransformer2DModel SanaTransformer2DModel",
        convolutions: true,
        ..BASELESS
    },
];

/// The rules for an architecture without a row.
pub const UNKNOWN: Family = BASELESS;

impl Family {
    /// The row for a model with this configuration; `None` if it names an architecture that has none.
    pub fn of(config: &Config) -> Option<&'static Self> {
        let name = config.model_type.as_deref()?;
        FAMILIES.iter().find(|family| family.names.split_whitespace().any(|known| known == name))
    }

    /// How the weight of the module called `name` is stacked, if the row says so.
    pub fn stack(&self, name: &str) -> Option<Stack> {
        self.stacks.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, stack)| *stack)
    }

    /// How the outputs of the module called `name` are divided, if they are.
    pub fn layout(&self, name: &str) -> Option<Layout> {
        self.fused.iter().find(|(ending, _)| ends_with(name, ending)).map(|(_, layout)| *layout)
    }
}

/// Whether the last segments of `name` are those of `ending`.
fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_architecture_has_two_rows() {
        let mut names: Vec<&str> = FAMILIES.iter().flat_map(|family| family.names.split_whitespace()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
