#!/usr/bin/env python3
"""Writes the modules of small diffusion models, with their names in diffusers and in the original form, to `diffusion/`.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0
    python make_diffusion.py            # writes; --check only compares

The names in diffusers are those of its own classes. The original ones are the rows of `src/trainers/diffusion/families.rs`, and of
sd-scripts' map for the U-Nets; each was given to diffusers' own converter for single files, which has to make of it the names that stand
beside it in the table.

A file has the class, its configuration, and one entry for each module with a weight: the name with `*` for the number of its block,
how many there are of it, the shape of its weight, and its original name.
"""
import json
import re
import sys
import warnings
from pathlib import Path

import diffusers
import torch
from diffusers.loaders import single_file_utils as converters

HERE = Path(__file__).resolve().parent
TABLES = (HERE.parent.parent / "src" / "trainers" / "diffusion" / "families.rs").read_text()
UNET = dict(sample_size=16, norm_num_groups=4, cross_attention_dim=20)

# The class, its configuration, the tables and the converter. Twelve blocks tell `.1.` from `.11.`.
MODELS = {
    "flux": (
        diffusers.FluxTransformer2DModel,
        dict(patch_size=1, in_channels=16, num_layers=12, num_single_layers=12, attention_head_dim=16, num_attention_heads=2,
             joint_attention_dim=24, pooled_projection_dim=20, guidance_embeds=True, axes_dims_rope=(4, 4, 8)),
        ("FLUX_DOUBLE", "FLUX"), converters.convert_flux_transformer_checkpoint_to_diffusers,
    ),
    "flux2": (
        diffusers.Flux2Transformer2DModel,
        dict(patch_size=1, in_channels=16, num_layers=12, num_single_layers=12, attention_head_dim=16, num_attention_heads=2,
             joint_attention_dim=24, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4)),
        ("FLUX_DOUBLE", "FLUX_2"), converters.convert_flux2_transformer_checkpoint_to_diffusers,
    ),
    "sd3": (
        diffusers.SD3Transformer2DModel,
        dict(sample_size=16, patch_size=2, in_channels=4, num_layers=12, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=24,
             caption_projection_dim=32, pooled_projection_dim=20, out_channels=4, dual_attention_layers=(0, 1)),
        ("SD3",), converters.convert_sd3_transformer_checkpoint_to_diffusers,
    ),
    "hunyuan_video": (
        diffusers.HunyuanVideoTransformer3DModel,
        dict(in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=12, num_single_layers=12,
             num_refiner_layers=2, text_embed_dim=20, pooled_projection_dim=12, rope_axes_dim=(4, 4, 8)),
        ("HUNYUAN_VIDEO",), converters.convert_hunyuan_video_transformer_to_diffusers,
    ),
    "wan": (
        diffusers.WanTransformer3DModel,
        dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, text_dim=20, freq_dim=16, ffn_dim=48, num_layers=12),
        ("WAN",), converters.convert_wan_transformer_to_diffusers,
    ),
    "z_image": (
        diffusers.ZImageTransformer2DModel,
        dict(in_channels=4, dim=32, n_layers=12, n_refiner_layers=2, n_heads=2, n_kv_heads=2, cap_feat_dim=20, axes_dims=[4, 4, 8],
             axes_lens=[64, 32, 32]),
        ("Z_IMAGE",), converters.convert_z_image_transformer_checkpoint_to_diffusers,
    ),
    "qwen_image": (
        diffusers.QwenImageTransformer2DModel,
        dict(patch_size=2, in_channels=16, out_channels=4, num_layers=12, attention_head_dim=16, num_attention_heads=2,
             joint_attention_dim=20, axes_dims_rope=(4, 4, 8)),
        (), None,
    ),
    "sd15": (
        diffusers.UNet2DConditionModel, dict(UNET, block_out_channels=(8, 16, 16, 16), attention_head_dim=2), (), None,
    ),
    "sdxl": (
        diffusers.UNet2DConditionModel,
        dict(UNET, block_out_channels=(8, 16, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
             up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 2, 4),
             transformer_layers_per_block=(1, 2, 3), addition_embed_type="text_time", addition_time_embed_dim=8,
             projection_class_embeddings_input_dim=64, use_linear_projection=True),
        (), converters.convert_ldm_unet_checkpoint,
    ),
}
FUSED = (3 * 3072 + 4 * 3072, 2)  # a first single-block matrix of Flux, whose parts some converters cut by fixed sizes


def rows(table):
    """The rows of a table in the source: the original name, and those of diffusers."""
    body = re.search(rf"const {table}: .*?= &\[(.*?)\n\];", TABLES, re.S).group(1)
    pairs = re.findall(r'\(\s*"([^"]+)",\s*&\[(.*?)\],?\s*\)', body, re.S)
    return [(original, re.findall(r'"([^"]+)"', parts)) for original, parts in pairs]


class Checkpoint(dict):
    """Weights, with something for every name that a converter wants besides."""

    def pop(self, name, *default):
        if name in self or default:
            return super().pop(name, *default)
        return torch.full(FUSED if "linear1" in name else (384, 8), -1.0)


