"""Writes small quantised and pickled checkpoints, with the numbers a scan of them must print, beside this file.

    python3 -m pip install numpy==2.4.6 safetensors==0.8.0 torch==2.15.0 transformers==5.24.0 accelerate==1.15.0 \
        bitsandbytes==0.50.2 compressed-tensors==0.20.1 torchao==0.18.0 hqq==0.2.8.post1 termcolor==3.3.0
    python3 tests/catalogue/make_quantized.py

quantized/<name>/           model.safetensors, config.json and expected.json, one folder for each readable layout
quantized/refused/<name>/   model.safetensors and config.json of layouts that must be refused by name
pickle/{whole,sharded}/     pytorch_model.bin, whole or in two shards, with config.json and expected.json
pickle/hostile/             a pytorch_model.bin whose pickle calls os.system when it is unpickled carelessly

expected.json holds {"format", "modules": {name: numbers}, "not_ranked": {name: numbers}}, computed in float64 from the
stored numbers alone, with no rounding on the way; "corner" is the dequantised [0,0], [0,1], [1,0] and last element, since
the singular values cannot tell two columns swapped.  Where a library can dequantise on a CPU, its result is asserted to
agree to its own precision.  Two runs write the same bytes.
"""

import collections
import json
import math
import pathlib
import pickle
import struct
import warnings
import zipfile
import zlib

import numpy as np
import torch
from bitsandbytes import functional as bnb
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.entrypoints.convert.converters.autoawq import AutoAWQConverter
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from safetensors.torch import load_file
from torchao import quantization as torchao
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization.granularity import PerAxis, PerGroup
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, _dequantize_fp8_weight
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

HERE = pathlib.Path(__file__).parent
LAYER = "model.layers.0."
QUERY, OUTPUT, DOWN = LAYER + "self_attn.q_proj", LAYER + "self_attn.o_proj", LAYER + "mlp.down_proj"
SKIPPED = [OUTPUT, "lm_head"]
VOCABULARY = 8
SINGLE, HALF = 1e-6, 2.0**-7  # how far a float32 or a bfloat16 dequantisation may stray, relative to the largest weight
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.uint32: "U32", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e8m0fnu: "F8_E8M0",
}


# Files


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_expected(path, format_name, modules, not_ranked):
    """One line to a module."""
    groups = {"modules": modules, "not_ranked": not_ranked}
    lines = {group: ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()) for group, entries in groups.items()}
    body = ",\n".join(f' "{group}": {{\n{text}\n }}' for group, text in lines.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{\n "format": {json.dumps(format_name)},\n{body}\n}}\n')
    assert json.loads(path.read_text()) == {"format": format_name} | groups


