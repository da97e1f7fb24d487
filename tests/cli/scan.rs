//! A scan of a sound model: what it writes and prints, and what its options change.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::checkpoint;
use crate::support::program::{Workplace, tiny_mistral};

#[test]
fn writes_four_files_and_nothing_else() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--top-n", "2"]);
    run.succeeded();
    let endings = [".json", "_run.json", "_spectra.safetensors", "_top_snr.json"];
    assert_eq!(place.files(), endings.map(|ending| format!("laser_scan_tiny-mistral{ending}")));
    // A table for a person on standard output, messages on standard error.
    assert!(run.stdout.contains("self_attn.v_proj") && run.stdout.contains("2 of 4"), "{}", run.stdout);
    assert!(run.stderr.contains("laser_scan_tiny-mistral_top_snr.json"), "{}", run.stderr);
}

#[test]
fn the_full_file_holds_every_module_in_model_order() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral()]).succeeded();
    let full = place.json("laser_scan_tiny-mistral.json");
    let names: Vec<&String> = full.as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 28);
    let first = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ];
    for (name, leaf) in names.iter().zip(first) {
        assert_eq!(**name, format!("model.layers.0.{leaf}"));
    }
    let record = full["model.layers.3.mlp.down_proj"].as_object().expect("a record");
    let keys: Vec<&str> = record.keys().map(String::as_str).collect();
    let expected = "snr module type layer shape dtype target_known_by sigma_max sigma threshold signal noise \
                    signal_count noise_count";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    assert_eq!(record["module"], "model.layers.3.mlp.down_proj");
    assert_eq!((&record["type"], &record["layer"]), (&json!("mlp.down_proj"), &json!(3)));
    assert_eq!((&record["shape"], &record["dtype"]), (&json!([128, 352]), &json!("BF16")));
    let text = String::from_utf8(place.bytes("laser_scan_tiny-mistral.json")).expect("UTF-8");
    assert!(text.starts_with("{\n    \"model.layers.0.self_attn.q_proj\": {\n        \"snr\": "));
}

#[test]
fn the_manifest_tells_what_was_read_and_what_was_not() {
    let place = Workplace::new();
    let tiny = tiny_mistral();
    let options = ["--model", &tiny, "--top-n", "3", "--exclude", "*.k_proj", "--threads", "2", "--device", "cpu"];
    place.run(&options).succeeded();
    let manifest = place.json("laser_scan_tiny-mistral_run.json");
    assert_eq!(manifest["tool"], "laser-scan");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&manifest["commit"], &manifest["device"]), (&Value::Null, &json!("cpu")));
    let file = &manifest["files"][0];
    assert_eq!((&file["file"], &file["size"]), (&json!("model-00001-of-00002.safetensors"), &json!(773_096)));
    assert!(file["etag"].is_null() && file["identity"].as_str().is_some_and(|identity| identity.contains("773096")));
    assert_eq!((&manifest["options"]["top_n"], &manifest["options"]["threads"]), (&json!(3), &json!(2)));
    assert_eq!(manifest["measured"], 24);
    assert_eq!(manifest["processors"], json!({"cpu": 24, "cuda": 0}));
    let reason = |tensor: &str| {
        let left_out = manifest["left_out"].as_array().expect("a list");
        left_out.iter().find(|entry| entry["tensor"] == tensor).map(|entry| entry["reason"].clone())
    };
    assert_eq!(reason("lm_head.weight"), Some(json!("a head")));
    assert_eq!(reason("model.embed_tokens.weight"), Some(json!("an embedding")));
    assert_eq!(reason("model.norm.weight"), Some(json!("a vector, not a matrix")));
    assert_eq!(reason("model.layers.2.self_attn.k_proj.weight"), Some(json!("matched by --exclude")));
    assert_eq!(manifest["left_out"].as_array().map(Vec::len), Some(11 + 4));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let place = Workplace::new();
    let model = place.path("model");
    checkpoint::write_model(&model, 150);
    for (threads, folder) in [("1", "one"), ("2", "two"), ("5", "five")] {
        let model = model.to_str().expect("UTF-8");
        let options = ["--model", model, "--threads", threads, "--output-dir", folder, "--device", "cpu"];
        place.run(&options).succeeded();
    }
    for name in ["laser_scan_model.json", "laser_scan_model_top_snr.json"] {
        let one = place.bytes(&format!("one/{name}"));
        assert_eq!(one, place.bytes(&format!("two/{name}")));
        assert_eq!(one, place.bytes(&format!("five/{name}")));
    }
}

