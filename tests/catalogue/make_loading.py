#!/usr/bin/env python3
"""Makes the tables of what transformers and diffusers load: `src/modules/loading/*.json`.

    pip install torch==2.15.* torchvision timm transformers==5.24.0 diffusers==0.42.1
    python make_loading.py              # writes transformers5.json and diffusers.json
    python make_loading.py --check      # fails if those files are not what this writes

    pip install transformers==4.57.6    # in a second environment, without diffusers
    python make_loading.py              # writes transformers4.json

No network is needed and no weights are made: every class is built with its default configuration on the device `meta`,
and the rules by which names on disk become names in memory are those that the library itself would apply.

What the files hold:

    made        the library and its version
    rules       (version 5) for a model_type or a class, the rules of `transformers/conversion_mapping.py` as they are after the
                library has prepared them for use, or the name of an earlier entry with the same rules. `from` are regular
                expressions, `to` what they become. `do` is `rename` (the default), `group` (a rename that waits for its first
                pattern), `pair` (blocks of attention and of a gated unit in turn become layers), `offset` (the captured number
                grows by `by`), or the operation that makes one parameter of several or several of one
    classes     every model class: `type` (its model_type), `prefix` (of its base model), `rules` (version 4: its own), `models`
                (the models within it: path, class, and, if a section of the configuration may put another class in its place,
                that section and the kind of class), and its own `parameters` of two or more dimensions by kind. Numbers in names
                are stars, unless parameters that differ only in numbers are of different kinds. A class with `like` is built
                like another one.
    peft        (version 5) the types whose names of experts PEFT rewrites in a list of modules, with its scheme
    types       for a model_type, the class by kind: `any` is what a file without `architectures` most likely holds, `base` the
                bare model, `text` the model for causal language modelling, `backbone` the feature extractor

Kinds of parameters: `linear` (also Conv1D), `convolution`, `embedding`, `attention` (the fused projections of
nn.MultiheadAttention), `experts` (stacks of matrices), `router` (a matrix that chooses experts and is no linear module), `other`
(all others). `vectors` are the first segments of names that only parameters of one dimension have.
"""
import argparse
import importlib
import inspect
import json
import os
import pkgutil
import re
import signal
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.pytorch_utils import Conv1D

FOLDER = Path(__file__).resolve().parents[2] / "src/modules/loading"
FIVE = transformers.__version__.startswith("5.")
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
KINDS = ("linear", "convolution", "embedding", "attention", "experts", "router", "other")

# In this order, the class that a configuration without `architectures` most likely means.
TASKS = """
    IMAGE_TEXT_TO_TEXT MULTIMODAL_LM SEQ_TO_SEQ_CAUSAL_LM SPEECH_SEQ_2_SEQ CAUSAL_LM CTC MASKED_LM OBJECT_DETECTION
    UNIVERSAL_SEGMENTATION SEMANTIC_SEGMENTATION MASK_GENERATION DEPTH_ESTIMATION IMAGE_CLASSIFICATION
    ZERO_SHOT_IMAGE_CLASSIFICATION VIDEO_CLASSIFICATION AUDIO_CLASSIFICATION PRETRAINING
""".split()


def star(name):
    return re.sub(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)", "*", name)


def without_weight(name):
    return name.removesuffix(".weight")


def kind(module, attribute, parameter, name):
    """What a parameter is for."""
    holder = type(module).__name__.lower()
    if attribute == "weight" and isinstance(module, (nn.Linear, Conv1D)):
        return "linear"
    if attribute == "weight" and isinstance(module, CONVOLUTIONS):
        return "convolution"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, nn.MultiheadAttention) and "in_proj" in attribute:
        return "attention"
    if parameter.ndim == 3 and re.search("expert|moe", f"{holder} {name.lower()}"):
        return "experts"
    if parameter.ndim == 2 and attribute == "weight" and re.search("router|gate|topk", holder):
        return "router"
    return "other"


