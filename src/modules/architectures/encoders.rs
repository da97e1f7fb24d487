//! Encoders and encoder-decoders of text, images and sound.

use super::row::{Architecture, GATE_UP, Layout, PLAIN};

pub const ROWS: &[Architecture] = &[
    Architecture { names: &["siglip", "siglip2"], bypassed: &["head.attention.out_proj"], ..PLAIN },
    Architecture {
        names: &["dinov2", "dinov2_with_registers"],
        fused: &[("mlp.weights_in", Layout::Blocks(GATE_UP))],
        ..PLAIN
    },
    Architecture { names: &["whisper"], heads: &["proj_out"], ..PLAIN },
    Architecture {
        names: &["wavlm"],
        bypassed: &["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"],
        ..PLAIN
    },
];
