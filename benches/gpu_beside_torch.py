#!/usr/bin/env python3
"""Sets the GPU's benchmark beside torch.linalg.svdvals on the same GPU, shape by shape, in turns.

    benches/gpu_beside_torch.py BENCHMARK [SHAPE ...]

BENCHMARK is what `cargo bench --features cuda --bench gpu --no-run` has built; SHAPE is such as 4096x14336, by default those of
a 7B and of a 70B model. Torch computes in float64 of weights that are on the GPU already, by its default driver, which is
gesvdj with a fallback, and by each of gesvd, gesvdj and gesvda by name; medians of --rounds after one that does not count. Of
laser-scan the seconds have the copy to the GPU too; the last columns are ratios to torch's default and to its best. Drivers that fail or take more than --patience seconds are left out.
"""

import argparse
import re
import statistics
import subprocess
import time

import torch

SHAPES = ["1024x4096", "4096x4096", "14336x4096", "4096x14336", "8192x8192", "28672x8192"]
DRIVERS = {"default": None, "gesvd": "gesvd", "gesvdj": "gesvdj", "gesvda": "gesvda"}
ROW = re.compile(r"^ *(\d+x\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", re.MULTILINE)


def laser_scan(benchmark, shape):
    """Seconds a module, one after the other and several at once."""
    output = subprocess.run([benchmark, shape], check=True, capture_output=True, text=True).stdout
    row = ROW.search(output)
    if not row:
        raise SystemExit(f"'{benchmark}' has measured nothing: {output.strip()}")
    return float(row[2]), float(row[5])


def svdvals(weight, driver, rounds, patience):
    """The median of the seconds by a driver; nothing if it is of no use here."""
    seconds = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        try:
            torch.linalg.svdvals(weight, driver=driver)
        except RuntimeError:
            return None
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        if seconds[0] > patience:
            return None if driver else seconds[0]
    return statistics.median(seconds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", metavar="BENCHMARK")
    parser.add_argument("shapes", metavar="SHAPE", nargs="*", default=SHAPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=60)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU: there is nothing to measure")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}; seconds a module, float64")
    heads = ["one by one", "at once", *(f"torch {name}" for name in DRIVERS)]
    heads += [f"{than} / {how}" for than in ("default", "best") for how in heads[:2]]
    widths = [max(len(head), 10) for head in heads]
    print("       shape  " + "  ".join(f"{head:>{width}}" for head, width in zip(heads, widths)))
    for shape in arguments.shapes:
        rows, columns = map(int, shape.split("x"))
        alone, together = laser_scan(arguments.benchmark, shape)
        weight = 0.02 * torch.randn(rows, columns, device="cuda", dtype=torch.float64)
        torchs = [svdvals(weight, driver, arguments.rounds, arguments.patience) for driver in DRIVERS.values()]
        del weight
        torch.cuda.empty_cache()
        best = min((seconds for seconds in torchs if seconds), default=None)
        cells = ["-" if seconds is None else f"{seconds:.5f}" for seconds in (alone, together, *torchs)]
        for than in (torchs[0], best):
            cells += ["-" if than is None else f"{than / seconds:.1f}" for seconds in (alone, together)]
        print(f"{shape:>12}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths)), flush=True)


if __name__ == "__main__":
    main()
