#!/usr/bin/env python3
"""Makes the family catalogue: one JSON file per model family in `families/`, next to this script.

Each file says what a small checkpoint of that family looks like on disk (tensor names, dtypes, shapes, config) and what
the library itself makes of it: where every matrix ends up in the loaded model, of which class the owning module is, which
modules are linear layers, and what the signal-to-noise ratio of every matrix, expert and fused part is.

The weights are not stored. Every float tensor of rank 1 or more holds values computed from its name alone: the seed is the
64-bit FNV-1a hash of the name, element i (row-major, from 0) is `float32((splitmix64(seed + (i + 1) * GOLDEN) >> 40) / 2^24
- 0.5)`. Other tensors are zero. Because two tensors never hold the same rows, a matrix is found again in the loaded model
by its content, whatever the library did to its name, its orientation or its neighbours.

Two passes, in two environments, with these versions:

    pip install torch==2.15.* transformers==5.24.0 diffusers==0.42.1 numpy==2.4.6 safetensors pillow torchvision timm
    python make_families.py write          # makes the JSON files

    pip install transformers==4.57.3       # in a second environment, without diffusers
    python make_families.py memory         # adds what the older line makes of the same files

Both take family names as further arguments to do only those. No network is needed: all models are built from tiny configs.

Keys of a file, where they are not obvious:

    matrices.<tensor>.snr      one number per matrix: per expert for a stack of experts, of [out, rest] for a convolution,
                               none where a dimension is 1; "inf" where nothing counts as noise
    matrices.<tensor>.parts    the same for the parts of a fused tensor, split as the library's modeling code splits its output
    matrices.<tensor>.memory   per transformers line: [parameter name, class of the owning module], or null if not loaded; a list
                               of such pairs if the tensor is split over several parameters, none of which holds all of it
    linear                     every linear, convolution and embedding module, and every bare matrix parameter ("Parameter")
    tied                       groups of parameter names that are one and the same parameter
    disk_differs               tensors that only one of the two lines writes under that name and shape; if the older one cannot load
                               the files, "4" tells what it makes of its own, where name and shape are the same
"""
import argparse
import copy
import importlib
import json
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

FAMILIES_DIR = Path(__file__).resolve().parent / "families"
LINE = transformers.__version__.split(".")[0]
EXPERTS = 3
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ITEM_SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "U8": 1, "BOOL": 1}
LAYERS = (
    torch.nn.Linear, torch.nn.Bilinear, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d,
    transformers.pytorch_utils.Conv1D,
)
EXPERT_STACK = re.compile(r"expert|moe|(input|output)_linear")
FLAT_EXPERT_STACK = re.compile(r"experts\.mlp\.(w1|v1|w2)$")


@dataclass
class Split:
    """How a fused tensor's outputs divide: `groups` equal runs of rows, each cut into parts of sizes in the given proportion.

    `transposed` is for tensors that lie as [in, out]."""

    leaf: str
    groups: int
    sizes: dict
    transposed: bool = False


@dataclass
class Family:
    architecture: str
    config: str
    kwargs: dict
    splits: tuple = ()
    amend: object = None
    library: str = "transformers"


# The tiny configs. Sizes differ from each other wherever the configs allow, so that a mix-up of dimensions shows.

TOKENS = dict(vocab_size=96, bos_token_id=1, eos_token_id=2, pad_token_id=0)
HEADS = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
PLAIN = dict(TOKENS, **HEADS, intermediate_size=56, max_position_embeddings=64)
GROUPED = dict(PLAIN, num_key_value_heads=2)
DECODER = dict(GROUPED, head_dim=12)
GPT = dict(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=56, bos_token_id=1, eos_token_id=2)
FALCON = dict(TOKENS, **HEADS, ffn_hidden_size=56)
MAMBA = dict(TOKENS, hidden_size=32, num_hidden_layers=2, state_size=6, time_step_rank=5)
GEMMA3N_TEXT = dict(
    DECODER, intermediate_size=[56, 56], layer_types=["sliding_attention", "full_attention"], vocab_size_per_layer_input=80,
    hidden_size_per_layer_input=10, num_kv_shared_layers=0, laurel_rank=6, activation_sparsity_pattern=[0.0, 0.0], altup_num_inputs=2,
)
ROUTED = dict(num_experts=EXPERTS, num_experts_per_tok=2)
LOCAL = dict(num_local_experts=EXPERTS, num_experts_per_tok=2)
SHARED = dict(
    moe_intermediate_size=20, n_routed_experts=EXPERTS, num_experts_per_tok=2, n_shared_experts=1, first_k_dense_replace=1,
)
MLA = dict(
    PLAIN, num_key_value_heads=4, moe_intermediate_size=20, n_routed_experts=EXPERTS, n_shared_experts=2, num_experts_per_tok=2,
    first_k_dense_replace=1, n_group=1, topk_group=1, q_lora_rank=14, kv_lora_rank=18, qk_nope_head_dim=10, qk_rope_head_dim=4,
    v_head_dim=6,
)
INDEXED_MLA = dict(MLA, index_n_heads=2, index_head_dim=8, index_topk=4)
HYBRID = dict(
    linear_num_key_heads=6, linear_num_value_heads=24, linear_key_head_dim=6, linear_value_head_dim=2, linear_conv_kernel_dim=4,
    layer_types=["linear_attention", "full_attention"],
)
HYBRID_MOE = dict(DECODER, **HYBRID, **ROUTED, moe_intermediate_size=20, shared_expert_intermediate_size=24)
HYBRID_GRANITE = dict(
    GROUPED, layer_types=["mamba", "attention"], mamba_n_heads=4, mamba_d_head=16, mamba_n_groups=2, mamba_d_state=6, mamba_expand=2,
    shared_intermediate_size=24,
)
LLAMA4_TEXT = dict(DECODER, intermediate_size=20, intermediate_size_mlp=56, interleave_moe_layer_step=2, **LOCAL)
DORY = dict(
    DECODER, num_hidden_layers=6, layer_types=["sliding_attention", "mlp"] * 3, sliding_window=64, n_input_layers=2,
    n_recurrent_layers=2, n_output_layers=2,
)
ENCODER = dict(PLAIN, type_vocab_size=3)
BART = dict(
    TOKENS, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=56, decoder_ffn_dim=60, encoder_attention_heads=4,
    decoder_attention_heads=4, max_position_embeddings=64,
)
TOWER = dict(hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=2)
IMAGES = dict(num_channels=3, image_size=16, patch_size=4)
VISION = dict(TOWER, **IMAGES)
CLIP_VISION = dict(VISION, projection_dim=22)
SIGLIP_VISION = dict(VISION, model_type="siglip_vision_model", vision_use_head=False)
CLASSIFIER = dict(HEADS, **IMAGES, intermediate_size=56, num_labels=3)
SEGFORMER = dict(
    num_encoder_blocks=2, depths=[1, 2], sr_ratios=[4, 1], hidden_sizes=[12, 20], patch_sizes=[7, 3], strides=[4, 2],
    num_attention_heads=[1, 2], mlp_ratios=[3, 3], decoder_hidden_size=16, num_labels=3,
)
SPEECH = dict(
    TOKENS, **HEADS, intermediate_size=56, conv_dim=[12, 14], conv_stride=[5, 2], conv_kernel=[10, 3], num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=2,
)
LLAMA_TEXT = dict(GROUPED, model_type="llama")
QWEN_VISION = dict(depth=1, num_heads=2, patch_size=4, spatial_merge_size=2, temporal_patch_size=2)
QWEN2_5_VISION = dict(QWEN_VISION, hidden_size=24, out_hidden_size=32, intermediate_size=44, fullatt_block_indexes=[0])
QWEN3_5_VISION = dict(QWEN_VISION, hidden_size=24, intermediate_size=44, out_hidden_size=32, num_position_embeddings=16)
QWEN3_VISION = dict(QWEN3_5_VISION, deepstack_visual_indexes=[0])
GLM_VISION = dict(QWEN_VISION, hidden_size=24, out_hidden_size=32, intermediate_size=44, image_size=16)
IMAGE_TOKENS = dict(image_token_id=90, video_token_id=91)
QWEN_TOKENS = dict(IMAGE_TOKENS, vision_start_token_id=92, vision_end_token_id=93)
MROPE = dict(rope_type="default", rope_theta=10000.0, mrope_section=[1, 1, 2])
QWEN3_VL_MOE = dict(
    QWEN_TOKENS, vision_config=QWEN3_VISION,
    text_config=dict(DECODER, **ROUTED, moe_intermediate_size=20, rope_scaling=dict(rope_type="default", mrope_section=[2, 2, 2])),
)
LLAVA = dict(
    text_config=LLAMA_TEXT, vision_config=dict(CLIP_VISION, model_type="clip_vision_model"), image_token_index=90,
)
IDEFICS3 = dict(text_config=LLAMA_TEXT, image_token_id=90, scale_factor=2, pad_token_id=0)
OMNI_TOKENS = dict(IMAGE_TOKENS, audio_token_id=92)
OMNI_AUDIO = dict(
    d_model=24, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=44, output_dim=32, num_mel_bins=10, max_source_positions=24,
)
UNET = dict(
    sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=[32, 64], norm_num_groups=8,
    attention_head_dim=2, cross_attention_dim=20, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
)

