//! The names of each family: original = diffusers.
//!
//! From the converters of diffusers 0.42 (`loaders/single_file_utils.py`) and, for SDXL, of kohya's sd-scripts
//! (`library/sdxl_model_util.py`). A star stands for the same number on both sides. Several names of diffusers are the parts of one
//! original module, from its first row to its last.

use super::family::{Family, Names};

pub const FAMILIES: &[Family] = &[
    Family {
        key: "flux",
        classes: &["FluxTransformer2DModel"],
        mark: "double_blocks.*.img_mod.lin",
        blocks: &["transformer_blocks", "single_transformer_blocks"],
        names: Names::Table(&[FLUX_DOUBLE, FLUX]),
    },
    Family {
        key: "flux2",
        classes: &["Flux2Transformer2DModel"],
        mark: "double_stream_modulation_img.lin",
        blocks: &["transformer_blocks", "single_transformer_blocks"],
        names: Names::Table(&[FLUX_DOUBLE, FLUX_2]),
    },
    Family {
        key: "sd3",
        classes: &["SD3Transformer2DModel"],
        mark: "joint_blocks.*.x_block.attn.qkv",
        blocks: &["transformer_blocks"],
        names: Names::Table(&[SD3]),
    },
    Family {
        key: "hunyuan-video",
        classes: &["HunyuanVideoTransformer3DModel"],
        mark: "double_blocks.*.img_attn_qkv",
        blocks: &["transformer_blocks", "single_transformer_blocks"],
        names: Names::Table(&[HUNYUAN_VIDEO]),
    },
    Family {
        key: "wan",
        classes: &["WanTransformer3DModel"],
        mark: "blocks.*.cross_attn.o",
        blocks: &["blocks"],
        names: Names::Table(&[WAN]),
    },
    Family {
        key: "z-image",
        classes: &["ZImageTransformer2DModel"],
        mark: "noise_refiner.*.attention.qkv",
        blocks: &["layers"],
        names: Names::Table(&[Z_IMAGE]),
    },
    Family {
        key: "qwen-image",
        classes: &["QwenImageTransformer2DModel"],
        mark: "transformer_blocks.*.img_mod.1",
        blocks: &["transformer_blocks"],
        names: Names::Same,
    },
    Family {
        key: "sdxl",
        classes: &["UNet2DConditionModel"],
        mark: "label_emb.0.0",
        blocks: &["down_blocks", "mid_block", "up_blocks"],
        names: Names::UNet,
    },
    Family {
        key: "sd",
        classes: &["UNet2DConditionModel"],
        mark: "input_blocks.*.0.in_layers.2",
        blocks: &["down_blocks", "mid_block", "up_blocks"],
        names: Names::UNet,
    },
];

/// What Flux.1 and Flux.2 have alike.
const FLUX_DOUBLE: &[(&str, &[&str])] = &[
    (
        "double_blocks.*.img_attn.qkv",
        &["transformer_blocks.*.attn.to_q", "transformer_blocks.*.attn.to_k", "transformer_blocks.*.attn.to_v"],
    ),
    (
        "double_blocks.*.txt_attn.qkv",
        &[
            "transformer_blocks.*.attn.add_q_proj",
            "transformer_blocks.*.attn.add_k_proj",
            "transformer_blocks.*.attn.add_v_proj",
        ],
    ),
    ("double_blocks.*.img_attn.proj", &["transformer_blocks.*.attn.to_out.0"]),
    ("double_blocks.*.txt_attn.proj", &["transformer_blocks.*.attn.to_add_out"]),
    ("img_in", &["x_embedder"]),
    ("txt_in", &["context_embedder"]),
    ("final_layer.linear", &["proj_out"]),
    ("final_layer.adaLN_modulation.1", &["norm_out.linear"]),
];

