//! What a fine-tune or an adapter changed in its base.

use std::fs;
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, layers, matrix, write_shards};
use crate::support::hub::server;
use crate::support::hub_server::{Access, Faults, MODEL};
use crate::support::program::{Run, Workplace, entries, finish, in_project, tiny_mistral};
use crate::support::tests_of_each;

const Q: &str = "model.layers.0.self_attn.q_proj";

fn deltas(name: &str) -> String {
    in_project(&format!("tests/catalogue/deltas/{name}"))
}

fn delta(place: &Workplace, base: &str, finetuned: &str, options: &[&str]) -> Run {
    place.run(&[&["delta", base, finetuned, "--device", "cpu"], options].concat())
}

fn near(found: &Value, expected: &Value, what: &str) {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{what}: {found:e}, not {expected:e}");
        }
        _ => assert_eq!((found, expected), (&Value::Null, &Value::Null), "{what}"),
    }
}

/// The numbers of every module of the change `name` are those of numpy.
fn is_as_expected(name: &str) {
    let place = Workplace::new();
    let expected: Value =
        serde_json::from_slice(&fs::read(format!("{}/expected.json", deltas(name))).expect("there")).expect("JSON");
    let base = deltas(expected["base"].as_str().expect("a name"));
    delta(&place, &base, &deltas(name), &["--split-fused"]).succeeded();
    let full = place.json(&format!("laser_scan_{name}_delta.json"));
    let modules = expected["modules"].as_object().expect("modules");
    let spectra = place.bytes(&format!("laser_scan_{name}_delta_spectra.safetensors"));
    let spectra = SafeTensors::deserialize(&spectra).expect("safetensors");
    for (module, expected) in modules {
        let record = &full[full_name(&full, module)];
        let delta = &record["delta"];
        near(&delta["norm"], &expected["norm"], module);
        near(&delta["base_norm"], &expected["base_norm"], module);
        let relative = expected["norm"].as_f64().expect("a number") / expected["base_norm"].as_f64().expect("a number");
        near(&delta["relative_norm"], &json!(relative), module);
        near(&record["sigma_max"], &expected["largest"], module);
        near(&record["statistics"]["effective_rank"], &expected["effective_rank"], module);
        let values = spectra.tensor(&full_name(&full, module)).expect("a spectrum").data().chunks_exact(8);
        let values = values.map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        assert_eq!(
            values.filter(|value| *value > 0.0).count() as u64,
            expected["count"],
            "{module}: nothing beyond the rank"
        );
    }
    assert_eq!(full.as_object().map(serde_json::Map::len), Some(modules.len()));
}

/// The name of a module in a scan, which may have the model's prefix.
fn full_name(full: &Value, module: &str) -> String {
    let prefixed = format!("transformer.{module}");
    if full.get(&prefixed).is_some() { prefixed } else { module.to_owned() }
}

/// The changes that are there.
fn there() -> Vec<String> {
    let has_numbers = |name: &String| std::path::Path::new(&deltas(name)).join("expected.json").exists();
    entries("tests/catalogue/deltas").into_iter().filter(has_numbers).collect()
}

tests_of_each! { there(), [kohya lora metadata pickled processors rslora transposed whole], is_as_expected }

#[test]
fn modules_are_ranked_by_how_far_they_moved() {
    let place = Workplace::new();
    let run = delta(&place, &deltas("mistral"), &deltas("lora"), &["--top-n", "1"]);
    assert!(run.succeeded().stderr.contains("warning: 8 of 14 modules did not change at all"), "{}", run.stderr);
    assert!(run.stdout.contains("relative-norm"), "{}", run.stdout);
    let top = place.json("laser_scan_lora_delta_top_snr.json");
    let kinds: Vec<&String> = top.as_object().expect("types").keys().collect();
    assert_eq!(kinds, ["self_attn.v_proj", "self_attn.q_proj", "mlp.down_proj"], "what did not change is not chosen");
    let full = place.json("laser_scan_lora_delta.json");
    let norm = |layer: usize| full[&format!("model.layers.{layer}.mlp.down_proj")]["delta"]["relative_norm"].as_f64();
    let most = if norm(0) > norm(1) { 0 } else { 1 };
    assert_eq!(top["mlp.down_proj"], json!([format!("model.layers.{most}.mlp.down_proj")]));
    let unmoved = &full["model.layers.0.mlp.up_proj"];
    assert_eq!(
        (&unmoved["snr"], &unmoved["sigma_max"], &unmoved["delta"]["relative_norm"]),
        (&json!(0.0), &json!(0.0), &json!(0.0))
    );
    assert_eq!(full["model.layers.0.mlp.down_proj"]["delta"]["scale"], 0.75);
    let manifest = place.json("laser_scan_lora_delta_run.json");
    assert_eq!(manifest["base"], json!({"model": deltas("mistral"), "origin": deltas("mistral"), "commit": null}));
    assert_eq!(manifest["options"]["statistic"], "relative-norm");
    let files: Vec<&Value> = manifest["files"].as_array().expect("files").iter().map(|file| &file["file"]).collect();
    assert_eq!(files, ["base/model.safetensors", "finetuned/adapter_model.safetensors"]);
}

