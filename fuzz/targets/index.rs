//! An index of shards, beside two shards.
#![no_main]

use laser_scan::checkpoint::Checkpoint;
use laser_scan_fuzz::{InMemory, safetensors};
use libfuzzer_sys::fuzz_target;

const FIRST: &[u8] = br#"{"a.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}"#;
const SECOND: &[u8] = br#"{"b.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}"#;

fuzz_target!(|index: &[u8]| {
    let model = InMemory::new(&[
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", &safetensors(FIRST)),
        ("model-00002-of-00002.safetensors", &safetensors(SECOND)),
    ]);
    if let Ok(checkpoint) = Checkpoint::open(&model) {
        assert!(checkpoint.shards.iter().all(|shard| model_has(&shard.file)), "a shard from elsewhere");
    }
});

/// Whether a file is one of the model's own.
fn model_has(file: &str) -> bool {
    file.starts_with("model-0000") && file.ends_with("-of-00002.safetensors")
}