const FLUX: &[(&str, &[&str])] = &[
    ("double_blocks.*.img_mlp.0", &["transformer_blocks.*.ff.net.0.proj"]),
    ("double_blocks.*.img_mlp.2", &["transformer_blocks.*.ff.net.2"]),
    ("double_blocks.*.txt_mlp.0", &["transformer_blocks.*.ff_context.net.0.proj"]),
    ("double_blocks.*.txt_mlp.2", &["transformer_blocks.*.ff_context.net.2"]),
    ("double_blocks.*.img_mod.lin", &["transformer_blocks.*.norm1.linear"]),
    ("double_blocks.*.txt_mod.lin", &["transformer_blocks.*.norm1_context.linear"]),
    (
        "single_blocks.*.linear1",
        &[
            "single_transformer_blocks.*.attn.to_q",
            "single_transformer_blocks.*.attn.to_k",
            "single_transformer_blocks.*.attn.to_v",
            "single_transformer_blocks.*.proj_mlp",
        ],
    ),
    ("single_blocks.*.linear2", &["single_transformer_blocks.*.proj_out"]),
    ("single_blocks.*.modulation.lin", &["single_transformer_blocks.*.norm.linear"]),
    ("time_in.in_layer", &["time_text_embed.timestep_embedder.linear_1"]),
    ("time_in.out_layer", &["time_text_embed.timestep_embedder.linear_2"]),
    ("vector_in.in_layer", &["time_text_embed.text_embedder.linear_1"]),
    ("vector_in.out_layer", &["time_text_embed.text_embedder.linear_2"]),
    ("guidance_in.in_layer", &["time_text_embed.guidance_embedder.linear_1"]),
    ("guidance_in.out_layer", &["time_text_embed.guidance_embedder.linear_2"]),
];

const FLUX_2: &[(&str, &[&str])] = &[
    ("double_blocks.*.img_mlp.0", &["transformer_blocks.*.ff.linear_in"]),
    ("double_blocks.*.img_mlp.2", &["transformer_blocks.*.ff.linear_out"]),
    ("double_blocks.*.txt_mlp.0", &["transformer_blocks.*.ff_context.linear_in"]),
    ("double_blocks.*.txt_mlp.2", &["transformer_blocks.*.ff_context.linear_out"]),
    ("single_blocks.*.linear1", &["single_transformer_blocks.*.attn.to_qkv_mlp_proj"]),
    ("single_blocks.*.linear2", &["single_transformer_blocks.*.attn.to_out"]),
    ("double_stream_modulation_img.lin", &["double_stream_modulation_img.linear"]),
    ("double_stream_modulation_txt.lin", &["double_stream_modulation_txt.linear"]),
    ("single_stream_modulation.lin", &["single_stream_modulation.linear"]),
    ("time_in.in_layer", &["time_guidance_embed.timestep_embedder.linear_1"]),
    ("time_in.out_layer", &["time_guidance_embed.timestep_embedder.linear_2"]),
    ("guidance_in.in_layer", &["time_guidance_embed.guidance_embedder.linear_1"]),
    ("guidance_in.out_layer", &["time_guidance_embed.guidance_embedder.linear_2"]),
];

const SD3: &[(&str, &[&str])] = &[
    (
        "joint_blocks.*.x_block.attn.qkv",
        &["transformer_blocks.*.attn.to_q", "transformer_blocks.*.attn.to_k", "transformer_blocks.*.attn.to_v"],
    ),
    (
        "joint_blocks.*.context_block.attn.qkv",
        &[
            "transformer_blocks.*.attn.add_q_proj",
            "transformer_blocks.*.attn.add_k_proj",
            "transformer_blocks.*.attn.add_v_proj",
        ],
    ),
    (
        "joint_blocks.*.x_block.attn2.qkv",
        &["transformer_blocks.*.attn2.to_q", "transformer_blocks.*.attn2.to_k", "transformer_blocks.*.attn2.to_v"],
    ),
    ("joint_blocks.*.x_block.attn.proj", &["transformer_blocks.*.attn.to_out.0"]),
    ("joint_blocks.*.x_block.attn2.proj", &["transformer_blocks.*.attn2.to_out.0"]),
    ("joint_blocks.*.context_block.attn.proj", &["transformer_blocks.*.attn.to_add_out"]),
    ("joint_blocks.*.x_block.mlp.fc1", &["transformer_blocks.*.ff.net.0.proj"]),
    ("joint_blocks.*.x_block.mlp.fc2", &["transformer_blocks.*.ff.net.2"]),
    ("joint_blocks.*.context_block.mlp.fc1", &["transformer_blocks.*.ff_context.net.0.proj"]),
    ("joint_blocks.*.context_block.mlp.fc2", &["transformer_blocks.*.ff_context.net.2"]),
    ("joint_blocks.*.x_block.adaLN_modulation.1", &["transformer_blocks.*.norm1.linear"]),
    ("joint_blocks.*.context_block.adaLN_modulation.1", &["transformer_blocks.*.norm1_context.linear"]),
    ("x_embedder.proj", &["pos_embed.proj"]),
    ("context_embedder", &["context_embedder"]),
    ("t_embedder.mlp.0", &["time_text_embed.timestep_embedder.linear_1"]),
    ("t_embedder.mlp.2", &["time_text_embed.timestep_embedder.linear_2"]),
    ("y_embedder.mlp.0", &["time_text_embed.text_embedder.linear_1"]),
    ("y_embedder.mlp.2", &["time_text_embed.text_embedder.linear_2"]),
    ("final_layer.linear", &["proj_out"]),
    ("final_layer.adaLN_modulation.1", &["norm_out.linear"]),
];

