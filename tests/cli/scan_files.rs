//! A scan's files, read and written again by the library.

use std::fs;

use laser_scan::scan::{Destination, Format, Outputs, Scan};
use serde_json::json;

use crate::support::checkpoint::{Tensor, file, matrix, of_numbers};
use crate::support::program::{Workplace, tiny_mistral};

/// Reads the scan of the model called `name` in the place with its manifest, and compares what is written of it.
#[track_caller]
fn is_written_as_it_was(place: &Workplace, name: &str) -> Scan {
    let outputs = Outputs::new(name, &Destination { folder: Some(place.path(".")), ..Destination::default() });
    let mut scan = Scan::read(&outputs.full).expect("a scan");
    scan.read_manifest(&outputs.full).expect("its manifest");
    scan.read_spectra(&outputs.full).expect("its spectra");
    let full = fs::read(&outputs.full).expect("readable");
    assert_eq!(String::from_utf8(scan.full_json()), String::from_utf8(full.clone()));
    let manifest = fs::read(&outputs.manifest).expect("readable");
    assert_eq!(String::from_utf8(scan.manifest_json(&outputs, &full)), String::from_utf8(manifest));
    scan
}

#[test]
fn a_scan_that_is_read_is_written_the_same() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--all-linear", "--exclude", "*.1.*", "--emit", "peft"]).succeeded();
    let scan = is_written_as_it_was(&place, "tiny-mistral");
    let provenance = scan.provenance.expect("a manifest tells it");
    assert_eq!((provenance.options.exclude, provenance.methods.gram), (vec!["*.1.*".to_owned()], scan_count(&place)));
}

/// How many modules are in the file of tiny-mistral's scan.
fn scan_count(place: &Workplace) -> usize {
    place.json("laser_scan_tiny-mistral.json").as_object().expect("modules").len()
}

#[test]
fn pools_parts_and_what_could_not_be_measured_are_written_the_same() {
    let place = Workplace::new();
    let expert = |layer: usize, expert: usize| format!("model.layers.{layer}.mlp.experts.{expert}.down_proj.weight");
    let mut tensors: Vec<Tensor> =
        [0, 1].iter().flat_map(|layer| (0..4).map(|number| matrix(&expert(*layer, number), 12, 16))).collect();
    tensors[2] = of_numbers(&expert(0, 2), 12, 16, vec![f32::NAN; 192]);
    tensors.push(matrix("model.layers.0.self_attn.qkv_proj.weight", 24, 12));
    tensors.push(matrix("lm_head.weight", 40, 12));
    fs::create_dir(place.path("moe")).expect("created");
    fs::write(place.path("moe/model.safetensors"), file(&tensors)).expect("written");
    fs::write(place.path("moe/config.json"), br#"{"model_type": "qwen3_moe"}"#).expect("written");
    let run = place.run(&["--model", "moe", "--pool-experts", "mean", "--split-fused", "-q"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    let scan = is_written_as_it_was(&place, "moe");
    let unmeasured: Vec<&str> =
        scan.records().iter().filter(|record| record.result.is_err()).map(|record| record.info.name.as_str()).collect();
    assert_eq!(unmeasured, ["model.layers.0.mlp.experts.2.down_proj"]);
    assert_eq!(scan.incomplete_pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>().len(), 1);
}

#[test]
fn results_of_spectrum_are_written_in_their_form() {
    let flat = r#"{
    "model.layers.0.mlp.down_proj": {
        "snr": 10.125,
        "type": "mlp.down_proj"
    },
    "model.layers.1.mlp.down_proj": {
        "snr": Infinity,
        "type": "mlp.down_proj"
    },
    "lm_head": {
        "snr": 0.5,
        "type": "lm_head"
    }
}"#;
    let sorted = r#"{
    "mlp.down_proj": {
        "model.layers.1.mlp.down_proj": Infinity,
        "model.layers.0.mlp.down_proj": 10.125
    },
    "lm_head": {
        "lm_head": 0.5
    }
}"#;
    for (text, format) in [(flat, Format::Spectrum), (sorted, Format::SpectrumSorted)] {
        let scan = Scan::from_bytes(text.as_bytes()).expect("results");
        assert_eq!((scan.format, String::from_utf8(scan.full_json())), (format, Ok(text.to_owned())));
    }
}

#[test]
fn a_manifest_of_the_first_version_tells_what_is_around() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "-q"]).succeeded();
    let mut manifest = place.json("laser_scan_tiny-mistral_run.json");
    for key in ["schema_version", "date", "host"] {
        manifest.as_object_mut().expect("an object").remove(key).expect("of the second version");
    }
    place.write(&[("laser_scan_tiny-mistral_run.json", manifest.to_string().as_bytes())]);
    let path = place.path("laser_scan_tiny-mistral.json");
    let mut scan = Scan::read(&path).expect("a scan");
    scan.read_manifest(&path).expect("its manifest");
    assert!(scan.provenance.is_none() && scan.surroundings.is_some_and(|around| around.model == "tiny-mistral"));
}

#[test]
fn a_manifest_of_a_later_version_is_not_guessed_at() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "-q"]).succeeded();
    let mut manifest = place.json("laser_scan_tiny-mistral_run.json");
    manifest["schema_version"] = json!(99);
    place.write(&[("laser_scan_tiny-mistral_run.json", manifest.to_string().as_bytes())]);
    let export = place.run(&["export", "peft", "laser_scan_tiny-mistral.json"]);
    assert!(export.succeeded().stderr.contains("its schema_version is 99, and this laser-scan reads up to 2"));
}
