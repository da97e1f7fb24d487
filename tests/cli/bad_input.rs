//! Bad input gets one sentence that says what is wrong and what to do.

use std::fs;

use crate::support::checkpoint::{self, raw_file};
use crate::support::program::{Run, Workplace, finish, in_project, tiny_mistral};

/// Runs on a folder `model` with these files.
fn scan_files(files: &[(&str, &[u8])]) -> Run {
    let place = Workplace::new();
    fs::create_dir(place.path("model")).expect("created");
    for (name, content) in files {
        let path = place.path("model").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, content).expect("written");
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
    place.run(&["--model", "weights.pt"]).refused(1, &["'weights.pt' is a PyTorch file", "safetensors form"]);
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
    let config = br#"{"peft_type": "LORA", "base_model_name_or_path": "mistralai/Mistral-7B-v0.1", "r": 64}"#;
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
    scan_files(&[("model-Q4_K_M.gguf", b"GGUF")])
        .refused(1, &["'model' holds 'model-Q4_K_M.gguf', a GGUF file", "safetensors"]);
}

#[test]
fn pickled_weights_that_are_none() {
    scan_files(&[("pytorch_model.bin", b"PK")]).refused(1, &["'pytorch_model.bin'", "no ZIP archive"]);
    scan_files(&[("training_args.bin", b"PK")]).refused(1, &["'training_args.bin'", "no weights"]);
    let empty = [b"PK\x03\x04".as_slice(), &[0; 200]].concat();
    scan_files(&[("pytorch_model.bin", &empty)]).refused(1, &["'pytorch_model.bin'", "data.pkl"]);
}

#[test]
fn pickled_weights_that_are_cut_short() {
    let whole = fs::read(in_project("tests/catalogue/pickle/whole/pytorch_model.bin")).expect("readable");
    for length in [100, 1500, whole.len() - 10] {
        let part = &whole[..length];
        scan_files(&[("pytorch_model.bin", part)]).refused(1, &["'pytorch_model.bin'", "cut short", "again"]);
    }
    scan_files(&[("pytorch_model.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")])
        .refused(1, &["'pytorch_model.bin'", "git lfs pull"]);
}

