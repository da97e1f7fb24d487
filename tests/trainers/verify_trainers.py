#!/usr/bin/env python3
"""Proves on the trainers' own code that what `laser-scan export` writes trains exactly the chosen modules.

    python verify_trainers.py make          # writes the tiny models in `models/`, next to this script
    python verify_trainers.py verify        # scans, exports and feeds the trainers; writes `golden.json`, or says what is wrong

Scan and export are the binary's (`--binary`, default `target/release/laser-scan`). What the trainers make of the result is in
the golden file, with their versions, so that `cargo test` needs no Python: it scans and exports the same models and compares.

Nothing of the trainers is rewritten here: each configuration goes through the functions that read it in a real run. Of Unsloth,
which does not import without a GPU, those that decide on the targets are cut out of its files. Heavy packages that none of
them calls are stubbed. Python 3.11, no GPU, and no network once the packages are there:

    pip install torch==2.15.0 torchvision==0.29.2 transformers==5.24.0 peft==0.21.2 accelerate==1.15.0 pyyaml==6.0.4 \\
        requests==2.34.2 addict==2.4.0 'mlx[cpu]==0.32.4'
    pip install --no-deps axolotl==0.19.0 llamafactory==0.9.5 ms-swift==4.6.0 unsloth==2026.10.9 trl==1.16.0 mlx-lm==0.32.2 \\
        nemo-automodel==0.7.0

Keys of a case in the golden file, where they are not obvious:

    scan       what the scan was told, beside model and folder
    arguments  what `export` was told, beside the scan
    output     what it printed; or refused: why it did not, where the trainer cannot train what was chosen
    hit        the modules that get an adapter, or whose weights are trained; a parameter that is no module's `weight`, such as a
               layer's stack of experts, goes by its own name
    extra      those of them that were not chosen
    trainable  how many numbers are trained
"""
import argparse
import ast
import bisect
import contextlib
import importlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import types
import typing
import warnings
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import numpy
import peft
import torch
import transformers
import yaml
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.utils import ModulesToSaveWrapper

HERE = Path(__file__).resolve().parent
PACKAGES = (
    "torch", "transformers", "peft", "axolotl", "llamafactory", "ms-swift", "unsloth", "trl", "mlx", "mlx-lm", "nemo-automodel",
)
TOP_N, RANK, ALPHA = 3, 4, 12  # the last two are nobody's defaults

# The tiny models: class, config, and the options of the scans and exports that they go through. The dense one has 12 layers, so
# that a name that also matches layer 11 shows, and more modules chosen than PEFT takes without abridging their names.

DECODER = dict(
    vocab_size=96, bos_token_id=1, eos_token_id=2, pad_token_id=0, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=56, max_position_embeddings=64, num_hidden_layers=4, tie_word_embeddings=False,
)
ROUTED = dict(DECODER, num_experts_per_tok=2)
LLAVA = dict(
    text_config=dict(DECODER, model_type="llama"), image_token_index=90, tie_word_embeddings=False,
    vision_config=dict(
        model_type="clip_vision_model", hidden_size=24, intermediate_size=44, num_hidden_layers=4, num_attention_heads=2,
        num_channels=3, image_size=16, patch_size=4, projection_dim=22,
    ),
)
POOLED, ATTENTION = ("--pool-experts", "mean"), ("--types", "self_attn.*")
SCAN_ONLY, EXPORT_ONLY = {"--all-linear"}, {"--no-head"}
MODELS = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", dict(DECODER, num_hidden_layers=12), [(), ("--no-head",), ("--layers", "10-11")]),
    "qwen2_tied": ("Qwen2ForCausalLM", "Qwen2Config", dict(DECODER, tie_word_embeddings=True), [()]),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM", "Qwen3MoeConfig",
        dict(ROUTED, head_dim=12, num_experts=4, moe_intermediate_size=20, mlp_only_layers=[0]),
        [POOLED, ("--all-linear", *POOLED), ATTENTION],
    ),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", dict(ROUTED, num_local_experts=4), [(), POOLED]),
    "llava": ("LlavaForConditionalGeneration", "LlavaConfig", LLAVA, [()]),
}


