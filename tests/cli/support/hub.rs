//! The tiny model on a Hub on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::support::hub_server::{Access, Faults, HubServer, MODEL};
use crate::support::program::{Run, Workplace, finish, tiny_mistral};

pub const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// The tiny model, with the other files that people put beside one.
pub fn model_files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(tiny_mistral()).expect("readable").flatten() {
        files.insert(entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("readable"));
    }
    for decoy in
        ["consolidated.safetensors", "original/model.safetensors", "pytorch_model.bin", "model.gguf", "README.md"]
    {
        files.insert(decoy.into(), b"decoy".to_vec());
    }
    files
}

pub fn server(access: Access, faults: Faults) -> HubServer {
    HubServer::start(model_files(), access, faults)
}

/// Scans [`MODEL`] of `server` with a cache in the workplace.
pub fn scan(place: &Workplace, server: &HubServer, arguments: &[&str]) -> Run {
    let mut command = place.command();
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", place.path("hf"));
    finish(command.args(["--model", MODEL]).args(arguments))
}

/// Where the model's part of the cache is.
pub fn repository(place: &Workplace) -> PathBuf {
    place.path("hf/hub/models--tiny--Mistral-0B")
}

/// Checks that the output is that of a scan of the same files in a folder.
pub fn same_as_local(place: &Workplace) {
    place.run(&["--model", &tiny_mistral(), "--output-dir", "local"]).succeeded();
    assert_eq!(place.bytes("laser_scan_Mistral-0B.json"), place.bytes("local/laser_scan_tiny-mistral.json"));
    assert_eq!(
        place.bytes("laser_scan_Mistral-0B_top_snr.json"),
        place.bytes("local/laser_scan_tiny-mistral_top_snr.json")
    );
}