def parameters(model, inner):
    """A model's own parameters of two or more dimensions by kind, and the first segments of the rest."""
    kinds, vectors = {}, set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if any(name.startswith(f"{path}.") for path in inner):
            continue
        if parameter.ndim < 2:
            vectors.add(name.split(".")[0])
            continue
        path, _, attribute = name.rpartition(".")
        kinds[name] = kind(model.get_submodule(path), attribute, parameter, name)
    starred = {}
    for name, what in kinds.items():
        starred.setdefault(star(name), set()).add(what)
    found = {}
    for name, what in kinds.items():
        pattern = star(name) if len(starred[star(name)]) == 1 else name
        found.setdefault(what, {})[pattern] = None
    firsts = {name.split(".")[0] for name in kinds} | {path.split(".")[0] for path in inner}
    result = {"parameters": {what: grouped(found[what]) for what in KINDS if what in found}}
    if vectors - firsts:
        result["vectors"] = sorted(vectors - firsts)
    return result


def grouped(names):
    """Names by their path: {path: last segments}. Where a module's parameter is not called `weight`, that segment has `!`."""
    by_path = {}
    for name in names:
        name = without_weight(name) if name.endswith(".weight") else f"{name}!"
        path, _, leaf = name.rpartition(".")
        by_path.setdefault(path, set()).add(leaf)
    return {path: " ".join(sorted(leaves)) for path, leaves in sorted(by_path.items())}


def auto_classes(task):
    """{model_type: names of classes} of one of transformers' tables."""
    table = getattr(modeling_auto, f"MODEL_{task}MAPPING_NAMES", {})
    return {key: value if isinstance(value, (tuple, list)) else (value,) for key, value in table.items()}


BASE, TEXT, BACKBONE = auto_classes(""), auto_classes("FOR_CAUSAL_LM_"), auto_classes("FOR_BACKBONE_") or auto_classes("BACKBONE_")


def auto_kind(class_name):
    for what, table in (("base", BASE), ("text", TEXT), ("backbone", BACKBONE)):
        if any(class_name in names for names in table.values()):
            return what
    return None


def section_of(model, inner):
    """The section of the configuration that decides which class a model within another has."""
    sections = getattr(model.config, "sub_configs", {})
    free = [key for key, config in sections.items() if config.__name__ == "AutoConfig"]
    same = [key for key in free if getattr(getattr(model.config, key, None), "model_type", "") == inner.config.model_type]
    return same[0] if same else None


def models_within(model):
    """The outermost models within a model, by path."""
    found = {}
    for path, module in model.named_modules():
        if path and isinstance(module, PreTrainedModel) and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = module
    return found


def description(model, within):
    """What a model is built of. `within` collects the same of the models in it, as some cannot be built by themselves."""
    inner = models_within(model)
    for module in inner.values():
        if type(module).__name__ not in within:
            within[type(module).__name__] = description(module, within)
    models = {}
    for path, module in inner.items():
        name, section = type(module).__name__, section_of(model, module)
        which = [section, auto_kind(name)] if section and auto_kind(name) else []
        models.setdefault(star(path), [star(path), name, *which])
    result = {"type": model.config.model_type, "prefix": model.base_model_prefix}
    if models:
        result["models"] = list(models.values())
    result.update(parameters(model, inner))
    return result


class Slow(Exception):
    pass


def too_slow(*_):
    raise Slow


def built(cls, *attempts):
    """The model on the device `meta` by the first attempt that succeeds, or None if it cannot be built by itself."""
    for make in attempts:
        signal.alarm(60)
        try:
            with torch.device("meta"):
                return make(cls)
        except (Exception, Slow) as error:
            reason = f"{type(error).__name__}: {str(error)[:400]}"
        finally:
            signal.alarm(0)
    print(f"not built: {cls.__name__}: {reason}", file=sys.stderr)
    return None


