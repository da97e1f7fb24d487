//! Scans as files, without the weights that they would be of.

use std::fs;

use laser_scan::output::sha256;
use serde_json::{Map, Value, json};

use crate::support::program::{Workplace, in_project};

/// The types of a layer of Mistral-7B, with the shapes of their weights.
pub const MISTRAL: [(&str, [usize; 2]); 7] = [
    ("self_attn.q_proj", [4096, 4096]),
    ("self_attn.k_proj", [1024, 4096]),
    ("self_attn.v_proj", [1024, 4096]),
    ("self_attn.o_proj", [4096, 4096]),
    ("mlp.gate_proj", [14336, 4096]),
    ("mlp.up_proj", [14336, 4096]),
    ("mlp.down_proj", [4096, 14336]),
];

/// The seed's own configuration for Axolotl, made by hand from a scan.
pub fn seed_config() -> String {
    fs::read_to_string(in_project("tests/golden/seed/axolotl.yml")).expect("golden data")
}

/// The layers that the seed's configuration trains of a type, best first.
pub fn seed_layers(kind: &str) -> Vec<usize> {
    let layer = |line: &str| {
        let (layer, rest) = line.trim().strip_prefix("- layers.")?.split_once('.')?;
        (rest == kind).then(|| layer.parse().expect("a layer"))
    };
    seed_config().lines().filter_map(layer).collect()
}

/// Writes `scan.json`, a scan of Mistral-7B whose ratios put the seed's choice first, in its order; and its manifest.
pub fn write_mistral(place: &Workplace) {
    let mut scan = Map::new();
    for layer in 0..32 {
        for (kind, shape) in MISTRAL {
            let best = seed_layers(kind);
            let rank = best.iter().position(|best| *best == layer).unwrap_or(best.len() + layer);
            let name = format!("model.layers.{layer}.{kind}");
            let record = json!({
                "snr": 1.0 / (1.0 + rank as f64), "module": name, "type": kind, "layer": layer, "shape": shape, "dtype": "BF16",
            });
            scan.insert(name, record);
        }
    }
    let head = json!({
        "module": "lm_head", "type": "lm_head", "class": "head", "layer": null, "shape": [32000, 4096], "target": ["lm_head"],
        "target_is_parameter": false,
    });
    let norms = (0..32).map(|layer| format!("model.layers.{layer}.input_layernorm.weight"));
    let names: Vec<String> = norms.chain(["model.embed_tokens.weight".into(), "model.norm.weight".into()]).collect();
    let manifest = json!({
        "outputs": { "full_sha256": sha256(Value::Object(scan.clone()).to_string().as_bytes()) },
        "surroundings": {
            "model": "mistralai/Mistral-7B-v0.1", "model_types": ["mistral"], "transformers": 5, "ties_embeddings": false,
            "modules": [head], "unmeasured": [], "names": names,
        },
    });
    write(place, "scan.json", &Value::Object(scan));
    write(place, "scan_run.json", &manifest);
}

/// Writes a file of JSON.
pub fn write(place: &Workplace, name: &str, value: &Value) {
    fs::write(place.path(name), value.to_string()).expect("written");
}
