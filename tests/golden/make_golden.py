"""Writes the golden data beside it: the seed's formula in float64 by numpy, independent of the project's code.

    python3 -m pip install numpy==2.4.6
    python3 tests/golden/make_golden.py

tiny-mistral.json          every matrix of examples/tiny-mistral: {name: {snr, sigma_max, sigma, …}}
tiny-mistral_top_2.json    the two best of each of the seed's types, as Python's json.dump(…, indent=4) writes them
nasty.safetensors          matrices that are hard to get right
nasty.json                 the same numbers for them; an infinite snr is null, as JSON has no infinity
nasty_top_16.json          their names, as json.dump writes them
"""

import json
import math
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
TINY = HERE.parent.parent / "examples" / "tiny-mistral"
SEED_TYPES = ["self_attn.v_proj", "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "mlp.down_proj", "mlp.up_proj", "mlp.gate_proj"]


def read(path):
    """Yields (name, float64 array) for every tensor of a safetensors file."""
    blob = path.read_bytes()
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + length])
    for name, info in header.items():
        if name == "__metadata__":
            continue
        start, end = info["data_offsets"]
        raw = blob[8 + length + start : 8 + length + end]
        if info["dtype"] == "BF16":
            array = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(raw, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[info["dtype"]])
        yield name, array.astype(np.float64).reshape(info["shape"])


def write(path, tensors):
    """Writes {name: (dtype, array)}; BF16 arrays are given as uint16."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def statistic(weight):
    """The seed's formula."""
    values = np.linalg.svd(weight, compute_uv=False)
    sigma = (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.349
    n, m = weight.shape
    beta = n / m if n < m else m / n
    threshold = sigma * np.sqrt((1 + np.sqrt(beta)) ** 2)
    above = values > threshold
    signal, noise = values[above].sum(), values[~above].sum()
    snr = signal / noise if noise != 0 else math.inf
    ratio = snr / values[0]
    return {
        "snr": float(ratio) if math.isfinite(ratio) else None,
        "sigma_max": float(values[0]),
        "sigma": float(sigma),
        "threshold": float(threshold),
        "signal": float(signal),
        "noise": float(noise),
        "signal_count": int(above.sum()),
        "noise_count": int((~above).sum()),
    }


def with_spectrum(rng, rows, columns, values):
    """A matrix with the given singular values, to within rounding."""
    k = len(values)
    u = np.linalg.qr(rng.standard_normal((rows, k)))[0]
    v = np.linalg.qr(rng.standard_normal((columns, k)))[0]
    return (u * values) @ v.T


def nasty():
    """{name: (dtype, array)}: matrices that are hard to get right."""
    rng = np.random.default_rng(20240229)
    normal = lambda *shape: rng.standard_normal(shape)
    graded = 1 / np.arange(1, 41)
    half = np.frombuffer(rng.integers(0, 1 << 10, 30 * 50, dtype=np.uint16).tobytes(), "<f2").reshape(30, 50)
    return {
        "one_row.weight": ("F32", normal(1, 16).astype("<f4")),
        "one_column.weight": ("F32", normal(16, 1).astype("<f4")),
        "two_by_two.weight": ("F32", np.array([[3, 1], [1, 2]], "<f4")),
        "wide.weight": ("F32", normal(24, 700).astype("<f4")),
        "tall.weight": ("F32", normal(700, 24).astype("<f4")),
        "square.weight": ("F32", normal(48, 48).astype("<f4")),
        "bfloat16.weight": ("BF16", (normal(40, 60).astype("<f4").view("<u4") >> 16).astype("<u2")),
        "float16.weight": ("F16", normal(40, 60).astype("<f2")),
        # All of them below 2^-14, the smallest normal number of the format.
        "float16_subnormal.weight": ("F16", half),
        "float64.weight": ("F64", normal(40, 60)),
        # Rank 40 of 48: eight singular values are zero but for rounding, and there is other noise.
        "rank_deficient.weight": ("F64", with_spectrum(rng, 48, 64, graded)),
        # Rows of zeros, as a padded vocabulary has.
        "zero_rows.weight": ("F32", np.vstack([normal(40, 32), np.zeros((24, 32))]).astype("<f4")),
        # The quartiles are close, so that the threshold is low: nothing is noise.
        "all_signal.weight": ("F64", with_spectrum(rng, 32, 40, 1 + graded[:32] / 100)),
        "repeated.weight": ("F64", with_spectrum(rng, 36, 36, np.repeat([5.0, 4.0, 1.0, 0.25], 9))),
        # Ten decades: the Gram matrix loses the small ones.
        "ill_conditioned.weight": ("F64", with_spectrum(rng, 30, 45, np.logspace(0, -10, 30))),
        "one_spike.weight": ("F64", with_spectrum(rng, 50, 50, np.concatenate([[1e3], 1 / np.arange(1, 50)]))),
        # Squares over- and underflow.
        "huge.weight": ("F64", normal(20, 30) * 1e200),
        "tiny.weight": ("F64", normal(20, 30) * 1e-200),
        "huge_single.weight": ("F32", (normal(20, 30) * 1e37).astype("<f4")),
        "tiny_single.weight": ("F32", (normal(20, 30) * 1e-40).astype("<f4")),
        # The only noise is a row of zeros: none at all.
        "zero_noise.weight": ("F64", np.diag([5.0, 5, 4, 0]) @ np.eye(4, 1000)),
        # Not determined by float64: the noise is as small as the rounding of the spike, numpy's as well as anyone's.
        "refused_spike.weight": ("F64", with_spectrum(rng, 50, 50, np.concatenate([[1e12], 1 / np.arange(1, 50)]))),
        "refused_zero.weight": ("F32", np.zeros((8, 9), "<f4")),
        "schlüssel\u202e\U0001f511.weight": ("F32", normal(10, 12).astype("<f4")),
    }


def expected(tensors):
    return {name.removesuffix(".weight"): statistic(array) for name, array in tensors if min(array.shape[0], array.size // array.shape[0]) > 1 and not name.startswith("refused")}


def natural(name):
    return [int(part) if part.isdigit() else part for part in name.split(".")]


def dump(name, value):
    with open(HERE / name, "w") as file:
        json.dump(value, file, indent=4)


def main():
    tiny = {}
    for shard in sorted(TINY.glob("*.safetensors")):
        tiny |= expected(read(shard))
    dump("tiny-mistral.json", tiny)
    best = {}
    for kind in SEED_TYPES:
        names = sorted((name for name in tiny if name.endswith(kind)), key=natural)
        best[kind] = sorted(names, key=lambda name: tiny[name]["snr"], reverse=True)[:2]
    dump("tiny-mistral_top_2.json", best)
    write(HERE / "nasty.safetensors", nasty())
    numbers = expected(read(HERE / "nasty.safetensors"))
    dump("nasty.json", numbers)
    dump("nasty_top_16.json", {name: [name] for name in sorted(numbers)})


main()