#[test]
fn one_file_is_a_model_too() {
    let place = Workplace::new();
    let shard = Path::new(&tiny_mistral()).join("model-00002-of-00002.safetensors");
    place.run(&["--model", shard.to_str().expect("UTF-8")]).succeeded();
    let full = place.json("laser_scan_tiny-mistral-model-00002-of-00002.json");
    assert_eq!(full.as_object().map(serde_json::Map::len), Some(14));
}

#[test]
fn files_are_named_as_asked() {
    let place = Workplace::new();
    let seed = ["--output", "laser_scan_mistral.json", "--top-output", "sub/laser_scan_mistral_top_snr.json"];
    place.run(&[&["--model", &tiny_mistral(), "--output-dir", "out"], &seed[..]].concat()).succeeded();
    assert!(place.path("laser_scan_mistral.json").is_file());
    assert!(place.path("sub/laser_scan_mistral_top_snr.json").is_file());
    assert!(place.path("laser_scan_mistral_run.json").is_file());
}

#[test]
fn filters_choose_modules() {
    let place = Workplace::new();
    let run = place.run(&[
        "--model",
        &tiny_mistral(),
        "--include",
        "*.mlp.*",
        "--include",
        "*.1.*",
        "--exclude",
        "*.up_proj",
    ]);
    run.succeeded();
    let full = place.json("laser_scan_tiny-mistral.json");
    let names: Vec<&String> = full.as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), 4 * 2 + 4);
    assert!(names.iter().all(|name| !name.ends_with("up_proj") && (name.contains(".mlp.") || name.contains(".1."))));
}

#[test]
fn all_linear_scans_the_head() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--all-linear", "--include", "lm_head"]).succeeded();
    let full = place.json("laser_scan_tiny-mistral.json");
    assert_eq!((&full["lm_head"]["type"], &full["lm_head"]["layer"]), (&json!("lm_head"), &Value::Null));
    assert_eq!(full.as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--dry-run", "--output-dir", "out"]);
    run.succeeded();
    assert!(run.stdout.contains("352 x 128"), "{}", run.stdout);
    assert!(run.stdout.contains("28 modules in 2 files"), "{}", run.stdout);
    assert_eq!(place.files(), [""; 0]);

    let run = place.run(&["--model", &tiny_mistral(), "--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!((&plan["download_bytes"], plan["modules"].as_array().map(Vec::len)), (&json!(0), Some(28)));
    assert_eq!(plan["modules"][0]["module"], "model.layers.0.self_attn.q_proj");
    assert_eq!(plan["files"]["model-00001-of-00002.safetensors"], 773_096);
}

#[test]
fn quiet_is_quiet_and_verbose_tells_more() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "-q"]);
    assert_eq!((run.succeeded().stdout.as_str(), run.stderr.as_str()), ("", ""));
    let run = place.run(&["--model", &tiny_mistral(), "-q", "--json"]);
    assert!(run.succeeded().stdout.starts_with("{\n    \"self_attn.v_proj\": ["));
    assert_eq!(run.stderr, "");
    let run = place.run(&["--model", &tiny_mistral(), "-v", "--fresh"]);
    let lines = run.succeeded().stderr.lines().filter(|line| line.contains("  snr ")).count();
    assert_eq!(lines, 28, "{}", run.stderr);
    assert!(run.stderr.contains("of memory"), "{}", run.stderr);
}