const HUNYUAN_VIDEO: &[(&str, &[&str])] = &[
    (
        "double_blocks.*.img_attn_qkv",
        &["transformer_blocks.*.attn.to_q", "transformer_blocks.*.attn.to_k", "transformer_blocks.*.attn.to_v"],
    ),
    (
        "double_blocks.*.txt_attn_qkv",
        &[
            "transformer_blocks.*.attn.add_q_proj",
            "transformer_blocks.*.attn.add_k_proj",
            "transformer_blocks.*.attn.add_v_proj",
        ],
    ),
    ("double_blocks.*.img_attn_proj", &["transformer_blocks.*.attn.to_out.0"]),
    ("double_blocks.*.txt_attn_proj", &["transformer_blocks.*.attn.to_add_out"]),
    ("double_blocks.*.img_mlp.fc1", &["transformer_blocks.*.ff.net.0.proj"]),
    ("double_blocks.*.img_mlp.fc2", &["transformer_blocks.*.ff.net.2"]),
    ("double_blocks.*.txt_mlp.fc1", &["transformer_blocks.*.ff_context.net.0.proj"]),
    ("double_blocks.*.txt_mlp.fc2", &["transformer_blocks.*.ff_context.net.2"]),
    ("double_blocks.*.img_mod.linear", &["transformer_blocks.*.norm1.linear"]),
    ("double_blocks.*.txt_mod.linear", &["transformer_blocks.*.norm1_context.linear"]),
    (
        "single_blocks.*.linear1",
        &[
            "single_transformer_blocks.*.attn.to_q",
            "single_transformer_blocks.*.attn.to_k",
            "single_transformer_blocks.*.attn.to_v",
            "single_transformer_blocks.*.proj_mlp",
        ],
    ),
    ("single_blocks.*.linear2", &["single_transformer_blocks.*.proj_out"]),
    ("single_blocks.*.modulation.linear", &["single_transformer_blocks.*.norm.linear"]),
    (
        "txt_in.individual_token_refiner.blocks.*.self_attn_qkv",
        &[
            "context_embedder.token_refiner.refiner_blocks.*.attn.to_q",
            "context_embedder.token_refiner.refiner_blocks.*.attn.to_k",
            "context_embedder.token_refiner.refiner_blocks.*.attn.to_v",
        ],
    ),
    (
        "txt_in.individual_token_refiner.blocks.*.self_attn_proj",
        &["context_embedder.token_refiner.refiner_blocks.*.attn.to_out.0"],
    ),
    (
        "txt_in.individual_token_refiner.blocks.*.mlp.fc1",
        &["context_embedder.token_refiner.refiner_blocks.*.ff.net.0.proj"],
    ),
    ("txt_in.individual_token_refiner.blocks.*.mlp.fc2", &["context_embedder.token_refiner.refiner_blocks.*.ff.net.2"]),
    (
        "txt_in.individual_token_refiner.blocks.*.adaLN_modulation.1",
        &["context_embedder.token_refiner.refiner_blocks.*.norm_out.linear"],
    ),
    ("txt_in.input_embedder", &["context_embedder.proj_in"]),
    ("txt_in.t_embedder.mlp.0", &["context_embedder.time_text_embed.timestep_embedder.linear_1"]),
    ("txt_in.t_embedder.mlp.2", &["context_embedder.time_text_embed.timestep_embedder.linear_2"]),
    ("txt_in.c_embedder.linear_1", &["context_embedder.time_text_embed.text_embedder.linear_1"]),
    ("txt_in.c_embedder.linear_2", &["context_embedder.time_text_embed.text_embedder.linear_2"]),
    ("img_in.proj", &["x_embedder.proj"]),
    ("time_in.mlp.0", &["time_text_embed.timestep_embedder.linear_1"]),
    ("time_in.mlp.2", &["time_text_embed.timestep_embedder.linear_2"]),
    ("vector_in.in_layer", &["time_text_embed.text_embedder.linear_1"]),
    ("vector_in.out_layer", &["time_text_embed.text_embedder.linear_2"]),
    ("guidance_in.mlp.0", &["time_text_embed.guidance_embedder.linear_1"]),
    ("guidance_in.mlp.2", &["time_text_embed.guidance_embedder.linear_2"]),
    ("final_layer.linear", &["proj_out"]),
    ("final_layer.adaLN_modulation.1", &["norm_out.linear"]),
];

