#!/usr/bin/env python3
"""Proves on diffusers, PEFT and LyCORIS themselves that exports of diffusion models train exactly the chosen modules.

    pip install torch==2.15.0 diffusers==0.42.1 transformers==5.24.0 peft==0.21.2 lycoris-lora==4.1.3 einops toml
    python verify_diffusion.py          # --binary PATH, by default target/release/laser-scan

The models are those of `diffusion/`, made by diffusers' own classes. kohya's trainers have classes of their own, which are not on PyPI: in
their place stands a tree of linear modules and convolutions with the original names. The rules of trainers that are not on PyPI are
restated in `tests/cli/diffusion.rs`.
"""
import argparse
import json
import logging
import subprocess
import tempfile
import warnings
from pathlib import Path

import diffusers
import peft
import torch
import transformers
from lycoris import kohya, wrapper
from peft.tuners.lora.layer import LoraLayer

HERE = Path(__file__).resolve().parent
RANK, ALPHA = 4, 12


def family(name):
    """The class's configuration, and each module with its shape and its original name."""
    described = json.loads((HERE / "diffusion" / f"{name}.json").read_text())
    modules = {}
    for pattern, numbers, shape, original in described["modules"]:
        for number in range(numbers) if isinstance(numbers, int) else numbers:
            put = lambda text: text and text.replace("*", str(number), 1)
            # musubi-tuner, which trains Z-Image with presets, has the names of diffusers for it.
            modules[put(pattern)] = (shape, put(pattern if name == "z_image" and original else original))
    return described["config"], modules


def choice(name):
    if name in ("sd15", "sdxl"):
        return ["--top-n", "2"]
    return ["--top-percent", "100", "--layers", "7" if name in ("hunyuan_video", "z_image") else "1,7"]


def call(*arguments):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kohya(modules):
    """A model whose modules have the original names. Parts that are one module there are joined."""
    root, shapes = torch.nn.Module(), {}
    for shape, original in modules.values():
        if original:
            rows = shapes.get(original, [0])[0]
            shapes[original] = [rows + shape[0], *shape[1:]]
    for name, shape in shapes.items():
        *path, leaf = name.split(".")
        parent = root
        for segment in path:
            if not hasattr(parent, segment):
                parent.add_module(segment, torch.nn.Module())
            parent = getattr(parent, segment)
        kind = {2: torch.nn.Linear, 4: torch.nn.Conv2d, 5: torch.nn.Conv3d}[len(shape)]
        parent.add_module(leaf, kind(shape[1], shape[0], *((shape[2:],) if shape[2:] else ())))
    return root