def make():
    for name, (architecture, config, kwargs, _) in MODELS.items():
        torch.manual_seed(0)
        model = getattr(transformers, architecture)(getattr(transformers, config)(**kwargs)).to(torch.bfloat16)
        model.save_pretrained(HERE / "models" / name)
        (HERE / "models" / name / "generation_config.json").unlink(missing_ok=True)


def load(name):
    auto = transformers.AutoModelForImageTextToText if name == "llava" else transformers.AutoModelForCausalLM
    return auto.from_pretrained(HERE / "models" / name)


# The trainers' code, without the packages that it imports but does not need here.


@contextlib.contextmanager
def stubs(*names):
    """Makes these packages importable. Not for longer than it takes: PEFT and transformers ask what is installed."""
    sys.modules.update((name, MagicMock(name=name)) for name in names)
    yield
    for name in names:
        del sys.modules[name]


def package_dir(name):
    parent, _, leaf = name.rpartition(".")
    return package_dir(parent) / leaf if parent else Path(importlib.util.find_spec(name).submodule_search_locations[0])


def bare(*names):
    """Packages whose submodules can be imported without running what their `__init__.py` imports."""
    for name, folder in [(name, package_dir(name)) for name in names]:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]


def cut_out(file, *names, **others):
    """Top-level functions and constants of a file that cannot be imported, with the `others` that they use."""
    tree = ast.parse(file.read_text())
    tree.body = [n for n in tree.body if {getattr(n, "name", ""), *(getattr(t, "id", "") for t in getattr(n, "targets", ()))} & {*names}]
    namespace = dict(vars(typing), re=re, np=numpy, logger=MagicMock(), **others)
    exec(compile(tree, file, "exec"), namespace)
    return types.SimpleNamespace(**namespace)


class SwiftLoraConfig(peft.LoraConfig):
    """PEFT's configuration as ms-swift extends it, less what the extension keeps for its own optimizer and dtype."""

    def __init__(self, lora_dtype=None, lorap_lr_ratio=None, **kwargs):
        super().__init__(**kwargs)


def import_trainers():
    """The trainers' modules by short names."""
    from transformers import Trainer, TrainingArguments  # noqa: F401, before stubs that transformers would take for the packages
    names = dict(
        schema="axolotl.utils.schemas.peft", adapter="axolotl.loaders.adapter", dict="axolotl.utils.dict", freeze="axolotl.utils.freeze",
        spectrum="axolotl.integrations.spectrum", factory="llamafactory.model.adapter",
        factory_arguments="llamafactory.hparams.finetuning_args", swift="swift.pipelines.train.tuner",
        trl="trl.trainer.model_config", nemo="nemo_automodel.components._peft.lora", nemo_freeze="nemo_automodel.components.utils.model_utils",
        mlx="mlx_lm.utils", mlx_lora="mlx_lm.tuner.lora", mlx_tuner="mlx_lm.tuner.utils", mlx_tree="mlx.utils",
    )
    bare("llamafactory", "llamafactory.model", "llamafactory.model.model_utils", "llamafactory.hparams")
    bare("swift", "swift.pipelines", "swift.pipelines.train")
    own = ("swift.arguments", "swift.trainers", "swift.tuner_plugin", "swift.tuners", "swift.utils")
    # Its kernels are compiled when they are imported, by a newer Triton than may be there.
    sys.modules["nemo_automodel.components._peft.lora_kernel"] = MagicMock(name="lora_kernel")
    with stubs("bitsandbytes", "bitsandbytes.nn", "datasets", "posthog", *own):
        modules = {key: importlib.import_module(name) for key, name in names.items()}
    tuners = sys.modules["swift.tuners"] = MagicMock(LoraConfig=SwiftLoraConfig)  # imported by the function that is called
    tuners.Swift.prepare_model = peft.get_peft_model
    modules["swift_freeze"] = cut_out(
        Path(sys.modules["swift"].__path__[0]) / "utils" / "transformers_utils.py", "get_n_params_grads", "freeze_parameters",
        "activate_parameters", nn=torch.nn, nullcontext=contextlib.nullcontext, bisect_right=bisect.bisect_right,
        is_deepspeed_zero3_enabled=lambda: False,
    )
    modules["trl_peft"] = cut_out(
        package_dir("trl") / "trainer" / "utils.py", "get_peft_config", ModelConfig=None, LoraConfig=peft.LoraConfig,
        is_peft_available=lambda: True,
    )
    modules["unsloth"] = cut_out(
        package_dir("unsloth") / "models" / "_utils.py", "EMBEDDING_MODULES", "_embedding_leaf", "_redirect_embedding_targets",
        "is_moe_model", "_MOE_BROAD_MLP_TARGETS", "_moe_parameter_names", "_resolve_moe_parameter_name", "_moe_parameter_exists",
        "_moe_experts_reachable_by_module_name", "get_moe_target_modules", "get_moe_target_parameters",
    )
    modules["unsloth_layers"] = cut_out(package_dir("unsloth") / "models" / "vision.py", "_in_layers", "_target_parameters_in_layers")
    return types.SimpleNamespace(**modules)


