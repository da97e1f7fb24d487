//! Language models without experts.

use super::row::{Architecture, GATE_UP, GATED_DELTA, InputFirst, Layout, PLAIN, QKV, Refused, VISION};

pub const ROWS: &[Architecture] = &[
    Architecture { names: &["gemma3n", "gemma3n_text"], bypassed: &["altup.correction_coefs"], ..PLAIN },
    Architecture {
        names: &["lfm2", "lfm2_moe"],
        fused: &[("conv.in_proj", Layout::Blocks(&["B", "C", "x"]))],
        ..PLAIN
    },
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
    Architecture {
        names: &["gpt2"],
        fused: &[("attn.c_attn", Layout::Blocks(QKV))],
        input_first: InputFirst::Everything,
        ..PLAIN
    },
    Architecture { names: &["gpt_bigcode"], fused: &[("attn.c_attn", Layout::BigCode)], ..PLAIN },
    Architecture {
        names: &["gpt_neox", "gpt_neox_japanese"],
        fused: &[("attention.query_key_value", Layout::PerHead(QKV))],
        ..PLAIN
    },
    Architecture { names: &["falcon"], fused: &[("self_attention.query_key_value", Layout::Falcon)], ..PLAIN },
    Architecture { names: &["bloom"], fused: &[("self_attention.query_key_value", Layout::PerHead(QKV))], ..PLAIN },
    Architecture {
        names: &["persimmon", "fuyu"],
        fused: &[("self_attn.query_key_value", Layout::PerHead(QKV))],
        ..PLAIN
    },
    Architecture { names: &["mpt"], fused: &[("attn.Wqkv", Layout::Blocks(QKV))], ..PLAIN },
    Architecture { names: &["codegen"], fused: &[("attn.qkv_proj", Layout::PerPart(4, &["q", "v", "k"]))], ..PLAIN },
    // State-space models and linear attention.
    Architecture {
        names: &["mamba", "falcon_mamba"],
        fused: &[("mixer.in_proj", Layout::Blocks(&["x", "gate"]))],
        refused: Some(Refused::MambaKernels),
        bypassed: &["mixer.dt_proj", "mixer.x_proj"],
        ..PLAIN
    },
    Architecture {
        names: &["mamba2", "nemotron_h"],
        fused: &[("mixer.in_proj", Layout::Mamba2)],
        refused: Some(Refused::MambaKernels),
        ..PLAIN
    },
    Architecture { names: &["falcon_h1"], refused: Some(Refused::MambaKernels), ..PLAIN },
    Architecture { names: &["bamba", "zamba2"], bypassed: &["mamba.out_proj"], ..PLAIN },
    Architecture {
        names: &["qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next"],
        ..GATED_DELTA
    },
];
