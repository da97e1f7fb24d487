#!/usr/bin/env python3
"""Proves on the trainers' own code that what `laser-scan export` writes trains exactly the chosen modules.

    python verify_trainers.py make          # writes the tiny models in `models/`, next to this script
    python verify_trainers.py verify        # scans, exports and feeds the trainers; writes `golden.json`, or says what is wrong

Scan and export are the binary's (`--binary`, default `target/release/laser-scan`). What the trainers make of the result is in
the golden file, with their versions, so that `cargo test` needs no Python: it scans and exports the same models and compares.

Nothing of the trainers is rewritten here: each configuration goes through the functions that read it in a real run. Of Unsloth,
which does not import without a GPU, those that decide on the targets are cut out of its files. Heavy packages that none of
them calls are stubbed. Python 3.11, no GPU, and no network once the packages are there:

    pip install torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 pyyaml==6.0.4 \\
        requests==2.34.2 addict==2.4.0
    pip install --no-deps axolotl==0.19.0 llamafactory==0.9.5 ms-swift==4.6.0 unsloth==2026.10.9

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

import peft
import torch
import transformers
import yaml
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.utils import ModulesToSaveWrapper

HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "transformers", "peft", "axolotl", "llamafactory", "ms-swift", "unsloth")
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
    "llama": ("LlamaForCausalLM", "LlamaConfig", dict(DECODER, num_hidden_layers=12), [(), ("--no-head",)]),
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


def cut_out(file, *names):
    """Top-level functions and constants of a file that cannot be imported."""
    tree = ast.parse(file.read_text())
    tree.body = [n for n in tree.body if {getattr(n, "name", ""), *(getattr(t, "id", "") for t in getattr(n, "targets", ()))} & {*names}]
    namespace = dict(vars(typing), re=re, logger=MagicMock())
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
    )
    bare("llamafactory", "llamafactory.model", "llamafactory.model.model_utils", "llamafactory.hparams")
    bare("swift", "swift.pipelines", "swift.pipelines.train")
    own = ("swift.arguments", "swift.trainers", "swift.tuner_plugin", "swift.tuners", "swift.utils")
    with stubs("bitsandbytes", "bitsandbytes.nn", "datasets", "posthog", "trl", *own):
        modules = {key: importlib.import_module(name) for key, name in names.items()}
    tuners = sys.modules["swift.tuners"] = MagicMock(LoraConfig=SwiftLoraConfig)  # imported by the function that is called
    tuners.Swift.prepare_model = peft.get_peft_model
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
    "ms-swift": (by_ms_swift, LORA),
    "unsloth": (by_unsloth, LORA),
}
# What they train beyond what was chosen: Spectrum always the embedding and the head, and biases as its patterns have no end;
# Unsloth all modules of the chosen names in any chosen layer.
ADDED = {"spectrum": r"lm_head|model\.embed_tokens|.*\.bias", "unsloth": ".*"}
# Unsloth would train a head whole, so that it does not get one.
WITHOUT_HEAD = {"unsloth"}
# Who cannot be given parameters, and so no experts.
MODULES_ONLY = {"llama-factory", "unsloth"}


# What is chosen, and what is hit.


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
    return {scale for module in model.modules() if isinstance(module, LoraLayer) for scale in module.scaling.values()}


def adapters_size(model, names):
    """How many numbers adapters of the asked rank have: per matrix, that many rows and columns."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    shapes = [parameters.get(n, parameters.get(n + ".weight")).shape for n in names]
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
        wrong = [] if refusal_is_right(scan, top, options, trainer) else [f"refused: {refused}"]
        return dict(case, refused=refused), wrong
    if trainer == "spectrum":
        call(binary, "export", trainer, file, *arguments[1:], "-q", "--output-dir", folder)
    model = load(name)
    wanted = chosen_by_spectrum(scan, top, options, folder) if trainer == "spectrum" else chosen(model, scan, top, options, trainer)
    size = adapters_size(model, wanted)
    configuration = yaml.safe_load(output)
    model = run(code, model, configuration, folder)
    found, trainable = hit(model), sum(p.numel() for p in model.parameters() if p.requires_grad)
    extra, missing = sorted(found - wanted), sorted(wanted - found)
    wrong = [f"not chosen, but trained: {n}" for n in extra if not re.fullmatch(ADDED.get(trainer, "$^"), n)]
    wrong += [f"chosen, but not trained: {n}" for n in missing]
    if trainer == "spectrum":  # what it printed is Spectrum's own list, which trains the input embedding with the head
        listed = hit(by_axolotl_full(code, load(name), configuration, folder)) - {"model.embed_tokens", "model.language_model.embed_tokens"}
        wrong += [f"by the list: {n}" for n in listed ^ chosen(load(name), scan, top, options, trainer)]
    if found == wanted and isinstance(model, peft.PeftModel) and trainable != size:
        wrong.append(f"{trainable} numbers are trained, not {size}")
    if isinstance(model, peft.PeftModel) and scales(model) != {ALPHA / RANK}:
        wrong.append(f"scaled by {scales(model)}, not by {ALPHA / RANK}")
    return dict(case, output=output, hit=sorted(found), extra=extra, trainable=trainable), wrong


def verify(binary):
    code = import_trainers()
    cases, wrong = [], []
    for name, options in ((name, options) for name, model in MODELS.items() for options in model[-1]):
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / name
            on_scan = ("--top-n", str(TOP_N), *(o for o in options if o not in EXPORT_ONLY))
            scan, top = scanned(binary, name, on_scan, folder)
            for trainer in TRAINERS:
                if (name, trainer) == ("llava", "unsloth"):
                    continue  # it turns the names into patterns of its own for multimodal models
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
