//! Names in which training tools have left their wrappers.

use std::fs;

use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, matrix, write_shards};
use crate::support::llama::{config, llama};
use crate::support::pickle::pickled;
use crate::support::program::{Run, Workplace, in_project};

const SAID: &str = "what tools put around a model";

type Rename = fn(&str) -> String;

/// Tensors under other names.
fn renamed(tensors: Vec<Tensor>, rename: Rename) -> Vec<Tensor> {
    tensors.into_iter().map(|tensor| Tensor { name: rename(&tensor.name), ..tensor }).collect()
}

/// What PEFT calls the linear modules that it adapts.
fn adapted(name: &str) -> String {
    let name = name.replace("_proj.weight", "_proj.base_layer.weight");
    format!("base_model.model.{name}")
}

/// What FSDP, activation checkpointing and `torch.compile` call the tensors, all at once.
fn sharded(name: &str) -> String {
    let name = name.replace("layers.0.", "layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.");
    format!("module._orig_mod.{name}")
}

/// Writes a Llama of these shards.
fn write(place: &Workplace, name: &str, shards: &[(&str, Vec<Tensor>)]) {
    write_shards(&place.path(name), shards);
    fs::write(place.path(name).join("config.json"), config(2).to_string()).expect("written");
}

/// Scans the model `name`, and returns the run and the manifest.
fn scan(place: &Workplace, name: &str, options: &[&str]) -> (Run, Value) {
    let run =
        place.run(&[&["--model", name, "--output", &format!("{name}/out.json"), "--emit", "peft"], options].concat());
    run.succeeded();
    (run, place.json(&format!("{name}/out_run.json")))
}

#[test]
fn a_wrapped_model_is_scanned_as_the_plain_one() {
    let place = Workplace::new();
    write(&place, "plain", &[("model.safetensors", llama(0..2))]);
    let (run, manifest) = scan(&place, "plain", &[]);
    assert!(!run.stderr.contains(SAID), "{}", run.stderr);
    assert_eq!(manifest["wrappers"], json!([]));
    let numbers = place.bytes("plain/out.json");
    let exported = place.run(&["export", "peft", "plain/out.json"]).succeeded().stdout.clone();
    let cases: [(&str, Rename, Value); 4] = [
        ("compiled", |name| format!("_orig_mod.{name}"), json!(["_orig_mod"])),
        ("sharded", sharded, json!(["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"])),
        ("adapted", adapted, json!(["base_model.model", "base_layer"])),
        ("rewarded", |name| format!("pretrained_model.{name}"), json!(["pretrained_model"])),
    ];
    for (name, rename, wrappers) in cases {
        let mut tensors = renamed(llama(0..2), rename);
        let second = tensors.split_off(tensors.len() / 2);
        write(
            &place,
            name,
            &[("model-00001-of-00002.safetensors", tensors), ("model-00002-of-00002.safetensors", second)],
        );
        let (run, manifest) = scan(&place, name, &[]);
        assert_eq!(run.stderr.matches(SAID).count(), 1, "{}", run.stderr);
        assert!(place.bytes(&format!("{name}/out.json")) == numbers, "{name}");
        assert_eq!(manifest["wrappers"], wrappers);
        // What is left out is told by the names in the files, and what is around the scan by the model's.
        let left_out = manifest["left_out"].as_array().expect("a list");
        assert!(left_out.iter().any(|left| left["tensor"] == rename("model.norm.weight")), "{left_out:?}");
        let around = manifest["surroundings"]["names"].as_array().expect("a list");
        assert!(around.contains(&json!("model.norm.weight")), "{around:?}");
        let run = place.run(&["export", "peft", &format!("{name}/out.json")]);
        let here = run.succeeded().stdout.replace(&format!("\"{name}\""), "\"plain\"");
        assert_eq!((&here, run.stderr.contains(SAID)), (&exported, false));
    }
}

#[test]
fn patterns_may_be_names_of_the_file_or_of_the_model() {
    let place = Workplace::new();
    write(&place, "m", &[("model.safetensors", renamed(llama(0..2), adapted))]);
    let one = "model.layers.0.mlp.up_proj";
    for pattern in [one.to_owned(), format!("base_model.model.{one}.base_layer"), format!("base_model*.{one}.*")] {
        assert_eq!(place.modules("m", &["--include", &pattern]), [one], "{pattern}");
        assert_eq!(place.modules("m", &["--exclude", &pattern]).len(), 13, "{pattern}");
    }
    // Both names of what is left out anyway are something in the model.
    for pattern in ["model.norm", "base_model.model.model.norm"] {
        assert_eq!(place.modules("m", &["--exclude", pattern]).len(), 14);
    }
    let run = place.run(&["--model", "m", "--dry-run", "--json", "--exclude", one]);
    let plan: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    let left_out = plan["left_out"].as_array().expect("a list");
    let stored =
        json!({"tensor": format!("base_model.model.{one}.base_layer.weight"), "reason": "matched by --exclude"});
    assert!(left_out.contains(&stored), "{left_out:?}");
}