def by_converter(table, convert):
    """The original name of each module of diffusers that the converter makes of the table's, for block 1."""
    weights, wanted = Checkpoint(), {}
    for number in "102":
        for at, (original, parts) in enumerate(table, 1):
            mark = at if number == "1" or "*" not in original else -1
            shape = FUSED if original.endswith("linear1") and len(parts) == 4 else (384, 8)
            weights.setdefault(f"{original.replace('*', number)}.weight", torch.full(shape, float(mark)))
            wanted.update((part.replace("*", "1"), at) for part in parts)
    found = {name.removesuffix(".weight"): int(w.flatten()[0]) for name, w in convert(weights).items() if name.endswith(".weight")}
    found = {name: at for name, at in found.items() if at > 0}
    assert found == wanted, {name: (wanted.get(name), found.get(name)) for name in {*wanted, *found} if wanted.get(name) != found.get(name)}
    return {part: original for original, parts in table for part in parts}


RESNET = dict(conv1="in_layers.2", conv2="out_layers.3", time_emb_proj="emb_layers.1", conv_shortcut="skip_connection")
OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2", "conv_in": "input_blocks.0.0", "conv_out": "out.2",
}


def of_unet(names):
    """The original names of an SDXL U-Net's modules, by walking its blocks in order as the original model lists them."""
    originals = dict(OUTSIDE)
    for side, start in (("down_blocks", "input_blocks"), ("up_blocks", "output_blocks")):
        at = 1 if side == "down_blocks" else 0
        for block in range(3):
            for part in range(2 if side == "down_blocks" else 3):
                kinds = {"resnets": 0, "attentions": 1}
                for kind, place in kinds.items():
                    originals[f"{side}.{block}.{kind}.{part}"] = f"{start}.{at}.{place}"
                at += 1
            if side == "down_blocks":
                originals[f"{side}.{block}.downsamplers.0.conv"] = f"{start}.{at}.0.op"
                at += 1
            else:
                originals[f"{side}.{block}.upsamplers.0.conv"] = f"{start}.{at - 1}.2.conv"
    originals |= {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
    found = {}
    for name in names:
        start = max((start for start in originals if name == start or name.startswith(f"{start}.")), key=len)
        within = name[len(start) + 1:]
        within = RESNET.get(within, within) if ".resnets." in name else within
        found[name] = ".".join(filter(None, (originals[start], within)))
    return found


def check_unet(model, originals, convert):
    name = "model.diffusion_model.{}.{}".format
    weights = {name(original, kind): torch.full((2, 2), float(at)) for at, original in enumerate(originals.values()) for kind in ("weight", "bias")}
    config = dict(model.config, class_embed_type=None)
    made = convert(Checkpoint(weights), config)
    for at, name in enumerate(originals):
        assert int(made[f"{name}.weight"].flatten()[0]) == at, name


def modules(name):
    kind, config, tables, convert = MODELS[name]
    model = kind(**config)
    shapes = {m: list(module.weight.shape) for m, module in model.named_modules() if getattr(module, "weight", None) is not None}
    matrices = [m for m, shape in shapes.items() if len(shape) > 1]
    if tables:
        table = [row for t in tables for row in rows(t)]
        patterns = by_converter(table, convert)
        original = lambda m: next((patterns[p].replace("*", n) for p, n in starred(m) if p in patterns), None)
        originals = {m: original(m) for m in matrices}
    elif name == "sdxl":
        originals = of_unet(matrices)
        check_unet(model, originals, convert)
    else:
        originals = {m: m for m in matrices}
    merged = {}
    for m, shape in shapes.items():
        pattern, number = starred(m)[-1]
        other = originals.get(m)
        other = other and other.replace(f".{number}.", ".*.", 1) if number else other
        key = (pattern, tuple(shape), other)
        merged.setdefault(key, []).append(int(number) if number else 0)
    entries = [[pattern, numbers, list(shape), other] for (pattern, shape, other), numbers in merged.items()]
    entries = [[p, n if n != list(range(len(n))) else len(n), s, o] for p, n, s, o in entries]
    settings = {key: value for key, value in json.loads(model.to_json_string()).items()}
    return {"config": settings, "modules": entries}


def starred(name):
    """The name itself, and with a star for its first number if that is a block's."""
    block = re.match(r"((?:[a-z_]+\.)*?(?:\w*blocks|layers|refiner_blocks|\w*refiner))\.(\d+)\.(.*)", name)
    return [(name, "")] + ([(f"{block[1]}.*.{block[3]}", block[2])] if block else [])


def main():
    warnings.simplefilter("ignore")
    wrong = []
    for name in MODELS:
        made = modules(name)
        lines = ",\n".join(json.dumps(entry) for entry in made["modules"])
        text = f'{{"config": {json.dumps(made["config"])},\n"modules": [\n{lines}\n]}}\n'
        file = HERE / "diffusion" / f"{name}.json"
        if "--check" in sys.argv:
            wrong += [] if file.read_text() == text else [name]
        else:
            file.write_text(text)
        print(name, len(made["modules"]), flush=True)
    if wrong:
        raise SystemExit(f"not what is in the files: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
