//! What a fine-tune or an adapter changed in its base.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, file_with_metadata, layers, matrix, of_numbers, write_shards};
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
    assert!(run.succeeded().stderr.contains("none of the 28 measured modules changed"), "{}", run.stderr);
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
    delta(&place, "long", "small", &[]).refused(1, &["'small' does not have the module 'model.layers.2.", "of 'long'"]);
    delta(&place, "small", "long", &[]).refused(1, &["'small' does not have the module 'model.layers.2.", "of 'long'"]);
    delta(&place, &deltas("lora"), &deltas("mistral"), &[])
        .refused(1, &["is an adapter, not a base: the base comes first"]);
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
    refused(
        config("layer_replication", json!([[0, 2], [1, 2]])),
        vec![],
        &["does more than add products to weights ('layer_replication'"],
    );
    refused(config("peft_type", json!("LOHA")), vec![], &["is a LoHa adapter"]);
    refused(config("kasa_config", json!({})), vec![], &["does more than add products to weights ('kasa_config'"]);
    refused(config("lora_alpha", json!(null)), vec![], &["does not give a valid 'lora_alpha'"]);
    refused(config("alpha_pattern", json!({"(": 2})), vec![], &["does not give a valid 'alpha_pattern'"]);
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
    refused(
        plain(),
        one(&format!("{Q}.lora_A.other.weight"), 2, 16),
        &["has several factors of", "such as those of several adapters"],
    );
    refused(plain(), one(&format!("{Q}.weight"), 16, 16), &["changes 'model.layers.0.self_attn.q_proj' twice"]);
    refused(plain(), one("model.layers.0.mlp.experts.up_proj", 4, 16), &["up_proj', which is no factor that is known"]);
    refused(
        plain(),
        one("model.layers.0.self_attn.k_proj.lora_diag.default", 1, 2),
        &["which is no factor that is known"],
    );
    let byte = Tensor {
        dtype: Dtype::I8,
        bytes: vec![1; 128],
        ..matrix("base_model.model.model.layers.0.self_attn.k_proj.weight", 8, 16)
    };
    refused(plain(), vec![byte], &["stores", "k_proj.weight' as I8, not as floating-point numbers"]);
    refused(plain(), pair("model.layers.7.mlp.up_proj", 2, 24, 16), &["changes 'model.layers.7.mlp.up_proj'"]);
    fs::remove_file(place.path("a/adapter_config.json")).expect("removed");
    delta(&place, &deltas("mistral"), "a", &[])
        .refused(1, &["has no adapter_config.json, without which its scale is not known"]);
    assert!(!place.files().iter().any(|file| file.starts_with("laser_scan")), "{:?}", place.files());
}