def by_diffusers(export, model):
    model.add_adapter(peft.LoraConfig(**json.loads(export("diffusers"))))
    return {name for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def by_simpletuner(export, model):
    settings = json.loads(export("simpletuner"))
    config = peft.LoraConfig(r=settings["lora_rank"], lora_alpha=settings["lora_alpha"], target_modules=settings["peft_lora_target_modules"])
    model.add_adapter(config)
    return {name for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def by_lycoris_in_simpletuner(export, model):
    """As its `helpers/training/trainer.py` does it: the preset first, then the rest as arguments."""
    settings = json.loads(export("simpletuner-lycoris"))
    wrapper.LycorisNetwork.apply_preset(settings.pop("apply_preset"))
    network = wrapper.create_lycoris(model, **settings)
    return {lora.lora_name.removeprefix(f"{network.LORA_PREFIX}_") for lora in network.loras}


def by_lycoris(export, model, algorithm):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as preset:
        preset.write(export("lycoris"))
        preset.flush()
        kohya.LycorisNetworkKohya.NAME_ALGO_MAP = {}
        network = kohya.create_network(1.0, RANK, ALPHA, None, [torch.nn.Module()], model, preset=preset.name, algo=algorithm)
    assert not network.text_encoder_loras
    return {lora.lora_name.removeprefix("lora_unet_") for lora in network.unet_loras}


def check(binary, name):
    config, modules = family(name)
    with tempfile.TemporaryDirectory() as folder:
        make = lambda: getattr(diffusers, config["_class_name"]).from_config(config)
        torch.manual_seed(0)
        make().save_pretrained(f"{folder}/m")
        call(binary, "--model", f"{folder}/m", "--output-dir", folder, "-q", "--device", "cpu", *choice(name))
        top = json.loads(Path(f"{folder}/laser_scan_m_top_snr.json").read_text())
        chosen = {name for names in top.values() for name in names}
        scan = f"{folder}/laser_scan_m.json"
        export = lambda trainer: call(binary, "export", trainer, scan, *choice(name), "--rank", RANK, "--alpha", ALPHA, "-q")
        flat = lambda names: {name.replace(".", "_") for name in names}
        original = flat(modules[name][1] for name in chosen)
        runs = {
            "diffusers": (lambda: by_diffusers(export, make()), chosen),
            "simpletuner": (lambda: by_simpletuner(export, make()), chosen),
            "simpletuner-lycoris": (lambda: by_lycoris_in_simpletuner(export, make()), flat(chosen)),
        }
        runs |= {f"lycoris {a}": (lambda a=a: by_lycoris(export, of_kohya(modules), a), original) for a in ("lora", "lokr", "full")}
        wrong = []
        for trainer, (run, wanted) in runs.items():
            found = run()
            print(name, trainer, len(found), "ok" if found == wanted else "wrong", flush=True)
            wrong += [f"{name} {trainer}: {one}" for one in sorted(found ^ wanted)[:3]]
        return wrong


class WithModel(torch.nn.Module):
    """A text encoder as kohya's scripts have it, whose version of transformers has a model within the encoder."""

    def __init__(self, encoder):
        super().__init__()
        self.text_model = encoder


def check_pipeline(binary, name, encoders):
    """A choice in a U-Net and its text encoders, of which all have the same modules chosen."""
    config, modules = family(name)
    clip = transformers.CLIPTextConfig(vocab_size=99, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2)
    make = {"unet": lambda: getattr(diffusers, config["_class_name"]).from_config(config)}
    make |= {encoder: lambda: transformers.CLIPTextModel(clip) for encoder in encoders}
    classes = {component: type(of()) for component, of in make.items()}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        for component, of in make.items():
            of().save_pretrained(f"{folder}/p/{component}")
        index = {c: [own.__module__.split(".")[0], own.__name__] for c, own in classes.items()}
        Path(f"{folder}/p/model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **index}))
        types = ["--top-percent", "100", "--types", "unet.*attn1.to_q", "--types", "text_encoder*.self_attn.v_proj"]
        call(binary, "--model", f"{folder}/p", "--output-dir", folder, "-q", "--device", "cpu", *types)
        top = json.loads(Path(f"{folder}/laser_scan_p_top_snr.json").read_text())
        chosen = {c: {one.removeprefix(f"{c}.") for names in top.values() for one in names if one.startswith(f"{c}.")} for c in make}
        assert all(chosen.values()), chosen
        export = lambda trainer: call(binary, "export", trainer, f"{folder}/laser_scan_p.json", *types, "--rank", RANK, "--alpha", ALPHA, "-q")
        wrong = []
        for component, settings in json.loads(export("diffusers")).items():
            model = make[component]()
            # What `add_adapter` does, which transformers has for newer versions of PEFT only.
            peft.inject_adapter_in_model(peft.LoraConfig(**settings), model)
            found = {name for name, module in model.named_modules() if isinstance(module, LoraLayer)}
            print(name, "diffusers", component, len(found), "ok" if found == chosen[component] else "wrong", flush=True)
            wrong += [f"{name} {component}: {one}" for one in sorted(found ^ chosen[component])[:3]]
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as preset:
            preset.write(export("lycoris"))
            preset.flush()
            kohya.LycorisNetworkKohya.NAME_ALGO_MAP = {}
            loaded = [WithModel(make[encoder]()) for encoder in encoders]
            network = kohya.create_network(1.0, RANK, ALPHA, None, loaded, of_kohya(modules), preset=preset.name, algo="lora")
        found = {lora.lora_name for lora in network.unet_loras + network.text_encoder_loras}
        wanted = {"lora_unet_" + modules[one][1].replace(".", "_") for one in chosen["unet"]}
        for number, encoder in enumerate(encoders, 1):
            wanted |= {f"lora_te{number}_text_model_{one.replace('.', '_')}" for one in chosen[encoder]}
        print(name, "lycoris", len(found), "ok" if found == wanted else "wrong", flush=True)
        return wrong + [f"{name} lycoris: {one}" for one in sorted(found ^ wanted)[:3]]


def main():
    parser = argparse.ArgumentParser(description="Proves exports of diffusion models; see the top of this file.")
    parser.add_argument("--binary", default="target/release/laser-scan", help="laser-scan (default: %(default)s)")
    binary = Path(parser.parse_args().binary).resolve()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    wrong = [fault for file in sorted((HERE / "diffusion").glob("*.json")) for fault in check(binary, file.stem)]
    wrong += check_pipeline(binary, "sd15", ["text_encoder"]) + check_pipeline(binary, "sdxl", ["text_encoder", "text_encoder_2"])
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
