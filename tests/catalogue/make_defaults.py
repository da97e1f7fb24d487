#!/usr/bin/env python3
"""Makes `src/modules/architectures/defaults.rs`: what transformers takes for granted where a `config.json` does not say.

transformers leaves keys out of `config.json` whose value is the default of the model's configuration class, so that a
missing key means that default. The classes alone are asked, so that neither torch nor a network is needed:

    pip install transformers==4.57.3       # in a first environment
    python make_defaults.py ask 4.json
    pip install transformers==5.23.0       # in a second one
    python make_defaults.py ask 5.json
    python make_defaults.py write 4.json 5.json && cargo fmt

Version 5 decides where both know an architecture, 4.57 about those that version 5 has dropped. Where they differ, a model
whose weights are there in full tells by itself whether its head is stored.
"""
import inspect
import json
import sys
import textwrap
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "src" / "modules" / "architectures" / "defaults.rs"

# Architectures that have fused weights divided, or experts counted, by numbers of the configuration (the rows beside it).
DIVIDED = (
    "bloom dbrx falcon fuyu gpt_bigcode gpt_neox gpt_neox_japanese granitemoehybrid mamba2 minimax nemotron_h persimmon phi3 "
    "phi4_multimodal qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next"
).split()

# The keys that are read for that (`fused.rs`).
KEYS = (
    "attn_config.kv_n_heads ffn_config.moe_num_experts head_dim linear_key_head_dim linear_num_key_heads linear_num_value_heads "
    "linear_value_head_dim mamba_d_head mamba_d_state mamba_head_dim mamba_n_groups mamba_n_heads mamba_num_heads multi_query "
    "n_groups n_head n_heads new_decoder_architecture num_attention_heads num_heads num_key_value_heads num_kv_heads "
    "ssm_state_size state_size"
).split()

FUNCTIONS = """\
/// Whether the head of this architecture shares the embedding's weight; `None` if it is not known.
pub fn ties_embeddings(model_type: &str) -> Option<bool> {
    let is_in = |types: &str| types.split_ascii_whitespace().any(|known| known == model_type);
    is_in(TIED).then_some(true).or_else(|| is_in(UNTIED).then_some(false))
}

/// The numbers that this architecture has, by their keys.
pub fn numbers(model_type: &str) -> &'static [(&'static str, usize)] {
    find(NUMBERS, model_type)
}

/// What this architecture sets to true or to false, by its keys.
pub fn flags(model_type: &str) -> &'static [(&'static str, bool)] {
    find(FLAGS, model_type)
}

/// What some architectures have under some keys.
type Table<T> = &'static [(&'static [&'static str], &'static [(&'static str, T)])];

fn find<T>(table: Table<T>, model_type: &str) -> &'static [(&'static str, T)] {
    table.iter().find(|(known, _)| known.contains(&model_type)).map_or(&[], |(_, pairs)| *pairs)
}
"""


def text_config(config):
    try:
        return config.get_text_config()
    except ValueError:  # several, none of which is the language model's alone
        return config


def ties(config):
    """The default of the language model, or of the model around it where that one has none."""
    for part in (text_config(config), config):
        if isinstance(getattr(part, "tie_word_embeddings", None), bool):
            return part.tie_word_embeddings
    return None


def default(config, key):
    """What the class takes for `key` before it derives one number from another."""
    *sections, leaf = key.split(".")
    for section in sections:
        config = getattr(config, section, None)
    if config is None:
        return None
    parameter = inspect.signature(type(config)).parameters.get(leaf)
    value = parameter.default if parameter else None
    return value if isinstance(value, (bool, int)) else None


def ask(path):
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    transformers.logging.set_verbosity_error()
    answers = {}
    for model_type in CONFIG_MAPPING_NAMES:
        try:
            config = CONFIG_MAPPING[model_type]()
        except Exception as error:  # composite classes that need their parts, or the network
            print(f"{model_type}: {error}".splitlines()[0], file=sys.stderr)
            continue
        text = text_config(config)
        known = {key: default(text, key) for key in KEYS} if model_type in DIVIDED else {}
        answers[model_type] = {
            "ties": ties(config),
            "numbers": {key: value for key, value in known.items() if value is not None},
        }
    answer = {"version": transformers.__version__, "classes": answers}
    Path(path).write_text(json.dumps(answer, indent=1, sort_keys=True))


def names(name, what, types):
    lines = textwrap.wrap(" ".join(sorted(types)), 110, break_long_words=False, break_on_hyphens=False)
    text = " \\\n    ".join(lines)
    return f'/// {what}\nconst {name}: &str = "\\\n    {text}";\n'


def table(name, kind, what, rows):
    alike = {}
    for model_type, pairs in rows:
        pairs = ", ".join(f'("{key}", {str(value).lower()})' for key, value in pairs)
        alike.setdefault(pairs, []).append(f'"{model_type}"')
    lines = [f"/// {what}", f"const {name}: Table<{kind}> = &["]
    lines += [f"    (&[{', '.join(types)}], &[{pairs}])," for pairs, types in alike.items()]
    return "\n".join(lines) + "\n];\n"


def write(four, five):
    four, five = (json.loads(Path(path).read_text()) for path in (four, five))
    classes = {**four["classes"], **five["classes"]}
    rows = sorted((model_type, answer["numbers"].items()) for model_type, answer in classes.items())
    of = lambda kind: [  # noqa: E731
        (model_type, chosen)
        for model_type, pairs in rows
        if (chosen := [(key, value) for key, value in pairs if type(value) is kind])
    ]
    head = f"""\
//! What transformers takes for granted where `config.json` does not say: the defaults of its configuration classes.
//!
//! Made by `tests/catalogue/make_defaults.py` from transformers {five["version"]}, and from {four["version"]} for what that version dropped.
"""
    parts = [
        head,
        FUNCTIONS,
        names("TIED", "Architectures whose head shares the embedding's weight.", [t for t, a in classes.items() if a["ties"] is True]),
        names("UNTIED", "Architectures whose head has a weight of its own.", [t for t, a in classes.items() if a["ties"] is False]),
        table("NUMBERS", "usize", "Numbers by which fused weights are divided and experts counted.", of(int)),
        table("FLAGS", "bool", "What is true or false of how fused weights are divided.", of(bool)),
    ]
    TARGET.write_text("\n".join(parts))


if __name__ == "__main__":
    {"ask": ask, "write": write}[sys.argv[1]](*sys.argv[2:])
