//! The numbers, against those that numpy computed: `tests/golden/make_golden.py`.

use serde_json::Value;

use crate::support::program::{Workplace, devices, in_project, tiny_mistral};

/// Checks every number of every module that numpy measured. Returns how many modules there were.
fn agrees(ours: &Value, golden: &Value) -> usize {
    let golden = golden.as_object().expect("an object");
    for (name, expected) in golden {
        let record = &ours[name.as_str()];
        assert!(record.is_object(), "{name} is missing");
        for count in ["signal_count", "noise_count"] {
            assert_eq!(record[count], expected[count], "{name}: {count}");
        }
        let largest = expected["sigma_max"].as_f64().expect("a number");
        for number in ["snr", "sigma_max", "signal", "noise", "sigma", "threshold"] {
            let (Some(ours), Some(exact)) = (record[number].as_f64(), expected[number].as_f64()) else {
                assert_eq!(record[number], expected[number], "{name}: {number}");
                continue;
            };
            // sigma and the threshold may be differences of nearly equal numbers, where rounding is all there is.
            let scale = if matches!(number, "sigma" | "threshold") { largest } else { exact.abs() };
            assert!((ours - exact).abs() <= 1e-9 * scale, "{name}: {number} is {ours:e}, not {exact:e}");
        }
    }
    golden.len()
}

fn golden(name: &str) -> Value {
    serde_json::from_slice(&golden_bytes(name)).expect("JSON")
}

fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(in_project(&format!("tests/golden/{name}"))).expect("golden data")
}

#[test]
fn the_tiny_model_has_the_numbers_of_numpy() {
    let mut golden = golden("tiny-mistral.json");
    // numpy measures every matrix; an embedding is no linear module.
    golden.as_object_mut().expect("an object").remove("model.embed_tokens");
    for device in devices() {
        let place = Workplace::new();
        place.run(&["--model", &tiny_mistral(), "--all-linear", "--device", device]).succeeded();
        let ours = place.json("laser_scan_tiny-mistral.json");
        assert_eq!(agrees(&ours, &golden), 29);
        assert_eq!(ours.as_object().expect("an object").len(), 29);
    }
}

#[test]
fn the_top_file_has_the_bytes_of_python() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--top-n", "2", "--json"]);
    run.succeeded();
    let expected = golden_bytes("tiny-mistral_top_2.json");
    assert_eq!(place.bytes("laser_scan_tiny-mistral_top_snr.json"), expected);
    assert_eq!(run.stdout.as_bytes(), [expected.as_slice(), b"\n"].concat());
}

#[test]
fn nasty_matrices_have_the_numbers_of_numpy_or_are_refused() {
    devices().iter().for_each(|device| nasty_matrices(device));
}

fn nasty_matrices(device: &str) {
    let place = Workplace::new();
    let run = place.run(&["--model", &in_project("tests/golden/nasty.safetensors"), "--device", device]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    let ours = place.json("laser_scan_nasty.json");
    assert_eq!(agrees(&ours, &golden("nasty.json")), 20);
    assert_eq!(ours.as_object().expect("an object").len(), 20);
    assert_eq!(place.bytes("laser_scan_nasty_top_snr.json"), golden_bytes("nasty_top_16.json"));

    let manifest = place.json("laser_scan_nasty_run.json");
    let names = |list: &Value, key: &str| -> Vec<String> {
        let entries = list.as_array().expect("a list").iter();
        entries.map(|entry| entry[key].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&manifest["failed"], "module"), ["refused_spike", "refused_zero"]);
    assert_eq!(names(&manifest["left_out"], "tensor"), ["one_row.weight", "one_column.weight"]);
    // Both routes are taken: the Gram matrix cannot vouch for what is ill-conditioned.
    assert!(manifest["methods"]["gram"].as_u64() > Some(10), "{}", manifest["methods"]);
    assert!(manifest["methods"]["direct"].as_u64() >= Some(2), "{}", manifest["methods"]);
}

#[test]
fn infinite_ratios_are_null() {
    let place = Workplace::new();
    let model = in_project("tests/golden/nasty.safetensors");
    let names = ["all_signal", "tall", "zero_noise"];
    place.run(&[&["--model", &model], &names.map(|name| ["--include", name]).concat()[..]].concat()).succeeded();
    let ours = place.json("laser_scan_nasty.json");
    for name in names {
        assert_eq!((&ours[name]["snr"], &ours[name]["noise"]), (&Value::Null, &0.0.into()), "{name}");
    }
}