# The fused layouts, read off the forward pass of each model.

GATE_UP = Split("gate_up_proj.weight", 1, dict(gate=56, up=56))
EXPERT_COLUMNS = Split("experts.gate_up_proj", 1, dict(gate=20, up=20), transposed=True)
EXPERT_ROWS = Split("experts.gate_up_proj", 1, dict(gate=20, up=20))
GRANITE_EXPERTS = Split("block_sparse_moe.input_linear.weight", 1, dict(gate=56, up=56))
GRANITE_SHARED = Split("shared_mlp.input_linear.weight", 1, dict(gate=24, up=24))
PER_HEAD = Split("query_key_value.weight", 4, dict(q=8, k=8, v=8))
GPT2_QKV = Split("attn.c_attn.weight", 1, dict(q=32, k=32, v=32), transposed=True)
MAMBA2_IN = Split("in_proj.weight", 1, dict(gate=64, xBC=88, dt=4))
SHORT_CONVOLUTION_IN = Split("conv.in_proj.weight", 1, dict(B=32, C=32, x=32))
MAMBA_IN = Split("in_proj.weight", 1, dict(x=64, gate=64))
GATED_DELTA_QKV = Split("in_proj_qkv.weight", 1, dict(q=36, k=36, v=48))
GATED_QUERY = Split("self_attn.q_proj.weight", 4, dict(query=12, gate=12))
VISION_QKV = Split("attn.qkv.weight", 1, dict(q=24, k=24, v=24))
POOLING_QKV = Split("in_proj_weight", 1, dict(q=24, k=24, v=24))
GEGLU = Split("ff.net.0.proj.weight", 1, dict(value=1, gate=1))


def with_mtp_layer(config, header):
    """A multi-token-prediction layer as DeepSeek-V3 ships it: a copy of the last decoder layer under the next index, and more."""
    copies = {n.replace("layers.1.", "layers.2."): e for n, e in header.items() if ".layers.1." in n}
    embedding = header["model.embed_tokens.weight"]
    norm = header["model.norm.weight"]
    own = {
        "embed_tokens.weight": embedding, "enorm.weight": norm, "hnorm.weight": norm,
        "eh_proj.weight": ["F32", [32, 64]], "shared_head.norm.weight": norm, "shared_head.head.weight": embedding,
    }
    return config, {**header, **copies, **{f"model.layers.2.{n}": e for n, e in own.items()}}


def with_vision_model(config, header):
    """The vision tower's older names, which both lines read and published checkpoints have."""
    return config, {re.sub("^vision_tower.(vision_model.)?", "vision_tower.vision_model.", n): e for n, e in header.items()}


def with_experts_as_columns(config, header):
    """Expert stacks as [expert, in, out], which both lines read and published Qwen3-VL-MoE checkpoints have."""
    sizes = {"gate_up_proj": [EXPERTS, 32, 40], "down_proj": [EXPERTS, 20, 32]}
    return config, {n: [d, sizes[n.rsplit(".", 1)[1]] if ".experts." in n else s] for n, (d, s) in header.items()}


def with_own_head(config, header):
    """A T5 1.1 checkpoint as published: an output head of its own, which the newer line no longer writes."""
    return {**config, "tie_word_embeddings": False}, {"lm_head.weight": header["shared.weight"], **header}


def with_published_decoder(config, header):
    """ViT-MAE's decoder under the published names; the newer line writes `decoder_encoder.layer`, which nobody else does."""
    return config, {n.replace("decoder.decoder_encoder.layer.", "decoder.decoder_layers."): e for n, e in header.items()}


def with_prefix(prefix, but=()):
    """Everything below `prefix`, as published and as the older line writes it."""
    def amend(config, header):
        return config, {n if n.startswith((prefix, *but)) else prefix + n: e for n, e in header.items()}
    return amend


def as_dory_published(config, header):
    """Blocks of attention and of the gated unit in turn, as published; the newer line writes them as one layer."""
    def name(n):
        n = re.sub(r"layers\.(\d+)\.self_attn\.", lambda found: f"layers.{2 * int(found[1])}.mixer.", n)
        return re.sub(r"layers\.(\d+)\.mlp\.", lambda found: f"layers.{2 * int(found[1]) + 1}.mixer.", n)
    return config, {name(n): e for n, e in header.items()}


def as_kimi_published(config, header):
    """The published names: the newer line writes `blocks` for the language model's layers too."""
    def name(n):
        n = n.replace("language_model.model.blocks.", "language_model.model.layers.")
        return n.replace("vision_tower.encoder.patch_embed.", "vision_tower.patch_embed.")
    return config, {name(n): e for n, e in header.items()}