def raw_bytes(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def write_safetensors(path, tensors, metadata):
    """Writes the file by hand: the library orders several metadata keys differently on each run."""
    header, data = {"__metadata__": metadata}, b""
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        raw = raw_bytes(tensors[name])
        header[name] = {"dtype": DTYPES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    read = load_file(path)
    assert all(raw_bytes(read[name]) == raw_bytes(tensor) and read[name].shape == tensor.shape for name, tensor in tensors.items())


def config_json(dimensions, quantization=None, **extra):
    attention, hidden, intermediate = dimensions
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": intermediate, "head_dim": 4,
        "num_attention_heads": attention // 4, "num_key_value_heads": attention // 4, "num_hidden_layers": 1, "vocab_size": VOCABULARY,
        "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    } | extra
    return config | ({"quantization_config": quantization} if quantization else {})


# Numbers


def random_weight(generator, rows, columns):
    """A float32 weight with two strong directions, uneven rows and columns, and some very small elements."""
    weight = generator.standard_normal((rows, columns)) + 0.7 * generator.standard_normal((rows, 2)) @ generator.standard_normal((2, columns))
    weight *= np.exp(0.4 * generator.standard_normal((rows, 1))) * np.exp(0.4 * generator.standard_normal((1, columns)))
    weight[1, ::7] *= 2e-5
    return (0.05 * weight).astype(np.float32)


def exact(tensor):
    """The stored numbers as float64; no dtype here loses anything on the way through float32 or int64."""
    return tensor.detach().to(torch.float32 if tensor.is_floating_point() else torch.int64).numpy().astype(np.float64)


def numbers(matrix, dtype):
    values = np.linalg.svd(matrix, compute_uv=False)
    sigma = (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.349
    beta = min(matrix.shape) / max(matrix.shape)
    threshold = sigma * math.sqrt((1 + math.sqrt(beta)) ** 2)
    assert np.abs(values / threshold - 1).min() > 1e-6, "a singular value too near the threshold to be counted portably"
    above, below = values[values > threshold], values[values <= threshold]
    signal, noise = float(above.sum()), float(below.sum())
    return {
        "dtype": dtype, "shape": list(matrix.shape), "snr": signal / noise / float(values[0]) if noise else "inf", "sigma_max": float(values[0]),
        "signal": signal, "noise": noise, "signal_count": len(above), "noise_count": len(below),
        "corner": [float(matrix[place]) for place in ((0, 0), (0, 1), (1, 0), (-1, -1))],
    }


def agree(matrix, library, tolerance=SINGLE):
    library = library.detach().to(torch.float32).numpy() if isinstance(library, torch.Tensor) else library
    assert library.shape == matrix.shape, (library.shape, matrix.shape)
    assert np.abs(library - matrix).max() <= tolerance * np.abs(matrix).max(), np.abs(library - matrix).max()


def spread(scale, block, shape):
    """A grid of scales repeated over its blocks and cut to the matrix."""
    return np.repeat(np.repeat(scale, block[0], 0), block[1], 1)[: shape[0], : shape[1]]


def block_max(weight, block):
    rows, columns = (-(-size // step) for size, step in zip(weight.shape, block))
    padded = np.zeros((rows * block[0], columns * block[1]), np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = np.abs(weight)
    return padded.reshape(rows, block[0], columns, block[1]).max((1, 3))


def pack_bits(codes, bits):
    """Packs unsigned codes along axis 0 as one stream of bits, low bits first, in 32-bit words."""
    stream = ((codes[:, None, :].astype(np.int64) >> np.arange(bits)[None, :, None]) & 1).reshape(-1, codes.shape[1])
    stream = np.pad(stream, ((0, -len(stream) % 32), (0, 0))).reshape(-1, 32, codes.shape[1])
    words = (stream << np.arange(32)[None, :, None]).sum(1).astype(np.uint32)
    return torch.from_numpy(words.view(np.int32).copy())


def unpack_bits(words, bits, count):
    stream = (words.numpy().view(np.uint32).astype(np.int64)[:, None, :] >> np.arange(32)[None, :, None]) & 1
    stream = stream.reshape(-1, words.shape[1])[: count * bits].reshape(count, bits, -1)
    return (stream << np.arange(bits)[None, :, None]).sum(1)


def nibbles(packed):
    """The two codes of each byte, the low one first."""
    packed = packed.numpy()
    return np.stack([packed & 15, packed >> 4], -1).reshape(*packed.shape[:-1], -1)


def pack_e2m1(values):
    codes = np.abs(values[..., None] - np.delete(E2M1, 8)).argmin(-1)
    codes = codes + (codes >= 8)
    return torch.from_numpy((codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8))


def to_fp8(values):
    return torch.from_numpy(np.clip(values, -448, 448).astype(np.float32)).to(torch.float8_e4m3fn)


# One fixture


def plain_tensors(generator, dimensions):
    attention, hidden, _ = dimensions
    shapes = {OUTPUT: (hidden, attention), "lm_head": (VOCABULARY, hidden)}
    tensors = {f"{name}.weight": torch.from_numpy(random_weight(generator, *shape)).bfloat16() for name, shape in shapes.items()}
    return tensors | {LAYER + "input_layernorm.weight": torch.from_numpy(generator.uniform(0.5, 1.5, hidden).astype(np.float32)).bfloat16()}


def make(folder, format_name, dtype, dimensions, quantization, quantise, metadata=None):
    """Quantises two linear modules: quantise(weight, generator) gives ({suffix: tensor}, the float64 matrix they stand for)."""
    generator = np.random.default_rng(zlib.crc32(folder.encode()))
    attention, hidden, intermediate = dimensions
    tensors, modules = plain_tensors(generator, dimensions), {}
    for name, shape in ((QUERY, (attention, hidden)), (DOWN, (hidden, intermediate))):
        parts, matrix = quantise(random_weight(generator, *shape), generator)
        assert matrix.dtype == np.float64 and matrix.shape == shape
        tensors |= {f"{name}.{suffix}": tensor for suffix, tensor in parts.items()}
        modules[name] = numbers(matrix, dtype)
    modules[OUTPUT] = numbers(exact(tensors[OUTPUT + ".weight"]), "BF16")
    head = {"lm_head": numbers(exact(tensors["lm_head.weight"]), "BF16")}
    path = HERE / "quantized" / folder
    write_safetensors(path / "model.safetensors", tensors, {"format": "pt"} | (metadata(tensors) if metadata else {}))
    write_json(path / "config.json", config_json(dimensions, quantization))
    write_expected(path / "expected.json", format_name, modules, head)


def make_stacks(folder, format_name, dtype, dimensions, quantization, extra, quantise, experts=3):
    """Two stacks of experts beside a quantised projection: quantise(weights, name) gives ({suffix: tensor}, the float64 matrices).

    extra["gate_up"] says how the two halves of gate_up_proj follow one another, and "input_first" that a stack is [in, out].
    """
    generator = np.random.default_rng(zlib.crc32(folder.encode()))
    attention, hidden, intermediate = dimensions
    tensors, modules = plain_tensors(generator, dimensions), {}
    router = random_weight(generator, experts, hidden)
    tensors[f"{LAYER}{extra['router']}.weight"] = torch.from_numpy(router).bfloat16()
    for part, rows, columns in (("gate_up_proj", 2 * intermediate, hidden), ("down_proj", hidden, intermediate)):
        name = f"{LAYER}{extra['experts']}.{part}"
        shape = (columns, rows) if extra["input_first"] else (rows, columns)
        parts, matrices = quantise(np.stack([random_weight(generator, *shape) for _ in range(experts)]), part)
        assert matrices.dtype == np.float64 and matrices.shape == (experts, *shape)
        tensors |= {name + suffix: tensor for suffix, tensor in parts.items()}
        modules |= stack_numbers(name, matrices, dtype, extra["input_first"])
    modules[OUTPUT] = numbers(exact(tensors[OUTPUT + ".weight"]), "BF16")
    others = {name: numbers(exact(tensors[name + ".weight"]), "BF16") for name in ("lm_head", LAYER + extra["router"])}
    path = HERE / "quantized" / folder
    write_safetensors(path / "model.safetensors", tensors, {"format": "pt"})
    config = {"num_local_experts": experts, "num_experts": experts, "num_experts_per_tok": 2, "moe_intermediate_size": intermediate}
    write_json(path / "config.json", config_json(dimensions, quantization, **config, **extra["config"]))
    write_expected(path / "expected.json", format_name, modules, others)


def stack_numbers(name, matrices, dtype, input_first):
    """A matrix that is [in, out] is measured as stored, and the halves of a gate_up_proj follow one another along its outputs."""
    entries = {f"{name}[{expert}]": numbers(matrix, dtype) for expert, matrix in enumerate(matrices)}
    if name.endswith("gate_up_proj"):
        for entry, matrix in zip(entries.values(), matrices):
            gate, up = np.split(matrix, 2, axis=1 if input_first else 0)
            entry["parts"] = {"gate": numbers(gate, dtype), "up": numbers(up, dtype)}
    return entries


# FP8


def fp8_blocks(block, e8m0, suffix="weight_scale_inv"):
    def quantise(weight, _):
        largest = block_max(weight, block) / 448
        scale = torch.from_numpy(2.0 ** np.ceil(np.log2(largest))).to(torch.float8_e8m0fnu) if e8m0 else torch.from_numpy(largest)
        grid = spread(exact(scale), block, weight.shape)
        stored = to_fp8(weight / grid)
        matrix = exact(stored) * grid
        agree(matrix, _dequantize_fp8_weight(stored, scale, list(block), torch.float32))
        return {"weight": stored, suffix: scale}, matrix

    return quantise


def fp8_scalar(scale_name, shape, *companions):
    """One scale for the whole matrix; the companions are activation scales, which change nothing."""

    def quantise(weight, generator):
        scale = torch.full(shape, float(np.abs(weight).max()) / 448)
        stored = to_fp8(weight / float(scale))
        matrix = exact(stored) * float(scale)
        agree(matrix, _dequantize_fp8_weight(stored, scale, None, torch.float32))
        extra = {name: torch.full(shape, float(np.float32(generator.uniform(0.01, 0.02)))) for name in companions}
        return {"weight": stored, scale_name: scale} | extra, matrix

    return quantise


def mxfp8(weight, _):
    exponent = np.ceil(np.log2(block_max(weight, (1, 32)) / 448)).astype(int)
    scale = torch.from_numpy((exponent + 127).astype(np.uint8))
    grid = spread(2.0 ** (exact(scale) - 127), (1, 32), weight.shape)
    stored = to_fp8(weight / grid)
    matrix = exact(stored) * grid
    agree(matrix, Fp8Dequantize(None)._dequantize_one(stored, scale, torch.float32))
    return {"weight": stored, "weight_scale_inv": scale}, matrix


def fbgemm(weight, _):
    scale = torch.from_numpy(np.abs(weight).max(1, keepdims=True) / 448)
    stored = to_fp8(weight / scale.numpy())
    matrix = exact(stored) * exact(scale)
    agree(matrix, stored.float() * scale)
    return {"weight": stored, "weight_scale": scale, "input_scale_ub": torch.tensor([1200.0])}, matrix


def fp8_config(block, method="fp8", activation="dynamic", **extra):
    return {"activation_scheme": activation, "modules_to_not_convert": SKIPPED, "quant_method": method, "weight_block_size": block} | extra


def make_fp8():
    uneven = (20, 28, 36)
    make("fp8_block", "fp8", "F8_E4M3", uneven, fp8_config([16, 16], fmt="e4m3"), fp8_blocks((16, 16), False))
    make("fp8_block_e8m0", "fp8", "F8_E4M3", uneven, fp8_config([8, 32], scale_fmt="ue8m0"), fp8_blocks((8, 32), True))
    alias = fp8_config([16, 16], fmt="e4m3", scale_fmt="ue8m0")
    make("fp8_scale_alias", "fp8", "F8_E4M3", uneven, alias, fp8_blocks((16, 16), True, "scale"))
    static = fp8_config(None, activation="static")
    make("fp8_tensor", "fp8", "F8_E4M3", uneven, static, fp8_scalar("weight_scale_inv", (), "activation_scale"))
    make("fp8_qscale_alias", "fp8", "F8_E4M3", uneven, static, fp8_scalar("qscale_weight", (), "qscale_act"))
    make("mxfp8", "mxfp8", "MXFP8", (12, 64, 32), fp8_config([1, 32], "mxfp8", scale_fmt="ue8m0"), mxfp8)
    upper = {"activation_scale_ub": 1200.0, "modules_to_not_convert": SKIPPED, "quant_method": "fbgemm_fp8"}
    make("fbgemm_fp8", "fbgemm_fp8", "F8_E4M3", uneven, upper, fbgemm)


# Stacks of experts


LLAMA4 = {
    "router": "feed_forward.router", "experts": "feed_forward.experts", "input_first": True,
    "config": {"architectures": ["Llama4ForCausalLM"], "model_type": "llama4_text"},
}
QWEN3_MOE = {
    "router": "mlp.gate", "experts": "mlp.experts", "input_first": False,
    "config": {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"},
}


def fp8_stack_blocks(weights, _):
    """As transformers' fp8 experts: scales by block."""
    scale = torch.from_numpy(np.stack([block_max(weight, (8, 8)) / 448 for weight in weights]))
    grid = np.repeat(np.repeat(exact(scale), 8, 1), 8, 2)
    stored = to_fp8(weights / grid)
    matrices = exact(stored) * grid
    agree(matrices, Fp8Dequantize(None)._dequantize_one(stored, scale, torch.float32))
    return {"": stored, "_scale_inv": scale}, matrices


def fp8_stack_halves(weights, part):
    """As transformers' fp8 experts without blocks: a scale for gate and one for up."""
    count = 2 if part == "gate_up_proj" else 1
    scale = torch.from_numpy(np.abs(weights).reshape(len(weights), count, -1).max(2)[:, :, None] / 448)
    grid = np.repeat(exact(scale), weights.shape[1] // count, 1)
    stored = to_fp8(weights / grid)
    matrices = exact(stored) * grid
    agree(matrices, Fp8Dequantize(None)._dequantize_one(stored, scale, torch.float32))
    return {"": stored, "_scale_inv": scale, "_activation_scale": torch.full((len(weights),), 0.0125)}, matrices


def fp4_stack_pairs(weights, _):
    """As transformers' fp8 experts of DeepSeek-V4: pairs of 4-bit floats with a power of two for each 32."""
    largest = np.stack([block_max(weight, (1, 32)) for weight in weights])
    scale = torch.from_numpy(2.0 ** np.ceil(np.log2(largest / 6))).to(torch.float8_e8m0fnu)
    grid = np.repeat(exact(scale), 32, 2)
    packed = pack_e2m1(weights / grid).view(torch.int8)
    matrices = E2M1[nibbles(packed.view(torch.uint8))] * grid
    agree(matrices, Fp8Dequantize(None)._dequantize_one(packed, scale, torch.float32), 0)
    return {"": packed, "_scale_inv": scale}, matrices


def fp8_stack_scalar(weights, _):
    """As ModelOpt's Llama-4: one scale for the whole stack. No library of this list reads it, so that the formula decides."""
    scale = torch.tensor(float(np.abs(weights).max()) / 448)
    stored = to_fp8(weights / float(scale))
    return {"": stored, "_weight_scale": scale, "_input_scale": torch.tensor(0.0125)}, exact(stored) * float(scale)


def fbgemm_stack(weights, part):
    """Scales by output in the shapes of transformers' FbgemmFp8Llama4TextExperts, which needs a GPU, so that the formula decides."""
    scale = torch.from_numpy(np.abs(weights).max(1, keepdims=True) / 448)
    stored = to_fp8(weights / scale.numpy())
    matrices = exact(stored) * exact(scale)
    return {"": stored, "_scale": scale if part == "gate_up_proj" else scale.transpose(1, 2).contiguous()}, matrices


def nvfp4_stack(weights, _):
    """As ModelOpt's Llama-4: quantised along the inputs and then turned back to [in, out]."""
    turned = weights.transpose(0, 2, 1)
    overall = torch.tensor(float(np.abs(weights).max()) / (448 * 6))
    local = to_fp8(np.stack([block_max(weight, (1, 16)) for weight in turned]) / 6 / float(overall))
    scale = np.repeat(exact(local) * float(overall), 16, 2)
    packed = pack_e2m1(turned / scale)
    matrices = E2M1[nibbles(packed)] * scale
    agree(matrices[0], exact(unpack_fp4_from_uint8(packed[0], *turned.shape[1:])) * scale[0])
    parts = {"": packed.transpose(1, 2).contiguous(), "_weight_scale": local.transpose(1, 2).contiguous(), "_weight_scale_2": overall}
    return parts, np.ascontiguousarray(matrices.transpose(0, 2, 1))


def make_experts():
    dimensions = (8, 32, 48)
    make_stacks("fp8_experts", "fp8", "F8_E4M3", dimensions, fp8_config([8, 8]), QWEN3_MOE, fp8_stack_blocks)
    static = fp8_config(None, activation="static")
    make_stacks("fp8_experts_tensor", "fp8", "F8_E4M3", dimensions, static, QWEN3_MOE, fp8_stack_halves)
    pairs = fp8_config([16, 16], scale_fmt="ue8m0")
    make_stacks("fp8_fp4_experts", "fp8", "MXFP4", (8, 32, 64), pairs, QWEN3_MOE, fp4_stack_pairs)
    make_stacks("modelopt_fp8_experts", "modelopt (FP8)", "F8_E4M3", dimensions, modelopt_config("FP8"), LLAMA4, fp8_stack_scalar)
    nvfp4 = modelopt_config("NVFP4", group_size=16)
    make_stacks("modelopt_nvfp4_experts", "modelopt (NVFP4)", "NVFP4", dimensions, nvfp4, LLAMA4, nvfp4_stack)
    fbgemm_experts = {"activation_scale_ub": 1200.0, "modules_to_not_convert": SKIPPED, "quant_method": "fbgemm_fp8"}
    make_stacks("fbgemm_fp8_experts", "fbgemm_fp8", "F8_E4M3", dimensions, fbgemm_experts, LLAMA4, fbgemm_stack)


def fp4_pairs(dtype, scale_dtype, scale_name):
    """4-bit floats with a power of two for each 32: as DeepSeek-V4's experts, or as Quark has it."""

    def quantise(weight, _):
        exponent = np.ceil(np.log2(block_max(weight, (1, 32)) / 6)).astype(int)
        scale = torch.from_numpy((exponent + 127).astype(np.uint8))
        grid = spread(2.0 ** (exact(scale) - 127), (1, 32), weight.shape)
        packed = pack_e2m1(weight / grid)
        matrix = E2M1[nibbles(packed)] * grid
        agree(matrix, Fp8Dequantize(None)._dequantize_one(packed.view(torch.int8), scale, torch.float32), 0)
        return {"weight": packed.view(dtype), scale_name: scale.view(scale_dtype)}, matrix

    return quantise


def quark_config(dtype, **extra):
    """What quark.torch.quantization.config.QConfig.to_dict writes, as far as it matters."""
    weight = {"dtype": dtype, "is_dynamic": False, "ch_axis": None, "group_size": None, "qscheme": "per_tensor", "scale_format": None} | extra
    return {
        "quant_method": "quark", "exclude": SKIPPED, "export": {"pack_method": "reorder", "weight_format": "real_quantized"},
        "global_quant_config": {"weight": weight, "bias": None, "input_tensors": None, "output_tensors": None, "target_device": None},
    }


def make_fp4_pairs():
    mixed = fp8_config([16, 16], fmt="e4m3", scale_fmt="ue8m0")
    make("fp8_fp4_pairs", "fp8", "MXFP4", (12, 64, 32), mixed, fp4_pairs(torch.int8, torch.float8_e8m0fnu, "scale"))
    quark = quark_config("fp4", qscheme="per_group", ch_axis=-1, group_size=32, scale_format="e8m0")
    make("quark_mxfp4", "quark", "MXFP4", (12, 64, 32), quark, fp4_pairs(torch.uint8, torch.uint8, "weight_scale"))
    make("quark_fp8", "quark", "F8_E4M3", (12, 34, 42), quark_config("fp8_e4m3"), fp8_scalar("weight_scale", (), "input_scale"))


# torchao


def torchao_tensor(configuration, scale_dtype=torch.float32):
    """A linear module quantised by the library and taken apart as transformers takes it apart before it saves it."""

    def quantise(weight, _):
        linear = torch.nn.Linear(*weight.shape[::-1], bias=False)
        linear.weight.data = torch.from_numpy(weight).to(scale_dtype)
        torchao.quantize_(linear, configuration)
        parts = flatten_tensor_state_dict(linear.state_dict(prefix="linear."))[0]
        parts = {name.removeprefix("linear."): part for name, part in parts.items()}
        scale, zero = exact(parts["_weight_scale"]), parts.get("_weight_zero_point")
        block = [extent // count for extent, count in zip(weight.shape, scale.shape)]
        shift = 0 if zero is None else spread(exact(zero), block, weight.shape)
        matrix = (exact(parts["_weight_qdata"]) - shift) * spread(scale, block, weight.shape)
        agree(matrix, linear.weight.dequantize())
        return parts, matrix

    return quantise


def torchao_int4(weight, _):
    """Int4Tensor, whose kernels and quantisation need a GPU, so that the formula decides: code x scale + zero point."""
    rows, columns = weight.shape
    groups = weight.reshape(rows, -1, 16)
    low, high = groups.min(2), groups.max(2)
    scale = torch.from_numpy(((high - low) / 15).T.copy()).bfloat16()
    zero = torch.from_numpy((low + 8 * (high - low) / 15).T.copy()).bfloat16()
    each, shift = (np.repeat(exact(part).T, 16, 1) for part in (scale, zero))
    codes = np.clip(np.rint((weight - shift) / each), -8, 7).astype(int)
    packed = torch.from_numpy((codes[:, 0::2] & 15 | (codes[:, 1::2] & 15) << 4).astype(np.uint8).view(np.int8))
    matrix = codes * each + shift
    assert np.abs(matrix - weight).max() < 1.1 * exact(scale).max()
    return {"_weight_qdata": packed, "_weight_scale": scale, "_weight_zero_point": zero}, matrix


def torchao_record(kind, names, **data):
    """The description of each quantised tensor in the file's metadata."""

    def metadata(tensors):
        record = json.dumps({"_type": kind, "_data": data, "_tensor_data_names": names})
        plain = [name for name in sorted(tensors) if "._weight_" not in name]
        quantised = [name + ".weight" for name in (QUERY, DOWN) if f"{name}._weight_qdata" in tensors]
        entries = {name: json.dumps({"_type": "Tensor"}) for name in plain} | {name: record for name in quantised}
        return entries | {"tensor_names": json.dumps([*plain, *quantised])}

    return metadata


def torchao_config(kind="IntxWeightOnlyConfig", **data):
    kind = {"default": {"_type": kind, "_version": 2, "_data": data}}
    return {"quant_method": "torchao", "quant_type": kind, "quant_type_kwargs": {}, "modules_to_not_convert": SKIPPED, "include_input_output_embeddings": False}


def make_torchao():
    int8 = torchao_record("Int8Tensor", ["zero_point", "qdata", "scale"])
    make("torchao_int8", "torchao", "INT8", (12, 34, 42), torchao_config("Int8WeightOnlyConfig"), torchao_tensor(torchao.Int8WeightOnlyConfig()), int8)
    float8 = torchao_record("Float8Tensor", ["qdata", "scale"])
    make("torchao_float8", "torchao", "F8_E4M3", (12, 34, 42), torchao_config("Float8WeightOnlyConfig"), torchao_tensor(torchao.Float8WeightOnlyConfig()), float8)
    intx = torchao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(16), mapping_type=torchao.MappingType.ASYMMETRIC)
    unpacked = torchao_record("IntxUnpackedToInt8Tensor", ["qdata", "scale", "zero_point"])
    group = {"granularity": {"_type": "PerGroup", "_version": 1, "_data": {"group_size": 16}}}
    make("torchao_intx", "torchao", "INT8", (12, 32, 48), torchao_config(**group), torchao_tensor(intx), unpacked)
    int4 = torchao_record("Int4Tensor", ["qdata", "scale", "zero_point"])
    make("torchao_int4", "torchao", "INT4", (12, 32, 48), torchao_config("Int4WeightOnlyConfig", group_size=16), torchao_int4, int4)


# HQQ


def hqq(bits, group_size, axis):
    def quantise(weight, _):
        linear = torch.nn.Linear(*weight.shape[::-1], bias=False)
        linear.weight.data = torch.from_numpy(weight)
        settings = BaseQuantizeConfig(nbits=bits, group_size=group_size, axis=axis)
        layer = HQQLinear(linear, settings, compute_dtype=torch.float32, device="cpu")
        parts = {name: part.detach() for name, part in layer.state_dict().items() if part is not None}
        matrix = hqq_matrix(parts, bits, group_size, axis, weight.shape)
        agree(matrix, layer.dequantize())
        return parts, matrix

    return quantise


def hqq_matrix(parts, bits, group_size, axis, shape):
    """The matrix folded to lines of another width, which share words from the highest bits down."""
    words, fields = exact(parts["W_q"]).astype(np.int64), {8: 1, 4: 2, 3: 10, 2: 4, 1: 8}[bits]
    lines = np.concatenate([words >> bits * (fields - 1 - field) & 2**bits - 1 for field in range(fields)])
    lines = lines[: group_size if axis == 0 else math.prod(shape) // group_size]
    return ((lines - exact(parts["zero"])) * exact(parts["scale"])).reshape(shape)


def hqq_config(bits, group_size, axis):
    weights = {"nbits": bits, "channel_wise": True, "group_size": group_size, "optimize": True, "round_zero": bits == 4, "axis": axis, "view_as_float": False}
    whole = {"weight_quant_params": weights, "scale_quant_params": None, "zero_quant_params": None, "offload_meta": False}
    return {"quant_config": whole, "quant_method": "hqq", "skip_modules": ["lm_head", "o_proj"]}


def make_hqq():
    make("hqq_4bit", "hqq", "INT4", (12, 32, 48), hqq_config(4, 16, 1), hqq(4, 16, 1))
    make("hqq_4bit_axis_0", "hqq", "INT4", (12, 32, 48), hqq_config(4, 16, 0), hqq(4, 16, 0))
    make("hqq_3bit", "hqq", "INT3", (12, 32, 48), hqq_config(3, 16, 1), hqq(3, 16, 1))


# compressed-tensors


def ct_arguments(bits, kind, strategy, **extra):
    arguments = {
        "actorder": None, "block_structure": None, "dynamic": False, "group_size": None, "num_bits": bits, "observer": "minmax", "observer_kwargs": {},
        "strategy": strategy, "symmetric": True, "type": kind,
    }
    return arguments | extra


def ct_config(format_name, weights, activations=None):
    group = {"format": format_name, "input_activations": activations, "output_activations": None, "targets": ["Linear"], "weights": weights}
    config = {
        "config_groups": {"group_0": group}, "format": format_name, "global_compression_ratio": None, "ignore": SKIPPED, "kv_cache_scheme": None,
        "quant_method": "compressed-tensors", "quantization_status": "compressed",
    }
    QuantizationConfig(**json.loads(json.dumps(config).replace('"actorder": "group"', '"actorder": null')))
    return config | {"sparsity_config": {}, "transform_config": {}, "version": "0.12.2" if weights["actorder"] else "0.20.0"}


def ct_library(format_name, weights):
    """The library's own code for a format; it dropped actorder "group" after writing checkpoints that have it."""
    weights = weights | {"actorder": None}
    compressor = BaseCompressor.get_value_from_registry(format_name)
    return compressor, QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**weights))


def ct_compress(format_name, weights, state):
    compressor, scheme = ct_library(format_name, weights)
    return compressor.compress(state, scheme)


def ct_check(matrix, format_name, weights, state, tolerance=SINGLE):
    """Lets the library decompress with its scale widened to float32, so that it rounds no more than float32 does."""
    compressor, scheme = ct_library(format_name, weights)
    widened = {name: part.float() if part.dtype in (torch.bfloat16, torch.float16) else part for name, part in state.items()}
    agree(matrix, compressor.decompress(widened, scheme)["weight"], tolerance)


def ct_block(weights, shape):
    """The rows and columns that share one scale."""
    strategy = weights["strategy"]
    sizes = {"tensor": shape, "channel": (1, shape[1]), "group": (1, weights["group_size"]), "block": weights["block_structure"]}
    return sizes[strategy]


def ct_scales(weight, weights, scale_dtype):
    """(scale, zero point) of plain min-max quantisation; the zero point is None when symmetric."""
    block, top = ct_block(weights, weight.shape), 448 if weights["type"] == "float" else 2 ** (weights["num_bits"] - 1)
    if weights["symmetric"]:
        return torch.from_numpy(block_max(weight, block) / (top if top == 448 else top - 1)).to(scale_dtype), None
    high, low = block_max(np.maximum(weight, 0), block), -block_max(np.maximum(-weight, 0), block)
    scale = torch.from_numpy((high - low) / (2 * top - 1)).to(scale_dtype)
    zero = np.clip(np.rint(-top - low / exact(scale)), -top, top - 1)
    return scale, torch.from_numpy(zero.astype(np.int8))


def ct_naive(format_name, weights, scale_dtype, companion=None):
    """One number to an element: (stored - zero point) x scale."""

    def quantise(weight, _):
        scale, zero = ct_scales(weight, weights, scale_dtype)
        scale = scale.reshape(1) if weights["strategy"] == "tensor" else scale
        state = {"weight": torch.from_numpy(weight), "weight_scale": scale} | ({} if zero is None else {"weight_zero_point": zero})
        state = ct_compress(format_name, weights, state)
        block = ct_block(weights, weight.shape)
        grid = spread(exact(scale).reshape(-1, scale.shape[-1]), block, weight.shape)
        shift = 0 if zero is None else spread(exact(zero), block, weight.shape)
        matrix = (exact(state["weight"]) - shift) * grid
        ct_check(matrix, format_name, weights, state)
        return state | ({companion: torch.tensor([0.0125]).to(scale_dtype)} if companion else {}), matrix

    return quantise


def ct_packed(weights, scale_dtype):
    """Signed codes plus 2^(bits-1), packed along each row; zero points packed down each column."""
    bits = weights["num_bits"]

    def quantise(weight, _):
        scale, zero = ct_scales(weight, weights, scale_dtype)
        state = {"weight": torch.from_numpy(weight), "weight_scale": scale} | ({} if zero is None else {"weight_zero_point": zero})
        state = ct_compress("pack-quantized", weights, state)
        codes = unpack_bits(state["weight_packed"].T, bits, weight.shape[1]).T
        offset = 2 ** (bits - 1) if zero is None else unpack_bits(state["weight_zero_point"], bits, weight.shape[0])
        block = ct_block(weights, weight.shape)
        offset = offset if zero is None else spread(offset, block, weight.shape)
        matrix = (codes - offset) * spread(exact(scale), block, weight.shape)
        ct_check(matrix, "pack-quantized", weights, state)
        return state, matrix

    return quantise


def ct_packed_reordered(weights, scale_dtype):
    """Quantises the columns in a shuffled order and stores them in their own, each with the number of its group."""
    quantise_in_order = ct_packed(weights, scale_dtype)

    def quantise(weight, generator):
        order = generator.permutation(weight.shape[1])
        places = np.argsort(order)
        state, shuffled = quantise_in_order(np.ascontiguousarray(weight[:, order]), generator)
        groups = places // weights["group_size"]
        codes = unpack_bits(state["weight_packed"].T, weights["num_bits"], weight.shape[1]).T[:, places]
        state["weight_packed"] = pack_bits(codes.T, weights["num_bits"]).T.contiguous()
        state["weight_g_idx"] = torch.from_numpy(groups.astype(np.int32))
        matrix = (codes - 2 ** (weights["num_bits"] - 1)) * exact(state["weight_scale"])[:, groups]
        assert np.array_equal(matrix, shuffled[:, places])
        return state, matrix

    return quantise


def ct_nvfp4(weights):
    def quantise(weight, _):
        overall = torch.tensor([448 * 6 / float(np.abs(weight).max())])
        local = to_fp8(block_max(weight, (1, 16)) / 6 * float(overall)).float()
        state = {"weight": torch.from_numpy(weight), "weight_scale": local, "weight_global_scale": overall}
        state = ct_compress("nvfp4-pack-quantized", weights, state)
        scale = spread(exact(state["weight_scale"]), (1, 16), weight.shape) / float(overall)
        matrix = E2M1[nibbles(state["weight_packed"])] * scale
        ct_check(matrix, "nvfp4-pack-quantized", weights, state, HALF)
        return state | {"input_global_scale": torch.tensor([313.5])}, matrix

    return quantise


def ct_mxfp4(weights):
    def quantise(weight, _):
        scale = torch.from_numpy((2.0 ** (np.floor(np.log2(block_max(weight, (1, 32)))) - 2)).astype(np.float32))
        state = ct_compress("mxfp4-pack-quantized", weights, {"weight": torch.from_numpy(weight), "weight_scale": scale})
        grid = spread(2.0 ** (exact(state["weight_scale"]) - 127), (1, 32), weight.shape)
        matrix = E2M1[nibbles(state["weight_packed"])] * grid
        ct_check(matrix, "mxfp4-pack-quantized", weights, state, HALF)
        return state, matrix

    return quantise


def ct_mxfp8(weights):
    def quantise(weight, _):
        scale = torch.from_numpy((2.0 ** np.ceil(np.log2(block_max(weight, (1, 32)) / 448))).astype(np.float32))
        state = ct_compress("mxfp8-quantized", weights, {"weight": torch.from_numpy(weight), "weight_scale": scale})
        matrix = exact(state["weight"]) * spread(2.0 ** (exact(state["weight_scale"]) - 127), (1, 32), weight.shape)
        ct_check(matrix, "mxfp8-quantized", weights, state, HALF)
        return state, matrix

    return quantise


def make_ct(folder, format_name, dtype, dimensions, weights, quantise, activations=None):
    make(folder, f"compressed-tensors ({format_name})", dtype, dimensions, ct_config(format_name, weights, activations), quantise)


def make_compressed_tensors():
    uneven = (12, 34, 42)
    token = ct_arguments(8, "float", "token", dynamic=True, observer=None)
    channel = ct_arguments(8, "float", "channel")
    make_ct("ct_float_channel", "float-quantized", "F8_E4M3", uneven, channel, ct_naive("float-quantized", channel, torch.bfloat16), token)
    tensor = ct_arguments(8, "float", "tensor")
    static = ct_naive("float-quantized", tensor, torch.bfloat16, "input_scale")
    make_ct("ct_float_tensor", "float-quantized", "F8_E4M3", uneven, tensor, static, tensor)
    block = ct_arguments(8, "float", "block", block_structure=[16, 16])
    make_ct("ct_float_block", "float-quantized", "F8_E4M3", uneven, block, ct_naive("float-quantized", block, torch.float32), token)
    make_compressed_integers(uneven)
    nvfp4 = ct_arguments(4, "float", "tensor_group", group_size=16)
    make_ct("ct_nvfp4", "nvfp4-pack-quantized", "NVFP4", (12, 32, 48), nvfp4, ct_nvfp4(nvfp4), nvfp4 | {"dynamic": "local"})
    mxfp4 = ct_arguments(4, "float", "group", group_size=32)
    make_ct("ct_mxfp4", "mxfp4-pack-quantized", "MXFP4", (12, 64, 32), mxfp4, ct_mxfp4(mxfp4))
    mxfp8 = ct_arguments(8, "float", "group", group_size=32)
    make_ct("ct_mxfp8", "mxfp8-quantized", "MXFP8", (12, 64, 32), mxfp8, ct_mxfp8(mxfp8))


def make_compressed_integers(uneven):
    grouped = (12, 36, 60)
    token = ct_arguments(8, "int", "token", dynamic=True, observer=None)
    layouts = {
        "ct_int_channel": ("int-quantized", uneven, ct_arguments(8, "int", "channel"), torch.bfloat16),
        "ct_int_group": ("int-quantized", grouped, ct_arguments(8, "int", "group", group_size=12), torch.float16),
        "ct_int_asym": ("int-quantized", uneven, ct_arguments(8, "int", "channel", symmetric=False), torch.float32),
        "ct_pack4_group": ("pack-quantized", grouped, ct_arguments(4, "int", "group", group_size=12), torch.bfloat16),
        "ct_pack4_asym": ("pack-quantized", grouped, ct_arguments(4, "int", "group", group_size=12, symmetric=False), torch.float16),
        "ct_pack8_channel": ("pack-quantized", uneven, ct_arguments(8, "int", "channel"), torch.float32),
        "ct_pack4_actorder": ("pack-quantized", grouped, ct_arguments(4, "int", "group", group_size=12, actorder="group"), torch.bfloat16),
    }
    for folder, (format_name, dimensions, weights, scale_dtype) in layouts.items():
        packed = ct_packed_reordered if weights["actorder"] else ct_packed
        quantise = ct_naive(format_name, weights, scale_dtype) if format_name == "int-quantized" else packed(weights, scale_dtype)
        make_ct(folder, format_name, f"INT{weights['num_bits']}", dimensions, weights, quantise, token if format_name == "int-quantized" else None)


# ModelOpt


def modelopt_nvfp4(weight, _):
    overall = torch.tensor(float(np.abs(weight).max()) / (448 * 6))
    local = to_fp8(block_max(weight, (1, 16)) / 6 / float(overall))
    scale = spread(exact(local) * float(overall), (1, 16), weight.shape)
    packed = pack_e2m1(weight / scale)
    matrix = E2M1[nibbles(packed)] * scale
    agree(matrix, exact(unpack_fp4_from_uint8(packed, *weight.shape)) * scale)
    return {"weight": packed, "weight_scale": local, "weight_scale_2": overall, "input_scale": torch.tensor(0.00375)}, matrix


def modelopt_config(algorithm, **arguments):
    arguments = {"dynamic": False, "num_bits": 4 if "4" in algorithm else 8, "type": "float"} | arguments
    return {
        "config_groups": {"group_0": {"input_activations": arguments, "weights": arguments, "targets": ["Linear"]}}, "ignore": SKIPPED,
        "quant_algo": algorithm, "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
        "producer": {"name": "modelopt", "version": "0.47.0"}, "quant_method": "modelopt",
    }


def make_modelopt():
    make("modelopt_nvfp4", "modelopt (NVFP4)", "NVFP4", (12, 32, 48), modelopt_config("NVFP4", group_size=16), modelopt_nvfp4)
    make("modelopt_fp8", "modelopt (FP8)", "F8_E4M3", (12, 34, 42), modelopt_config("FP8"), fp8_scalar("weight_scale", (), "input_scale"))


# gpt-oss


def mxfp4_experts(generator, experts, rows, columns):
    """(blocks [experts, rows, columns/32, 16], scales [experts, rows, columns/32], the float64 matrices)."""
    weight = np.stack([random_weight(generator, rows, columns) for _ in range(experts)]).reshape(experts, rows, columns // 32, 32)
    exponent = np.floor(np.log2(np.abs(weight).max(-1))) - 2
    scales = torch.from_numpy((exponent + 127).astype(np.uint8))
    blocks = pack_e2m1(weight / 2.0 ** exponent[..., None])
    matrices = (E2M1[nibbles(blocks)] * 2.0 ** (exact(scales) - 127)[..., None]).reshape(experts, rows, columns)
    agree(matrices, convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).transpose(1, 2), 0)
    return blocks, scales, matrices


def expert_numbers(name, matrices):
    entries = {f"{name}[{expert}]": numbers(matrix, "MXFP4") for expert, matrix in enumerate(matrices)}
    if name.endswith("gate_up_proj"):
        for entry, matrix in zip(entries.values(), matrices):
            entry["parts"] = {"gate": numbers(matrix[0::2], "MXFP4"), "up": numbers(matrix[1::2], "MXFP4")}
    return entries


def make_gpt_oss():
    generator, dimensions, experts = np.random.default_rng(zlib.crc32(b"gpt_oss")), (8, 32, 64), 3
    attention, hidden, intermediate = dimensions
    tensors, modules = plain_tensors(generator, dimensions), {}
    tensors |= {LAYER + "mlp.router.weight": torch.from_numpy(random_weight(generator, experts, hidden)).bfloat16()}
    tensors |= {LAYER + "mlp.router.bias": torch.zeros(experts, dtype=torch.bfloat16)}
    for part, rows, columns in (("gate_up_proj", 2 * intermediate, hidden), ("down_proj", hidden, intermediate)):
        name = f"{LAYER}mlp.experts.{part}"
        blocks, scales, matrices = mxfp4_experts(generator, experts, rows, columns)
        bias = torch.from_numpy(0.1 * generator.standard_normal((experts, rows))).bfloat16()
        tensors |= {name + "_blocks": blocks, name + "_scales": scales, name + "_bias": bias}
        modules |= expert_numbers(name, matrices)
    modules[OUTPUT] = numbers(exact(tensors[OUTPUT + ".weight"]), "BF16")
    others = {name: numbers(exact(tensors[name + ".weight"]), "BF16") for name in ("lm_head", LAYER + "mlp.router")}
    skipped = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    extra = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "num_local_experts": experts, "num_experts_per_tok": 2}
    path = HERE / "quantized" / "mxfp4_gpt_oss"
    write_safetensors(path / "model.safetensors", tensors, {"format": "pt"})
    write_json(path / "config.json", config_json(dimensions, {"modules_to_not_convert": skipped, "quant_method": "mxfp4"}, **extra))
    write_expected(path / "expected.json", "mxfp4", modules, others)


# bitsandbytes


def bnb_4bit(kind, blocksize, nested):
    def quantise(weight, _):
        packed, state = bnb.quantize_4bit(torch.from_numpy(weight), blocksize=blocksize, quant_type=kind, compress_statistics=nested)
        parts = {f"weight.{name}": part for name, part in state.as_dict(packed=True).items()}
        codes = np.stack([packed.numpy() >> 4, packed.numpy() & 15], -1).reshape(-1)[: weight.size]
        largest = exact(parts["weight.absmax"])
        if nested:
            blocks = np.arange(len(largest)) // state.state2.blocksize
            largest = exact(parts["weight.nested_quant_map"])[largest.astype(int)] * exact(parts["weight.nested_absmax"])[blocks] + state.offset.item()
        matrix = (exact(parts["weight.quant_map"])[codes] * largest[np.arange(weight.size) // blocksize]).reshape(weight.shape)
        agree(matrix, bnb.dequantize_4bit(packed, state))
        return {"weight": packed} | parts, matrix

    return quantise


def bnb_int8(weight, _):
    stored, scale, _ = bnb.int8_vectorwise_quant(torch.from_numpy(weight).half())
    matrix = exact(stored) * exact(scale)[:, None] / 127
    agree(matrix, bnb.int8_vectorwise_dequant(stored, scale))
    return {"weight": stored, "SCB": scale, "weight_format": torch.tensor(0, dtype=torch.uint8)}, matrix


def bnb_config(kind, nested=False):
    return {
        "_load_in_4bit": kind != "int8", "_load_in_8bit": kind == "int8", "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": "fp4" if kind == "int8" else kind, "bnb_4bit_use_double_quant": nested, "llm_int8_enable_fp32_cpu_offload": False,
        "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": SKIPPED, "llm_int8_threshold": 6.0, "load_in_4bit": kind != "int8",
        "load_in_8bit": kind == "int8", "quant_method": "bitsandbytes",
    }


def make_bitsandbytes():
    odd = (12, 35, 43)
    make("bnb_nf4", "bitsandbytes (nf4)", "NF4", odd, bnb_config("nf4"), bnb_4bit("nf4", 64, False))
    make("bnb_fp4", "bitsandbytes (fp4)", "FP4", odd, bnb_config("fp4"), bnb_4bit("fp4", 64, False))
    make("bnb_nf4_nested", "bitsandbytes (nf4)", "NF4", (8, 65, 127), bnb_config("nf4", True), bnb_4bit("nf4", 32, True))
    make("bnb_int8", "bitsandbytes (int8)", "INT8", odd, bnb_config("int8"), bnb_int8)


# GPTQ, AutoRound and AWQ


def group_scales(weight, groups, bits, symmetric):
    """Scales (float16) and zero points, each [groups, out], of columns whose groups are given."""
    scale, zero = [], []
    for group in range(groups.max() + 1):
        part = weight[:, groups == group]
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        step = (2 * np.maximum(high, -low) if symmetric else high - low) / (2**bits - 1)
        scale.append(step.astype(np.float16))
        middle = np.full(len(step), 2 ** (bits - 1))
        zero.append(middle if symmetric else np.clip(np.rint(-low / scale[-1].astype(np.float64)), 1, 2**bits - 1).astype(int))
    return torch.from_numpy(np.stack(scale)), np.stack(zero)


def integer_codes(weight, groups, scale, zero, bits):
    return np.clip(np.rint(weight.T / exact(scale)[groups]) + zero[groups], 0, 2**bits - 1).astype(int)


def gptq(bits, group_size, symmetric=False, first_version=True, shuffled=False, index=True, bias=False):
    """qweight is packed down the inputs and qzeros along the outputs; the first version stores each zero point less one."""

    def quantise(weight, generator):
        rows, columns = weight.shape
        groups = np.arange(columns) // (columns if group_size == -1 else group_size)
        groups = generator.permutation(groups) if shuffled else groups
        scale, zero = group_scales(weight, groups, bits, symmetric)
        codes = integer_codes(weight, groups, scale, zero, bits)
        parts = {"qweight": pack_bits(codes, bits), "qzeros": pack_bits((zero - first_version).T, bits).T.contiguous(), "scales": scale}
        parts |= {"g_idx": torch.from_numpy(groups.astype(np.int32))} if index else {}
        parts |= {"bias": torch.from_numpy(generator.standard_normal(rows).astype(np.float16))} if bias else {}
        stored = unpack_bits(parts["qzeros"].T, bits, rows).T + first_version
        matrix = (exact(scale)[groups] * (unpack_bits(parts["qweight"], bits, columns) - stored[groups])).T
        assert np.abs(matrix - weight).max() < 1.01 * exact(scale).max()
        return parts, matrix

    return quantise


def gptq_config(bits, group_size, symmetric=False, shuffled=False, version="gptq"):
    config = {
        "bits": bits, "damp_percent": 0.01, "desc_act": shuffled, "group_size": group_size, "lm_head": False, "quant_method": "gptq", "sym": symmetric,
        "true_sequential": True,
    }
    return config | ({"checkpoint_format": version, "format": version, "pack_dtype": "int32"} if version else {"is_marlin_format": False})


def make_gptq():
    dimensions, halves, aligned = (16, 40, 56), (16, 32, 48), (32, 64, 96)
    make("gptq_v1", "gptq", "INT4", dimensions, gptq_config(4, 32), gptq(4, 32, bias=True))
    make("gptq_v1_actorder", "gptq", "INT4", dimensions, gptq_config(4, 32, shuffled=True), gptq(4, 32, shuffled=True))
    make("gptq_v2", "gptq_v2", "INT4", dimensions, gptq_config(4, 32, version="gptq_v2"), gptq(4, 32, first_version=False))
    make("gptq_8bit", "gptq", "INT8", dimensions, gptq_config(8, -1), gptq(8, -1))
    make("gptq_3bit", "gptq", "INT3", aligned, gptq_config(3, 64), gptq(3, 64))
    make("gptq_2bit", "gptq", "INT2", halves, gptq_config(2, 16), gptq(2, 16))
    make("gptq_no_g_idx", "gptq", "INT4", dimensions, gptq_config(4, 32), gptq(4, 32, index=False))
    make("gptq_sym_v1", "gptq", "INT4", dimensions, gptq_config(4, 32, True, version=None), gptq(4, 32, symmetric=True))
    make("autoround_gptq", "auto-round (gptq)", "INT4", dimensions, auto_round_config("auto_round:auto_gptq"), gptq(4, 32))


def auto_round_config(packing):
    return {
        "autoround_version": "0.16.1", "bits": 4, "block_name_to_quantize": "model.layers", "data_type": "int", "group_size": 32, "iters": 200,
        "packing_format": packing, "quant_method": "auto-round", "sym": False, "extra_config": {OUTPUT: {"bits": 16, "data_type": "float"}},
    }


def awq_pack(codes):
    """Eight neighbours along the outputs to a word, in AutoAWQ's order."""
    ordered = codes.reshape(len(codes), -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].reshape(codes.shape)
    return pack_bits(ordered.T, 4).T.contiguous()


def awq_unpack(words):
    codes = unpack_bits(words.T, 4, words.shape[1] * 8).T
    return codes.reshape(len(codes), -1, 8)[:, :, [0, 4, 1, 5, 2, 6, 3, 7]].reshape(codes.shape)


def awq(weight, _):
    groups = np.arange(weight.shape[1]) // 16
    scale, zero = group_scales(weight, groups, 4, False)
    parts = {"qweight": awq_pack(integer_codes(weight, groups, scale, zero, 4)), "qzeros": awq_pack(zero), "scales": scale}
    matrix = ((awq_unpack(parts["qweight"]) - awq_unpack(parts["qzeros"])[groups]) * exact(scale)[groups]).T
    codes, scales, zeros = AutoAWQConverter(group_size=16)._convert_gemm_module(parts["qweight"], scale, parts["qzeros"])
    agree(matrix, (codes.float() - zeros.float().repeat_interleave(16, 1)) * scales.float().repeat_interleave(16, 1))
    return parts, matrix


def make_awq():
    config = {"bits": 4, "group_size": 16, "modules_to_not_convert": ["o_proj"], "quant_method": "awq", "version": "gemm", "zero_point": True}
    make("awq", "awq", "INT4", (16, 32, 48), config, awq)
    make("autoround_awq", "auto-round (awq)", "INT4", (16, 32, 48), auto_round_config("auto_round:auto_awq") | {"group_size": 16}, awq)


# Layouts to be refused


def noise(generator, dtype, *shape):
    if dtype.is_floating_point:
        return torch.from_numpy(0.05 * generator.standard_normal(shape)).to(dtype)
    return torch.from_numpy(generator.integers(0, 100, shape)).to(dtype)


def refuse(folder, quantization, parts, metadata=None):
    """parts: {suffix: (dtype, *shape)}, or a tensor, of a [8, 64] module."""
    generator, dimensions = np.random.default_rng(zlib.crc32(folder.encode())), (8, 64, 32)
    tensors = plain_tensors(generator, dimensions)
    del tensors["lm_head.weight"]
    for suffix, part in parts.items():
        tensors[f"{QUERY}.{suffix}"] = part if isinstance(part, torch.Tensor) else noise(generator, *part)
    path = HERE / "quantized" / "refused" / folder
    write_safetensors(path / "model.safetensors", tensors, {"format": "pt"} | (metadata(tensors) if metadata else {}))
    write_json(path / "config.json", config_json(dimensions, quantization, tie_word_embeddings=True))


def refuse_codebooks():
    aqlm = {"in_group_size": 8, "linear_weights_not_to_quantize": SKIPPED, "nbits_per_codebook": 6, "num_codebooks": 1, "out_group_size": 1}
    parts = {"codes": (torch.int8, 8, 8, 1), "codebooks": (torch.float16, 1, 64, 1, 8), "scales": (torch.float16, 8, 1, 1, 1)}
    refuse("aqlm", aqlm | {"quant_method": "aqlm"}, parts)
    layer = {
        "bias": False, "enable_norm": True, "enable_perm": True, "group_num": 1, "group_size": 64, "in_features": 64, "indices_as_float": False,
        "is_indice_packed": True, "num_centroids": [-1, 16], "num_res_centroids": [-1, -1], "out_features": 8, "outlier_size": 0, "vector_lens": [-1, 8],
    }
    parts = {
        "indices": (torch.int32, 1, 1, 8), "centroids.weight": (torch.bfloat16, 1, 128), "weight_scale": (torch.bfloat16, 64),
        "weight_bias": (torch.bfloat16, 64), "perm": (torch.int16, 64),
    }
    refuse("vptq", {"config_for_layers": {QUERY: layer}, "enable_proxy_error": False, "quant_method": "vptq"}, parts)
    spqr = {"beta1": 16, "beta2": 16, "bits": 3, "modules_to_not_convert": SKIPPED, "quant_method": "spqr"}
    shapes = {f"{QUERY}.dense_weights.shape": 100, f"{QUERY}.row_offsets.shape": 25, f"{QUERY}.col_vals.shape": 12, f"{QUERY}.in_perm.shape": 64}
    parts = {"dense_weights": (torch.int64, 100), "row_offsets": (torch.int32, 25), "col_vals": (torch.int32, 12), "in_perm": (torch.int16, 64)}
    refuse("spqr", spqr | {"shapes": shapes}, parts)
    higgs = {"bits": 4, "group_size": 64, "hadamard_size": 64, "modules_to_not_convert": SKIPPED, "p": 2, "quant_method": "higgs", "tune_metadata": {}}
    parts = {"weight": (torch.int16, 2, 64), "scales": (torch.bfloat16, 8, 1), "tables": (torch.bfloat16, 16), "tables2": (torch.bfloat16, 16, 16, 2)}
    refuse("higgs", higgs, parts)


def make_refused():
    tiled = torchao_record("Int4TilePackedTo4dTensor", ["qdata", "scale_and_zero"], block_size=[1, 64], shape=[8, 64])
    packing = {"int4_packing_format": {"_type": "Int4PackingFormat", "_data": "TILE_PACKED_TO_4D"}}
    parts = {"_weight_qdata": (torch.int32, 1, 8, 32, 4), "_weight_scale_and_zero": (torch.bfloat16, 16, 8, 2)}
    refuse("torchao", torchao_config("Int4WeightOnlyConfig", group_size=64, **packing), parts, tiled)
    quark = quark_config("int4", qscheme="per_group", group_size=32)
    refuse("quark", quark, {"weight": (torch.int32, 64, 1), "weight_scale": (torch.float16, 2, 8), "weight_zero_point": (torch.int32, 2, 1)})
    quanto = {"activations": None, "modules_to_not_convert": SKIPPED, "quant_method": "quanto", "weights": "int8"}
    one = torch.ones(())
    refuse("quanto", quanto, {"weight._data": (torch.int8, 8, 64), "weight._scale": (torch.bfloat16, 8, 1), "input_scale": one, "output_scale": one})
    refuse_codebooks()
    gguf = {"modules_to_not_convert": SKIPPED, "quant_method": "gguf"}
    refuse("gguf_in_config", gguf, {"weight": (torch.uint8, 8, 36)})
    eetq = {"modules_to_not_convert": SKIPPED, "quant_method": "eetq", "weights": "int8"}
    refuse("eetq", eetq, {"weight": (torch.int8, 64, 8), "weight_scales": (torch.float16, 8)})
    bitnet = {"linear_class": "bitlinear", "modules_to_not_convert": SKIPPED, "quant_method": "bitnet", "quantization_mode": "offline"}
    refuse("bitnet", bitnet, {"weight": (torch.uint8, 2, 64), "weight_scale": (torch.bfloat16, 1)})
    packed = {"weight": (torch.uint32, 8, 8), "scales": (torch.float16, 8, 2), "biases": (torch.float16, 8, 2)}
    refuse("auto_round", auto_round_config("auto_round:mlx"), packed)


# Pickles


SHAPES = {
    "self_attn.q_proj": (12, 16), "self_attn.k_proj": (4, 16), "self_attn.v_proj": (4, 16), "self_attn.o_proj": (16, 12), "mlp.gate_proj": (24, 16),
    "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24),
}


def pickle_layer(generator, layer, dtype):
    prefix = f"model.layers.{layer}."
    weights = {f"{prefix}{name}.weight": torch.from_numpy(random_weight(generator, *shape)).to(dtype) for name, shape in SHAPES.items()}
    return weights | {prefix + "input_layernorm.weight": torch.ones(16, dtype=dtype)}


def view_tensors(generator):
    """Layer 0's weights as views: gate and up share one storage, k and v another, and down is a transposed view."""
    fused = torch.from_numpy(random_weight(generator, 48, 16))
    pair = torch.from_numpy(random_weight(generator, 10, 16)).half()
    turned = torch.from_numpy(random_weight(generator, 24, 16)).bfloat16()
    views = {"mlp.gate_proj": fused[:24], "mlp.up_proj": fused[24:], "self_attn.k_proj": pair[1:5], "self_attn.v_proj": pair[5:9], "mlp.down_proj": turned.T}
    return {f"{LAYER}{name}.weight": view for name, view in views.items()}


def state_dict(generator):
    head = torch.from_numpy(random_weight(generator, VOCABULARY, 16)).half()
    state = collections.OrderedDict({"model.embed_tokens.weight": head})
    state.update(pickle_layer(generator, 0, torch.bfloat16) | view_tensors(generator))
    state.update(pickle_layer(generator, 1, torch.float16))
    state["model.layers.1.self_attn.q_proj.weight"] = torch.from_numpy(random_weight(generator, 12, 16))
    state["model.norm.weight"] = torch.ones(16)
    state["model.layers.0.self_attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    state["model.position_ids"] = torch.arange(8).reshape(1, 8)
    state["lm_head.weight"] = head
    return state


def add_nesting(state):
    """The version record that torch.nn.Module.state_dict leaves on its dictionary, and a dictionary among the tensors."""
    inner = collections.OrderedDict(steps=torch.tensor(7), running=collections.OrderedDict(mean=torch.zeros(4, dtype=torch.float64), momentum=0.1))
    state["model.extra_state"] = inner
    state._metadata = collections.OrderedDict({"": {"version": 1}, "model": {"version": 1}})


def write_pickle_expected(state, path):
    names = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
    linear = {name: tensor for name, tensor in state.items() if name.endswith("_proj.weight")}
    modules = {name.removesuffix(".weight"): numbers(exact(tensor), names[tensor.dtype]) for name, tensor in linear.items()}
    write_expected(path, None, modules, {"lm_head": numbers(exact(state["lm_head.weight"]), "F16")})


def save(state, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    read = torch.load(path, weights_only=True)
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items() if isinstance(tensor, torch.Tensor))


def make_whole():
    state, path = state_dict(np.random.default_rng(11)), HERE / "pickle" / "whole"
    write_pickle_expected(state, path / "expected.json")
    write_json(path / "config.json", config_json((12, 16, 24), num_hidden_layers=2, num_key_value_heads=1, tie_word_embeddings=True))
    assert not state[DOWN + ".weight"].is_contiguous() and state[LAYER + "mlp.up_proj.weight"].storage_offset() == 384
    assert state["lm_head.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()
    add_nesting(state)
    save(state, path / "pytorch_model.bin")


def make_sharded():
    state, path = state_dict(np.random.default_rng(12)), HERE / "pickle" / "sharded"
    state = collections.OrderedDict((name, tensor.clone(memory_format=torch.contiguous_format)) for name, tensor in state.items())
    write_pickle_expected(state, path / "expected.json")
    write_json(path / "config.json", config_json((12, 16, 24), num_hidden_layers=2, num_key_value_heads=1))
    half = list(state)[: len(state) // 2]
    files = {name: f"pytorch_model-0000{1 if name in half else 2}-of-00002.bin" for name in state}
    for file in sorted(set(files.values())):
        save(collections.OrderedDict((name, tensor) for name, tensor in state.items() if files[name] == file), path / file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    write_json(path / "pytorch_model.bin.index.json", {"metadata": {"total_size": total}, "weight_map": dict(sorted(files.items()))})


def make_hostile():
    """A checkpoint of one entry, whose value is what os.system("exit 42") returns; written by hand and never loaded."""
    key, command = (b"X" + struct.pack("<I", len(text)) + text for text in (f"{QUERY}.weight".encode(), b"exit 42"))
    call = pickle.GLOBAL + b"os\nsystem\n" + command + pickle.TUPLE1 + pickle.REDUCE
    program = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + key + call + pickle.SETITEM + pickle.STOP
    path = HERE / "pickle" / "hostile"
    write_json(path / "config.json", config_json((12, 16, 24)))
    with zipfile.ZipFile(path / "pytorch_model.bin", "w") as archive:
        for name, content in (("data.pkl", program), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"pytorch_model/{name}"), content)


def main():
    warnings.simplefilter("ignore")
    torch.set_grad_enabled(False)
    for step in (make_fp8, make_experts, make_fp4_pairs, make_compressed_tensors, make_modelopt, make_gpt_oss, make_bitsandbytes):
        step()
    for step in (make_torchao, make_hqq, make_gptq, make_awq, make_refused):
        step()
    for step in (make_whole, make_sharded, make_hostile):
        step()


if __name__ == "__main__":
    main()
