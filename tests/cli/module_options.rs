//! Options that change which modules a model has: names in memory, pools of experts, parts of fused weights, convolutions.

use serde_json::json;

use crate::support::checkpoint::{Tensor, conv, file, matrix, of_numbers, vector};
use crate::support::program::Workplace;

#[test]
fn names_in_memory_can_be_filtered_and_are_pointed_to() {
    let place = Workplace::new();
    let tensors =
        ["model.layers.0.mlp.up_proj.weight", "visual.blocks.0.mlp.fc1.weight"].map(|name| matrix(name, 8, 8));
    place.write(&[("vl/model.safetensors", &file(&tensors)), ("vl/config.json", br#"{"model_type": "qwen2_vl"}"#)]);
    assert_eq!(place.modules("vl", &["--include", "model.language_model.*"]), ["model.layers.0.mlp.up_proj"]);
    assert_eq!(place.modules("vl", &["--exclude", "visual.*"]), ["model.layers.0.mlp.up_proj"]);
    let run = place.run(&["--model", "vl"]);
    let notes = &run.succeeded().stderr;
    assert!(notes.contains("2 of the 2 chosen are called otherwise in memory"), "{notes}");
    assert!(notes.contains("all 2 modules are chosen"), "{notes}");
}

#[test]
fn experts_are_pooled_when_asked() {
    let place = Workplace::new();
    let names = |expert: usize| format!("model.layers.0.mlp.experts.{expert}.down_proj.weight");
    let mut tensors: Vec<Tensor> = (0..4).map(|expert| matrix(&names(expert), 12, 16)).collect();
    tensors.push(matrix("model.layers.0.self_attn.q_proj.weight", 12, 12));
    place.write(&[("moe/model.safetensors", &file(&tensors)), ("moe/config.json", br#"{"model_type": "qwen3_moe"}"#)]);
    for how in ["mean", "max"] {
        place.run(&["--model", "moe", "--pool-experts", how]).succeeded();
        let full = place.json("laser_scan_moe.json");
        let ratio = |name: &str| full[name]["snr"].as_f64().expect("finite");
        let ratios: Vec<f64> = (0..4).map(|expert| ratio(names(expert).trim_end_matches(".weight"))).collect();
        let expected =
            if how == "max" { ratios.iter().copied().fold(0.0, f64::max) } else { ratios.iter().sum::<f64>() / 4.0 };
        let pool = &full["model.layers.0.mlp.experts.down_proj"];
        assert_eq!(pool["snr"].as_f64(), Some(expected));
        assert_eq!(
            (&pool["pool"], &pool["experts"], &pool["type"]),
            (&json!(how), &json!(4), &json!("mlp.experts.down_proj"))
        );
        assert_eq!(full.as_object().expect("an object").len(), 6);
        let top = place.json("laser_scan_moe_top_snr.json");
        assert_eq!(top["mlp.experts.down_proj"], json!(["model.layers.0.mlp.experts.down_proj"]));
        assert_eq!(top.as_object().expect("an object").len(), 2);
    }
    // An expert that cannot be measured leaves its pool without a ratio.
    tensors[2] = of_numbers(&names(2), 12, 16, vec![f32::NAN; 192]);
    place.write(&[("moe/model.safetensors", &file(&tensors))]);
    let run = place.run(&["--model", "moe", "--pool-experts", "mean"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert_eq!(place.json("laser_scan_moe_top_snr.json").as_object().expect("an object").len(), 1);
    assert_eq!(place.json("laser_scan_moe.json").as_object().expect("an object").len(), 4);
    assert!(run.stderr.contains("model.layers.0.mlp.experts.down_proj is not ranked"), "{}", run.stderr);
    let failed = &place.json("laser_scan_moe_run.json")["failed"];
    assert_eq!(failed[1]["module"], "model.layers.0.mlp.experts.down_proj");
}

#[test]
fn parts_of_fused_modules_are_measured_but_not_chosen() {
    let place = Workplace::new();
    let config = br#"{"model_type": "phi3", "num_attention_heads": 4, "num_key_value_heads": 2}"#;
    let fused = matrix("model.layers.0.self_attn.qkv_proj.weight", 64, 32);
    place.write(&[("phi/model.safetensors", &file(&[fused])), ("phi/config.json", config)]);
    let name = "model.layers.0.self_attn.qkv_proj";
    assert_eq!(place.modules("phi", &[]), [name]);
    place.run(&["--model", "phi", "--split-fused"]).succeeded();
    let full = place.json("laser_scan_phi.json");
    let part = &full["model.layers.0.self_attn.qkv_proj.k"];
    assert_eq!((&part["shape"], &part["part_of"], &part["target"]), (&json!([16, 32]), &json!(name), &json!(name)));
    assert_eq!(full.as_object().expect("an object").len(), 4);
    assert_eq!(place.json("laser_scan_phi_top_snr.json"), json!({"self_attn.qkv_proj": [name]}));
}

#[test]
fn every_class_of_diffusers_has_its_convolutions_scanned() {
    let place = Workplace::new();
    let transposed = |name: &str, inputs: usize, outputs: usize| Tensor {
        shape: vec![inputs, outputs, 2, 2],
        ..matrix(name, inputs, outputs * 4)
    };
    let tensors = [
        conv("down.0.conv.weight"),
        vector("down.0.conv.bias", 8),
        transposed("up.0.conv.weight", 8, 4),
        vector("up.0.conv.bias", 4),
        transposed("up.0.up_sample.weight", 8, 8),
        vector("up.0.up_sample.bias", 8),
    ];
    for (class, modules) in
        [("BrandNewVAE", &["down.0.conv", "up.0.up_sample"][..]), ("Kandinsky3UNet", &["down.0.conv"])]
    {
        let config = format!(r#"{{"_class_name": "{class}", "_diffusers_version": "0.42.1"}}"#);
        place.write(&[("vae/model.safetensors", &file(&tensors)), ("vae/config.json", config.as_bytes())]);
        assert_eq!(place.modules("vae", &[]), modules);
    }
    let run = place.run(&["--model", "vae", "--overwrite"]);
    assert!(!run.succeeded().stderr.contains("is not known"), "{}", run.stderr);
    let manifest = place.json("laser_scan_vae_run.json");
    let left_out = manifest["left_out"].as_array().expect("a list");
    let reason = |name: &str| &left_out.iter().find(|entry| entry["tensor"] == name).expect(name)["reason"];
    assert_eq!(reason("up.0.conv.weight"), "a transposed convolution");
    assert_eq!(reason("up.0.up_sample.weight"), "a transposed convolution");
}

#[test]
fn convolutions_are_flattened_when_asked() {
    let place = Workplace::new();
    let depthwise = Tensor { shape: vec![8, 1, 4], ..matrix("model.layers.0.mixer.conv1d.weight", 8, 4) };
    place.write(&[(
        "m.safetensors",
        &file(&[conv("model.layers.0.conv.weight"), depthwise, matrix("model.layers.0.up.weight", 8, 8)]),
    )]);
    assert_eq!(place.modules("m.safetensors", &[]), ["model.layers.0.up"]);
    assert_eq!(place.modules("m.safetensors", &["--include-conv"]), ["model.layers.0.conv", "model.layers.0.up"]);
    place.run(&["--model", "m.safetensors", "--include", "*.conv"]).refused(1, &["a convolution", "--include-conv"]);
}
