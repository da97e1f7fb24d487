//! Language models without experts.

use super::row::{Architecture, GATE_UP, GATED_DELTA, InputFirst, Layout, PLAIN, QKV, Refused, UNKNOWN, VISION};

/// A GPT, whose names begin with `transformer` in memory.
const GPT: Architecture = Architecture { base: Some("transformer"), ..PLAIN };

pub const ROWS: &[Architecture] = &[
    Architecture { names: &["llama", "mistral", "ministral", "ministral3", "arcee", "seed_oss", "apertus"], ..PLAIN },
    Architecture { names: &["qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "cohere", "cohere2"], ..PLAIN },
    Architecture { names: &["olmo", "olmo2", "olmo3", "stablelm", "phi", "starcoder2", "granite"], ..PLAIN },
    Architecture { names: &["nemotron", "smollm3", "helium", "exaone4", "ernie4_5", "xglm", "opt"], ..PLAIN },
    Architecture { names: &["hunyuan_v1_dense"], ..PLAIN },
    Architecture { names: &["gemma3n_text"], bypassed: &["altup.correction_coefs"], ..PLAIN },
    Architecture { names: &["lfm2"], fused: &[("conv.in_proj", Layout::Blocks(&["B", "C", "x"]))], ..PLAIN },
    Architecture { names: &["biogpt"], base: Some("biogpt"), ..PLAIN },
    Architecture {
        names: &["phi3", "phi4_multimodal"],
        fused: &[("self_attn.qkv_proj", Layout::QueryKeyValue), ("mlp.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..PLAIN
    },
    Architecture {
        names: &["glm", "glm4", "glm4v"],
        fused: &[VISION, ("mlp.gate_up_proj", Layout::Blocks(GATE_UP))],
        ..PLAIN
    },
    Architecture { names: &["gptj", "gpt_neo"], ..GPT },
    Architecture {
        names: &["gpt2"],
        fused: &[("attn.c_attn", Layout::Blocks(QKV))],
        input_first: InputFirst::Everything,
        ..GPT
    },
    Architecture { names: &["gpt_bigcode"], fused: &[("attn.c_attn", Layout::BigCode)], ..GPT },
    Architecture {
        names: &["gpt_neox"],
        fused: &[("attention.query_key_value", Layout::PerHead(QKV))],
        base: Some("gpt_neox"),
        renamed_by_five: &[&[("^.embed_out", "^.lm_head")]],
        ..PLAIN
    },
    Architecture {
        names: &["gpt_neox_japanese"],
        fused: &[("attention.query_key_value", Layout::PerHead(QKV))],
        base: Some("gpt_neox_japanese"),
        ..PLAIN
    },
    Architecture { names: &["falcon"], fused: &[("self_attention.query_key_value", Layout::Falcon)], ..GPT },
    Architecture { names: &["bloom"], fused: &[("self_attention.query_key_value", Layout::PerHead(QKV))], ..GPT },
    Architecture { names: &["persimmon"], fused: &[("self_attn.query_key_value", Layout::PerHead(QKV))], ..PLAIN },
    Architecture { names: &["mpt"], fused: &[("attn.Wqkv", Layout::Blocks(QKV))], ..GPT },
    Architecture { names: &["codegen"], fused: &[("attn.qkv_proj", Layout::PerPart(4, &["q", "v", "k"]))], ..GPT },
    // State-space models and linear attention.
    Architecture {
        names: &["mamba", "falcon_mamba"],
        fused: &[("mixer.in_proj", Layout::Blocks(&["x", "gate"]))],
        base: Some("backbone"),
        refused: Some(Refused::MambaKernels),
        bypassed: &["mixer.dt_proj", "mixer.x_proj"],
        ..PLAIN
    },
    Architecture {
        names: &["mamba2"],
        fused: &[("mixer.in_proj", Layout::Mamba2)],
        base: Some("backbone"),
        refused: Some(Refused::MambaKernels),
        ..PLAIN
    },
    Architecture { names: &["falcon_h1"], refused: Some(Refused::MambaKernels), ..UNKNOWN },
    Architecture { names: &["bamba", "zamba2"], bypassed: &["mamba.out_proj"], ..UNKNOWN },
    Architecture { names: &["qwen3_5", "qwen3_5_text"], ..GATED_DELTA },
];