# What some configurations leave open and their models need, beside what AMENDED has for a single model_type.
OPEN = dict(
    head_dim=64, prediction_length=4, vocab_size=128, hidden_size=256, intermediate_size=512, n_routed_experts=4, num_experts=4,
    num_experts_per_tok=2, moe_intermediate_size=64, shared_expert_intermediate_size=64, global_head_dim=64, dropout_rate=0.0,
    rms_norm_eps=1e-6, num_global_key_value_heads=2, n_group=1, topk_group=1, first_k_dense_replace=1, n_shared_experts=1,
)
SERIES = {"prediction_length": 4}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
MROPE = ROPE | {"mrope_section": [24, 20, 20]}
QSA = dict(
    indexer_n_heads=4, indexer_kv_heads=1, indexer_head_dim=16, indexer_budget=32, indexer_compress_ratio=4, ngram_vocab_size_base=320,
    split_ngram_parts=2, make_ngram_vocab_size_divisible_by=8, ple_layer_ids=[1], ple_embed_dim=64, heads_per_ngram=4, eos_token_id=2,
    hc_lowrank=16,
)
AMENDED = {
    "autoformer": SERIES,
    "aya_vision": {"vision_config.num_attention_heads": 16},
    "beit": {"out_indices": [3, 5, 7, 11]},
    "bridgetower": {"contrastive_hidden_size": 64, "logit_scale_init_value": 2.6},
    "chameleon": {"vocabulary_map": {"<image>": 1}},
    "convnext": {"depths": [3, 3, 9, 3]},
    "convnextv2": {"depths": [3, 3, 9, 3]},
    "dbrx": {"attn_config.rope_theta": 10000.0},
    "deepseek_ocr2": {"text_config.mlp_layer_types": ["dense"] + ["sparse"] * 47},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense"] + ["sparse"] * 47},
    "emu3": {"vocabulary_map": {"<image>": 1}},
    "focalnet": {"depths": [2, 2, 6, 2]},
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}},
    "granite4_vision": {"deepstack_layer_map": [[0, 0], [1, 1]], "downsample_rate": "1/2"},
    "hiera": {"decoder_hidden_size": 64, "decoder_depth": 2, "decoder_num_heads": 2},
    "informer": SERIES,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "moonshine_streaming": {"num_key_value_heads": 8},
        "mllama": {"text_config.rope_scaling": ROPE},
    "mllama_text_model": {"rope_scaling": ROPE},
    "qwen3_omni_moe": {
        "talker_config.text_config.shared_expert_intermediate_size": 64, "talker_config.spatial_merge_size": 2,
        "talker_config.text_config.rope_scaling": MROPE, "thinker_config.text_config.rope_scaling": MROPE,
    },
    "qwen3_omni_moe_thinker": {"text_config.rope_scaling": MROPE},
    "qwen3_omni_moe_text": {"rope_scaling": MROPE},
    "qwen4_exp": {f"text_config.{key}": value for key, value in QSA.items()},
    "qwen4_exp_text": QSA | {"indexer_head_dim": 256},
    "reformer": {"is_decoder": True},
    "t5gemma2": {"encoder.text_config.dropout_rate": 0.0, "decoder.dropout_rate": 0.0},
    "t5gemma2_decoder": {"dropout_rate": 0.0},
    "t5gemma2_encoder": {"text_config.dropout_rate": 0.0},
    "t5gemma2_text": {"dropout_rate": 0.0},
    "time_series_transformer": SERIES,
    "vilt": {"num_images": 2},
    "wav2vec2-bert": {"vocab_size": 128},
    "wav2vec2-conformer": {"vocab_size": 128},
}


def set_open(config, seen=()):
    """Fills in what a configuration and its sections leave open."""
    heads = getattr(config, "num_attention_heads", None)
    for key, value in (OPEN | {"num_key_value_heads": heads}).items():
        try:
            is_open = hasattr(config, key) and getattr(config, key) is None and value is not None
        except Exception:  # what may differ from layer to layer cannot be asked for as a whole
            continue
        if is_open:
            setattr(config, key, value)
    for section in vars(config).values():
        if isinstance(section, transformers.PretrainedConfig) and section not in seen:
            set_open(section, (*seen, config))


def amended(cls):
    amendments = AMENDED.get(cls.config_class.model_type, {})
    config = cls.config_class(**{key: value for key, value in amendments.items() if "." not in key})
    set_open(config)
    for path, value in amendments.items():
        *sections, key = path.split(".")
        holder = config
        for section in sections:
            holder = getattr(holder, section)
        if sections or not isinstance(value, dict):
            setattr(holder, key, value)
    return cls(config)


