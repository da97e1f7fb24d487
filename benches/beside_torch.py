#!/usr/bin/env python3
"""Runs laser-scan and torch.linalg.svdvals on the same checkpoint, in turns, and prints how their times compare.

    benches/beside_torch.py MODEL_DIR [--rounds 5] [--binary target/release/laser-scan]

Of laser-scan the whole process counts, from its start to its exit: reading, singular values, and writing the files. Of torch
only the calls of svdvals count, in float64 and in float32, with all cores; loading and converting do not. Each round runs
all three; the medians are compared. The ratios that laser-scan found are held against those from torch's float64.

If MODEL_DIR does not exist, one layer with the shapes of Mistral-7B is written there. Needs torch and safetensors.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time

import torch
from make_7b import SHAPES
from safetensors import safe_open
from safetensors.torch import save_file


def write_layer(folder):
    """Noise with a tail of planted directions, as trained weights have one."""
    torch.manual_seed(0)
    tensors = {}
    for name, (rows, columns) in SHAPES.items():
        rank = min(rows, columns) // 16
        strengths = (rows**0.5 + columns**0.5) * (0.5 + 10 * torch.arange(1, rank + 1) ** -0.8)
        planted = (torch.randn(rows, rank) * strengths / rows**0.5) @ torch.randn(rank, columns) / columns**0.5
        weight = 0.02 * (torch.randn(rows, columns) + planted)
        tensors[f"model.layers.0.{name}.weight"] = weight.to(torch.bfloat16)
    os.makedirs(folder)
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"model_type": "mistral", "num_hidden_layers": 1}, file)


def scan(binary, model):
    """Seconds of a whole scan, and each module's ratio."""
    with tempfile.TemporaryDirectory() as out:
        full = os.path.join(out, "scan.json")
        begun = time.perf_counter()
        subprocess.run([binary, "--model", model, "--output-dir", out, "--output", full, "--fresh", "-q"], check=True)
        seconds = time.perf_counter() - begun
        with open(full) as file:
            return seconds, {name: entry["snr"] for name, entry in json.load(file).items()}


def svdvals(model, modules, dtype):
    """Seconds in svdvals, summed over the modules, and each module's ratio."""
    total, ratios = 0.0, {}
    for file in sorted(os.listdir(model)):
        if not file.endswith(".safetensors"):
            continue
        with safe_open(os.path.join(model, file), "pt") as shard:
            for name in shard.keys():
                module = name.removesuffix(".weight")
                if module not in modules:
                    continue
                weight = shard.get_tensor(name).to(dtype)
                begun = time.perf_counter()
                values = torch.linalg.svdvals(weight)
                total += time.perf_counter() - begun
                ratios[module] = ratio(values.double(), *weight.shape)
    missing = set(modules) - set(ratios)
    if missing:
        raise SystemExit(f"'{sorted(missing)[0]}' is no plain matrix of a .safetensors file of '{model}'")
    return total, ratios


def ratio(values, rows, columns):
    sigma = (torch.quantile(values, 0.75) - torch.quantile(values, 0.25)).item() / 1.349
    threshold = sigma * math.sqrt((1 + math.sqrt(min(rows, columns) / max(rows, columns))) ** 2)
    signal, noise = values[values > threshold].sum().item(), values[values <= threshold].sum().item()
    return signal / noise / values[0].item() if noise else None


def difference(ours, exact):
    """How far two ratios are apart, relative to the second; None is an infinite one."""
    if ours is None or exact is None:
        return 0.0 if ours is exact else math.inf
    return abs(ours / exact - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL_DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", default="target/release/laser-scan")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.binary):
        raise SystemExit(f"there is no '{arguments.binary}': run 'cargo build --release', or name it with --binary")
    if not os.path.exists(arguments.model):
        write_layer(arguments.model)
    torch.linalg.svdvals(torch.randn(256, 256))
    columns = {"laser-scan": [], "float64": [], "float32": []}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; seconds")
    print("round  laser-scan  svdvals float64  svdvals float32")
    for at in range(arguments.rounds):
        seconds, ours = scan(arguments.binary, arguments.model)
        double, exact = svdvals(arguments.model, ours, torch.float64)
        single, _ = svdvals(arguments.model, ours, torch.float32)
        for column, value in zip(columns.values(), (seconds, double, single)):
            column.append(value)
        print(f"{at + 1:>5}  {seconds:>10.2f}  {double:>15.2f}  {single:>15.2f}", flush=True)
    seconds, double, single = (statistics.median(column) for column in columns.values())
    print(f"median {seconds:>10.2f}  {double:>15.2f}  {single:>15.2f}")
    worst = max(difference(ours[name], exact[name]) for name in exact)
    print(f"laser-scan is {double / seconds:.2f} times as fast as float64 and {single / seconds:.2f} times as fast as float32")
    print(f"its ratios differ from those of torch's float64 by {worst:.1e} at most")


if __name__ == "__main__":
    main()
