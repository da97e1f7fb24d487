#!/usr/bin/env python3
"""Writes weights of the shapes of Mistral-7B, of nearly normal random numbers in BF16: 14 GB in eight files.

    benches/make_7b.py FOLDER [--layers N]

Needs PyTorch, which makes the numbers on a GPU if there is one.
"""

import argparse
import json
import pathlib
import struct

import torch

SHAPES = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (1024, 4096),
    "self_attn.v_proj": (1024, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (14336, 4096),
    "mlp.up_proj": (14336, 4096),
    "mlp.down_proj": (4096, 14336),
}
CONFIG = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
          "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "tie_word_embeddings": True}
LAYERS_OF_A_FILE = 4


def write(path, layers, device):
    header, start = {}, 0
    for layer in layers:
        for module, shape in SHAPES.items():
            end = start + 2 * shape[0] * shape[1]
            header[f"model.layers.{layer}.{module}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
            start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in header.values():
            weight = 0.02 * torch.randn(tensor["shape"], device=device)
            file.write(weight.bfloat16().view(torch.int16).cpu().numpy().tobytes())
    return list(header)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    torch.manual_seed(7)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    starts = range(0, arguments.layers, LAYERS_OF_A_FILE)
    weight_map = {}
    for number, start in enumerate(starts, 1):
        name = f"model-{number:05}-of-{len(starts):05}.safetensors"
        layers = range(start, min(start + LAYERS_OF_A_FILE, arguments.layers))
        weight_map |= dict.fromkeys(write(arguments.folder / name, layers, device), name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (arguments.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (arguments.folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": arguments.layers}))


if __name__ == "__main__":
    main()