#[test]
fn a_pipeline_without_weights() {
    scan_files(&[("model_index.json", br#"{"unet": ["diffusers", "UNet2DConditionModel"]}"#)])
        .refused(1, &["'model' holds no .safetensors file", "pytorch_model.bin"]);
    let index = br#"{"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDIMScheduler"]}"#;
    scan_files(&[("model_index.json", index), ("unet/config.json", b"{}"), ("scheduler/config.json", b"{}")])
        .refused(1, &["'model/unet' holds no .safetensors file"]);
    scan_files(&[("model_index.json", index), ("unet/model.fp16.bin", b"x")])
        .refused(1, &["'model/unet' holds 'model.fp16.bin', a PyTorch file"]);
    let dotted = br#"{"a.b": ["diffusers", "UNet2DConditionModel"]}"#;
    scan_files(&[("model_index.json", dotted)]).refused(1, &["'model_index.json'", "'a.b' is no name of a component"]);
    scan_files(&[("model_index.json", b"[]")]).refused(1, &["'model_index.json'", "no JSON object"]);
}

#[test]
fn one_shard_without_the_others() {
    scan_files(&[("model-00001-of-00003.safetensors", &raw_file(ONE_TENSOR, 64))])
        .refused(1, &["no index", "lacks 2 of its 3 shards", "'model-00002-of-00003.safetensors'"]);
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
    scan(&with("eetq"), ONE_TENSOR, 64).refused(1, &["'model' is quantised (eetq)", "made from"]);
    let sparse = ONE_TENSOR.replace("up_proj.weight", "up_proj.weight.bitmask");
    scan("{}", &sparse, 64).refused(1, &["'model' is quantised (compressed-tensors with a bitmask"]);
    let scaled = ONE_TENSOR.replace("up_proj.weight", "up_proj.pre_quant_scale");
    scan("{}", &scaled, 64).refused(1, &["'model' is quantised (modelopt with scales of the inputs", "made from"]);
    let codes = r#"{"model.layers.0.mlp.up_proj.qweight":{"dtype":"I32","shape":[4,4],"data_offsets":[0,64]}}"#;
    scan("{}", codes, 64).refused(1, &["quantised weights (GPTQ or AWQ)", "no config.json", "name the folder"]);
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

/// A header of tensors of these names, types and shapes, and the bytes that they need.
fn header(tensors: &[(&str, &str, &[usize], usize)]) -> (String, usize) {
    let mut start = 0;
    let mut entries = Vec::new();
    for (name, dtype, shape, element) in tensors {
        let end = start + shape.iter().product::<usize>() * element;
        entries.push(format!(
            r#""m.layers.0.{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
        start = end;
    }
    (format!("{{{}}}", entries.join(",")), start)
}

#[test]
fn tensors_of_a_quantised_weight_that_do_not_fit() {
    let refused = |method: &str, tensors: &[(&str, &str, &[usize], usize)], parts: &[&str]| {
        let config = format!(r#"{{"quantization_config": {{{method}}}}}"#);
        let (header, bytes) = header(tensors);
        let files = [("config.json", config.as_bytes()), ("model.safetensors", &raw_file(&header, bytes))];
        scan_files(&files)
            .refused(1, &[&["'model' holds quantised weights in a form that laser-scan cannot read"], parts].concat());
    };
    let gptq = r#""quant_method": "gptq", "bits": 4, "group_size": 8"#;
    let scales = ("up.scales", "F16", &[2usize, 16][..], 2);
    refused(
        gptq,
        &[("up.qweight", "F32", &[2, 16], 4), ("up.qzeros", "I32", &[2, 2], 4), scales],
        &["up.qweight'", "not packed"],
    );
    refused(
        gptq,
        &[("up.qweight", "I32", &[2, 16], 4), ("up.qzeros", "I32", &[3, 2], 4), scales],
        &["up.qweight'", "not packed"],
    );
    let packed = r#""quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized""#;
    let codes = ("up.weight_packed", "U8", &[4usize, 16][..], 1);
    refused(
        packed,
        &[codes, ("up.weight_scale", "F8_E4M3", &[4, 2], 1)],
        &["no tensor 'm.layers.0.up.weight_global_scale'"],
    );
    let modelopt = r#""quant_method": "modelopt", "quant_algo": "NVFP4""#;
    let codes = ("up.weight", "U8", &[4usize, 16][..], 1);
    let scales = ("up.weight_scale", "U8", &[4usize, 2][..], 1);
    refused(modelopt, &[codes, scales, ("up.weight_scale_2", "F32", &[1], 4)], &["up.weight_scale'", "8-bit floats"]);
    let experts = [("experts.up", "I32", &[2usize, 4, 4][..], 4), ("experts.up_scales", "F32", &[2, 4, 4], 4)];
    let config = format!(r#"{{"quantization_config": {{{gptq}}}}}"#);
    let (header, bytes) = header(&experts);
    scan_files(&[("config.json", config.as_bytes()), ("model.safetensors", &raw_file(&header, bytes))])
        .refused(1, &["experts.up'", "codes of experts"]);
}

#[test]
fn a_format_of_another_kernel_is_no_measurement() {
    let place = Workplace::new();
    let (header, bytes) =
        header(&[("up.weight", "I8", &[4, 4], 1), ("up.SCB", "F32", &[4], 4), ("up.weight_format", "U8", &[], 1)]);
    let mut file = raw_file(&header, bytes);
    let last = file.len() - 1;
    file[last] = 2;
    fs::write(place.path("int8.safetensors"), file).expect("written");
    let mut command = place.command();
    command.env("RUST_BACKTRACE", "1").args(["--model", "int8.safetensors"]);
    let run = finish(&mut command);
    run.refused(1, &["'m.layers.0.up.weight_format'", "none of the 1 modules"]);
    assert!(!run.stderr.contains("candle"), "{}", run.stderr);
}

#[test]
fn two_weights_of_one_module() {
    let (header, bytes) = header(&[("experts.up", "F32", &[2, 4, 4], 4), ("experts.0.up.weight", "F32", &[4, 4], 4)]);
    scan_files(&[("model.safetensors", &raw_file(&header, bytes))])
        .refused(1, &["two weights of the module 'm.layers.0.experts.0.up'"]);
}

#[test]
fn numbers_in_config_that_do_not_fit_divide_nothing() {
    let place = Workplace::new();
    fs::create_dir(place.path("model")).expect("created");
    let config =
        br#"{"model_type": "phi3", "num_attention_heads": 9223372036854775808, "num_key_value_heads": 4294967296}"#;
    fs::write(place.path("model/config.json"), config).expect("written");
    let fused = checkpoint::matrix("model.layers.0.self_attn.qkv_proj.weight", 64, 32);
    fs::write(place.path("model/model.safetensors"), checkpoint::file(&[fused])).expect("written");
    place.run(&["--model", "model", "--split-fused"]).succeeded();
    assert_eq!(place.json("laser_scan_model.json").as_object().expect("an object").len(), 1);
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
    usage(&["--model", &tiny, "--threads", "5000"], "1 to 1024");
    usage(&["--model", &tiny, "--transformers", "6"], "4 or 5");
    usage(&["--model", &tiny, "--device", "gpu"], "use auto, cpu, cuda");
    usage(&["--model", &tiny, "-q", "-v"], "cannot be used with");
    usage(&["--model", &tiny, "--topn", "3"], "--top-n");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_in_a_build_without_it() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--device", "cuda"]);
    run.refused(1, &["no CUDA support", "--features cuda", "--device cpu"]);
}

#[test]
fn output_that_cannot_be_written_is_found_before_the_scan() {
    let place = Workplace::new();
    fs::write(place.path("file"), "x").expect("written");
    let scan = |arguments: &[&str]| place.run(&[&["--model", &tiny_mistral(), "-v"], arguments].concat());
    let run = scan(&["--output-dir", "file/folder"]);
    run.refused(1, &["'file' is a file and no folder", "choose another place"]);
    assert!(!run.stderr.contains("snr"), "nothing was measured: {}", run.stderr);
    fs::create_dir(place.path("folder")).expect("created");
    scan(&["--output", "folder"]).refused(1, &["'folder'", "a folder of that name"]);
    scan(&["--output", "a.json", "--top-output", "./a.json"]).refused(1, &["named for two outputs"]);
}