#[test]
fn a_module_that_was_trained_whole_is_measured_in_place_of_its_original() {
    let place = Workplace::new();
    let head = |within: &str| matrix(&format!("lm_head.{within}weight"), 16, 8);
    let trained = |adapter: &str| Tensor { name: format!("lm_head.modules_to_save.{adapter}.weight"), ..head("") };
    let model = |others: Vec<Tensor>| llama(0..2).into_iter().chain(others).collect::<Vec<_>>();
    write(&place, "plain", &[("model.safetensors", model(vec![head("")]))]);
    let tensors = renamed(model(vec![head("original_module."), trained("default")]), adapted);
    write(&place, "trained", &[("model.safetensors", tensors)]);
    scan(&place, "plain", &["--all-linear"]);
    let (_, manifest) = scan(&place, "trained", &["--all-linear"]);
    assert!(place.bytes("plain/out.json") == place.bytes("trained/out.json"));
    let reason = "the original of a module that was trained whole (modules_to_save)";
    let left = json!({"tensor": "base_model.model.lm_head.original_module.weight", "reason": reason});
    assert!(manifest["left_out"].as_array().expect("a list").contains(&left));
    let tensors = model(vec![head("original_module."), trained("default"), trained("other")]);
    write(&place, "several", &[("model.safetensors", tensors)]);
    place.run(&["--model", "several"]).refused(1, &["'several' holds the module 'lm_head'", "('default', 'other')"]);
}

#[test]
fn two_tensors_that_would_have_one_name_are_refused() {
    let place = Workplace::new();
    let compiled = matrix("_orig_mod.model.layers.0.mlp.up_proj.weight", 8, 8);
    write(&place, "m", &[("model.safetensors", llama(0..2).into_iter().chain([compiled]).collect())]);
    let names = "'_orig_mod.model.layers.0.mlp.up_proj.weight' and 'model.layers.0.mlp.up_proj.weight'";
    place.run(&["--model", "m"]).refused(1, &["'m' holds the tensors", names, "not clear which counts"]);
}

#[test]
fn the_parts_of_quantised_weights_are_found_behind_their_wrappers() {
    let place = Workplace::new();
    for name in ["bnb_nf4_nested", "gptq_v1", "fp8_block"] {
        let whole = in_project(&format!("tests/catalogue/quantized/{name}"));
        let bytes = fs::read(format!("{whole}/model.safetensors")).expect("readable");
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
        let wrapped = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| Tensor {
            name: format!("base_model.model.{}", name.replace("_proj.", "_proj.base_layer.")),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let tensors: Vec<Tensor> = tensors.iter().map(wrapped).collect();
        write_shards(&place.path(name), &[("model.safetensors", tensors)]);
        fs::copy(format!("{whole}/config.json"), place.path(name).join("config.json")).expect("copied");
        place.run(&["--model", name, "--output", "wrapped.json", "--overwrite"]).succeeded();
        place.run(&["--model", &whole, "--output", "plain.json", "--overwrite"]).succeeded();
        assert!(place.bytes("wrapped.json") == place.bytes("plain.json"), "{name}");
    }
}

#[test]
fn pickled_names_are_cleared_too() {
    let place = Workplace::new();
    let names = ["model.layers.0.up_proj", "model.layers.1.up_proj"];
    let stored = names.map(|name| format!("module.{name}.weight"));
    let plain = names.map(|name| format!("{name}.weight"));
    let file = |names: &[String; 2]| pickled(&[(&names[0], "0", "FloatStorage"), (&names[1], "1", "FloatStorage")]);
    place.write(&[("a/pytorch_model.bin", &file(&stored)), ("b/pytorch_model.bin", &file(&plain))]);
    for model in ["a", "b"] {
        place.run(&["--model", model, "--output", &format!("{model}.json")]).succeeded();
    }
    assert!(place.bytes("a.json") == place.bytes("b.json"));
    assert_eq!(place.modules("a", &[]), names);
}

#[test]
fn a_file_of_a_whole_diffusion_pipeline() {
    let place = Workplace::new();
    let names = [
        "model.diffusion_model.transformer_blocks.0.attn.to_q.weight",
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    ];
    place.write(&[("sd.safetensors", &file(&names.map(|name| matrix(name, 8, 8))))]);
    let mut modules = place.modules("sd.safetensors", &[]);
    modules.sort();
    let own = |name: &str| name.trim_start_matches("model.diffusion_model.").trim_end_matches(".weight").to_owned();
    let mut expected = names.map(own);
    expected.sort();
    assert_eq!(modules, expected);
}
