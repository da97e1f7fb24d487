//! A model's config.json, beside weights whose reading asks it for much.
#![no_main]

use laser_scan::measure::Plan;
use laser_scan::modules::{Filter, Wanted};
use laser_scan_fuzz::{InMemory, safetensors};
use libfuzzer_sys::fuzz_target;

/// A stack of experts, a fused projection, and codes with a scale.
const HEADER: &[u8] = br#"{
    "model.layers.0.mlp.experts.gate_up_proj":{"dtype":"F8_E4M3","shape":[2,2,2],"data_offsets":[0,8]},
    "model.layers.0.self_attn.qkv_proj.weight":{"dtype":"BF16","shape":[6,2],"data_offsets":[8,32]},
    "model.layers.0.mlp.up_proj.weight":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[32,36]},
    "model.layers.0.mlp.up_proj.weight_scale":{"dtype":"F32","shape":[1],"data_offsets":[36,40]},
    "lm_head.weight":{"dtype":"BF16","shape":[6,2],"data_offsets":[40,64]}}"#;

fuzz_target!(|config: &[u8]| {
    let model = InMemory::new(&[("config.json", config), ("model.safetensors", &safetensors(HEADER))]);
    let wanted = Wanted { all_linear: true, convolutions: true, parts: true, ..Wanted::default() };
    let _ = Plan::new(&model, &Filter::default(), wanted);
});