#[test]
fn a_change_is_read_as_any_scan() {
    let place = Workplace::new();
    delta(&place, &deltas("mistral"), &deltas("lora"), &[]).succeeded();
    let full = "laser_scan_lora_delta.json";
    assert!(place.run(&["show", full]).succeeded().stdout.contains("relative-norm"));
    let csv = place.run(&["show", full, "--format", "csv"]).succeeded().stdout.clone();
    assert!(csv.lines().next().expect("a header").ends_with("margin,delta_norm,base_norm,relative_norm"), "{csv}");
    place.run(&["show", full, "--statistic", "effective-rank"]).succeeded();
    let config = place.run(&["export", "peft", full, "--top-n", "1", "--no-head"]);
    assert!(config.succeeded().stdout.contains(Q) || config.stdout.contains("layers.1.self_attn.q_proj"));
    assert!(!config.stdout.contains("up_proj"), "{}", config.stdout);
    place.run(&["report", full]).succeeded();
    let page = String::from_utf8(place.bytes("laser_scan_lora_delta.html")).expect("UTF-8");
    assert!(page.contains("laser-scan delta ") && page.contains("<h1>What "));
    place.run(&["diff", full, full]).succeeded();
    delta(&place, &deltas("mistral"), &deltas("whole"), &[]).succeeded();
    place.run(&["diff", full, "laser_scan_whole_delta.json"]).succeeded();
    place.run(&["report", full, "--against", "laser_scan_whole_delta.json"]).succeeded();
}

#[test]
fn what_is_finished_is_not_measured_twice_unless_a_scale_changed() {
    let place = Workplace::new();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let content = fs::read(format!("{}/{name}", deltas("lora"))).expect("there");
        place.write(&[(&format!("lora/{name}"), &content)]);
    }
    delta(&place, &deltas("mistral"), "lora", &[]).succeeded();
    let first = place.bytes("laser_scan_lora_delta.json");
    let again = delta(&place, &deltas("mistral"), "lora", &["--top-n", "1"]);
    assert!(again.succeeded().stderr.contains("nothing is measured anew"), "{}", again.stderr);
    assert_eq!(place.bytes("laser_scan_lora_delta.json"), first);
    let mut config = place.json("lora/adapter_config.json");
    config["lora_alpha"] = json!(12);
    place.write(&[("lora/adapter_config.json", config.to_string().as_bytes())]);
    let other = delta(&place, &deltas("mistral"), "lora", &[]);
    assert!(!other.succeeded().stderr.contains("nothing is measured anew"), "{}", other.stderr);
    let scale = place.json("laser_scan_lora_delta.json")[Q]["delta"]["scale"].clone();
    assert_eq!(scale, 3.0);
}