def transformers_classes():
    import transformers.models as package

    for folder in pkgutil.iter_modules(package.__path__):
        for file in sorted(Path(package.__path__[0], folder.name).glob("modeling_*.py")):
            if file.stem.startswith(("modeling_tf_", "modeling_flax_")):
                continue
            try:
                module = importlib.import_module(f"transformers.models.{folder.name}.{file.stem}")
            except ImportError as error:
                print(f"not imported: {file.stem}: {error}", file=sys.stderr)
                continue
            for name, cls in sorted(vars(module).items()):
                is_model = inspect.isclass(cls) and issubclass(cls, PreTrainedModel) and cls.__module__ == module.__name__
                if is_model and not name.endswith("PreTrainedModel") and getattr(cls, "config_class", None):
                    yield cls


def like(classes):
    """Replaces what a class has in common with an earlier one by its name."""
    seen = {}
    for name, entry in classes.items():
        body = json.dumps({key: value for key, value in entry.items() if key not in ("type", "prefix", "rules")}, sort_keys=True)
        if body in seen and len(body) > 40:
            classes[name] = {key: entry[key] for key in ("type", "prefix", "rules") if key in entry} | {"like": seen[body]}
        else:
            seen.setdefault(body, name)
    return classes


def types():
    """The classes of every model_type by kind."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    others = (re.fullmatch(r"MODEL_(.*)MAPPING_NAMES", name) for name in sorted(vars(modeling_auto)))
    tasks = [auto_classes(f"FOR_{task}_") for task in TASKS] + [auto_classes(name[1]) for name in others if name and name[1]]
    tasks = [task for task in tasks if task != BACKBONE] + [BASE, BACKBONE]
    found = {}
    for model_type in CONFIG_MAPPING_NAMES:
        entry = {}
        for key, tables in (("any", tasks), ("base", [BASE]), ("text", [TEXT]), ("backbone", [BACKBONE])):
            name = next((table[model_type][0] for table in tables if model_type in table), None)
            if name and (key == "any" or name != entry.get("any")):
                entry[key] = name
        if entry:
            found[model_type] = entry
    return found


# -------------------------------------------------------------------------------------------------------- rules of version 5


def rule(transform):
    """A rule of transformers as data. The patterns are those that the library searches for and puts in their place."""
    entry = {"from": list(transform.source_patterns), "to": list(transform.target_patterns)}
    name = type(transform).__name__
    if hasattr(transform, "operations"):
        entry["do"] = operation([type(one).__name__ for one in transform.operations])
    elif name == "GroupWeightRename":
        entry["do"] = "group"
    elif name == "LayerPairCollapse":
        entry["do"] = "pair"
    elif hasattr(transform, "offset"):
        entry["do"], entry["by"] = "offset", transform.offset
    elif name not in ("WeightRenaming", "PrefixChange"):
        raise SystemExit(f"a rule of a new kind: {name}")
    return entry


def operation(names):
    if "ErnieFuseAndSplitTextVisionExperts" in names:
        return "halve"
    if "Chunk" in names or "Split" in names:
        return "divide"
    return "merge"


def rules():
    from transformers import conversion_mapping

    mapping = conversion_mapping._build_checkpoint_conversion_mapping()
    found, seen = {}, {}
    for name, transforms in sorted(mapping.items()):
        own = [rule(transform) for transform in transforms]
        found[name] = seen.setdefault(json.dumps(own), name)
        if found[name] == name:
            found[name] = own
    return found


def peft_schemes():
    """The types whose experts PEFT rewrites (`peft/utils/transformers_weight_conversion.py`), and by which scheme."""
    from transformers.conversion_mapping import _MODEL_TO_CONVERSION_PATTERN as patterns

    return {name: scheme for name, scheme in sorted(patterns.items()) if scheme in ("mixtral", "qwen2_moe")} | {"mixtral": "mixtral"}


# -------------------------------------------------------------------------------------------------------- rules of version 4


def rules_of_four(cls):
    """The renames that version 4 applies: only to classes on its own list."""
    from transformers.modeling_utils import VLMS

    mapping = getattr(cls, "_checkpoint_conversion_mapping", {})
    if not any(name in one.__name__.lower() for one in cls.__mro__[:-1] for name in VLMS):
        return []
    return [{"from": [source], "to": [target]} for source, target in mapping.items()]


# ---------------------------------------------------------------------------------------------------------------- diffusers


def diffusers_classes():
    import diffusers
    from diffusers.models.modeling_utils import ModelMixin

    for folder in ("autoencoders", "controlnets", "transformers", "unets", "condition_embedders", ""):
        path = Path(diffusers.__file__).parent / "models" / folder
        for file in sorted(path.glob("*.py")):
            name = ".".join(filter(None, ["diffusers.models", folder, file.stem])).removesuffix(".__init__")
            try:
                module = importlib.import_module(name)
            except Exception as error:
                print(f"not imported: {name}: {error}", file=sys.stderr)
                continue
            for found, cls in sorted(vars(module).items()):
                if inspect.isclass(cls) and issubclass(cls, ModelMixin) and cls.__module__ == module.__name__:
                    yield cls


# Arguments that some classes of diffusers need.
USUAL = dict(
    in_channels=32, out_channels=32, patch_size=2, sample_size=8, num_layers=2, num_single_layers=2, attention_head_dim=8,
    num_attention_heads=4, caption_channels=[16, 16], text_emb_dim=16, num_routed_experts=4, num_activated_experts=2,
    axes_dims_rope=(4, 2, 2), max_resolution=(8, 8), llama_layers=[0, 1], cross_attention_dim=16, cross_attention_dim_t5=16,
    hidden_size=32, ffn_dim_multiplier=None, text_embed_dim=16, pooled_projection_dim=16, num_kv_heads=2, norm_eps=1e-5,
    caption_projection_dim=16, latent_channels=4, block_out_channels=(32, 32), layers_per_block=1, spatial_compression_ratio=2,
    conditioning_embedding_out_channels=(16, 32), rope_scaling={"short_factor": [1.0] * 4, "long_factor": [1.0] * 4},
    scaling_factor=1.0, time_embed_dim=16, text_embed_dim_t5=16, num_control_type=6, num_trans_channel=32, num_trans_head=4,
    num_trans_layer=1, num_proj_channel=32, control_layers_places=[0], control_refiner_layers_places=[0],
)


def with_usual(cls):
    wanted = inspect.signature(cls.__init__).parameters
    return cls(**{key: value for key, value in USUAL.items() if key in wanted and wanted[key].default in (None, inspect.Parameter.empty)})


def diffusers_table():
    import diffusers

    diffusers.logging.set_verbosity_error()
    classes = {}
    for cls in diffusers_classes():
        model = built(cls, lambda cls: cls(), with_usual)
        if model is not None:
            classes[cls.__name__] = {"type": cls.__name__, "prefix": ""} | parameters(model, {})
    return {"made": f"diffusers {diffusers.__version__}", "classes": like(dict(sorted(classes.items())))}


def transformers_table():
    classes, within = {}, {}
    for cls in transformers_classes():
        model = built(cls, lambda cls: cls(cls.config_class()), amended)
        if model is None:
            continue
        entry = description(model, within)
        if not FIVE and (own := rules_of_four(cls)):
            entry["rules"] = own
        classes[cls.__name__] = entry
    classes = within | classes
    table = {"made": f"transformers {transformers.__version__}"}
    if FIVE:
        table |= {"rules": rules(), "peft": peft_schemes()}
    return table | {"classes": like(dict(sorted(classes.items()))), "types": types()}


def text(table):
    """JSON with one line for each entry, so that changes can be read."""
    lines = []
    for key, value in table.items():
        if isinstance(value, dict):
            entries = [f"  {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}" for name, entry in value.items()]
            lines.append(f" {json.dumps(key)}: {{\n" + ",\n".join(entries) + "\n }")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, too_slow)
    tables = {f"transformers{5 if FIVE else 4}.json": transformers_table}
    if FIVE:
        tables["diffusers.json"] = diffusers_table
    for file, make in tables.items():
        made, path = text(make()), FOLDER / file
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made)
        elif json.loads(path.read_text())["made"] != json.loads(made)["made"]:
            print(f"{path.name} was made from another version than {json.loads(made)['made']}: not compared")
        elif path.read_text() != made:
            raise SystemExit(f"{path} is not what {Path(__file__).name} writes under {transformers.__version__}")


if __name__ == "__main__":
    main()
