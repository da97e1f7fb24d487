//! Whether a file is one that an export wrote, so that the next one may take its place.
//!
//! A configuration that a person wrote holds more: the base model, the data, comments.

use serde_json::Value;

use super::ALL;

/// Whether a file with these bytes is empty, or holds nothing but what an export writes.
pub fn is_export(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let is_one = || {
        is_yaml(text)
            || is_object_of_keys(text)
            || is_line_of_options(text)
            || ALL.iter().any(|trainer| trainer.is_own_file(bytes))
    };
    // Spectrum's own results have the same form, but no line end, because Python's json.dump writes none.
    text.is_empty() || (text.ends_with('\n') && is_one())
}

/// Whether an export for any trainer writes this key.
fn is_key(key: &str) -> bool {
    ALL.iter().any(|trainer| trainer.profile().keys.contains(&key))
}

/// Whether every line sets one of the keys, is an item of its value, or is the heading of a type in Spectrum's list. Items without an
/// anchor are Spectrum's own.
fn is_yaml(text: &str) -> bool {
    let mut section = None;
    text.lines().all(|line| {
        if let Some(comment) = line.strip_prefix("# ") {
            return comment.ends_with(" layers") && comment.split(' ').count() == 2;
        }
        if let Some(within) = line.strip_prefix("  ") {
            let within = within.trim_start();
            let is_among = |keys: &&[&str]| within.split_once(':').is_some_and(|(key, _)| keys.contains(&key));
            // What a key that is no section holds may be called anything, as the modules with a rank of their own.
            return within.starts_with("- ") || section.as_ref().is_none_or(is_among);
        }
        let Some((key, _)) = line.split_once(':') else { return line.starts_with("- ^") };
        section = keys_within(key);
        line.starts_with("- ^") || is_key(key) || section.is_some()
    })
}

/// What an export writes within the section `key` of a trainer's YAML.
fn keys_within(key: &str) -> Option<&'static [&'static str]> {
    let mut sections = ALL.iter().flat_map(|trainer| trainer.profile().sections);
    sections.find(|(own, _)| *own == key).map(|(_, keys)| *keys)
}

fn is_object_of_keys(text: &str) -> bool {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object.keys().all(|key| is_key(key)),
        _ => false,
    }
}

fn is_line_of_options(text: &str) -> bool {
    let mut options = text.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    text.starts_with("--") && text.lines().count() == 1 && options.all(is_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_keeps_is_no_export() {
        for text in [
            "base_model: x\nlora_r: 8\n",
            "# tried on Monday\nlora_r: 8\n",
            "unfrozen_parameters:\n- model.layers.0.mlp.up_proj\n",
            "notes\n",
            "{\"peft_type\": \"LORA\", \"r\": 8}\n",
            "{\"model.layers.0.up\": {\"snr\": 1.5, \"type\": \"up\"}}",
            "{\"a.up\": {\"snr\": 1.5, \"type\": \"up\", \"module\": \"a.up\"}}\n",
            "{\"mlp.up_proj\": [\"model.layers.0.mlp.up_proj\"]}\n",
            "[1]\n",
            "--lora_rank 8 --output_dir x\n",
            "#!/bin/sh\n--lora_rank 8\n",
            "train:\n  lr: 1e-4\n",
            "model:\n  name: x\n",
            "network:\n  type: lora\n  linear: 16\n  dropout: 0.1\n",
            "peft:\n  dim: 8\n  match_all_linear: true\n",
        ] {
            assert!(!is_export(text.as_bytes()), "{text}");
        }
        assert!(!is_export(b"\xff\n"));
    }

    #[test]
    fn what_an_export_wrote_is_one() {
        for text in [
            "",
            "lora_r: 8\nlora_target_modules:\n  - a.b\nlora_rank_pattern:\n  lm_head: 4\n",
            "unfrozen_parameters:\n- ^lm_head.weight$\n# mlp.up_proj layers\n- ^a.b.weight$\n",
            "{\"r\": 8, \"target_modules\": [\"a\"]}\n",
            "network:\n  type: lora\n  network_kwargs:\n    only_if_contains:\n      - lora_unet.a\ntrain:\n  train_unet: true\n",
            "{\"a.up\": {\"snr\": Infinity, \"type\": \"up\"}}\n",
            "{\"up\": {\"a.up\": 1.5}}\n",
            "--lora_rank 8 --target_modules a.b 'c d'\n",
        ] {
            assert!(is_export(text.as_bytes()), "{text}");
        }
    }
}
