//! Names in memory that are guessed: what the records say of them, and what an export makes of them.

use std::fs;

use serde_json::Value;

use crate::support::checkpoint::write_shards;
use crate::support::llama::{config, llama};
use crate::support::program::Workplace;

/// A small Llama whose configuration names this `model_type` and class, with `start` before all its names.
fn scanned(model_type: &str, class: &str, start: &str) -> (Workplace, Value) {
    let place = Workplace::new();
    let mut tensors = llama(0..2);
    for tensor in &mut tensors {
        tensor.name = format!("{start}{}", tensor.name);
    }
    write_shards(&place.path("model"), &[("model.safetensors", tensors)]);
    let mut config = config(2);
    (config["model_type"], config["architectures"]) = (model_type.into(), vec![class].into());
    fs::write(place.path("model/config.json"), config.to_string()).expect("written");
    place.run(&["--model", "model", "-q"]).succeeded();
    let full = place.json("laser_scan_model.json");
    (place, full)
}

/// By what the names of all modules are known.
fn known_by(full: &Value) -> Vec<&str> {
    let records = full.as_object().expect("an object").values();
    let mut all: Vec<&str> = records.filter_map(|record| record["target_known_by"].as_str()).collect();
    all.dedup();
    all
}

const EXPORT: [&str; 3] = ["export", "peft", "laser_scan_model.json"];

#[test]
fn a_librarys_class_vouches_for_names() {
    let (place, full) = scanned("llama", "LlamaForCausalLM", "");
    assert_eq!(known_by(&full), ["table"]);
    let run = place.run(&EXPORT);
    run.succeeded();
    assert!(!run.stderr.contains("vouches"), "{}", run.stderr);
}

#[test]
fn a_guess_is_warned_of_where_it_is_used() {
    let (place, full) = scanned("brand_new", "BrandNewForCausalLM", "");
    assert_eq!(known_by(&full), ["nothing"]);
    let run = place.run(&EXPORT);
    run.succeeded();
    assert!(run.stderr.contains("nothing vouches for the names in memory of 'model.layers."), "{}", run.stderr);
}

#[test]
fn a_guess_that_must_be_wrong_is_refused() {
    for (model_type, class, start, said) in [
        ("brand_new", "BrandNewForCausalLM", "language_model.", "is a name that transformers changes"),
        ("llama", "LlamaForCausalLM", "net.", "transformers has this architecture, but neither"),
    ] {
        let (place, _) = scanned(model_type, class, start);
        let run = place.run(&EXPORT);
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(run.stderr.contains(said), "{}", run.stderr);
        assert!(run.stdout.is_empty(), "{}", run.stdout);
    }
}
