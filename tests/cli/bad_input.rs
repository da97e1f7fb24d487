//! Bad input gets one sentence that says what is wrong and what to do.

use std::fs;

use crate::checkpoint::{self, raw_file};
use crate::program::{Run, Workplace, tiny_mistral};

/// Runs on a folder `model` with these files.
fn scan_files(files: &[(&str, &[u8])]) -> Run {
    let place = Workplace::new();
    fs::create_dir(place.path("model")).expect("created");
    for (name, content) in files {
        fs::write(place.path("model").join(name), content).expect("written");
    }
    let run = place.run(&["--model", "model"]);
    assert_eq!(place.files(), ["model"], "nothing is written");
    run
}

const ONE_TENSOR: &str = r#"{"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}"#;

#[test]
fn no_such_path() {
    let place = Workplace::new();
    let scan = |model: &str| place.run(&["--model", model]);
    scan("./no/such/folder").refused(1, &["no file or folder './no/such/folder'", "org/name", "spelling"]);
    scan("https://hub.example/org/name").refused(1, &["without the address"]);
    scan("org/name@main").refused(1, &["--revision"]);
}

#[test]
fn a_file_of_another_kind() {
    let place = Workplace::new();
    fs::write(place.path("weights.pt"), "x").expect("written");
    place.run(&["--model", "weights.pt"]).refused(1, &["'weights.pt' is no .safetensors or .bin file"]);
    fs::write(place.path("weights.bin"), "x").expect("written");
    place.run(&["--model", "weights.bin"]).refused(1, &["'weights.bin'", "no ZIP archive", "save it anew"]);
    fs::write(place.path("weights.gguf"), "GGUF").expect("written");
    place.run(&["--model", "weights.gguf"]).refused(1, &["'weights.gguf' is a GGUF file", "safetensors"]);
}

#[test]
fn a_folder_without_weights() {
    scan_files(&[("config.json", b"{}")]).refused(1, &["'model' holds no .safetensors file"]);
}

#[test]
fn a_lora_adapter() {
    let config = br#"{"base_model_name_or_path": "mistralai/Mistral-7B-v0.1", "r": 64}"#;
    let adapter = checkpoint::file(&[checkpoint::matrix("base_model.model.a.lora_A.weight", 4, 8)]);
    scan_files(&[("adapter_config.json", config), ("adapter_model.safetensors", &adapter)])
        .refused(1, &["is a LoRA adapter", "'mistralai/Mistral-7B-v0.1'"]);
}

#[test]
fn the_factors_of_an_adapter_are_not_a_model() {
    let factors = [checkpoint::matrix("base_model.model.a.lora_A.weight", 4, 8)];
    let place = Workplace::new();
    fs::write(place.path("adapter.safetensors"), checkpoint::file(&factors)).expect("written");
    place.run(&["--model", "adapter.safetensors"]).refused(1, &["is a LoRA adapter", "base model"]);
}

#[test]
fn a_revision_of_a_folder() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--revision", "main"]).refused(1, &["no revisions", "--revision"]);
}

#[test]
fn gguf_only() {
    scan_files(&[("model-Q4_K_M.gguf", b"GGUF")]).refused(1, &["'model' holds GGUF files", "safetensors"]);
}

#[test]
fn pickled_weights_that_are_none() {
    scan_files(&[("pytorch_model.bin", b"PK")]).refused(1, &["'pytorch_model.bin'", "no ZIP archive"]);
    scan_files(&[("training_args.bin", b"PK")]).refused(1, &["PyTorch files", "save_pretrained"]);
    let empty = [b"PK\x03\x04".as_slice(), &[0; 200]].concat();
    scan_files(&[("pytorch_model.bin", &empty)]).refused(1, &["'pytorch_model.bin'", "data.pkl"]);
}

