//! Models of diffusers.

use super::row::{Architecture, PLAIN, Layout};

/// A model whose convolutions count as much as its linear modules.
const CONVOLUTIONAL: Architecture = Architecture { convolutions: true, ..PLAIN };

pub const ROWS: &[Architecture] = &[
    Architecture {
        names: &["UNet2DConditionModel", "UNet2DModel", "AutoencoderKL", "AutoencoderTiny", "ControlNetModel"],
        fused: &[("ff.net.0.proj", Layout::Blocks(&["value", "gate"]))],
        ..CONVOLUTIONAL
    },
    Architecture {
        names: &["FluxTransformer2DModel", "SD3Transformer2DModel", "PixArtTransformer2DModel"],
        ..CONVOLUTIONAL
    },
    Architecture {
        names: &["QwenImageTransformer2DModel", "WanTransformer3DModel", "AuraFlowTransformer2DModel"],
        ..CONVOLUTIONAL
    },
    Architecture { names: &["SanaTransformer2DModel"], ..CONVOLUTIONAL },
];