FAMILIES = {
    # Dense decoders
    "llama": Family("LlamaForCausalLM", "LlamaConfig", DECODER),
    "mistral": Family("MistralForCausalLM", "MistralConfig", DECODER),
    "qwen2": Family("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "qwen3": Family("Qwen3ForCausalLM", "Qwen3Config", DECODER),
    "gemma2": Family("Gemma2ForCausalLM", "Gemma2Config", DECODER),
    "gemma3_text": Family("Gemma3ForCausalLM", "Gemma3TextConfig", DECODER),
    "gemma3n_text": Family("Gemma3nForCausalLM", "Gemma3nTextConfig", GEMMA3N_TEXT),
    "cohere": Family("CohereForCausalLM", "CohereConfig", GROUPED),
    "stablelm": Family("StableLmForCausalLM", "StableLmConfig", GROUPED),
    "olmo2": Family("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "olmo3": Family("Olmo3ForCausalLM", "Olmo3Config", GROUPED),
    "phi": Family("PhiForCausalLM", "PhiConfig", GROUPED),
    "phi3": Family("Phi3ForCausalLM", "Phi3Config", GROUPED, (Split("qkv_proj.weight", 1, dict(q=32, k=16, v=16)), GATE_UP)),
    "glm": Family("GlmForCausalLM", "GlmConfig", DECODER, (GATE_UP,)),
    "glm4": Family("Glm4ForCausalLM", "Glm4Config", DECODER, (GATE_UP,)),
    "gpt2": Family("GPT2LMHeadModel", "GPT2Config", GPT, (GPT2_QKV,)),
    "gpt2_bare": Family("GPT2Model", "GPT2Config", GPT, (GPT2_QKV,)),
    "gpt_bigcode": Family(
        "GPTBigCodeForCausalLM", "GPTBigCodeConfig", dict(GPT, multi_query=True, pad_token_id=0),
        (Split("c_attn.weight", 1, dict(q=32, k=8, v=8)),),
    ),
    "gpt_bigcode_mha": Family(
        "GPTBigCodeForCausalLM", "GPTBigCodeConfig", dict(GPT, multi_query=False, pad_token_id=0),
        (Split("c_attn.weight", 4, dict(q=8, k=8, v=8)),),
    ),
    "gpt_neox": Family("GPTNeoXForCausalLM", "GPTNeoXConfig", PLAIN, (PER_HEAD,)),
    "gpt_neox_japanese": Family(
        "GPTNeoXJapaneseForCausalLM", "GPTNeoXJapaneseConfig", dict(TOKENS, **HEADS, intermediate_multiple_size=2), (PER_HEAD,),
    ),
    "falcon": Family(
        "FalconForCausalLM", "FalconConfig", dict(FALCON, multi_query=True, new_decoder_architecture=False),
        (Split("query_key_value.weight", 1, dict(q=32, k=8, v=8)),),
    ),
    "falcon_mha": Family(
        "FalconForCausalLM", "FalconConfig", dict(FALCON, multi_query=False, new_decoder_architecture=False), (PER_HEAD,),
    ),
    "falcon_new": Family(
        "FalconForCausalLM", "FalconConfig", dict(FALCON, new_decoder_architecture=True, num_kv_heads=2),
        (Split("query_key_value.weight", 2, dict(q=16, k=8, v=8)),),
    ),
    "bloom": Family("BloomForCausalLM", "BloomConfig", dict(TOKENS, hidden_size=32, n_layer=2, n_head=4), (PER_HEAD,)),
    "opt": Family("OPTForCausalLM", "OPTConfig", dict(TOKENS, **HEADS, ffn_dim=56, word_embed_proj_dim=20, max_position_embeddings=64)),
    "xglm": Family(
        "XGLMForCausalLM", "XGLMConfig", dict(TOKENS, d_model=32, num_layers=2, attention_heads=4, ffn_dim=56, max_position_embeddings=64),
    ),
    "biogpt": Family("BioGptForCausalLM", "BioGptConfig", PLAIN),
    "mpt": Family(
        "MptForCausalLM", "MptConfig", dict(vocab_size=96, d_model=32, n_layers=2, n_heads=4, max_seq_len=64),
        (Split("Wqkv.weight", 1, dict(q=32, k=32, v=32)),),
    ),
    "codegen": Family(
        "CodeGenForCausalLM", "CodeGenConfig", dict(GPT, rotary_dim=4), (Split("qkv_proj.weight", 4, dict(q=8, v=8, k=8)),),
    ),
    "gptj": Family("GPTJForCausalLM", "GPTJConfig", dict(GPT, rotary_dim=4)),
    "gpt_neo": Family(
        "GPTNeoForCausalLM", "GPTNeoConfig",
        dict(
            TOKENS, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=56, max_position_embeddings=64,
            attention_types=[[["global", "local"], 1]],
        ),
    ),
    "persimmon": Family("PersimmonForCausalLM", "PersimmonConfig", PLAIN, (PER_HEAD,)),
    "starcoder2": Family("Starcoder2ForCausalLM", "Starcoder2Config", GROUPED),
    "lfm2": Family(
        "Lfm2ForCausalLM", "Lfm2Config", dict(GROUPED, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False),
        (SHORT_CONVOLUTION_IN,),
    ),
    "mamba": Family("MambaForCausalLM", "MambaConfig", MAMBA, (MAMBA_IN,)),
    "falcon_mamba": Family("FalconMambaForCausalLM", "FalconMambaConfig", MAMBA, (MAMBA_IN,)),
    "mamba2": Family(
        "Mamba2ForCausalLM", "Mamba2Config",
        dict(TOKENS, hidden_size=32, num_hidden_layers=2, state_size=6, num_heads=4, head_dim=16, n_groups=2),
        (MAMBA2_IN,),
    ),
    "qwen3_next": Family(
        "Qwen3NextForCausalLM", "Qwen3NextConfig", HYBRID_MOE,
        (
            Split("in_proj_qkvz.weight", 6, dict(q=6, k=6, v=8, z=8)), Split("in_proj_ba.weight", 6, dict(b=4, a=4)), GATED_QUERY,
        ),
    ),
    "qwen3_5": Family(
        "Qwen3_5ForCausalLM", "Qwen3_5TextConfig", dict(DECODER, **HYBRID), (GATED_DELTA_QKV, GATED_QUERY),
    ),
    "qwen3_5_moe_text": Family(
        "Qwen3_5MoeForCausalLM", "Qwen3_5MoeTextConfig", HYBRID_MOE, (GATED_DELTA_QKV, GATED_QUERY),
    ),
    # Mixtures of experts
    "mixtral": Family("MixtralForCausalLM", "MixtralConfig", dict(GROUPED, **LOCAL)),
    "qwen2_moe": Family(
        "Qwen2MoeForCausalLM", "Qwen2MoeConfig",
        dict(GROUPED, **ROUTED, moe_intermediate_size=20, shared_expert_intermediate_size=24, mlp_only_layers=[0]),
    ),
    "qwen3_moe": Family("Qwen3MoeForCausalLM", "Qwen3MoeConfig", dict(DECODER, **ROUTED, moe_intermediate_size=20)),
    "olmoe": Family("OlmoeForCausalLM", "OlmoeConfig", dict(GROUPED, **ROUTED, intermediate_size=20)),
    "flex_olmo": Family("FlexOlmoForCausalLM", "FlexOlmoConfig", dict(GROUPED, **ROUTED, intermediate_size=20)),
    "afmoe": Family(
        "AfmoeForCausalLM", "AfmoeConfig",
        dict(DECODER, **ROUTED, moe_intermediate_size=20, num_dense_layers=1, layer_types=["sliding_attention", "full_attention"]),
    ),
    "cohere2_moe": Family("Cohere2MoeForCausalLM", "Cohere2MoeConfig", dict(DECODER, **ROUTED)),
    "exaone_moe": Family(
        "ExaoneMoeForCausalLM", "ExaoneMoeConfig",
        dict(
            GROUPED, **ROUTED, moe_intermediate_size=20, n_group=1, topk_group=1, layer_types=["sliding_attention", "full_attention"],
            mlp_layer_types=["dense", "sparse"],
        ),
    ),
    "deepseek_v2": Family("DeepseekV2ForCausalLM", "DeepseekV2Config", MLA),
    "deepseek_v3": Family("DeepseekV3ForCausalLM", "DeepseekV3Config", dict(MLA, num_nextn_predict_layers=0)),
    "deepseek_v3_mtp": Family(
        "DeepseekV3ForCausalLM", "DeepseekV3Config", dict(MLA, num_nextn_predict_layers=1), amend=with_mtp_layer,
    ),
    "deepseek_v32": Family("DeepseekV32ForCausalLM", "DeepseekV32Config", dict(INDEXED_MLA, num_nextn_predict_layers=0)),
    "longcat_flash": Family(
        "LongcatFlashForCausalLM", "LongcatFlashConfig",
        dict(
            TOKENS, hidden_size=32, num_layers=2, num_attention_heads=4, num_key_value_heads=4, ffn_hidden_size=56, expert_ffn_hidden_size=20,
            n_routed_experts=EXPERTS, zero_expert_num=1, moe_topk=2, q_lora_rank=14, kv_lora_rank=18, qk_nope_head_dim=10,
            qk_rope_head_dim=4, v_head_dim=6, max_position_embeddings=64,
        ),
    ),
    "glm4_moe": Family("Glm4MoeForCausalLM", "Glm4MoeConfig", dict(DECODER, **SHARED)),
    "glm4_moe_lite": Family("Glm4MoeLiteForCausalLM", "Glm4MoeLiteConfig", MLA),
    "glm_moe_dsa": Family("GlmMoeDsaForCausalLM", "GlmMoeDsaConfig", INDEXED_MLA),
    "solar_open": Family("SolarOpenForCausalLM", "SolarOpenConfig", dict(DECODER, **SHARED)),
    "dots1": Family("Dots1ForCausalLM", "Dots1Config", dict(GROUPED, **SHARED)),
    "llama4_text": Family("Llama4ForCausalLM", "Llama4TextConfig", LLAMA4_TEXT, (EXPERT_COLUMNS,)),
    "llama4": Family(
        "Llama4ForConditionalGeneration", "Llama4Config",
        dict(
            text_config=LLAMA4_TEXT,
            vision_config=dict(
                VISION, num_hidden_layers=1, intermediate_size=96, vision_output_dim=22, projector_input_dim=22, projector_output_dim=22,
            ),
            boi_token_index=90, eoi_token_index=91, image_token_index=92,
        ),
        (EXPERT_COLUMNS,),
    ),
    "gpt_oss": Family(
        "GptOssForCausalLM", "GptOssConfig", dict(DECODER, **LOCAL, intermediate_size=20),
        (Split("experts.gate_up_proj", 20, dict(gate=1, up=1), transposed=True),),
    ),
    "qwen3_vl_moe": Family(
        "Qwen3VLMoeForConditionalGeneration", "Qwen3VLMoeConfig", QWEN3_VL_MOE, (EXPERT_COLUMNS, VISION_QKV), amend=with_experts_as_columns,
    ),
    "qwen3_vl_moe_saved5": Family(
        "Qwen3VLMoeForConditionalGeneration", "Qwen3VLMoeConfig", QWEN3_VL_MOE,
        (EXPERT_ROWS, VISION_QKV),
    ),
    "dbrx": Family(
        "DbrxForCausalLM", "DbrxConfig",
        dict(
            TOKENS, d_model=32, n_heads=4, n_layers=2, max_seq_len=64, attn_config=dict(kv_n_heads=2, clip_qkv=8.0, rope_theta=10000.0),
            ffn_config=dict(ffn_hidden_size=20, moe_num_experts=EXPERTS, moe_top_k=2, ffn_act_fn=dict(name="silu")),
        ),
        (Split("Wqkv.weight", 1, dict(q=32, k=16, v=16)),),
    ),
    "granitemoe": Family("GraniteMoeForCausalLM", "GraniteMoeConfig", dict(GROUPED, **LOCAL), (GRANITE_EXPERTS,)),
    "granitemoeshared": Family(
        "GraniteMoeSharedForCausalLM", "GraniteMoeSharedConfig", dict(GROUPED, **LOCAL, shared_intermediate_size=24),
        (GRANITE_EXPERTS, GRANITE_SHARED),
    ),
    "granitemoehybrid": Family(
        "GraniteMoeHybridForCausalLM", "GraniteMoeHybridConfig", dict(HYBRID_GRANITE, **LOCAL),
        (GRANITE_EXPERTS, GRANITE_SHARED, MAMBA2_IN),
    ),
    "granitemoehybrid_dense": Family(
        "GraniteMoeHybridForCausalLM", "GraniteMoeHybridConfig", dict(HYBRID_GRANITE, num_local_experts=0),
        (GRANITE_SHARED, MAMBA2_IN),
    ),
    "jamba": Family(
        "JambaForCausalLM", "JambaConfig",
        dict(
            GROUPED, **ROUTED, expert_layer_period=2, expert_layer_offset=1, attn_layer_period=2, attn_layer_offset=1,
            mamba_d_state=6, mamba_dt_rank=5, use_mamba_kernels=False,
        ),
        (MAMBA_IN,),
    ),
    "nemotron_h": Family(
        "NemotronHForCausalLM", "NemotronHConfig",
        dict(
            TOKENS, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=12, intermediate_size=56, max_position_embeddings=64,
            layers_block_type=["mamba", "attention", "moe", "mlp"], mamba_num_heads=4, mamba_head_dim=16, n_groups=2, ssm_state_size=6,
            conv_kernel=4, use_mamba_kernels=False, n_routed_experts=EXPERTS, num_experts_per_tok=2, n_shared_experts=1,
            moe_intermediate_size=20, moe_shared_expert_intermediate_size=24,
        ),
        (MAMBA2_IN,),
    ),
    "lfm2_moe": Family(
        "Lfm2MoeForCausalLM", "Lfm2MoeConfig",
        dict(GROUPED, **ROUTED, moe_intermediate_size=20, layer_types=["conv", "full_attention"], num_dense_layers=1),
        (SHORT_CONVOLUTION_IN,),
    ),
    "minimax": Family(
        "MiniMaxForCausalLM", "MiniMaxConfig", dict(DECODER, **LOCAL, layer_types=["linear_attention", "full_attention"]),
        (Split("qkv_proj.weight", 4, dict(q=12, k=12, v=12)),),
    ),
    "minimax_m2": Family("MiniMaxM2ForCausalLM", "MiniMaxM2Config", dict(DECODER, **LOCAL, intermediate_size=20)),
    "phimoe": Family("PhimoeForCausalLM", "PhimoeConfig", dict(GROUPED, **LOCAL)),
    "ernie4_5_moe": Family(
        "Ernie4_5_MoeForCausalLM", "Ernie4_5_MoeConfig",
        dict(
            GROUPED, moe_intermediate_size=20, moe_k=2, moe_num_experts=EXPERTS, moe_num_shared_experts=1, moe_layer_start_index=1,
            moe_layer_end_index=1,
        ),
    ),
    "hunyuan_v1_moe": Family("HunYuanMoEV1ForCausalLM", "HunYuanMoEV1Config", dict(DECODER, num_experts=EXPERTS, moe_topk=2)),
    "jetmoe": Family(
        "JetMoeForCausalLM", "JetMoeConfig",
        dict(
            TOKENS, hidden_size=32, num_hidden_layers=2, num_key_value_heads=2, kv_channels=12, intermediate_size=56,
            max_position_embeddings=64, **LOCAL,
        ),
        (Split("kv_proj.weight", 1, dict(k=24, v=24)), Split("mlp.input_linear.weight", 1, dict(gate=56, up=56))),
    ),
    # Encoders, encoder-decoders, vision and audio models
    "bert": Family("BertForMaskedLM", "BertConfig", ENCODER),
    "bert_pretraining": Family("BertForPreTraining", "BertConfig", ENCODER),
    "roberta": Family("RobertaForMaskedLM", "RobertaConfig", ENCODER),
    "roberta_classifier": Family("RobertaForSequenceClassification", "RobertaConfig", ENCODER),
    "t5": Family(
        "T5ForConditionalGeneration", "T5Config",
        dict(vocab_size=96, d_model=32, d_kv=12, d_ff=56, num_layers=2, num_heads=4, feed_forward_proj="relu"),
    ),
    "t5_gated": Family(
        "T5ForConditionalGeneration", "T5Config",
        dict(
            vocab_size=96, d_model=32, d_kv=12, d_ff=56, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        ),
        amend=with_own_head,
    ),
    "bart": Family("BartForConditionalGeneration", "BartConfig", BART),
    "bart_classifier": Family("BartForSequenceClassification", "BartConfig", BART),
    "whisper": Family(
        "WhisperForConditionalGeneration", "WhisperConfig",
        dict(
            TOKENS, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=56, decoder_ffn_dim=60, encoder_attention_heads=4,
            decoder_attention_heads=4, num_mel_bins=10, max_source_positions=24, max_target_positions=18, decoder_start_token_id=1,
        ),
    ),
    "clip": Family(
        "CLIPModel", "CLIPConfig",
        dict(text_config=dict(PLAIN, projection_dim=22), vision_config=CLIP_VISION, projection_dim=22),
    ),
    "clip_text_model": Family("CLIPTextModel", "CLIPTextConfig", dict(PLAIN, projection_dim=22), amend=with_prefix("text_model.")),
    "clip_vision_model": Family("CLIPVisionModel", "CLIPVisionConfig", CLIP_VISION, amend=with_prefix("vision_model.")),
    "siglip": Family(
        "SiglipModel", "SiglipConfig",
        dict(text_config=dict(PLAIN, hidden_size=24), vision_config=VISION),
        (POOLING_QKV,),
    ),
    "siglip2": Family(
        "Siglip2Model", "Siglip2Config",
        dict(text_config=dict(PLAIN, hidden_size=24), vision_config=dict(TOWER, num_channels=3, patch_size=4, num_patches=16)),
        (POOLING_QKV,),
    ),
    "vit": Family("ViTForImageClassification", "ViTConfig", CLASSIFIER),
    "vit_mae": Family(
        "ViTMAEForPreTraining", "ViTMAEConfig",
        dict(
            HEADS, **IMAGES, intermediate_size=56, decoder_hidden_size=20, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
            decoder_intermediate_size=28,
        ),
        amend=with_published_decoder,
    ),
    "vit_msn": Family("ViTMSNForImageClassification", "ViTMSNConfig", CLASSIFIER, amend=with_prefix("vit.", ("classifier",))),
    "vit_msn_saved5": Family("ViTMSNForImageClassification", "ViTMSNConfig", CLASSIFIER),
    "vivit": Family(
        "VivitForVideoClassification", "VivitConfig",
        dict(HEADS, intermediate_size=56, num_channels=3, image_size=16, num_frames=4, tubelet_size=[2, 4, 4], num_labels=3),
    ),
    "ijepa": Family("IJepaForImageClassification", "IJepaConfig", CLASSIFIER),
    "dinov2": Family("Dinov2ForImageClassification", "Dinov2Config", dict(CLASSIFIER, mlp_ratio=2)),
    "dinov2_swiglu": Family(
        "Dinov2ForImageClassification", "Dinov2Config", dict(CLASSIFIER, mlp_ratio=2, use_swiglu_ffn=True),
        (Split("weights_in.weight", 1, dict(gate=48, up=48)),),
    ),
    "dinov2_with_registers": Family(
        "Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", dict(CLASSIFIER, mlp_ratio=2, num_register_tokens=2),
    ),
    "beit": Family("BeitForImageClassification", "BeitConfig", dict(CLASSIFIER, use_relative_position_bias=True)),
    "deit": Family("DeiTForImageClassification", "DeiTConfig", CLASSIFIER),
    "swin": Family(
        "SwinForImageClassification", "SwinConfig",
        dict(IMAGES, image_size=32, embed_dim=12, depths=[1, 2], num_heads=[2, 4], window_size=4, mlp_ratio=3.0, num_labels=3),
    ),
    "segformer": Family("SegformerForImageClassification", "SegformerConfig", SEGFORMER),
    "segformer_segmentation": Family("SegformerForSemanticSegmentation", "SegformerConfig", SEGFORMER),
    "wav2vec2": Family("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH),
    "hubert": Family("HubertForCTC", "HubertConfig", SPEECH),
    "wavlm": Family("WavLMForCTC", "WavLMConfig", dict(SPEECH, num_buckets=10)),
    "audio_spectrogram_transformer": Family(
        "ASTForAudioClassification", "ASTConfig",
        dict(HEADS, intermediate_size=56, patch_size=4, num_mel_bins=16, max_length=32, frequency_stride=4, time_stride=4, num_labels=3),
    ),
    # Multimodal models
    "qwen2_vl": Family(
        "Qwen2VLForConditionalGeneration", "Qwen2VLConfig",
        dict(
            QWEN_TOKENS, text_config=dict(GROUPED, rope_scaling=dict(type="mrope", mrope_section=[1, 1, 2])),
            vision_config=dict(QWEN_VISION, embed_dim=24, hidden_size=32, mlp_ratio=2),
        ),
        (VISION_QKV,),
    ),
    "qwen2_5_vl": Family(
        "Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLConfig",
        dict(
            QWEN_TOKENS, text_config=dict(GROUPED, rope_scaling=dict(type="mrope", mrope_section=[1, 1, 2])),
            vision_config=QWEN2_5_VISION,
        ),
        (VISION_QKV,),
    ),
    "qwen2_5_omni_thinker": Family(
        "Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniThinkerConfig",
        dict(OMNI_TOKENS, text_config=dict(GROUPED, rope_scaling=MROPE), vision_config=QWEN2_5_VISION, audio_config=OMNI_AUDIO),
    ),
    "qwen3_vl": Family(
        "Qwen3VLForConditionalGeneration", "Qwen3VLConfig",
        dict(
            QWEN_TOKENS, text_config=dict(DECODER, rope_scaling=dict(rope_type="default", mrope_section=[2, 2, 2])),
            vision_config=QWEN3_VISION,
        ),
        (VISION_QKV,),
    ),
    "qwen3_5_moe": Family(
        "Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeConfig",
        dict(QWEN_TOKENS, text_config=HYBRID_MOE, vision_config=QWEN3_5_VISION), (GATED_DELTA_QKV, GATED_QUERY, VISION_QKV, EXPERT_ROWS),
    ),
    "qwen3_omni_moe": Family(
        "Qwen3OmniMoeForConditionalGeneration", "Qwen3OmniMoeConfig",
        dict(
            thinker_config=dict(
                OMNI_TOKENS, vision_config=QWEN3_VISION, audio_config=dict(OMNI_AUDIO, num_mel_bins=16, downsample_hidden_size=8),
                text_config=dict(DECODER, **ROUTED, moe_intermediate_size=20, rope_scaling=dict(MROPE, mrope_section=[2, 2, 2])),
            ),
            enable_audio_output=False,
        ),
        (VISION_QKV,),
    ),
    "qwen2_audio": Family(
        "Qwen2AudioForConditionalGeneration", "Qwen2AudioConfig",
        dict(
            text_config=dict(GROUPED, model_type="qwen2"), audio_token_index=90,
            audio_config={k: v for k, v in OMNI_AUDIO.items() if k != "output_dim"},
        ),
    ),
    "voxtral": Family(
        "VoxtralForConditionalGeneration", "VoxtralConfig",
        dict(
            text_config=LLAMA_TEXT, audio_config=dict(TOWER, intermediate_size=96, num_mel_bins=10, max_source_positions=24), audio_token_id=90,
        ),
    ),
    "llava": Family("LlavaForConditionalGeneration", "LlavaConfig", LLAVA, amend=with_vision_model),
    "llava_saved5": Family("LlavaForConditionalGeneration", "LlavaConfig", LLAVA),
    "llava_next": Family("LlavaNextForConditionalGeneration", "LlavaNextConfig", LLAVA, amend=with_vision_model),
    "llava_onevision": Family(
        "LlavaOnevisionForConditionalGeneration", "LlavaOnevisionConfig",
        dict(text_config=dict(GROUPED, model_type="qwen2"), vision_config=SIGLIP_VISION, image_token_index=90, video_token_index=91),
        amend=with_vision_model,
    ),
    "aya_vision": Family(
        "AyaVisionForConditionalGeneration", "AyaVisionConfig",
        dict(text_config=dict(GROUPED, model_type="cohere2"), vision_config=SIGLIP_VISION, image_token_index=90, downsample_factor=2),
        amend=with_vision_model,
    ),
    "aria": Family(
        "AriaForConditionalGeneration", "AriaConfig",
        dict(
            text_config=dict(DECODER, model_type="aria_text", moe_num_experts=EXPERTS, moe_num_shared_experts=2, moe_topk=2),
            vision_config=dict(VISION, model_type="idefics3_vision"), projector_patch_to_query_dict={16: 4}, image_token_index=90,
        ),
        (POOLING_QKV, Split("experts.fc1.weight", 1, dict(gate=56, up=56), transposed=True)),
    ),
    "gemma3": Family(
        "Gemma3ForConditionalGeneration", "Gemma3Config",
        dict(
            text_config=DECODER, vision_config=SIGLIP_VISION, mm_tokens_per_image=4, boi_token_index=90, eoi_token_index=91,
            image_token_index=92,
        ),
        amend=with_vision_model,
    ),
    "gemma3n": Family(
        "Gemma3nForConditionalGeneration", "Gemma3nConfig",
        dict(
            text_config=GEMMA3N_TEXT, vision_config=dict(architecture="resnet10t", hidden_size=512, vocab_size=8, vocab_offset=96),
            audio_config=dict(
                hidden_size=24, vocab_size=8, vocab_offset=104, input_feat_size=16, conf_num_attention_heads=2, conf_num_hidden_layers=1,
                sscp_conv_channel_size=[8, 4], conf_conv_kernel_size=3, conf_attention_context_left=3,
            ),
        ),
    ),
    "mistral3": Family(
        "Mistral3ForConditionalGeneration", "Mistral3Config",
        dict(
            text_config=dict(DECODER, model_type="mistral"), vision_config=dict(VISION, model_type="pixtral"),
            image_token_index=90, spatial_merge_size=2, tie_word_embeddings=False,
        ),
    ),
    "internvl": Family(
        "InternVLForConditionalGeneration", "InternVLConfig",
        dict(
            text_config=dict(GROUPED, model_type="qwen2"),
            vision_config=dict(VISION, image_size=[16, 16], patch_size=[4, 4], model_type="internvl_vision"),
            image_token_id=90, tie_word_embeddings=False,
        ),
    ),
    "paligemma": Family(
        "PaliGemmaForConditionalGeneration", "PaliGemmaConfig",
        dict(
            text_config=dict(DECODER, model_type="gemma"), projection_dim=32, hidden_size=32, image_token_index=90,
            vision_config=dict(SIGLIP_VISION, projection_dim=32),
        ),
        amend=with_vision_model,
    ),
    "idefics3": Family(
        "Idefics3ForConditionalGeneration", "Idefics3Config",
        dict(IDEFICS3, vision_config=dict(VISION, model_type="idefics3_vision")),
    ),
    "smolvlm": Family(
        "SmolVLMForConditionalGeneration", "SmolVLMConfig", dict(IDEFICS3, vision_config=dict(VISION, model_type="smolvlm_vision")),
    ),
    "idefics2": Family(
        "Idefics2ForConditionalGeneration", "Idefics2Config",
        dict(
            text_config=dict(GROUPED, model_type="mistral"), vision_config=VISION, image_token_id=90,
            perceiver_config=dict(
                hidden_size=32, resampler_depth=1, resampler_n_latents=4, resampler_n_heads=2, resampler_head_dim=10, num_key_value_heads=1,
            ),
        ),
    ),
    "mllama": Family(
        "MllamaForConditionalGeneration", "MllamaConfig",
        dict(
            text_config=dict(GROUPED, cross_attention_layers=[1], rope_scaling=dict(rope_type="default")),
            vision_config=dict(
                IMAGES, hidden_size=24, intermediate_size=44, num_hidden_layers=1, num_global_layers=1, attention_heads=2,
                vision_output_dim=48, max_num_tiles=2, intermediate_layers_indices=[0], supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
            ),
            image_token_index=90,
        ),
    ),
    "fuyu": Family(
        "FuyuForCausalLM", "FuyuConfig",
        dict(PLAIN, image_size=16, patch_size=4, num_channels=3, image_token_id=90, text_config=dict(PLAIN, model_type="persimmon")), (PER_HEAD,),
    ),
    "glm4v": Family(
        "Glm4vForConditionalGeneration", "Glm4vConfig",
        dict(IMAGE_TOKENS, text_config=dict(GROUPED, rope_parameters=MROPE), vision_config=GLM_VISION), (GATE_UP, VISION_QKV),
    ),
    "glm4v_moe": Family(
        "Glm4vMoeForConditionalGeneration", "Glm4vMoeConfig",
        dict(IMAGE_TOKENS, text_config=dict(GROUPED, **SHARED, head_dim=8, rope_parameters=MROPE), vision_config=GLM_VISION), (VISION_QKV,),
    ),
    # What the newer line does with names: layers are halved, numbers shifted, weights divided, experts dealt out
    "dory": Family("DoryForCausalLM", "DoryConfig", DORY, amend=as_dory_published),
    "dory_saved5": Family("DoryForCausalLM", "DoryConfig", DORY),
    "inkling2_text": Family(
        "Inkling2ForCausalLM", "Inkling2TextConfig",
        dict(
            DECODER, unpadded_vocab_size=96, num_hidden_layers=3, layer_types=["hybrid_sliding", "hybrid_sliding", "hybrid"],
            swa_num_attention_heads=4, swa_num_key_value_heads=2, swa_head_dim=12, sliding_window_size=64, d_rel=8, rel_extent=40,
            n_routed_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=20, n_layers_per_attn_res_block=2,
        ),
    ),
    "molmo2_text": Family("Molmo2TextModel", "Molmo2TextConfig", dict(DECODER, additional_vocab_size=8)),
    "gte": Family("GteForMaskedLM", "GteConfig", ENCODER),
    "nomic_bert": Family("NomicBertForMaskedLM", "NomicBertConfig", dict(ENCODER, head_dim=8)),
    "ernie4_5_vl_moe": Family(
        "Ernie4_5_VLMoeForConditionalGeneration", "Ernie4_5_VLMoeConfig",
        dict(
            IMAGE_TOKENS,
            text_config=dict(
                GROUPED, moe_intermediate_size=[20, 12], moe_k=2, moe_num_experts=EXPERTS, moe_num_shared_experts=1,
                mlp_layer_types=["dense", "sparse"], rope_parameters=dict(MROPE, mrope_section=[1, 1, 2]),
            ),
            vision_config=dict(
                depth=1, hidden_size=24, intermediate_size=44, num_heads=2, in_channels=3, patch_size=4, spatial_merge_size=2,
                temporal_merge_size=2,
            ),
        ),
        (VISION_QKV,),
    ),
    "kimi_k25": Family(
        "Kimi_K25ForConditionalGeneration", "Kimi_K25Config",
        dict(
            IMAGE_TOKENS, text_config=dict(MLA, model_type="deepseek_v3", num_nextn_predict_layers=0),
            vision_config=dict(TOWER, patch_size=4), projection_hidden_size=24, tie_word_embeddings=False,
        ),
        (Split("wqkv.weight", 1, dict(q=24, k=24, v=24)),), amend=as_kimi_published,
    ),
    "got_ocr2": Family(
        "GotOcr2ForConditionalGeneration", "GotOcr2Config",
        dict(
            text_config=dict(GROUPED, model_type="qwen2"), image_token_index=90,
            vision_config=dict(
                IMAGES, hidden_size=24, mlp_dim=44, num_hidden_layers=2, num_attention_heads=2, output_channels=16, global_attn_indexes=[1],
                window_size=2,
            ),
        ),
        (VISION_QKV,),
    ),
    # Components of diffusers pipelines
    "unet_sd15": Family("UNet2DConditionModel", "", UNET, (GEGLU,), library="diffusers"),
    "unet_sdxl": Family(
        "UNet2DConditionModel", "",
        dict(
            UNET, use_linear_projection=True, mid_block_type=None, transformer_layers_per_block=[2, 1], addition_embed_type="text_time",
            addition_time_embed_dim=6, projection_class_embeddings_input_dim=50,
        ),
        (GEGLU,), library="diffusers",
    ),
    "controlnet": Family(
        "ControlNetModel", "",
        dict(
            block_out_channels=[32, 64], norm_num_groups=8, layers_per_block=1, attention_head_dim=2, cross_attention_dim=20,
            down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], conditioning_embedding_out_channels=[8, 12],
        ),
        (GEGLU,), library="diffusers",
    ),
    "flux": Family(
        "FluxTransformer2DModel", "",
        dict(
            in_channels=12, num_layers=1, num_single_layers=2, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=20,
            pooled_projection_dim=14, guidance_embeds=True, axes_dims_rope=[4, 2, 2],
        ),
        library="diffusers",
    ),
    "sd3": Family(
        "SD3Transformer2DModel", "",
        dict(
            sample_size=8, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=20,
            caption_projection_dim=32, pooled_projection_dim=14, pos_embed_max_size=8,
        ),
        library="diffusers",
    ),
    "qwen_image": Family(
        "QwenImageTransformer2DModel", "",
        dict(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=20,
            axes_dims_rope=[4, 2, 2],
        ),
        library="diffusers",
    ),
    "wan": Family(
        "WanTransformer3DModel", "",
        dict(
            patch_size=[1, 2, 2], num_attention_heads=4, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=20, freq_dim=16,
            ffn_dim=56, num_layers=2, image_dim=18, added_kv_proj_dim=48, rope_max_seq_len=32,
        ),
        library="diffusers",
    ),
    "sana": Family(
        "SanaTransformer2DModel", "",
        dict(
            in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=8, num_layers=2, num_cross_attention_heads=4,
            cross_attention_head_dim=8, cross_attention_dim=32, caption_channels=20, mlp_ratio=2.5, sample_size=8,
        ),
        library="diffusers",
    ),
    "vae": Family(
        "AutoencoderKL", "",
        dict(
            down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, block_out_channels=[8, 16],
            layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=16,
        ),
        library="diffusers",
    ),
}


# The checkpoint's content.


def fnv1a(text):
    seed = 0xCBF29CE484222325
    for byte in text.encode():
        seed = (seed ^ byte) * 0x100000001B3 & MASK
    return seed


def float_values(name, shape):
    """The values of one float tensor, from its name."""
    counter = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    z = np.uint64(fnv1a(name)) + counter * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)) / 2**24 - 0.5).astype(np.float32).reshape(shape)