# What each trainer makes of a configuration: the model with adapters, or with some of its parameters frozen.


def by_peft(code, model, configuration, folder):
    return peft.get_peft_model(model, peft.LoraConfig(**configuration))


def by_axolotl(code, model, configuration, folder):
    settings = code.dict.DictDefault(code.schema.LoraConfig(**configuration).model_dump())
    return peft.get_peft_model(model, code.adapter._build_peft_lora_config(model, settings))


def by_axolotl_full(code, model, configuration, folder):
    code.freeze.freeze_layers_except(model, configuration["unfrozen_parameters"])
    return model


def by_spectrum(code, model, configuration, folder):
    """The plugin looks for its file in the working folder, and on the network if it is not there."""
    code.spectrum.SpectrumPlugin.base_url = "http://localhost:9/"
    settings = {"base_model": folder.name, "spectrum_top_fraction": 0.5}
    with contextlib.chdir(folder):
        code.spectrum.SpectrumPlugin().pre_model_load(settings)
    return by_axolotl_full(code, model, settings, folder)


def by_llama_factory(code, model, configuration, folder):
    known = code.factory_arguments.FinetuningArguments.__dataclass_fields__
    arguments = code.factory_arguments.FinetuningArguments(**{k: v for k, v in configuration.items() if k in known})
    nothing = types.SimpleNamespace(adapter_name_or_path=None, resize_vocab=False, use_kt=False, use_unsloth=False)
    return code.factory._setup_lora_tuning(model.config, model, nothing, arguments, True, False)


def by_ms_swift(code, model, configuration, folder):
    defaults = dict(
        task_type="causal_lm", tuner_type="lora", tuner_backend="peft", use_swift_lora=False, modules_to_save=[], lora_dropout=0.05,
        lora_bias="none", use_rslora=False, use_dora=False, lorap_lr_ratio=None, init_weights=True, lora_dtype=None,
        target_parameters=None,
    )
    return code.swift.prepare_adapter(types.SimpleNamespace(**{**defaults, **configuration}), model)


def by_ms_swift_full(code, model, configuration, folder):
    code.swift_freeze.freeze_parameters(model, configuration["freeze_parameters_ratio"], [], None)
    code.swift_freeze.activate_parameters(model, [], configuration["trainable_parameters_regex"])
    return model


def by_llama_factory_full(code, model, configuration, folder):
    arguments = code.factory_arguments.FinetuningArguments(**configuration)
    code.factory._setup_freeze_tuning(model, arguments, True, False)
    return model


def by_trl(code, model, configuration, folder):
    return peft.get_peft_model(model, code.trl_peft.get_peft_config(code.trl.ModelConfig(**configuration)))


def by_nemo(code, model, configuration, folder):
    settings = configuration["peft"]
    assert settings.pop("_target_") == "nemo_automodel.components._peft.lora.PeftConfig"
    code.nemo.apply_lora_to_linear_modules(model, code.nemo.PeftConfig(**settings))
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, code.nemo.LinearLoRA)}
    return Taken({*adapted}, size(model), {module.scale for module in adapted.values()})


def by_nemo_full(code, model, configuration, folder):
    code.nemo_freeze.apply_parameter_freezing(model, configuration["freeze_config"])
    return model