const WAN: &[(&str, &[&str])] = &[
    ("blocks.*.self_attn.q", &["blocks.*.attn1.to_q"]),
    ("blocks.*.self_attn.k", &["blocks.*.attn1.to_k"]),
    ("blocks.*.self_attn.v", &["blocks.*.attn1.to_v"]),
    ("blocks.*.self_attn.o", &["blocks.*.attn1.to_out.0"]),
    ("blocks.*.cross_attn.q", &["blocks.*.attn2.to_q"]),
    ("blocks.*.cross_attn.k", &["blocks.*.attn2.to_k"]),
    ("blocks.*.cross_attn.v", &["blocks.*.attn2.to_v"]),
    ("blocks.*.cross_attn.o", &["blocks.*.attn2.to_out.0"]),
    ("blocks.*.cross_attn.k_img", &["blocks.*.attn2.add_k_proj"]),
    ("blocks.*.cross_attn.v_img", &["blocks.*.attn2.add_v_proj"]),
    ("blocks.*.ffn.0", &["blocks.*.ffn.net.0.proj"]),
    ("blocks.*.ffn.2", &["blocks.*.ffn.net.2"]),
    ("patch_embedding", &["patch_embedding"]),
    ("time_embedding.0", &["condition_embedder.time_embedder.linear_1"]),
    ("time_embedding.2", &["condition_embedder.time_embedder.linear_2"]),
    ("text_embedding.0", &["condition_embedder.text_embedder.linear_1"]),
    ("text_embedding.2", &["condition_embedder.text_embedder.linear_2"]),
    ("time_projection.1", &["condition_embedder.time_proj"]),
    ("img_emb.proj.1", &["condition_embedder.image_embedder.ff.net.0.proj"]),
    ("img_emb.proj.3", &["condition_embedder.image_embedder.ff.net.2"]),
    ("head.head", &["proj_out"]),
];

const Z_IMAGE: &[(&str, &[&str])] = &[
    ("layers.*.attention.qkv", &["layers.*.attention.to_q", "layers.*.attention.to_k", "layers.*.attention.to_v"]),
    ("layers.*.attention.out", &["layers.*.attention.to_out.0"]),
    ("layers.*.feed_forward.w1", &["layers.*.feed_forward.w1"]),
    ("layers.*.feed_forward.w2", &["layers.*.feed_forward.w2"]),
    ("layers.*.feed_forward.w3", &["layers.*.feed_forward.w3"]),
    ("layers.*.adaLN_modulation.0", &["layers.*.adaLN_modulation.0"]),
    (
        "noise_refiner.*.attention.qkv",
        &["noise_refiner.*.attention.to_q", "noise_refiner.*.attention.to_k", "noise_refiner.*.attention.to_v"],
    ),
    ("noise_refiner.*.attention.out", &["noise_refiner.*.attention.to_out.0"]),
    ("noise_refiner.*.feed_forward.w1", &["noise_refiner.*.feed_forward.w1"]),
    ("noise_refiner.*.feed_forward.w2", &["noise_refiner.*.feed_forward.w2"]),
    ("noise_refiner.*.feed_forward.w3", &["noise_refiner.*.feed_forward.w3"]),
    ("noise_refiner.*.adaLN_modulation.0", &["noise_refiner.*.adaLN_modulation.0"]),
    (
        "context_refiner.*.attention.qkv",
        &["context_refiner.*.attention.to_q", "context_refiner.*.attention.to_k", "context_refiner.*.attention.to_v"],
    ),
    ("context_refiner.*.attention.out", &["context_refiner.*.attention.to_out.0"]),
    ("context_refiner.*.feed_forward.w1", &["context_refiner.*.feed_forward.w1"]),
    ("context_refiner.*.feed_forward.w2", &["context_refiner.*.feed_forward.w2"]),
    ("context_refiner.*.feed_forward.w3", &["context_refiner.*.feed_forward.w3"]),
    ("x_embedder", &["all_x_embedder.2-1"]),
    ("final_layer.linear", &["all_final_layer.2-1.linear"]),
    ("final_layer.adaLN_modulation.1", &["all_final_layer.2-1.adaLN_modulation.1"]),
    ("cap_embedder.1", &["cap_embedder.1"]),
    ("t_embedder.mlp.0", &["t_embedder.mlp.0"]),
    ("t_embedder.mlp.2", &["t_embedder.mlp.2"]),
];