#[test]
fn what_diffusers_writes_into_metadata_is_checked() {
    let place = Workplace::new();
    let factors = [
        matrix(&format!("transformer.{Q}.lora_A.weight"), 2, 16),
        matrix(&format!("transformer.{Q}.lora_B.weight"), 16, 2),
    ];
    let refused = |metadata: &str, part: &str| {
        let metadata = HashMap::from([("lora_adapter_metadata".to_owned(), metadata.to_owned())]);
        let bytes = file_with_metadata(&factors, Some(metadata));
        place.write(&[("a/pytorch_lora_weights.safetensors", &bytes)]);
        delta(&place, &deltas("mistral"), "a", &[]).refused(1, &[part]);
    };
    refused("not JSON", "does not give a valid 'lora_adapter_metadata'");
    refused(r#"{"transformer.r": 2}"#, "does not give a valid 'lora_alpha'");
    refused(r#"{"transformer.lora_alpha": 4, "transformer.init_lora_weights": "pissa"}"#, "began with 'pissa'");
}

/// The modules of a scan that changed.
fn changed(full: &Value) -> Vec<String> {
    let has = |record: &Value| record["delta"]["norm"].as_f64() > Some(0.0);
    full.as_object().expect("modules").iter().filter(|(_, record)| has(record)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn what_an_adapter_holds_besides_is_told_or_known() {
    let place = Workplace::new();
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4});
    let named = |name: &str, rows, columns| matrix(&format!("base_model.model.{name}"), rows, columns);
    adapter(
        &place,
        &config,
        vec![
            named("score.weight", 2, 16),
            named("lm_head.original_module.weight", 32, 16),
            named("model.embed_tokens.base_layer.weight", 40, 16),
            named("model.embed_tokens.token_adapter.trainable_tokens_delta", 1, 16),
            named("model.layers.0.input_layernorm.weight", 1, 16),
            named("model.layers.0.self_attn.k_proj.bias", 1, 8),
            // As an adapter of the model without its head calls them.
            named("layers.1.mlp.up_proj.lora_A.weight", 2, 16),
            named("layers.1.mlp.up_proj.lora_B.weight", 24, 2),
        ],
    );
    let run = delta(&place, &deltas("mistral"), "a", &[]);
    assert!(
        run.succeeded().stderr.contains("the adapter holds 'score', which the base does not have"),
        "{}",
        run.stderr
    );
    let found = changed(&place.json("laser_scan_a_delta.json"));
    assert_eq!(found, [Q, "model.layers.1.mlp.up_proj"]);
}

#[test]
fn parts_of_a_fused_module_change_whatever_the_filter_keeps() {
    let place = Workplace::new();
    let options = ["--split-fused", "--include", "*.q"];
    delta(&place, &deltas("gpt2"), &deltas("transposed"), &options).succeeded();
    let full = place.json("laser_scan_transposed_delta.json");
    let expected: Value =
        serde_json::from_slice(&fs::read(format!("{}/expected.json", deltas("transposed"))).expect("there"))
            .expect("JSON");
    let name = "transformer.h.0.attn.c_attn.q";
    near(&full[name]["delta"]["norm"], &expected["modules"][name]["norm"], name);
    assert_eq!(full.as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn factors_beside_the_weights_of_a_model_are_not_passed_over() {
    let place = Workplace::new();
    let mut tensors = layers(2, 8);
    let module = tensors[0].name.trim_end_matches(".weight").to_owned();
    tensors.push(matrix(&format!("{module}.lora_A.default.weight"), 2, 8));
    tensors.push(matrix(&format!("{module}.lora_B.default.weight"), 8, 2));
    write_shards(&place.path("base"), &[("model.safetensors", layers(2, 8))]);
    write_shards(&place.path("unmerged"), &[("model.safetensors", tensors)]);
    delta(&place, "base", "unmerged", &[])
        .refused(1, &["'unmerged' holds factors of adapters beside its weights", "merge them"]);
}

#[test]
fn a_change_of_low_rank_that_is_not_exact_has_a_size_all_the_same() {
    let place = Workplace::new();
    let (rows, rank) = (96, 4);
    let base: Vec<f32> = (0..rows * rows).map(|at| ((at * 7919) % 1009) as f32 / 5045.0 - 0.1).collect();
    let factor =
        |seed: usize| -> Vec<f32> { (0..rows * rank).map(|at| ((at * seed) % 997) as f32 / 9970.0 - 0.05).collect() };
    let (up, down) = (factor(7907), factor(7901));
    let product = |at: usize| (0..rank).map(|k| up[at / rows * rank + k] * down[k * rows + at % rows]).sum::<f32>();
    let merged: Vec<f32> = base.iter().enumerate().map(|(at, weight)| weight + product(at)).collect();
    let exact: f64 = merged.iter().zip(&base).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt();
    for (name, numbers) in [("base", base), ("merged", merged)] {
        write_shards(
            &place.path(name),
            &[("model.safetensors", vec![of_numbers(&format!("{Q}.weight"), rows, rows, numbers)])],
        );
    }
    delta(&place, "base", "merged", &[]).succeeded();
    let full = place.json("laser_scan_merged_delta.json");
    near(&full[Q]["delta"]["norm"], &json!(exact), Q);
    if full[Q]["snr"].is_null() {
        assert!(full[Q]["snr_doubt"].as_str().is_some_and(|doubt| doubt.contains("rounding errors")), "{}", full[Q]);
    }
    // What is read is written again, and ranks.
    assert!(place.run(&["show", "laser_scan_merged_delta.json"]).succeeded().stdout.contains("1 of 1"));
    place.run(&["show", "laser_scan_merged_delta.json", "--format", "csv"]).succeeded();
    place.run(&["report", "laser_scan_merged_delta.json"]).succeeded();
    let run = delta(&place, "base", "merged", &["--top-n", "2"]);
    assert!(run.succeeded().stderr.contains("nothing is measured anew"), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_merged_delta.json"), full);
}

#[test]
fn what_did_not_change_is_not_chosen_by_any_statistic() {
    let place = Workplace::new();
    let options = ["--statistic", "laser", "--emit", "peft", "--no-head"];
    let run = delta(&place, &deltas("mistral"), &deltas("whole"), &options);
    assert!(!run.succeeded().stderr.contains("dead"), "{}", run.stderr);
    let top = place.json("laser_scan_whole_delta_top_snr.json");
    assert_eq!(top.get("self_attn.k_proj"), None, "{top}");
    assert_eq!(top["self_attn.q_proj"], json!([Q]));
}

#[test]
fn what_is_excluded_need_not_be_comparable() {
    let place = Workplace::new();
    let mut other = layers(2, 8);
    let first = other[0].name.trim_end_matches(".weight").to_owned();
    other[0] = matrix(&other[0].name, 4, 8);
    write_shards(&place.path("base"), &[("model.safetensors", layers(2, 8))]);
    write_shards(&place.path("cut"), &[("model.safetensors", other)]);
    delta(&place, "base", "cut", &[])
        .refused(1, &["is 8 x 8 in 'base', but 4 x 8 in 'cut'", &format!("--exclude '{first}'")]);
    delta(&place, "base", "cut", &["--exclude", &first]).succeeded();
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
    delta(&place, &deltas("mistral"), "a", &[])
        .refused(1, &["'a' changes none of the linear modules", "that are measured"]);
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
    write_shards(&place.path("base"), &[("model.safetensors", layers(30, 256))]);
    let changed = |tensor: Tensor| Tensor { bytes: tensor.bytes.iter().map(|byte| byte & 0xfe).collect(), ..tensor };
    write_shards(&place.path("fine"), &[("model.safetensors", layers(30, 256).into_iter().map(changed).collect())]);
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

#[test]
fn an_error_says_which_of_the_models_it_is_about() {
    let place = Workplace::new();
    for name in ["base", "fine"] {
        write_shards(&place.path(name), &[("model.safetensors", layers(2, 8))]);
    }
    let path = place.path("fine/model.safetensors");
    let bytes = fs::read(&path).expect("readable");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    for order in [["base", "fine"], ["fine", "base"]] {
        place.run(&["delta", order[0], order[1]]).refused(1, &["'fine' cannot be compared: ", "'model.safetensors'"]);
    }
    place.run(&["show", "base"]).refused(1, &["'base': it is a folder: give the file of all numbers in it"]);
}
