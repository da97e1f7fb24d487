//! Models that combine a language model with vision or audio.

use super::row::{
    Architecture, BASELESS, EXPERTS, GATE_UP, InputFirst, Layout, PLAIN, PROJECTIONS, QKV, Rules, STACKED, UNDER_MODEL,
    UNKNOWN, VISION,
};

/// Version 5 loads the vision tower without the level between it and its layers.
const FLAT_TOWER: Rules = &[("^.model.vision_tower.vision_model", "^.model.vision_tower")];

/// A model whose language model moved into the model around it.
const NESTED: Architecture = Architecture { renamed: &[UNDER_MODEL], ..BASELESS };

/// The thinker of an omni model as a model of its own.
const THINKER: Rules = &[
    ("^.audio_tower", "^.model.audio_tower"),
    ("^.visual", "^.model.visual"),
    ("^.model.layers", "^.model.language_model.layers"),
];

/// The thinker within the whole omni model.
const THINKER_WITHIN: Rules = &[
    ("^.thinker.audio_tower", "^.thinker.model.audio_tower"),
    ("^.thinker.visual", "^.thinker.model.visual"),
    ("^.thinker.model.layers", "^.thinker.model.language_model.layers"),
];

/// A model that hears, sees and speaks.
const OMNI: Architecture = Architecture { fused: &[VISION, EXPERTS], ..BASELESS };

pub const ROWS: &[Architecture] = &[
    Architecture {
        names: &["qwen2_vl", "qwen2_5_vl"],
        renamed: &[&[("^.visual", "^.model.visual"), ("^.model.layers", "^.model.language_model.layers")]],
        ..BASELESS
    },
    Architecture { names: &["qwen3_vl", "pixtral"], ..BASELESS },
    Architecture {
        names: &["llava", "llava_next", "llava_onevision", "vipllava", "gemma3", "paligemma", "aya_vision"],
        renamed_by_five: &[FLAT_TOWER],
        ..NESTED
    },
    Architecture { names: &["mistral3", "internvl", "got_ocr2", "mllama"], ..NESTED },
    Architecture { names: &["qwen2_audio", "voxtral"], renamed_by_five: &[UNDER_MODEL], ..BASELESS },
    Architecture { names: &["gemma3n"], bypassed: &["altup.correction_coefs"], ..BASELESS },
    Architecture { names: &["idefics2", "idefics3", "smolvlm"], ..PLAIN },
    Architecture { names: &["fuyu"], fused: &[("self_attn.query_key_value", Layout::PerHead(QKV))], ..NESTED },
    Architecture {
        names: &["aria"],
        fused: &[("experts.fc1", Layout::Blocks(GATE_UP))],
        input_first: InputFirst::Experts,
        renamed_by_five: &[&[
            ("mlp.experts.fc1", "mlp.experts.gate_up_proj"),
            ("mlp.experts.fc2", "mlp.experts.down_proj"),
        ]],
        bypassed: &["multihead_attn.out_proj"],
        ..NESTED
    },
    // Mixtures of experts.
    Architecture {
        names: &["llama4", "llama4_text", "qwen3_vl_moe", "qwen3_vl_moe_text"],
        fused: &[VISION, EXPERTS],
        input_first: InputFirst::Experts,
        ..BASELESS
    },
    Architecture { names: &["qwen2_5_omni"], renamed_by_five: &[THINKER_WITHIN], ..OMNI },
    Architecture { names: &["qwen2_5_omni_thinker"], renamed_by_five: &[THINKER], ..OMNI },
    Architecture {
        names: &["qwen3_omni_moe"],
        renamed_by_five: &[STACKED, THINKER_WITHIN],
        rewritten: PROJECTIONS,
        ..OMNI
    },
    Architecture {
        names: &["qwen3_omni_moe_thinker"],
        renamed_by_five: &[STACKED, THINKER],
        rewritten: PROJECTIONS,
        ..OMNI
    },
    Architecture { names: &["qwen3_omni_moe_text"], rewritten: PROJECTIONS, ..UNKNOWN },
    Architecture {
        names: &["kimi_k25"],
        fused: &[("wqkv", Layout::Blocks(QKV)), EXPERTS],
        renamed_by_five: &[
            STACKED,
            &[
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
        ],
        ..BASELESS
    },
];