#[test]
fn colour_follows_the_rules() {
    let place = Workplace::new();
    let coloured = |arguments: &[&str], no_color: bool| {
        let mut command = place.command();
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let run = crate::support::program::finish(command.args(["--model", "no/such/model"]).args(arguments));
        assert_eq!(run.status, 1);
        run.stderr.contains('\u{1b}')
    };
    assert!(!coloured(&[], false), "a pipe is no terminal");
    assert!(coloured(&["--color", "always"], false));
    assert!(coloured(&["--color", "always"], true), "a flag is stronger than the environment");
    assert!(!coloured(&["--color", "never"], false));
}

#[test]
fn hostile_names_cannot_steer_the_terminal() {
    let place = Workplace::new();
    let name = "model.layers.0.\u{1b}[2Jevil\u{202e}.weight";
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", vec![checkpoint::matrix(name, 6, 6)])]);
    let run = place.run(&["--model", "model", "-v"]);
    let shown = format!("{}{}", run.succeeded().stdout, run.stderr);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
    assert!(run.stdout.contains("\\u{1b}[2Jevil\\u{202e}"), "{}", run.stdout);
    // Files keep the name as it is.
    let full = place.json("laser_scan_model.json");
    assert!(full.get("model.layers.0.\u{1b}[2Jevil\u{202e}").is_some());
}

#[test]
fn a_module_that_cannot_be_measured_does_not_end_the_scan() {
    let place = Workplace::new();
    let mut tensors = checkpoint::layers(2, 8);
    for (place, bad) in [(1, f32::NAN), (2, f32::NEG_INFINITY)] {
        tensors[place].bytes[40..44].copy_from_slice(&bad.to_le_bytes());
    }
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", tensors)]);
    let run = place.run(&["--model", "model"]);
    assert_eq!(run.status, 3);
    for module in ["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.q_proj"] {
        assert!(run.stderr.contains(&format!("cannot measure '{module}': the weight holds a NaN or an infinity")));
    }
    assert_eq!(place.json("laser_scan_model.json").as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(place.json("laser_scan_model_run.json")["failed"].as_array().map(Vec::len), Some(2));
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Workplace::new();
    // The reader is gone before the program starts.
    let line = "{ sleep 0.2; \"$0\" --model \"$1\" --json -q; echo status $? >&2; } | true";
    let output = std::process::Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_laser-scan"), &tiny_mistral()])
        .current_dir(place.path(""))
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "status 0\n");
}

#[test]
fn a_misaligned_file_gives_the_same_numbers() {
    // Some writers do not pad the header, so that no tensor is aligned.
    let place = Workplace::new();
    let tensor = checkpoint::matrix("model.layers.0.mlp.up_proj.weight", 9, 7);
    let header = r#"{"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[9,7],"data_offsets":[0,252]}}"#;
    for (name, padding) in [("aligned", (8 - header.len() % 8) % 8), ("misaligned", (8 - header.len() % 8) % 8 + 1)] {
        let mut bytes = checkpoint::raw_file(&format!("{header}{}", " ".repeat(padding)), 0);
        bytes.extend_from_slice(&tensor.bytes);
        fs::write(place.path(&format!("{name}.safetensors")), bytes).expect("written");
        place.run(&["--model", &format!("{name}.safetensors"), "--output", &format!("{name}.json")]).succeeded();
    }
    assert_eq!(place.bytes("aligned.json"), place.bytes("misaligned.json"));
}

#[test]
fn no_output_replaces_the_model() {
    let place = Workplace::new();
    checkpoint::write_model(&place.path("model"), 8);
    let run = place.run(&["--model", "model", "--output", "model/model.safetensors"]);
    run.refused(1, &["'model/model.safetensors' is part of the model"]);
    place.run(&["--model", "model"]).succeeded();
}

#[test]
fn help_teaches() {
    let run = Workplace::new().run(&["--help"]);
    for part in ["laser-scan --model mistralai/Mistral-7B-v0.1 --top-n 16", "HF_TOKEN", "Exit status:", "--dry-run"] {
        assert!(run.succeeded().stdout.contains(part), "{part}");
    }
}
