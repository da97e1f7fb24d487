//! `config.json` and its like, as Python writes them and as nobody should.

use std::fs;

use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, layers, matrix, raw_file};
use crate::support::pickle::pickled;
use crate::support::program::{Run, Workplace};

/// A folder `model` with these tensors and this configuration.
fn model(tensors: &[Tensor], config: &[u8]) -> Workplace {
    let place = Workplace::new();
    fs::create_dir(place.path("model")).expect("created");
    fs::write(place.path("model/model.safetensors"), file(tensors)).expect("written");
    fs::write(place.path("model/config.json"), config).expect("written");
    place
}

/// What a dry run with `arguments` says of the model.
fn plan(place: &Workplace, arguments: &[&str]) -> Value {
    let run = place.run(&[&["--model", "model", "--dry-run", "--json"], arguments].concat());
    serde_json::from_str(&run.succeeded().stdout).expect("JSON")
}

fn scan_with(config: &[u8]) -> Run {
    model(&layers(1, 8), config).run(&["--model", "model"])
}

#[test]
fn what_python_writes_beside_json_is_read() {
    let config =
        br#"{"model_type": "llama", "initializer_range": Infinity, "num_hidden_layers": 1, "a": [NaN, -Infinity]}"#;
    scan_with(config).succeeded();
    // What the key says that comes last counts, as for Python.
    let place = model(&layers(3, 8), b"\xef\xbb\xbf{\"num_hidden_layers\": 3, \"x\": NaN, \"num_hidden_layers\": 2}");
    assert_eq!(place.modules("model", &[]).len(), 4);
    let pipeline = Workplace::new();
    fs::create_dir_all(pipeline.path("sd/unet")).expect("created");
    let index = b"\xef\xbb\xbf{\"unet\": [\"diffusers\", \"UNet2DConditionModel\"], \"guidance_scale\": Infinity}";
    fs::write(pipeline.path("sd/model_index.json"), index).expect("written");
    fs::write(pipeline.path("sd/unet/model.safetensors"), file(&layers(1, 8))).expect("written");
    pipeline.run(&["--model", "sd"]).succeeded();
    let indexed = model(&layers(1, 8), b"{}");
    let map = json!({"weight_map": layers(1, 8).iter().map(|tensor| (tensor.name.clone(), "part.safetensors".into()))
        .collect::<serde_json::Map<String, Value>>()});
    let index = format!("\u{feff}{{\"metadata\": {{\"total_size\": NaN}}, {}", &map.to_string()[1..]);
    fs::rename(indexed.path("model/model.safetensors"), indexed.path("model/part.safetensors")).expect("renamed");
    fs::write(indexed.path("model/model.safetensors.index.json"), index).expect("written");
    indexed.run(&["--model", "model"]).succeeded();
}

#[test]
fn what_is_no_json_is_refused_with_the_way_out() {
    let way_out = "download or copy it again";
    for config in ["{\"a\": nan}", "{\"a\": Infinit}", "{NaN: 1}", "{\"a\": 1", "", "{\"a\": 1} {}"] {
        scan_with(config.as_bytes()).refused(1, &["'config.json'", way_out]);
    }
    let nested = format!("{{\"a\": {}", "[".repeat(100_000));
    scan_with(nested.as_bytes()).refused(1, &["'config.json'", "nested too deeply", way_out]);
    let nested = format!("{{\"quantization_config\": {}", "{\"a\": ".repeat(100_000));
    scan_with(nested.as_bytes()).refused(1, &["'config.json'", "nested too deeply", way_out]);
}

#[test]
fn what_is_no_object_is_no_configuration() {
    for config in ["[]", "null", "\"x\"", "1"] {
        scan_with(config.as_bytes()).refused(1, &["cannot read 'config.json'", "it is no JSON object"]);
    }
    for layers in [5000, 1u64 << 60] {
        let config = json!({ "model_type": "llama", "num_hidden_layers": layers }).to_string();
        scan_with(config.as_bytes()).refused(1, &["'config.json'", &format!("it promises {layers} layers")]);
    }
}

