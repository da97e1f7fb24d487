//! Folders that sentence-transformers writes.

use std::fs;

use serde_json::json;

use crate::support::checkpoint::{file, matrix, vector};
use crate::support::program::Workplace;

/// Writes the model `m` with its transformer in `folder`, which is empty or ends in `/`.
fn write(place: &Workplace, folder: &str) {
    let modules = json!([
        {"idx": 0, "name": "0", "path": folder.trim_end_matches('/'), "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
        {"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]);
    let leaves = ["attention.self.query", "attention.self.key", "intermediate.dense"];
    let transformer = file(&leaves.map(|leaf| matrix(&format!("encoder.layer.0.{leaf}.weight"), 8, 8)));
    let dense = file(&[matrix("linear.weight", 4, 8), vector("linear.bias", 4)]);
    place.write(&[
        ("m/modules.json", modules.to_string().as_bytes()),
        ("m/config_sentence_transformers.json", b"{}"),
        (&format!("m/{folder}config.json"), br#"{"model_type": "bert", "num_hidden_layers": 1}"#),
        (&format!("m/{folder}model.safetensors"), &transformer),
        ("m/1_Pooling/config.json", b"{}"),
        ("m/2_Dense/config.json", br#"{"in_features": 8, "out_features": 4}"#),
        ("m/2_Dense/model.safetensors", &dense),
    ]);
}

#[test]
fn the_transformer_is_the_model_wherever_it_is() {
    let scans = ["", "0_Transformer/"].map(|folder| {
        let place = Workplace::new();
        write(&place, folder);
        let run = place.run(&["--model", "m"]);
        assert_eq!(run.succeeded().stderr.matches("('2_Dense') is not").count(), 1, "{}", run.stderr);
        let manifest = place.json("laser_scan_m_run.json");
        assert_eq!(manifest["files"][0]["file"], format!("{folder}model.safetensors"));
        assert_eq!(manifest["surroundings"]["components"], json!([]));
        assert_eq!(manifest["surroundings"]["model_types"], json!(["bert"]));
        // Without the list, it is what it was.
        fs::remove_file(place.path("m/modules.json")).expect("removed");
        if folder.is_empty() {
            assert_eq!(place.modules("m", &[]).len(), 3);
        } else {
            place.run(&["--model", "m"]).refused(1, &["its folders '0_Transformer' and '2_Dense' do"]);
        }
        place.bytes("laser_scan_m.json")
    });
    assert!(scans[0] == scans[1]);
    assert!(String::from_utf8_lossy(&scans[0]).contains("\"encoder.layer.0.attention.self.query\""));
}

#[test]
fn what_comes_after_the_transformer_is_a_model_by_itself() {
    let place = Workplace::new();
    write(&place, "0_Transformer/");
    assert_eq!(place.modules("m/2_Dense", &[]), ["linear"]);
    let run = place.run(&["--model", "m/0_Transformer"]);
    assert!(!run.succeeded().stderr.contains("2_Dense"), "{}", run.stderr);
}

#[test]
fn another_file_of_the_name_is_passed_over() {
    let place = Workplace::new();
    write(&place, "");
    for content in [&b"{\"modules\": 1}"[..], b"[{\"path\": \"../other\"}]", b"no JSON"] {
        place.write(&[("m/modules.json", content)]);
        assert_eq!(place.modules("m", &[]).len(), 3);
    }
}