#[test]
fn equal_models_have_changed_nothing() {
    let place = Workplace::new();
    let run = delta(&place, &tiny_mistral(), &tiny_mistral(), &[]);
    assert!(run.succeeded().stderr.contains("no module changed: the weights are equal"), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_tiny-mistral_delta_top_snr.json"), json!({}));
    place.run(&["report", "laser_scan_tiny-mistral_delta.json"]).succeeded();
}

#[test]
fn a_base_on_the_hub_is_downloaded() {
    let place = Workplace::new();
    let hub = server(Access::Open, Faults::default());
    let run = |arguments: &[&str]| {
        let mut command = place.command();
        command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", place.path("hf"));
        finish(command.args(["delta", MODEL, "whole", "--device", "cpu"]).args(arguments))
    };
    write_finetuned(&place);
    let plan = run(&["--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&plan.succeeded().stdout).expect("JSON");
    let files: Vec<&String> = plan["files"].as_object().expect("files").keys().collect();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let expected: Vec<String> =
        ["base", "finetuned"].iter().flat_map(|of| names.map(|name| format!("{of}/{name}"))).collect();
    assert_eq!(files, expected.iter().collect::<Vec<_>>());
    assert!(plan["download_bytes"].as_u64() > Some(0));
    run(&[]).succeeded();
    let manifest = place.json("laser_scan_whole_delta_run.json");
    assert_eq!((&manifest["commit"], manifest["base"]["model"].as_str()), (&Value::Null, Some(MODEL)));
    assert!(manifest["base"]["commit"].is_string());
    let keys = |at: usize| (manifest["files"][at]["etag"].is_string(), manifest["files"][at]["identity"].is_string());
    assert_eq!([keys(0), keys(1), keys(2), keys(3)], [(true, false), (true, false), (false, true), (false, true)]);
    let local = delta(&place, &tiny_mistral(), "whole", &["--output-dir", "local"]);
    local.succeeded();
    let name = "laser_scan_whole_delta.json";
    assert_eq!(place.bytes(name), place.bytes(&format!("local/{name}")));
}

/// A copy of the tiny model in which the last bytes of each shard are others.
fn write_finetuned(place: &Workplace) {
    for entry in fs::read_dir(tiny_mistral()).expect("readable").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        let mut content = fs::read(entry.path()).expect("readable");
        if name.ends_with(".safetensors") {
            let end = content.len();
            content[end - 64..].rotate_left(2);
        }
        place.write(&[(&format!("whole/{name}"), &content)]);
    }
}

#[test]
fn models_that_are_not_made_of_each_other_are_refused() {
    let place = Workplace::new();
    delta(&place, &deltas("mistral"), &deltas("gpt2"), &[])
        .refused(1, &["only 0 of the 14 modules", "one is not made of the other"]);
    delta(&place, &deltas("gpt2"), &deltas("lora"), &[]).refused(1, &["changes 'model.layers.0.", "does not have"]);
    write_shards(&place.path("small"), &[("model.safetensors", layers(2, 8))]);
    write_shards(&place.path("large"), &[("model.safetensors", layers(2, 16))]);
    write_shards(&place.path("long"), &[("model.safetensors", layers(3, 8))]);
    delta(&place, "small", "large", &[]).refused(1, &["is 8 x 8 in 'small', but 16 x 16 in 'large'"]);
    delta(&place, "long", "small", &[]).refused(1, &["'small' does not have the module 'model.layers.2."]);
    delta(&place, "small", "nowhere", &[]).refused(1, &["nowhere"]);
    assert!(!place.files().iter().any(|file| file.starts_with("laser_scan")), "{:?}", place.files());
}

/// An adapter of one module with this configuration, and these tensors beside its factors.
fn adapter(place: &Workplace, config: &Value, more: Vec<Tensor>) {
    let factors = [
        matrix(&format!("base_model.model.{Q}.lora_A.weight"), 2, 16),
        matrix(&format!("base_model.model.{Q}.lora_B.weight"), 16, 2),
    ];
    let tensors: Vec<Tensor> = factors.into_iter().chain(more).collect();
    place.write(&[
        ("a/adapter_model.safetensors", &file(&tensors)),
        ("a/adapter_config.json", config.to_string().as_bytes()),
    ]);
}

#[test]
fn adapters_that_change_more_than_a_product_are_refused() {
    let place = Workplace::new();
    let refused = |config: Value, more: Vec<Tensor>, parts: &[&str]| {
        adapter(&place, &config, more);
        delta(&place, &deltas("mistral"), "a", &[]).refused(1, parts);
    };
    let config = |key: &str, value: Value| {
        let mut config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4});
        config[key] = value;
        config
    };
    refused(config("use_dora", json!(true)), vec![], &["'a' is a DoRA adapter", "merge it into its base"]);
    refused(config("init_lora_weights", json!("pissa_niter_4")), vec![], &["began with 'pissa_niter_4'"]);
    refused(
        config("target_parameters", json!(["mlp.experts.up_proj"])),
        vec![],
        &["changes single parameters, such as 'mlp.experts.up_proj'"],
    );
    refused(config("layer_replication", json!([[0, 2], [1, 2]])), vec![], &["repeats layers"]);
    refused(config("peft_type", json!("LOHA")), vec![], &["is a LoHa adapter"]);
    refused(config("lora_alpha", json!(null)), vec![], &["does not give 'lora_alpha'"]);
    let one = |name: &str, rows, columns| vec![matrix(&format!("base_model.model.{name}"), rows, columns)];
    let plain = || config("bias", json!("none"));
    refused(
        plain(),
        one("model.layers.0.mlp.up_proj.lora_A.weight", 2, 16),
        &["only one factor of two for 'model.layers.0.mlp.up_proj'"],
    );
    refused(plain(), one("model.layers.0.self_attn.k_proj.lora_magnitude_vector", 1, 8), &["is a DoRA adapter"]);
    refused(plain(), one("model.layers.0.self_attn.k_proj.hada_w1_a", 2, 8), &["is a LoHa adapter"]);
    let pair = |name: &str, rank, rows, columns| {
        let name = format!("base_model.model.{name}");
        vec![matrix(&format!("{name}.lora_A.weight"), rank, columns), matrix(&format!("{name}.lora_B.weight"), rows, 2)]
    };
    refused(
        plain(),
        pair("model.layers.0.mlp.up_proj", 3, 24, 16),
        &["factors of 'model.layers.0.mlp.up_proj' that do not fit together"],
    );
    refused(plain(), pair("model.layers.0.mlp.up_proj", 2, 24, 12), &["is 24 x 16 in", "24 x 12 in 'a'"]);
    refused(plain(), pair("model.layers.7.mlp.up_proj", 2, 24, 16), &["changes 'model.layers.7.mlp.up_proj'"]);
    fs::remove_file(place.path("a/adapter_config.json")).expect("removed");
    delta(&place, &deltas("mistral"), "a", &[])
        .refused(1, &["has no adapter_config.json, without which its scale is not known"]);
    assert!(!place.files().iter().any(|file| file.starts_with("laser_scan")), "{:?}", place.files());
}