#[test]
fn files_that_are_too_large_to_be_true_are_refused_unread() {
    let place = model(&layers(1, 8), b"{}");
    for name in ["config.json", "quantize_config.json", "model_index.json"] {
        let large = fs::File::create(place.path(&format!("model/{name}"))).expect("created");
        large.set_len(90_000_000).expect("a sparse file");
        let run = place.run(&["--model", "model"]);
        run.refused(1, &[&format!("'{name}'"), "90000000 bytes", "download or copy it again"]);
        fs::write(place.path(&format!("model/{name}")), b"{}").expect("written");
        if name == "model_index.json" {
            fs::remove_file(place.path("model/model_index.json")).expect("removed");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_configuration_takes_no_more_memory_than_its_file() {
    let small = layers(1, 8);
    let label = |class: usize| format!("\"{class}\": \"a class of things that are worth a label, number {class}\"");
    let labels: Vec<String> = (0..22_000).map(label).collect();
    let labelled = format!("{{\"id2label\": {{{}}}, \"num_hidden_layers\": 1}}", labels.join(","));
    let filled =
        |unit: &str| format!("{{\"num_hidden_layers\": 1, \"a\": [{}0]}}", unit.repeat(16_000_000 / unit.len()));
    let place = model(&small, labelled.as_bytes());
    for config in [labelled, filled("[],"), filled("{\"a\":{}},"), filled("0,")] {
        fs::write(place.path("model/config.json"), config).expect("written");
        let program = env!("CARGO_BIN_EXE_laser-scan");
        let line =
            format!("ulimit -v 300000; exec '{program}' --model model --dry-run --json --device cpu --threads 1");
        let run =
            std::process::Command::new("sh").args(["-c", &line]).current_dir(place.path("")).output().expect("runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

/// The tensors of a small decoder whose head is that of `head`, if there is one.
fn with_head(head: Option<Tensor>) -> Vec<Tensor> {
    let mut tensors = layers(1, 64);
    tensors.push(matrix("model.embed_tokens.weight", 512, 64));
    tensors.extend(head);
    tensors
}

#[test]
fn a_head_with_the_embeddings_bytes_is_the_embedding_unless_they_are_said_to_be_two() {
    let embedding = matrix("model.embed_tokens.weight", 512, 64);
    let twice = || Tensor { name: "lm_head.weight".into(), ..matrix("model.embed_tokens.weight", 512, 64) };
    let is_scanned = |head: Tensor, config: &str, line: &str| {
        let place = model(&with_head(Some(head)), config.as_bytes());
        let arguments = ["--all-linear", "--transformers", line];
        place.modules("model", &arguments).contains(&"lm_head".to_owned())
    };
    let says = |ties: bool| format!(r#"{{"model_type": "llama", "tie_word_embeddings": {ties}}}"#);
    for line in ["4", "5"] {
        for config in ["{}", r#"{"model_type": "gpt2"}"#, &says(true)] {
            assert!(!is_scanned(twice(), config, line), "{config}");
        }
        for config in [r#"{"model_type": "llama"}"#, &says(false)] {
            assert!(is_scanned(twice(), config, line), "{config}");
        }
        assert!(is_scanned(matrix("lm_head.weight", 512, 64), &says(false), line));
    }
    // One number that differs makes it a head of its own; version 4 would overwrite it.
    let mut other = twice();
    let last = other.bytes.len() - 1;
    other.bytes[last] ^= 1;
    assert_ne!(other.bytes, embedding.bytes);
    assert!(is_scanned(other, &says(true), "5"));
    assert!(!is_scanned(matrix("lm_head.weight", 512, 64), &says(true), "4"));
}

#[test]
fn a_tie_that_is_not_said_is_the_classes() {
    let says = |config: &str, head: bool| {
        let place = model(&with_head(head.then(|| matrix("lm_head.weight", 512, 64))), config.as_bytes());
        let run = place.run(&["--model", "model", "--emit", "peft", "--transformers", "4"]);
        run.succeeded().stderr.contains("shares the embedding's weight")
    };
    for tied in ["gemma", "gemma2", "cohere"] {
        assert!(says(&format!(r#"{{"model_type": "{tied}"}}"#), false), "{tied}");
        assert!(says(&format!(r#"{{"model_type": "{tied}"}}"#), true), "{tied}");
        assert!(!says(&format!(r#"{{"model_type": "{tied}", "tie_word_embeddings": false}}"#), true), "{tied}");
    }
    assert!(!says(r#"{"model_type": "llama"}"#, false));
    assert!(!says(r#"{"model_type": "brand_new", "architectures": ["BrandNewForCausalLM"]}"#, true));
    assert!(says(r#"{"model_type": "brand_new", "architectures": ["BrandNewForCausalLM"]}"#, false));
}

#[test]
fn numbers_that_are_not_said_are_the_classes() {
    let fused = [matrix("transformer.h.0.self_attention.query_key_value.weight", 80, 64)];
    let parts = |config: &str| {
        let plan = plan(&model(&fused, config.as_bytes()), &["--split-fused"]);
        let modules = plan["modules"].as_array().expect("modules").iter().skip(1);
        modules.map(|module| module["shape"][0].as_u64().expect("rows")).collect::<Vec<u64>>()
    };
    // One key and one value for eight heads of eight, which is what Falcon has unless it is told otherwise.
    assert_eq!(parts(r#"{"model_type": "falcon", "num_attention_heads": 8}"#), [64, 8, 8]);
    assert_eq!(parts(r#"{"model_type": "falcon", "num_attention_heads": 8, "multi_query": false}"#), [0; 0]);
    let fused = [matrix("transformer.h.0.attn.c_attn.weight", 80, 64)];
    let place = model(&fused, br#"{"model_type": "gpt_bigcode", "n_head": 8}"#);
    assert_eq!(place.modules("model", &["--split-fused"]).len(), 4);
}

#[test]
fn a_header_that_names_the_embedding_as_the_head_ties_them() {
    let header = r#"{"__metadata__":{"lm_head.weight":"model.embed_tokens.weight"},
        "model.layers.0.up.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},
        "model.embed_tokens.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[64,128]}}"#;
    let place = model(&layers(1, 8), br#"{"tie_word_embeddings": false}"#);
    fs::write(place.path("model/model.safetensors"), raw_file(header, 128)).expect("written");
    assert_eq!(place.modules("model", &["--all-linear"]), ["model.layers.0.up"]);
}

#[test]
fn pickled_tensors_of_one_storage_are_tied() {
    let found = |head: &str, ties: bool| {
        let config = format!(r#"{{"model_type": "llama", "tie_word_embeddings": {ties}}}"#);
        let place = model(&[], config.as_bytes());
        fs::remove_file(place.path("model/model.safetensors")).expect("removed");
        let tensors = [("model.layers.0.up.weight", "0"), ("model.embed_tokens.weight", "1"), ("lm_head.weight", head)];
        let tensors = tensors.map(|(name, storage)| (name, storage, "FloatStorage"));
        fs::write(place.path("model/pytorch_model.bin"), pickled(&tensors)).expect("written");
        place.modules("model", &["--all-linear"])
    };
    assert_eq!(found("1", false), ["model.layers.0.up"]);
    assert_eq!(found("2", false), ["model.layers.0.up", "lm_head"]);
    // Two storages are not compared before the scan: the configuration is believed.
    assert_eq!(found("2", true), ["model.layers.0.up"]);
}