#[test]
fn a_pipeline_without_weights() {
    scan_files(&[("model_index.json", br#"{"unet": ["diffusers", "UNet2DConditionModel"]}"#)])
        .refused(1, &["'model' holds no .safetensors file"]);
    scan_files(&[("model_index.json", b"[]")]).refused(1, &["'model_index.json'", "no JSON object"]);
}

#[test]
fn one_shard_without_the_others() {
    scan_files(&[("model-00001-of-00003.safetensors", &raw_file(ONE_TENSOR, 64))])
        .refused(1, &["'model-00001-of-00003.safetensors'", "no index"]);
}

#[test]
fn several_files_and_no_index() {
    let bytes = raw_file(ONE_TENSOR, 64);
    scan_files(&[("a.safetensors", &bytes), ("b.safetensors", &bytes)])
        .refused(1, &["2 .safetensors files", "a.safetensors"]);
}

#[test]
fn a_truncated_shard() {
    scan_files(&[("model.safetensors", &raw_file(ONE_TENSOR, 63))])
        .refused(1, &["'model.safetensors'", "'model.layers.0.mlp.up_proj.weight'", "cut short", "again"]);
    scan_files(&[("model.safetensors", &raw_file(ONE_TENSOR, 64)[..40])])
        .refused(1, &["'model.safetensors'", "cut short"]);
    scan_files(&[("model.safetensors", b"")]).refused(1, &["'model.safetensors'", "cut short"]);
}

#[test]
fn an_html_page_in_place_of_a_shard() {
    scan_files(&[("model.safetensors", b"<!DOCTYPE html><html>")])
        .refused(1, &["'model.safetensors'", "no safetensors file"]);
}

#[test]
fn a_pointer_of_git_lfs_in_place_of_a_shard() {
    scan_files(&[("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")])
        .refused(1, &["'model.safetensors'", "Git LFS", "git lfs pull"]);
}

#[test]
fn a_shard_that_lies_about_offsets() {
    let lie = ONE_TENSOR.replace("[0,64]", "[0,128]");
    scan_files(&[("model.safetensors", &raw_file(&lie, 128))]).refused(
        1,
        &["'model.safetensors'", "'model.layers.0.mlp.up_proj.weight'", "claims bytes 0 to 128", "64 bytes"],
    );
    let lie = ONE_TENSOR.replace("[0,64]", "[18446744073709551552,18446744073709551616]");
    scan_files(&[("model.safetensors", &raw_file(&lie, 64))])
        .refused(1, &["'model.safetensors'", "header is not valid"]);
    let lie = ONE_TENSOR.replace("[4,4]", "[4294967296,4294967296]");
    scan_files(&[("model.safetensors", &raw_file(&lie, 64))]).refused(1, &["impossible shape"]);
}

#[test]
fn an_index_that_names_a_missing_shard() {
    let index = br#"{"weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}}"#;
    let shard = checkpoint::file(&[checkpoint::matrix("a.weight", 4, 4)]);
    scan_files(&[("model.safetensors.index.json", index), ("model-00001-of-00002.safetensors", &shard)])
        .refused(1, &["'model.safetensors.index.json'", "'model-00002-of-00002.safetensors'", "does not exist"]);
}

#[test]
fn an_index_that_misplaces_a_tensor() {
    let index = br#"{"weight_map": {"a.weight": "x.safetensors", "b.weight": "x.safetensors"}}"#;
    let shard = checkpoint::file(&[checkpoint::matrix("a.weight", 4, 4)]);
    scan_files(&[("model.safetensors.index.json", index), ("x.safetensors", &shard)])
        .refused(1, &["'b.weight'", "'x.safetensors'"]);
}

#[test]
fn an_index_that_leads_out_of_the_folder() {
    let index = br#"{"weight_map": {"a.weight": "../secret.safetensors"}}"#;
    scan_files(&[("model.safetensors.index.json", index)])
        .refused(1, &["'../secret.safetensors'", "not a path within"]);
    let config = br#"{"transformers_weights": "/secret.safetensors"}"#;
    scan_files(&[("config.json", config)]).refused(1, &["'config.json'", "'/secret.safetensors'", "not a path within"]);
}

#[test]
fn json_that_is_none() {
    scan_files(&[("config.json", b"{"), ("model.safetensors", &raw_file(ONE_TENSOR, 64))])
        .refused(1, &["'config.json'"]);
    scan_files(&[("model.safetensors.index.json", b"[]")]).refused(1, &["'model.safetensors.index.json'"]);
}

#[test]
fn quantised_weights_that_are_not_understood() {
    let scan = |config: &str, header: &str, data: usize| {
        scan_files(&[("config.json", config.as_bytes()), ("model.safetensors", &raw_file(header, data))])
    };
    let with = |method: &str| format!(r#"{{"quantization_config": {{"quant_method": "{method}"}}}}"#);
    scan(&with("hqq"), ONE_TENSOR, 64).refused(1, &["'model' is quantised (hqq)", "made from"]);
    let codes = r#"{"model.layers.0.mlp.up_proj.qweight":{"dtype":"I32","shape":[4,4],"data_offsets":[0,64]}}"#;
    scan("{}", codes, 64).refused(1, &["quantised (GPTQ or AWQ without a quantization_config)"]);
    scan(&with("gptq"), codes, 64).refused(1, &["'model.layers.0.mlp.up_proj.qweight'", "up_proj.scales'"]);
    let fp8 = ONE_TENSOR.replace("F32", "F8_E4M3").replace("[0,64]", "[0,16]");
    scan(&with("fp8"), &fp8, 16).refused(1, &["'model.layers.0.mlp.up_proj.weight'", "no tensor with its scales"]);
    let bytes = ONE_TENSOR.replace("F32", "U8").replace("[0,64]", "[0,16]");
    scan("{}", &bytes, 16).refused(1, &["'model.layers.0.mlp.up_proj.weight'", "U8 of no known quantisation"]);
    let scale =
        r#","model.layers.0.mlp.up_proj.weight_scale_inv":{"dtype":"F32","shape":[3,1],"data_offsets":[16,28]}}"#;
    let blocks = format!("{}{scale}", &fp8[..fp8.len() - 1]);
    scan(&with("fp8"), &blocks, 28).refused(1, &["up_proj.weight_scale_inv'", "3 groups for 4 lines"]);
}

#[test]
fn floats_of_eight_bits_without_scales_are_numbers() {
    let place = Workplace::new();
    let header = ONE_TENSOR.replace("F32", "F8_E4M3").replace("[0,64]", "[0,16]");
    let mut bytes = raw_file(&header, 0);
    bytes.extend((0..16).map(|at| 0x30 + at * 5 % 17));
    fs::write(place.path("cast.safetensors"), bytes).expect("written");
    place.run(&["--model", "cast.safetensors"]).succeeded();
    assert_eq!(place.json("laser_scan_cast.json")["model.layers.0.mlp.up_proj"]["dtype"], "F8_E4M3");
}

#[test]
fn no_linear_module() {
    let norm = checkpoint::file(&[checkpoint::matrix("model.embed_tokens.weight", 8, 4)]);
    scan_files(&[("model.safetensors", &norm)]).refused(1, &["'model' holds no linear module"]);
}

#[test]
fn nothing_that_can_be_measured() {
    let zeros = checkpoint::file(&[checkpoint::of_numbers("model.layers.0.mlp.up_proj.weight", 4, 4, vec![0.0; 16])]);
    let place = Workplace::new();
    fs::write(place.path("zero.safetensors"), zeros).expect("written");
    place.run(&["--model", "zero.safetensors"]).refused(1, &["every weight is zero", "none of the 1 modules"]);
}

#[test]
fn a_filter_that_matches_nothing() {
    let place = Workplace::new();
    let scan = |arguments: &[&str]| place.run(&[&["--model", &tiny_mistral()], arguments].concat());
    scan(&["--include", "*.mlp.*", "--include", "*.fc1"])
        .refused(1, &["--include '*.fc1'", "model.layers.0.self_attn.q_proj"]);
    scan(&["--include", "lm_head"]).refused(1, &["--include 'lm_head'", "a head", "--all-linear"]);
    scan(&["--exclude", "*"]).refused(1, &["--exclude leaves no module"]);
    assert_eq!(scan(&["--include", "a[b"]).status, 2);
}

#[test]
fn wrong_usage() {
    let place = Workplace::new();
    let usage = |arguments: &[&str], part: &str| {
        let run = place.run(arguments);
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains(part), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    };
    let tiny = tiny_mistral();
    usage(&[], "--model");
    usage(&["--model", &tiny, "--top-n", "0"], "at least 1");
    usage(&["--model", &tiny, "--top-n", "-1"], "-1");
    usage(&["--model", &tiny, "--threads", "0"], "--threads");
    usage(&["--model", &tiny, "--device", "gpu"], "use auto, cpu, cuda");
    usage(&["--model", &tiny, "-q", "-v"], "cannot be used with");
    usage(&["--model", &tiny, "--topn", "3"], "--top-n");
}

#[test]
fn cuda_in_a_build_without_it() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--device", "cuda"]).refused(1, &["no CUDA support", "--device cpu"]);
}

#[test]
fn output_that_cannot_be_written_is_found_before_the_scan() {
    let place = Workplace::new();
    fs::write(place.path("file"), "x").expect("written");
    let scan = |arguments: &[&str]| place.run(&[&["--model", &tiny_mistral(), "-v"], arguments].concat());
    let run = scan(&["--output-dir", "file/folder"]);
    run.refused(1, &["cannot write 'file/folder'", "--output-dir"]);
    assert!(!run.stderr.contains("snr"), "nothing was measured: {}", run.stderr);
    fs::create_dir(place.path("folder")).expect("created");
    scan(&["--output", "folder"]).refused(1, &["'folder'", "a folder of that name"]);
    scan(&["--output", "a.json", "--top-output", "./a.json"]).refused(1, &["named for two outputs"]);
}
