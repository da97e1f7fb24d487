//! Encoders and encoder-decoders of text, images and sound.

use super::row::{Architecture, BASELESS, GATE_UP, Layout, PLAIN, Rules, UNKNOWN};

const LAYERS: Rules = &[("encoder.layer.#", "layers.#")];

const ATTENTION: Rules = &[
    ("attention.attention.query", "attention.q_proj"),
    ("attention.attention.key", "attention.k_proj"),
    ("attention.attention.value", "attention.v_proj"),
    ("attention.self.query", "attention.q_proj"),
    ("attention.self.key", "attention.k_proj"),
    ("attention.self.value", "attention.v_proj"),
    ("attention.output.dense", "attention.o_proj"),
];

const MLP: Rules = &[("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2")];

const VIT: Architecture = Architecture { base: Some("vit"), renamed_by_five: &[LAYERS, ATTENTION, MLP], ..PLAIN };

/// A vision transformer with a gated block.
const DINO: Architecture = Architecture {
    fused: &[("mlp.weights_in", Layout::Blocks(GATE_UP))],
    renamed_by_five: &[
        ATTENTION,
        &[("mlp.weights_in", "mlp.{gate_proj,up_proj}"), ("mlp.weights_out", "mlp.down_proj")],
    ],
    ..PLAIN
};

pub const ROWS: &[Architecture] = &[
    // Text.
    Architecture { names: &["bart", "mbart"], ..PLAIN },
    Architecture { names: &["t5", "mt5", "umt5", "longt5"], ..BASELESS },
    Architecture { names: &["bert"], base: Some("bert"), ..PLAIN },
    Architecture { names: &["roberta", "xlm-roberta", "camembert"], base: Some("roberta"), ..PLAIN },
    // Images, and text that goes with them.
    Architecture { names: &["clip", "clip_text_model", "clip_vision_model"], ..BASELESS },
    Architecture {
        names: &["CLIPTextModel"],
        renamed_by_five: &[&[("^.text_model.encoder", "^.encoder"), ("^.text_model.embeddings", "^.embeddings")]],
        ..UNKNOWN
    },
    Architecture {
        names: &["CLIPVisionModel"],
        renamed_by_five: &[&[("^.vision_model.encoder", "^.encoder"), ("^.vision_model.embeddings", "^.embeddings")]],
        ..UNKNOWN
    },
    Architecture { names: &["siglip", "siglip2"], bypassed: &["head.attention.out_proj"], ..BASELESS },
    Architecture { names: &["vit"], ..VIT },
    Architecture {
        names: &["vit_mae"],
        renamed_by_five: &[&[("decoder.decoder_encoder.layer.#", "decoder.decoder_layers.#")], LAYERS, ATTENTION, MLP],
        ..VIT
    },
    Architecture {
        names: &["vit_msn"],
        renamed_by_five: &[&[("^.encoder", "^.vit.encoder")], LAYERS, ATTENTION, MLP],
        ..VIT
    },
    Architecture { names: &["ijepa"], base: Some("ijepa"), ..VIT },
    Architecture { names: &["vivit"], base: Some("vivit"), ..VIT },
    Architecture { names: &["deit"], base: Some("deit"), ..VIT },
    Architecture { names: &["beit"], base: Some("beit"), ..VIT },
    Architecture { names: &["swin"], base: Some("swin"), renamed_by_five: &[ATTENTION, MLP], ..VIT },
    Architecture {
        names: &["segformer"],
        base: Some("segformer"),
        renamed_by_five: &[
            &[
                ("encoder.block.#.#", "stages.#.blocks.#"),
                ("encoder.patch_embeddings.#", "stages.#.patch_embeddings"),
                ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
                ("mlp.dense1", "mlp.fc1"),
                ("mlp.dense2", "mlp.fc2"),
                ("decode_head.linear_c.#", "decode_head.linear_projections.#"),
            ],
            ATTENTION,
        ],
        ..PLAIN
    },
    Architecture { names: &["dinov2"], base: Some("dinov2"), ..DINO },
    Architecture { names: &["dinov2_with_registers"], base: Some("dinov2_with_registers"), ..DINO },
    // Sound.
    Architecture { names: &["audio-spectrogram-transformer"], base: None, ..VIT },
    Architecture { names: &["whisper"], heads: &["proj_out"], ..BASELESS },
    Architecture { names: &["wav2vec2"], base: Some("wav2vec2"), ..PLAIN },
    Architecture { names: &["hubert"], base: Some("hubert"), ..PLAIN },
    Architecture {
        names: &["wavlm"],
        base: Some("wavlm"),
        bypassed: &["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"],
        ..PLAIN
    },
];
