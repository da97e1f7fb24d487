//! A safetensors file: its header, and what is made of the tensors in it.
#![no_main]

use laser_scan::measure::Plan;
use laser_scan::modules::{Filter, Wanted};
use laser_scan_fuzz::{InMemory, safetensors};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = br#"{"model_type":"qwen3_moe","num_hidden_layers":2,"num_experts":2}"#;

fuzz_target!(|header: &[u8]| {
    // Half of what is tried has a header of the right length, so that more of it is read.
    for file in [header.to_vec(), safetensors(header)] {
        let model = InMemory::new(&[("config.json", CONFIG), ("model.safetensors", &file)]);
        for parts in [false, true] {
            let wanted = Wanted { all_linear: true, convolutions: true, parts, ..Wanted::default() };
            let _ = Plan::new(&model, &Filter::default(), wanted);
        }
    }
});
