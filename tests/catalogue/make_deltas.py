#!/usr/bin/env python3
"""Writes tests/catalogue/deltas: two small base models, what was made of them, and how large every change is.

The adapters are written by PEFT, or by hand in the forms of kohya's scripts and of diffusers. The numbers are numpy's, in float64, from
the whole product or difference.

    python3 -m pip install numpy==2.4.6 safetensors==0.8.0 torch==2.15.0 transformers==5.24.0 peft==0.21.2
    python3 tests/catalogue/make_deltas.py
"""

import copy
import json
import math
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

OUT = Path(__file__).parent / "deltas"
PEFT = "base_model.model."


def wide(tensor):
    return tensor.to(torch.float64).numpy()


def matrices(folder):
    """The matrices of a model by the names of their modules."""
    tensors = load_file(folder / "model.safetensors")
    return {name.removesuffix(".weight"): wide(value) for name, value in tensors.items() if value.ndim == 2}


def save(model, name):
    folder = OUT / name
    model.save_pretrained(folder)
    for other in folder.iterdir():
        if other.name not in ("config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"):
            other.unlink()
    return folder


def entry(before, change):
    """The numbers of one module's change."""
    values = np.linalg.svd(change, compute_uv=False)
    norm, base = float(np.linalg.norm(change)), float(np.linalg.norm(before))
    # What is beyond the rank of a product is zero, but not in rounded arithmetic.
    values[values < 1e-13 * values[0]] = 0
    shares = values[values > 0] / values.sum() if norm else values[:0]
    rank = math.exp(-(shares * np.log(shares)).sum()) / len(values) if norm else None
    return {
        "norm": norm,
        "base_norm": base,
        "effective_rank": rank,
        "largest": float(values[0]),
        "count": int((values > 0).sum()),
    }


def expect(name, base, changes):
    """Writes what is expected of the change `name`: the numbers of all modules within the layers."""
    modules = {}
    for module, before in matrices(OUT / base).items():
        if not any(part.isdigit() for part in module.split(".")):
            continue
        change = changes.get(module, np.zeros_like(before))
        modules[module] = entry(before, change if change.shape == before.shape else change.T)
    text = json.dumps({"base": base, "modules": modules}, indent=1)
    (OUT / name / "expected.json").write_text(text + "\n")


def products(folder, scale, prefix=PEFT):
    """The products of the factors that PEFT has written."""
    tensors = load_file(folder / "adapter_model.safetensors")
    down = {name: value for name, value in tensors.items() if ".lora_A." in name}
    found = {}
    for name, value in down.items():
        module = name.removeprefix(prefix).split(".lora_A.")[0]
        found[module] = scale(module) * wide(tensors[name.replace("lora_A", "lora_B")]) @ wide(value)
    return found


def adapter(model, name, **options):
    """An adapter of the model whose factors are both trained, as it were."""
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(**options))
    for parameter, value in adapted.named_parameters():
        if "lora_B" in parameter:
            value.data.normal_(0, 0.05)
    return save(adapted, name)


def mistral():
    config = MistralConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = MistralForCausalLM(config).to(torch.bfloat16)
    save(model, "mistral")

    trained = copy.deepcopy(model)
    for name, value in trained.named_parameters():
        if ".0." in name and value.ndim == 2 and "k_proj" not in name:
            value.data += (0.01 * torch.randn_like(value.float())).to(value.dtype)
    folder = save(trained, "whole")
    before, after = matrices(OUT / "mistral"), matrices(folder)
    expect("whole", "mistral", {name: after[name] - before[name] for name in before})

    folder = adapter(
        model, "lora", r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], alpha_pattern={"down_proj": 3}
    )
    expect("lora", "mistral", products(folder, lambda module: (3 if "down_proj" in module else 6) / 4))

    # The same adapter as a pickled file.
    shutil.copytree(folder, OUT / "pickled")
    tensors = load_file(folder / "adapter_model.safetensors")
    (OUT / "pickled" / "adapter_model.safetensors").unlink()
    torch.save(tensors, OUT / "pickled" / "adapter_model.bin")

    # With a rank above half of the short side, and a module that was trained whole.
    options = {"r": 10, "lora_alpha": 4, "use_rslora": True, "target_modules": ["k_proj"], "modules_to_save": ["o_proj"]}
    folder = adapter(model, "rslora", **options)
    changes = products(folder, lambda _: 4 / math.sqrt(10))
    tensors = load_file(folder / "adapter_model.safetensors")
    for name in [name for name in tensors if "o_proj" in name]:
        tensors[name] = tensors[name] * 1.5
        module = name.removeprefix(PEFT).removesuffix(".weight")
        changes[module] = wide(tensors[name]) - before[module]
    save_file(tensors, folder / "adapter_model.safetensors")
    expect("rslora", "mistral", changes)

    by_hand("kohya", "lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", flat=True, alpha=True)
    by_hand("processors", "unet.{}_lora.down.weight", "unet.{}_lora.up.weight", scale=1.0)
    metadata = {"transformer.lora_alpha": 6, "transformer.r": 2, "transformer.use_rslora": False, "transformer.alpha_pattern": {}}
    names = ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight")
    by_hand("metadata", *names, scale=3.0, metadata={"format": "pt", "lora_adapter_metadata": json.dumps(metadata)})


def by_hand(name, down, up, flat=False, alpha=False, scale=None, metadata=None):
    """An adapter of two modules in another form than PEFT's."""
    tensors, changes = {}, {}
    for layer in range(2):
        module = f"model.layers.{layer}.self_attn.q_proj"
        a, b = torch.randn(2, 16), torch.randn(16, 2)
        called = module.replace(".", "_") if flat else module
        if name == "processors":
            called = called.replace("self_attn.", "self_attn.processor.")
        tensors[down.format(called)], tensors[up.format(called)] = a, b
        factor = scale
        if alpha:
            tensors[f"lora_unet_{called}.alpha"] = torch.tensor(0.5 + layer)
            factor = (0.5 + layer) / 2
        changes[module] = factor * wide(b) @ wide(a)
    folder = OUT / name
    folder.mkdir()
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", metadata=metadata)
    expect(name, "mistral", changes)


def gpt2():
    """A model whose weights are stored with inputs as rows, and whose attention is fused."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=8))
    save(model, "gpt2")
    folder = adapter(model, "transposed", r=3, lora_alpha=6, target_modules=["c_attn"], fan_in_fan_out=True)
    changes = products(folder, lambda _: 2.0)
    modules = matrices(OUT / "gpt2")
    by_own_name = {module: changes[f"transformer.{module}"] for module in modules if f"transformer.{module}" in changes}
    expect("transposed", "gpt2", {**changes, **by_own_name})
    expected = json.loads((folder / "expected.json").read_text())
    for module, before in list(modules.items()):
        change = changes.get(module, changes.get(f"transformer.{module}"))
        if change is None:
            continue
        for place, part in enumerate("qkv"):
            columns = slice(16 * place, 16 * (place + 1))
            expected["modules"][f"{module}.{part}"] = entry(before[:, columns], change.T[:, columns])
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    torch.manual_seed(16)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    mistral()
    gpt2()