def tensor_bytes(name, dtype, shape):
    if dtype == "F32" and shape:
        return float_values(name, shape).tobytes()
    return bytes(ITEM_SIZES[dtype] * int(np.prod(shape)))


def write_safetensors(path, tensors, metadata):
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, (dtype, shape) in tensors.items():
        blob = tensor_bytes(name, dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_header(path):
    raw = path.read_bytes()
    header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
    metadata = header.pop("__metadata__", {})
    return {n: [e["dtype"], e["shape"]] for n, e in header.items()}, metadata


def write_checkpoint(folder, config, files, metadata):
    (folder / "config.json").write_text(json.dumps(config))
    for name, tensors in files.items():
        write_safetensors(folder / name, tensors, {"format": "pt", **metadata})


# The library's side.


def model_class(family):
    return getattr(importlib.import_module(family.library), family.architecture, None)


def build(family):
    architecture = model_class(family)
    kwargs = copy.deepcopy(family.kwargs)  # config classes write into what they are given
    if family.library == "diffusers":
        return architecture(**kwargs)
    return architecture(getattr(transformers, family.config)(**kwargs))


def saved(family):
    """Config, files and metadata of the family as the library itself saves a fresh model."""
    with tempfile.TemporaryDirectory() as folder:
        build(family).save_pretrained(folder)
        config = json.loads((Path(folder) / "config.json").read_text())
        files, metadata = {}, {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            files[path.name], found = read_header(path)
            metadata.update(found)
    if family.amend:
        config, files["model.safetensors"] = family.amend(config, files["model.safetensors"])
    metadata.pop("format", None)
    return config, files, metadata


def loaded(family, config, files, metadata):
    """The model the library makes of the checkpoint, and the checkpoint's tensors."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder, config, files, metadata)
        tensors = {}
        for file in files:
            tensors.update(load_file(folder / file))
        model, info = model_class(family).from_pretrained(folder, output_loading_info=True)
    return model, tensors, sorted(info["missing_keys"])


def row_sets(tensor):
    """Sets of rows of the tensor's matrices: as they lie, transposed, and flattened to [first dimension, rest]."""
    array = tensor.detach().numpy()
    views = [array, np.swapaxes(array, -1, -2)]
    if array.ndim > 2:
        views += [array.reshape(array.shape[0], -1)]
    return [{row.tobytes() for row in np.ascontiguousarray(v).reshape(-1, v.shape[-1])} for v in views]


def disk_rows(rows):
    """The row sets of a disk tensor that count: not the transposed one."""
    return rows[:1] + rows[2:]


def common_suffix(a, b):
    length = 0
    while length < min(len(a), len(b)) and a[-1 - length] == b[-1 - length]:
        length += 1
    return length


def owner(model, parameter):
    return model.get_submodule(parameter.rpartition(".")[0])


def held_tensors(model):
    parameters = list(model.named_parameters(remove_duplicate=False))
    return {n: t for n, t in parameters + list(model.named_buffers(remove_duplicate=False)) if t.ndim > 1 and t.is_floating_point()}


def places(model, tensors):
    """For every disk matrix, the parameter that holds its rows (or the parameters, if its rows were shared out)."""
    held = {name: row_sets(tensor) for name, tensor in held_tensors(model).items()}
    found = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            continue
        rows = disk_rows(row_sets(tensor))
        whole = [p for p, sets in held.items() if any(r <= s for r in rows for s in sets)]
        if whole:
            best = max(whole, key=lambda p: common_suffix(p, name))
            found[name] = [best, type(owner(model, best)).__name__]
            continue
        pieces = [p for p, sets in held.items() if any(s <= r for r in rows for s in disk_rows(sets))]
        found[name] = [[p, type(owner(model, p)).__name__] for p in pieces] or None
    return found


def linear_modules(model):
    modules = {n: type(m).__name__ for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, LAYERS)}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.ndim > 1 and name.rpartition(".")[0] not in modules:
            modules[name] = "Parameter"
    return modules


def tied_groups(model):
    groups = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.ndim > 1:
            groups.setdefault(id(parameter), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


# The numbers.


def snr(matrix):
    """Signal-to-noise ratio of one matrix, over its largest singular value."""
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    sigma = (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.349
    beta = min(matrix.shape) / max(matrix.shape)
    threshold = sigma * np.sqrt((1 + np.sqrt(beta)) ** 2)
    signal, noise = values[values > threshold].sum(), values[values <= threshold].sum()
    return float(f"{signal / noise / values[0]:.15g}") if noise > 0 else "inf"


def as_matrices(name, array):
    """The matrices of a disk tensor: [count, rows, columns]."""
    if array.ndim == 2 and FLAT_EXPERT_STACK.search(name):
        return array.reshape(EXPERTS, -1, array.shape[1])
    if array.ndim == 3 and EXPERT_STACK.search(name):
        return array
    return array.reshape(1, array.shape[0], -1)


def snrs(matrices):
    return [] if min(matrices.shape[1:]) == 1 else [snr(m) for m in matrices]


def part_snrs(split, array):
    """Each part's number; for a stack of experts, each part's list of numbers."""
    outputs = np.swapaxes(array, -1, -2) if split.transposed else array
    stack = outputs.reshape(-1, *outputs.shape[-2:])
    count, rows, columns = stack.shape
    grouped = stack.reshape(count, split.groups, rows // split.groups, columns)
    ends = np.cumsum(list(split.sizes.values()))
    ends = ends[:-1] * (grouped.shape[2] // ends[-1])
    parts = {n: [snr(m) for m in p.reshape(count, -1, columns)] for n, p in zip(split.sizes, np.split(grouped, ends, axis=2))}
    return parts if array.ndim > 2 else {n: values[0] for n, values in parts.items()}


def measured(family, name, tensor):
    array = tensor.numpy()
    entry = {"snr": snrs(as_matrices(name, array))}
    for split in family.splits:
        if name.endswith(split.leaf):
            entry["parts"] = part_snrs(split, array)
    return entry


# The JSON files.


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def lines(mapping):
    return "{\n" + ",\n".join(f"{dumps(k)}:{dumps(v)}" for k, v in mapping.items()) + "\n}"


def nested_lines(mapping):
    return "{" + ",\n".join(f"{dumps(k)}:{lines(v)}" for k, v in mapping.items()) + "}"


def write_record(record):
    layout = {"files": nested_lines, "matrices": lines, "linear": nested_lines}
    text = ",\n".join(f"{dumps(key)}:{layout.get(key, dumps)(value)}" for key, value in record.items())
    (FAMILIES_DIR / f"{record['family']}.json").write_text("{\n" + text + "\n}\n")


def add_memory(record, model, tensors):
    known = {n: shape for part in record["files"].values() for n, (_, shape) in part.items()}
    for name, place in places(model, tensors).items():
        if known.get(name) == list(tensors[name].shape) and name in record["matrices"]:
            record["matrices"][name]["memory"][LINE] = place
    record["linear"][LINE] = linear_modules(model)
    record["tied"][LINE] = tied_groups(model)


def write_pass(row, family):
    config, files, metadata = saved(family)
    model, tensors, missing = loaded(family, config, files, metadata)
    library = importlib.import_module(family.library)
    record = {"family": row, "library": family.library, "versions": {"write": library.__version__}, "config": config, "files": files}
    if metadata:
        record["metadata"] = metadata
    matrices = {n: tensors[n] for part in files.values() for n in part if tensors[n].ndim > 1 and tensors[n].is_floating_point()}
    record["matrices"] = {n: {**measured(family, n, t), "memory": {}} for n, t in matrices.items()}
    record.update(linear={}, tied={})
    add_memory(record, model, tensors)
    write_record(record)
    return missing


def name_differences(files, other_files):
    """Tensors that only one of the lines writes, or that they write in different shapes."""
    here, there = ({(n, tuple(s)) for part in f.values() for n, (_, s) in part.items()} for f in (files, other_files))
    here, there = [n for n, _ in here - there], [n for n, _ in there - here]
    return {k: v for k, v in (("5", sorted(here)), ("4", sorted(there))) if v}


def first_whole(load, load_instead):
    """What `load` gives, or `load_instead` if the older line cannot read the newer one's config or leaves tensors out."""
    try:
        result = load()
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        return load_instead()
    return load_instead() if result[2] else result


def memory_pass(row, family):
    record = json.loads((FAMILIES_DIR / f"{row}.json").read_text())
    config, files, metadata = saved(family)
    differences = name_differences(record["files"], files)
    model, tensors, missing = first_whole(
        lambda: loaded(family, record["config"], record["files"], record.get("metadata", {})),
        lambda: loaded(family, config, files, metadata),
    )
    record["versions"]["memory"] = transformers.__version__
    record.pop("disk_differs", None)
    if differences:
        record["disk_differs"] = differences
    add_memory(record, model, tensors)
    write_record(record)
    return missing


def chosen(names, in_memory_pass):
    rows = {row: FAMILIES[row] for row in names or FAMILIES}
    if in_memory_pass:
        rows = {row: f for row, f in rows.items() if f.library == "transformers" and model_class(f)}
    return rows


def main():
    parser = argparse.ArgumentParser(description="Makes the family catalogue; see the top of this file.")
    parser.add_argument("run", choices=["write", "memory"])
    parser.add_argument("rows", nargs="*", help="only these families")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    FAMILIES_DIR.mkdir(exist_ok=True)
    one_pass = write_pass if arguments.run == "write" else memory_pass
    failed = []
    for row, family in chosen(arguments.rows, arguments.run == "memory").items():
        try:
            missing = one_pass(row, family)
            print(row, f"missing: {missing}" if missing else "ok", flush=True)
        except Exception as error:
            failed.append(row)
            print(row, f"failed: {error!r}"[:500], flush=True)
    if failed:
        raise SystemExit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
