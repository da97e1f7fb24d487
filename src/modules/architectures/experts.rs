//! Models with a mixture of experts.

use super::row::{Architecture, EXPERTS, GATE_UP, InputFirst, Layout, PLAIN, QKV, Refused, Stack, VISION};

/// A mixture of Granite's, whose experts are stacked on disk under a name of its own.
const GRANITE: Architecture = Architecture {
    fused: &[
        ("block_sparse_moe.input_linear", Layout::Blocks(GATE_UP)),
        ("shared_mlp.input_linear", Layout::Blocks(GATE_UP)),
        ("mamba.in_proj", Layout::Mamba2),
    ],
    ..PLAIN
};

pub const ROWS: &[Architecture] = &[
    // Its own code keeps the experts apart.
    Architecture { names: &["kimi_k2"], ..PLAIN },
    Architecture { names: &["kimi_k25"], fused: &[("wqkv", Layout::Blocks(QKV)), EXPERTS], ..PLAIN },
    Architecture { names: &["minimax"], fused: &[("self_attn.qkv_proj", Layout::PerHead(QKV)), EXPERTS], ..PLAIN },
    Architecture {
        names: &["jamba"],
        fused: &[("mamba.in_proj", Layout::Blocks(&["x", "gate"]))],
        bypassed: &["mamba.dt_proj"],
        ..PLAIN
    },
    Architecture {
        names: &["gpt_oss"],
        fused: &[("experts.gate_up_proj", Layout::Alternating(GATE_UP))],
        input_first: InputFirst::Experts,
        ..PLAIN
    },
    Architecture {
        names: &["llama4", "llama4_text", "qwen3_vl_moe", "qwen3_vl_moe_text"],
        fused: &[VISION, EXPERTS],
        input_first: InputFirst::Experts,
        ..PLAIN
    },
    Architecture {
        names: &["aria", "aria_text"],
        fused: &[("experts.fc1", Layout::Blocks(GATE_UP))],
        input_first: InputFirst::Experts,
        bypassed: &["multihead_attn.out_proj"],
        ..PLAIN
    },
    Architecture { names: &["granitemoe", "granitemoeshared"], ..GRANITE },
    Architecture { names: &["granitemoehybrid"], bypassed: &["mamba.out_proj"], ..GRANITE },
    Architecture {
        names: &["jetmoe"],
        fused: &[
            ("mlp.input_linear", Layout::Blocks(GATE_UP)),
            ("self_attention.kv_proj", Layout::Blocks(&["k", "v"])),
        ],
        ..PLAIN
    },
    Architecture {
        names: &["dbrx"],
        fused: &[("attn.Wqkv", Layout::QueryKeyValue)],
        stacks: &[
            ("ffn.experts.mlp.w1", Stack::Rows("ffn_config.moe_num_experts")),
            ("ffn.experts.mlp.v1", Stack::Rows("ffn_config.moe_num_experts")),
            ("ffn.experts.mlp.w2", Stack::Rows("ffn_config.moe_num_experts")),
        ],
        refused: Some(Refused::Experts),
        ..PLAIN
    },
];
