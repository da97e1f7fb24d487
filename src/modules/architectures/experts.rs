//! Language models with a mixture of experts.

use super::row::{
    Architecture, BASELESS, EXPERTS, GATE_UP, GATED_DELTA, InputFirst, Layout, PLAIN, PROJECTIONS, QKV, Refused, Rules,
    STACKED, Stack, UNKNOWN, VISION,
};

/// The experts' rules under Mixtral's names.
const STACKED_AS_MIXTRAL: Rules = &[
    ("block_sparse_moe.experts.#.w1", "mlp.experts.gate_up_proj"),
    ("block_sparse_moe.experts.#.w3", "mlp.experts.gate_up_proj"),
    ("block_sparse_moe.experts.#.w2", "mlp.experts.down_proj"),
];

/// A mixture whose experts are separate linear modules on disk, or stacked under a name that says so.
const MIXTURE: Architecture = Architecture { fused: &[VISION, EXPERTS], ..PLAIN };

/// A mixture whose experts version 5 stacks.
const ROUTED: Architecture = Architecture { renamed_by_five: &[STACKED], rewritten: PROJECTIONS, ..MIXTURE };

/// A mixture under Mixtral's names.
const MIXTRAL: Architecture = Architecture {
    renamed_by_five: &[STACKED_AS_MIXTRAL, &[("block_sparse_moe.gate", "mlp.gate")]],
    rewritten: &["gate", "w1", "w2", "w3"],
    ..MIXTURE
};

/// A mixture of Granite's, whose experts are stacked on disk under a name of its own.
const GRANITE: Architecture = Architecture {
    fused: &[
        ("block_sparse_moe.input_linear", Layout::Blocks(GATE_UP)),
        ("shared_mlp.input_linear", Layout::Blocks(GATE_UP)),
        ("mamba.in_proj", Layout::Mamba2),
    ],
    stacks: &[("block_sparse_moe.input_linear", Stack::Leading), ("block_sparse_moe.output_linear", Stack::Leading)],
    renamed_by_five: &[&[
        ("block_sparse_moe.input_linear", "block_sparse_moe.experts.gate_up_proj"),
        ("block_sparse_moe.output_linear", "block_sparse_moe.experts.down_proj"),
        ("block_sparse_moe.router.layer", "block_sparse_moe.router"),
    ]],
    ..PLAIN
};

pub const ROWS: &[Architecture] = &[
    Architecture { names: &["qwen3_moe", "olmoe", "flex_olmo", "dots1", "ernie4_5_moe", "hunyuan_v1_moe"], ..ROUTED },
    Architecture { names: &["deepseek_v2", "deepseek_v3", "deepseek_v32", "longcat_flash", "afmoe"], ..ROUTED },
    Architecture { names: &["glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm_moe_dsa"], ..ROUTED },
    Architecture { names: &["exaone_moe", "solar_open", "cohere2_moe"], ..ROUTED },
    Architecture { names: &["qwen2_moe"], rewritten: &[], ..ROUTED },
    Architecture { names: &["kimi_k2"], ..MIXTURE },
    Architecture { names: &["beam", "mellum"], rewritten: PROJECTIONS, ..UNKNOWN },
    Architecture { names: &["qwen3_next"], renamed_by_five: &[STACKED], rewritten: PROJECTIONS, ..GATED_DELTA },
    Architecture { names: &["qwen3_5_moe", "qwen3_5_moe_text"], renamed_by_five: &[STACKED], ..GATED_DELTA },
    Architecture { names: &["mixtral", "minimax_m2"], ..MIXTRAL },
    Architecture { names: &["minimax"], fused: &[("self_attn.qkv_proj", Layout::PerHead(QKV))], ..MIXTRAL },
    Architecture {
        names: &["phimoe"],
        renamed_by_five: &[STACKED_AS_MIXTRAL, &[("block_sparse_moe.gate", "mlp.router")]],
        ..MIXTURE
    },
    Architecture {
        names: &["lfm2_moe"],
        fused: &[("conv.in_proj", Layout::Blocks(&["B", "C", "x"]))],
        renamed_by_five: &[&[
            ("feed_forward.experts.#.w1", "feed_forward.experts.gate_up_proj"),
            ("feed_forward.experts.#.w3", "feed_forward.experts.gate_up_proj"),
            ("feed_forward.experts.#.w2", "feed_forward.experts.down_proj"),
        ]],
        ..PLAIN
    },
    Architecture {
        names: &["nemotron_h"],
        fused: &[("mixer.in_proj", Layout::Mamba2)],
        renamed_by_five: &[&[
            ("^.backbone", "^.model"),
            ("mixer.experts.#.up_proj", "mixer.experts.up_proj"),
            ("mixer.experts.#.down_proj", "mixer.experts.down_proj"),
        ]],
        refused: Some(Refused::MambaKernels),
        ..BASELESS
    },
    Architecture {
        names: &["jamba"],
        fused: &[("mamba.in_proj", Layout::Blocks(&["x", "gate"]))],
        renamed_by_five: &[STACKED],
        bypassed: &["mamba.dt_proj"],
        ..PLAIN
    },
    Architecture {
        names: &["gpt_oss"],
        fused: &[("experts.gate_up_proj", Layout::Alternating(GATE_UP))],
        input_first: InputFirst::Experts,
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
        stacks: &[("mlp.input_linear", Stack::Leading), ("mlp.output_linear", Stack::Leading)],
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
        base: Some("transformer"),
        refused: Some(Refused::Experts),
        ..PLAIN
    },
];
