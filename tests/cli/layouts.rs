//! Folders as people have them.

use std::fs;

use serde_json::json;

use crate::support::checkpoint::{self, Tensor, conv, file, layers, matrix, raw_file, write_model};
use crate::support::program::{Workplace, in_project, tiny_mistral};

#[cfg(unix)]
#[test]
fn a_snapshot_in_the_cache_is_called_after_its_model() {
    let place = Workplace::new();
    let repository = place.path("hub/models--tiny--Mistral-0B");
    let snapshot = repository.join("snapshots/26bca36bde8333b5d7f72e9ed20ccda6a618af24");
    fs::create_dir_all(repository.join("blobs")).expect("created");
    fs::create_dir_all(&snapshot).expect("created");
    for (blob, entry) in fs::read_dir(tiny_mistral()).expect("readable").flatten().enumerate() {
        fs::copy(entry.path(), repository.join(format!("blobs/{blob}"))).expect("copied");
        let link = snapshot.join(entry.file_name());
        std::os::unix::fs::symlink(format!("../../blobs/{blob}"), link).expect("linked");
    }
    place.run(&["--model", snapshot.to_str().expect("UTF-8")]).succeeded();
    place.run(&["--model", &tiny_mistral()]).succeeded();
    assert_eq!(place.bytes("laser_scan_Mistral-0B.json"), place.bytes("laser_scan_tiny-mistral.json"));
}

#[test]
fn a_training_runs_checkpoint() {
    let place = Workplace::new();
    write_model(&place.path("run/checkpoint-500"), 8);
    let other: &[u8] = b"PK\x03\x04 not weights";
    for name in ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "trainer_state.json"] {
        place.write(&[(&format!("run/checkpoint-500/{name}"), other)]);
    }
    place.run(&["--model", "run/checkpoint-500"]).succeeded();
    assert_eq!(place.json("laser_scan_run-checkpoint-500.json").as_object().expect("an object").len(), 6);
}