#[test]
fn an_adapter_of_the_head_alone_changes_nothing_that_is_measured() {
    let place = Workplace::new();
    let factors = vec![
        matrix("base_model.model.lm_head.lora_A.weight", 2, 16),
        matrix("base_model.model.lm_head.lora_B.weight", 32, 2),
    ];
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4});
    place.write(&[
        ("a/adapter_model.safetensors", &file(&factors)),
        ("a/adapter_config.json", config.to_string().as_bytes()),
    ]);
    delta(&place, &deltas("mistral"), "a", &[]).refused(1, &["'a' changes none of the modules", "that are measured"]);
    delta(&place, &deltas("mistral"), "a", &["--all-linear"]).succeeded();
    let full = place.json("laser_scan_a_delta.json");
    assert!(full["lm_head"]["delta"]["relative_norm"].as_f64() > Some(0.0));
}

#[test]
fn a_change_neither_replaces_a_scan_nor_is_ranked_as_one() {
    let place = Workplace::new();
    place.run(&["--model", &deltas("whole"), "--output", "scan.json"]).succeeded();
    let run = delta(&place, &deltas("mistral"), &deltas("whole"), &["--output", "scan.json"]);
    run.refused(1, &["'scan.json' holds the scan of another model"]);
    place
        .run(&["show", "scan.json", "--statistic", "relative-norm"])
        .refused(1, &["are of a weight and not of a change"]);
    place
        .run(&["--model", &deltas("whole"), "--statistic", "relative-norm"])
        .refused(2, &["'laser-scan delta BASE FINETUNED'"]);
    delta(&place, &deltas("mistral"), &deltas("whole"), &[]).succeeded();
    let run = place.run(&["diff", "scan.json", "laser_scan_whole_delta.json"]);
    run.refused(1, &["was ranked by laser and", "by relative-norm"]);
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let place = Workplace::new();
    write_shards(&place.path("base"), &[("model.safetensors", layers(30, 384))]);
    let changed = |tensor: Tensor| Tensor { bytes: tensor.bytes.iter().map(|byte| byte & 0xfe).collect(), ..tensor };
    write_shards(&place.path("fine"), &[("model.safetensors", layers(30, 384).into_iter().map(changed).collect())]);
    let journal = place.path("laser_scan_fine_delta.json.journal");
    let lines = || fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    let running = place.start(&["delta", "base", "fine", "--device", "cpu", "--threads", "1"], &[]);
    let begun = Instant::now();
    while lines() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill();
    let run = delta(&place, "base", "fine", &["-v"]);
    assert!(run.succeeded().stderr.contains("modules are done from an interrupted scan"), "{}", run.stderr);
    delta(&place, "base", "fine", &["--output-dir", "undisturbed"]).succeeded();
    for name in ["laser_scan_fine_delta.json", "laser_scan_fine_delta_top_snr.json"] {
        assert_eq!(place.bytes(name), place.bytes(&format!("undisturbed/{name}")));
    }
}