def by_mlx(code, model, configuration, folder):
    """As `train_model` in its `lora.py` does it, on the files that the other trainers load with transformers."""
    config = json.loads((HERE / "models" / folder.name / "config.json").read_text())
    older = dict(num_experts=config.get("num_local_experts"), rope_theta=10000.0)  # keys of transformers 4
    model = code.mlx.load_model(HERE / "models" / folder.name, model_config=older)[0]
    model.freeze()
    code.mlx_tuner.linear_to_lora_layers(model, configuration["num_layers"], configuration["lora_parameters"])
    kinds = (code.mlx_lora.LoRALinear, code.mlx_lora.LoRASwitchLinear)
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    trainable = sum(p.size for _, p in code.mlx_tree.tree_flatten(model.trainable_parameters()))
    return Taken({*adapted}, trainable, {module.scale for module in adapted.values()})


def by_unsloth(code, model, configuration, folder):
    """As `FastLanguageModel.get_peft_model` does it."""
    configuration = dict(configuration)
    targets, saved, _ = code.unsloth._redirect_embedding_targets(configuration.pop("target_modules"), None)
    with contextlib.redirect_stdout(None):
        parameters = configuration.pop("target_parameters", None) or code.unsloth.get_moe_target_parameters(model, targets)
    layers = configuration.get("layers_to_transform")
    parameters = code.unsloth_layers._target_parameters_in_layers(model, parameters, layers)
    config = dict(configuration, target_modules=targets, modules_to_save=saved, target_parameters=parameters)
    return peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **config))


LORA = ("--rank", str(RANK), "--alpha", str(ALPHA))
TRAINERS = {
    "peft": (by_peft, LORA),
    "axolotl": (by_axolotl, LORA),
    "axolotl-full": (by_axolotl_full, ()),
    "spectrum": (by_spectrum, ()),
    "llama-factory": (by_llama_factory, LORA),
    "llama-factory-full": (by_llama_factory_full, ()),
    "ms-swift": (by_ms_swift, LORA),
    "ms-swift-full": (by_ms_swift_full, ()),
    "unsloth": (by_unsloth, LORA),
    "trl": (by_trl, LORA),
    "mlx-lm": (by_mlx, LORA),
    "nemo-automodel": (by_nemo, LORA),
    "nemo-automodel-full": (by_nemo_full, ()),
}
# What they train beyond what was chosen: Spectrum always the embedding and the head, and biases as its patterns have no end. Who
# unfreezes modules or blocks trains their biases too.
ADDED = {"spectrum": r"lm_head|model\.embed_tokens|.*\.bias", "llama-factory-full": r".*\.bias", "nemo-automodel-full": r".*\.bias"}
# Unsloth would train a head whole, so that it does not get one.
WITHOUT_HEAD = {"unsloth"}
# Who cannot be given parameters, and so no experts.
MODULES_ONLY = {"llama-factory", "unsloth", "nemo-automodel", "nemo-automodel-full"}


# What is chosen, and what is hit.


class Taken(typing.NamedTuple):
    """What a trainer that is not built on PEFT has made of a choice: the modules, their numbers, and what they are scaled by."""

    hit: set
    trainable: int
    scales: set


