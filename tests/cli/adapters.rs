//! Adapters, and models that hold some beside their own weights.

use std::fs;

use serde_json::json;

use crate::support::checkpoint::{Tensor, file, matrix};
use crate::support::program::Workplace;

/// The factors of a LoRA of a module, as PEFT calls those of the adapter `name`.
fn factors(module: &str, name: &str) -> [Tensor; 2] {
    [matrix(&format!("{module}.lora_A.{name}weight"), 4, 8), matrix(&format!("{module}.lora_B.{name}weight"), 8, 4)]
}

#[test]
fn a_model_with_adapters_beside_its_weights_is_scanned_without_them() {
    let place = Workplace::new();
    let mut tensors: Vec<Tensor> = Vec::new();
    for layer in 0..2 {
        let module = format!("model.layers.{layer}.self_attn.qkv_proj");
        tensors.push(matrix(&format!("{module}.base_layer.weight"), 8, 8));
        tensors.extend(factors(&module, "vision."));
        tensors.extend(factors(&module, "speech."));
    }
    fs::create_dir(place.path("phi")).expect("created");
    fs::write(place.path("phi/model.safetensors"), file(&tensors)).expect("written");
    let run = place.run(&["--model", "phi"]);
    let note = "the model holds 8 factors of adapters, which are left out";
    assert_eq!(run.succeeded().stderr.matches(note).count(), 1, "{}", run.stderr);
    let full = place.json("laser_scan_phi.json");
    let names: Vec<&String> = full.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["model.layers.0.self_attn.qkv_proj", "model.layers.1.self_attn.qkv_proj"]);
    let left_out = &place.json("laser_scan_phi_run.json")["left_out"];
    assert_eq!(left_out.as_array().expect("a list").len(), 8);
    assert_eq!(
        left_out[0],
        json!({"tensor": "model.layers.0.self_attn.qkv_proj.lora_A.speech.weight", "reason": "a factor of an adapter"})
    );
}

#[test]
fn a_factor_that_is_called_as_linear_modules_are_is_still_one() {
    let place = Workplace::new();
    let module = |layer: usize| format!("model.layers.{layer}.self_attn.q_proj");
    let mut tensors: Vec<Tensor> = (0..2).map(|layer| matrix(&format!("{}.weight", module(layer)), 8, 8)).collect();
    for name in ["linear.", "proj.", "q_proj."] {
        tensors.extend(factors(&module(0), name));
    }
    fs::create_dir(place.path("wrapped")).expect("created");
    fs::write(place.path("wrapped/model.safetensors"), file(&tensors)).expect("written");
    let run = place.run(&["--model", "wrapped"]);
    assert!(run.succeeded().stderr.contains("the model holds 6 factors of adapters"), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_wrapped.json").as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn adapters_of_all_kinds_are_no_models() {
    let place = Workplace::new();
    let module = "base_model.model.model.layers.0.self_attn.q_proj";
    let kept = matrix("base_model.model.lm_head.weight", 16, 8);
    let cases: [(&str, Vec<Tensor>, &str); 6] = [
        ("peft", factors(module, "").into_iter().chain([kept]).collect(), "a LoRA adapter"),
        ("lokr", vec![matrix(&format!("{module}.lokr_w1"), 8, 8)], "a LoKr adapter"),
        ("loha", vec![matrix(&format!("{module}.hada_w1_a"), 8, 8)], "a LoHa adapter"),
        ("ia3", vec![matrix(&format!("{module}.ia3_l"), 8, 1)], "an IA3 adapter"),
        ("kohya", vec![matrix("lora_unet_mid_block_to_q.lora_down.weight", 4, 8)], "a LoRA adapter"),
        ("flux", vec![matrix("transformer.blocks.0.attn.to_q.lora.down.weight", 4, 8)], "a LoRA adapter"),
    ];
    for (name, tensors, what) in cases {
        let model = format!("{name}.safetensors");
        fs::write(place.path(&model), file(&tensors)).expect("written");
        place.run(&["--model", &model]).refused(1, &[&format!("'{model}' is {what}, not a model"), "base model"]);
    }
}