#[test]
fn a_pipeline_has_a_section_for_each_component() {
    let place = Workplace::new();
    let unet = file(&[
        matrix("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", 8, 8),
        conv("conv_in.weight"),
    ]);
    let text = file(&layers(2, 8));
    let vae = file(&[matrix("decoder.mid_block.attentions.0.to_q.weight", 8, 8)]);
    let index = br#"{"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"],
        "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": [null, null], "feature_extractor": ["transformers", "CLIPImageProcessor"]}"#;
    place.write(&[
        ("sd/model_index.json", index),
        ("sd/v1-5-pruned-emaonly.safetensors", b"the same in one file, which is not read"),
        ("sd/unet/config.json", br#"{"_class_name": "UNet2DConditionModel"}"#),
        ("sd/unet/diffusion_pytorch_model.safetensors", &unet),
        ("sd/unet/diffusion_pytorch_model.fp16.safetensors", b"a second variant, which is not read"),
        ("sd/unet/diffusion_pytorch_model.bin", b"a third form, which is not read"),
        ("sd/text_encoder/config.json", br#"{"model_type": "clip_text_model"}"#),
        ("sd/text_encoder/model.fp16.safetensors", &text),
        ("sd/vae/config.json", br#"{"_class_name": "AutoencoderKL"}"#),
        ("sd/vae/diffusion_pytorch_model.safetensors", &vae),
        ("sd/scheduler/scheduler_config.json", b"{}"),
        ("sd/safety_checker/model.safetensors", b"not a component of this pipeline"),
    ]);
    place.run(&["--model", "sd"]).succeeded();
    let full = place.json("laser_scan_sd.json");
    let names: Vec<&str> = full.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "text_encoder.model.layers.0.self_attn.q_proj",
        "text_encoder.model.layers.0.mlp.up_proj",
        "text_encoder.model.layers.1.self_attn.q_proj",
        "text_encoder.model.layers.1.mlp.up_proj",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet.conv_in",
        "vae.decoder.mid_block.attentions.0.to_q",
    ];
    assert_eq!(names, expected);
    let record = &full["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"];
    assert_eq!(record["type"], "unet.attentions.*.transformer_blocks.*.attn1.to_q");
    assert_eq!(record["target"], "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q");
    assert_eq!(full["unet.conv_in"]["shape"], json!([8, 36]));
    let manifest = place.json("laser_scan_sd_run.json");
    let files: Vec<&str> =
        manifest["files"].as_array().expect("files").iter().filter_map(|file| file["file"].as_str()).collect();
    let weights = [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(files, weights);
    // A component by itself is a model, too.
    assert_eq!(place.modules("sd/text_encoder", &[]).len(), 4);
}

#[test]
fn two_variants_and_no_plain_weights_are_not_guessed_between() {
    let place = Workplace::new();
    let bytes = file(&layers(1, 8));
    place.write(&[
        ("unet/diffusion_pytorch_model.fp16.safetensors", &bytes),
        ("unet/diffusion_pytorch_model.non_ema.safetensors", &bytes),
    ]);
    place.run(&["--model", "unet"]).refused(1, &["2 .safetensors files", "name one of them"]);
}

#[test]
fn consolidated_weights_are_the_same_a_second_time() {
    let place = Workplace::new();
    write_model(&place.path("model"), 8);
    place.write(&[("model/consolidated.safetensors", b"not read")]);
    assert_eq!(place.modules("model", &[]).len(), 6);
}

#[test]
fn misaligned_tensors_are_read_as_aligned_ones() {
    let place = Workplace::new();
    let tensor = matrix("model.layers.0.mlp.up_proj.weight", 6, 8);
    // As MLX writes them: a header of an odd length, so that no number begins at a multiple of its size.
    let header = r#"{"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[6,8],"data_offsets":[0,192]}}"#;
    let header = if header.len().is_multiple_of(2) { format!("{header} ") } else { header.to_owned() };
    let bytes = [raw_file(&header, 0), tensor.bytes.clone()].concat();
    place.write(&[("odd.safetensors", &bytes), ("even.safetensors", &file(&[tensor]))]);
    for name in ["odd", "even"] {
        place.run(&["--model", &format!("{name}.safetensors")]).succeeded();
    }
    assert_eq!(place.bytes("laser_scan_odd.json"), place.bytes("laser_scan_even.json"));
}

#[test]
fn tensors_may_be_stored_in_another_order_and_may_be_empty() {
    let place = Workplace::new();
    let (first, second) = (matrix("model.layers.0.a.weight", 4, 4), matrix("model.layers.0.b.weight", 4, 4));
    let header = r#"{"model.layers.0.a.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[64,128]},
        "model.layers.0.c.weight":{"dtype":"F32","shape":[0,4],"data_offsets":[64,64]},
        "model.layers.0.b.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}"#;
    let bytes = [raw_file(header, 0), second.bytes.clone(), first.bytes.clone()].concat();
    place.write(&[("turned.safetensors", &bytes), ("straight.safetensors", &file(&[first, second]))]);
    for name in ["turned", "straight"] {
        place.run(&["--model", &format!("{name}.safetensors")]).succeeded();
    }
    assert_eq!(place.bytes("laser_scan_turned.json"), place.bytes("laser_scan_straight.json"));
    let left_out = &place.json("laser_scan_turned_run.json")["left_out"];
    assert_eq!(left_out, &json!([{"tensor": "model.layers.0.c.weight", "reason": "no elements"}]));
}

#[test]
fn a_tensor_that_stands_for_another_is_a_module_too() {
    let place = Workplace::new();
    let header = r#"{"__metadata__":{"format":"pt","model.layers.1.up.weight":"model.layers.0.up.weight","lm_head.weight":"model.embed_tokens.weight"},
        "model.layers.0.up.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},
        "model.embed_tokens.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[64,128]}}"#;
    let tensor = matrix("model.layers.0.up.weight", 4, 4);
    let bytes = [raw_file(header, 0), tensor.bytes.clone(), tensor.bytes].concat();
    place.write(&[("tied/model.safetensors", &bytes), ("tied/config.json", br#"{"tie_word_embeddings": true}"#)]);
    assert_eq!(place.modules("tied", &["--all-linear"]), ["model.layers.0.up", "model.layers.1.up"]);
    place.run(&["--model", "tied"]).succeeded();
    let full = place.json("laser_scan_tied.json");
    assert_eq!(full["model.layers.0.up"]["snr"], full["model.layers.1.up"]["snr"]);
    // That the head is the embedding stands in the file, whatever the configuration says.
    for config in [&b"{}"[..], br#"{"tie_word_embeddings": false}"#] {
        place.write(&[("tied/config.json", config)]);
        assert_eq!(place.modules("tied", &["--all-linear"]), ["model.layers.0.up", "model.layers.1.up"]);
    }
}

#[test]
fn a_name_that_stands_for_two_tensors_is_refused() {
    let place = Workplace::new();
    let shard = |tensor: &str| {
        let header = format!(
            r#"{{"__metadata__":{{"model.layers.9.up.weight":"{tensor}"}},"{tensor}":{{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}}}"#
        );
        [raw_file(&header, 0), matrix(tensor, 4, 4).bytes].concat()
    };
    let names = ["model.layers.0.up.weight", "model.layers.1.up.weight"];
    let index = json!({"weight_map": {names[0]: "a.safetensors", names[1]: "b.safetensors"}}).to_string();
    place.write(&[("m/a.safetensors", &shard(names[0])), ("m/b.safetensors", &shard(names[1]))]);
    place.write(&[("m/model.safetensors.index.json", index.as_bytes())]);
    place.run(&["--model", "m"]).refused(1, &["'b.safetensors'", "'model.layers.9.up.weight'"]);
}

#[test]
fn a_shard_named_alone_is_scanned_as_it_is() {
    let place = Workplace::new();
    place.write(&[("model-00001-of-00003.safetensors", &file(&layers(1, 8)))]);
    assert_eq!(place.modules("model-00001-of-00003.safetensors", &[]).len(), 2);
}

#[test]
fn an_index_named_is_the_index_read() {
    let place = Workplace::new();
    let index = br#"{"weight_map": {"model.layers.0.a.weight": "part.safetensors"}}"#;
    let part = file(&[matrix("model.layers.0.a.weight", 8, 8)]);
    place.write(&[("m/other.safetensors.index.json", index), ("m/part.safetensors", &part)]);
    place.write(&[("m/model.safetensors", &file(&layers(1, 8)))]);
    assert_eq!(place.modules("m/other.safetensors.index.json", &[]), ["model.layers.0.a"]);
    assert_eq!(place.modules("m", &[]).len(), 2);
    // No output takes the place of what was read.
    let run = place.run(&["--model", "m", "--output", "m/other.safetensors.index.json"]);
    run.refused(1, &["other.safetensors.index.json"]);
}

#[test]
fn scales_may_be_in_another_shard_than_their_codes() {
    let place = Workplace::new();
    let whole = in_project("tests/catalogue/quantized/fp8_block");
    let bytes = fs::read(format!("{whole}/model.safetensors")).expect("readable");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("sound");
    let of = |wanted: bool| -> Vec<Tensor> {
        let chosen = tensors.iter().filter(|(name, _)| name.ends_with("_scale_inv") == wanted);
        let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| Tensor {
            name: name.to_owned(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        chosen.map(tensor).collect()
    };
    let shards = [("model-00001-of-00002.safetensors", of(true)), ("model-00002-of-00002.safetensors", of(false))];
    checkpoint::write_shards(&place.path("split"), &shards);
    fs::copy(format!("{whole}/config.json"), place.path("split/config.json")).expect("copied");
    place.run(&["--model", "split"]).succeeded();
    place.run(&["--model", &whole]).succeeded();
    assert_eq!(place.bytes("laser_scan_split.json"), place.bytes("laser_scan_fp8_block.json"));
}

#[test]
fn an_unknown_architecture_is_scanned_by_general_rules_and_said_so() {
    let place = Workplace::new();
    write_model(&place.path("new"), 8);
    place.write(&[("new/config.json", br#"{"model_type": "brand_new"}"#)]);
    let run = place.run(&["--model", "new"]);
    assert!(run.succeeded().stderr.contains("'brand_new' is not known"), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_new_run.json")["unknown_architectures"], json!(["brand_new"]));
    let run = place.run(&["--model", "new", "-q"]);
    assert_eq!(run.succeeded().stderr, "");
}