def size(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def short(parameter):
    return parameter.removesuffix(".weight")


def in_memory(record):
    targets = record.get("target", record["module"])
    return {short(t) for t in (targets if isinstance(targets, list) else [targets])}


def chosen(model, scan, top, options, trainer):
    """What the top-N file chose, and the head, unless it is the embedding."""
    found = set().union(*(in_memory(scan[name]) for names in top.values() for name in names))
    if "--no-head" in options or trainer in WITHOUT_HEAD or model.config.get_text_config().tie_word_embeddings:
        return found
    return found | {name for name, module in model.named_modules() if module is model.get_output_embeddings()}


def chosen_by_spectrum(scan, top, options, folder):
    """The better half of every type, rounded down, of Spectrum's file; which must hold all that the scan has of these types."""
    slug = folder.name.replace("/", "-").replace("_", "-")
    snrs = json.loads((folder / "model_snr_results" / f"snr_results_{slug}.json").read_text())
    types = set(top) if "--types" in options else {record["type"] for record in scan.values()}
    for record in (record for record in scan.values() if record["type"] in types):
        if not record.get("target_is_parameter") and not record.get("part_of"):
            for name in in_memory(record):
                wanted = {"snr": math.inf if record["snr"] is None else record["snr"], "type": record["type"]}
                assert snrs.get(name) == wanted, f"{name} in Spectrum's file is {snrs.get(name)}, not {wanted}"
    kinds = {}
    for name, entry in sorted(snrs.items(), key=lambda item: -item[1]["snr"]):
        kinds.setdefault(entry["type"], []).append(short(name))
    return {name for names in kinds.values() for name in names[: len(names) // 2]}


def hit(model):
    """Modules with an adapter; of a model without adapters, those whose parameters are trained."""
    if isinstance(model, Taken):
        return model.hit
    if not isinstance(model, peft.PeftModel):
        return {short(n) for n, p in model.named_parameters() if p.requires_grad}
    found = set()
    for name, module in model.base_model.model.named_modules():
        name = name.replace(".base_layer", "")
        if isinstance(module, ParamWrapper):
            found.add(short(f"{name}.{module.parameter_name}"))
        elif isinstance(module, (LoraLayer, ModulesToSaveWrapper)):
            found.add(name)
    return found


def scales(model):
    """The factors that the adapters' products are multiplied with: alpha by rank."""
    if isinstance(model, Taken):
        return model.scales
    return {scale for module in model.modules() if isinstance(module, LoraLayer) for scale in module.scaling.values()}


def in_mlx(name):
    """What mlx-lm calls a module on disk: all experts of a layer are one."""
    name = re.sub(r"\.experts\.(\d+\.)?", ".switch_mlp.", name)
    return re.sub(r"(?<=switch_mlp\.)w[123]$", lambda leaf: dict(w1="gate_proj", w2="down_proj", w3="up_proj")[leaf[0]], name)


def adapters_size(model, names):
    """How many numbers adapters of the asked rank have: per matrix, that many rows and columns."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = {n: parameters.get(n, parameters.get(n + ".weight")) for n in names}
    if any(p is None for p in found.values()):
        return None  # another program's modules
    shapes = [p.shape for p in found.values()]
    return sum(math.prod(s[:-2]) * RANK * (s[-2] + s[-1]) for s in shapes)


# The checks.


def call(binary, *arguments):
    """What the binary printed, and what it said if it refused."""
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    refused = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode != 0) == bool(refused), done.stderr
    return done.stdout, refused[0] if refused else None


def scanned(binary, name, options, folder):
    call(binary, "--model", HERE / "models" / name, "--output-dir", folder, "-q", *options)
    return [json.loads((folder / f"laser_scan_{name}{ending}.json").read_text()) for ending in ("", "_top_snr")]


def refusal_is_right(scan, top, options, trainer):
    """Whether experts that are one parameter were chosen one by one, or for a trainer that takes no parameters."""
    if trainer == "llama-factory-full":
        return "--layers" not in options  # it freezes all but whole blocks of the first or last layers
    if trainer == "mlx-lm" and "llava" in options:
        return True  # its names of multimodal models are its own
    parameters = [n for names in top.values() for n in names if scan[n].get("target_is_parameter")]
    return bool(parameters) and (trainer in MODULES_ONLY or "--pool-experts" not in options)


def check(code, binary, name, options, on_scan, trainer, scan, top, folder):
    """One case of the golden file, and what is wrong with it."""
    run, own = TRAINERS[trainer]
    arguments = [trainer, "--top-n", str(TOP_N), *own, *(o for o in options if o not in SCAN_ONLY)]
    file = folder / f"laser_scan_{name}.json"
    output, refused = call(binary, "export", trainer, file, *arguments[1:], "-q")
    case = dict(model=name, scan=on_scan, arguments=arguments)
    if refused:
        wrong = [] if refusal_is_right(scan, top, (*options, name), trainer) else [f"refused: {refused}"]
        return dict(case, refused=refused), wrong
    if trainer == "spectrum":
        call(binary, "export", trainer, file, *arguments[1:], "-q", "--output-dir", folder)
    model = load(name)
    wanted = chosen_by_spectrum(scan, top, options, folder) if trainer == "spectrum" else chosen(model, scan, top, options, trainer)
    if trainer == "mlx-lm":
        is_pool = lambda record: record.get("target_is_parameter") and record.get("target", record["module"]) == record["module"]
        members = (record["module"] for record in scan.values() if in_memory(record) <= wanted and not is_pool(record))
        wanted = {in_mlx(name) for name in members} | (wanted & {"lm_head"})
    numbers = adapters_size(model, wanted)
    configuration = yaml.safe_load(output)
    model = run(code, model, configuration, folder)
    found, trainable = hit(model), model.trainable if isinstance(model, Taken) else size(model)
    has_adapters = isinstance(model, (peft.PeftModel, Taken))
    extra, missing = sorted(found - wanted), sorted(wanted - found)
    wrong = [f"not chosen, but trained: {n}" for n in extra if not re.fullmatch(ADDED.get(trainer, "$^"), n)]
    wrong += [f"chosen, but not trained: {n}" for n in missing]
    if trainer == "spectrum":  # what it printed is Spectrum's own list, which trains the input embedding with the head
        listed = hit(by_axolotl_full(code, load(name), configuration, folder)) - {"model.embed_tokens", "model.language_model.embed_tokens"}
        wrong += [f"by the list: {n}" for n in listed ^ chosen(load(name), scan, top, options, trainer)]
    if found == wanted and has_adapters and numbers not in (None, trainable):
        wrong.append(f"{trainable} numbers are trained, not {numbers}")
    if has_adapters and scales(model) != {ALPHA / RANK}:
        wrong.append(f"scaled by {scales(model)}, not by {ALPHA / RANK}")
    return dict(case, output=output, hit=sorted(found), extra=extra, trainable=trainable), wrong


def check_ranks(binary):
    """That PEFT gives each module and each parameter the rank that its shape allows, all scaled alike."""
    name, options = "qwen3_moe", POOLED
    with tempfile.TemporaryDirectory() as root:
        scanned(binary, name, ("--top-n", str(TOP_N), *options), Path(root))
        arguments = ("--match-rank", "24", "--no-head", "--top-n", "1", *options)
        output, _ = call(binary, "export", "peft", Path(root) / f"laser_scan_{name}.json", *arguments, "-q")
    configuration = json.loads(output)
    model = peft.get_peft_model(load(name), peft.LoraConfig(**configuration))
    adapted = [module for module in model.modules() if isinstance(module, LoraLayer)]
    shape = lambda module: (module.get_param() if isinstance(module, ParamWrapper) else module.get_base_layer().weight).shape[-2:]
    wrong = [f"{shape(module)} has rank {module.r['default']}" for module in adapted if module.r["default"] > min(shape(module))]
    if len(scales(model)) != 1:
        wrong.append(f"scaled by {scales(model)}")
    lower = [module for module in adapted if isinstance(module, ParamWrapper) and module.r["default"] < configuration["r"]]
    print(name, "ranks in PEFT", "wrong" if wrong or not lower else "ok", flush=True)
    return wrong + ([] if lower else ["no parameter has a rank of its own"])


def verify(binary):
    code = import_trainers()
    cases, wrong = [], check_ranks(binary)
    for name, options in ((name, options) for name, model in MODELS.items() for options in model[-1]):
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / name
            on_scan = ("--top-n", str(TOP_N), *(o for o in options if o not in EXPORT_ONLY))
            scan, top = scanned(binary, name, on_scan, folder)
            for trainer in TRAINERS:
                if (name, trainer) == ("llava", "unsloth") or (options[:1], trainer) == (("--layers",), "spectrum"):
                    continue  # the one has patterns of its own for multimodal models, the other has no choice of layers
                try:
                    case, faults = check(code, binary, name, options, on_scan, trainer, scan, top, folder)
                    cases.append(case)
                except Exception as error:
                    faults = [f"{type(error).__name__}: {error}"]
                print(name, *options, trainer, "wrong" if faults else "ok", flush=True)
                wrong += [f"{' '.join((name, *options, trainer))}: {fault}" for fault in faults]
    if wrong:
        raise SystemExit("\n".join(wrong))
    versions = json.dumps({package: version(package) for package in PACKAGES})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / "golden.json").write_text(f'{{"versions": {versions},\n"cases": [\n{lines}\n]}}\n')


def main():
    parser = argparse.ArgumentParser(description="Proves the exports on the trainers' own code; see the top of this file.")
    parser.add_argument("run", choices=["make", "verify"])
    parser.add_argument("--binary", default="target/release/laser-scan", help="laser-scan (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ["LLAMAFACTORY_VERBOSITY"] = "ERROR"
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if arguments.run == "make":
        make()
    else:
        verify(os.path.abspath(arguments.binary))


if __name__ == "__main__":
    main()
