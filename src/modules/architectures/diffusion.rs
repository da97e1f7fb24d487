//! Models of diffusers.

use super::row::{Architecture, Layout, Odd, PLAIN};

/// Any class of diffusers. Its convolutions count as much as its linear modules. Names on disk are those in memory, because
/// `ModelMixin` loads tensors into the parameters of the same name; rows are for classes of which there is more to say.
pub const ANY: Architecture = Architecture { convolutions: true, ..PLAIN };

/// The convolutions of autoencoders of videos that look at earlier frames only.
const CAUSAL: &[&str] =
    &["conv_in", "conv_out", "conv1", "conv2", "conv_shortcut", "time_conv", "quant_conv", "post_quant_conv"];

pub const ROWS: &[Architecture] = &[
    Architecture {
        names: &["UNet2DConditionModel", "ControlNetModel"],
        fused: &[("ff.net.0.proj", Layout::Blocks(&["value", "gate"]))],
        ..ANY
    },
    Architecture { names: &["AsymmetricAutoencoderKL"], odd: &[("deconv", Odd::Transposed)], ..ANY },
    Architecture {
        names: &["Kandinsky3UNet"],
        odd: &[("up_sample", Odd::Transposed), ("shortcut_up_sample", Odd::Transposed)],
        ..ANY
    },
    Architecture { names: &["StableCascadeUNet"], odd: &[("up_upscalers.#.1", Odd::Transposed)], ..ANY },
    Architecture { names: &["UNet1DModel", "UVit2DModel"], odd: &[("upsample.conv", Odd::Transposed)], ..ANY },
    Architecture { names: &["AutoencoderDC"], odd: &[("to_qkv_multiscale.#.proj_out", Odd::Grouped)], ..ANY },
    Architecture {
        names: &["AutoencoderKLWan", "AutoencoderKLQwenImage", "AutoencoderKLQwenImage21"],
        own_convolutions: CAUSAL,
        ..ANY
    },
    Architecture {
        names: &["AutoencoderKLCosmos"],
        own_convolutions: &[
            "conv_s",
            "conv_t",
            "conv1",
            "conv2",
            "conv3",
            "conv_shortcut",
            "to_q",
            "to_k",
            "to_v",
            "to_out.#",
            "quant_conv",
            "post_quant_conv",
        ],
        ..ANY
    },
    Architecture {
        names: &["AutoencoderKLMagvit"],
        own_convolutions: &["conv_in", "conv_out", "conv1", "conv2", "downsampler.conv", "upsampler.conv"],
        ..ANY
    },
    Architecture {
        names: &["AutoencoderKLMiniMaxH3"],
        own_convolutions: &["conv_in", "conv_out", "conv1", "conv2", "conv_shortcut", "downsamplers.#.conv"],
        ..ANY
    },
    Architecture {
        names: &["MMAudioVAE"],
        own_convolutions: &["conv_in", "conv_out", "conv1", "conv2", "conv", "nin_shortcut", "qkv", "proj_out"],
        ..ANY
    },
    Architecture {
        names: &["Kandinsky6SRLatentUpscalerBank"],
        own_convolutions: &["conv1", "conv2", "conv", "input_proj.#", "mid_input_proj.#", "mid_output_head.#"],
        ..ANY
    },
];
