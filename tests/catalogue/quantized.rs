//! Every format of quantised weights: its numbers, or its name in a refusal.

use serde_json::Value;

use crate::program::Workplace;
use crate::{entries, folder, json, matrices, same_ratio};

#[test]
fn every_format_is_dequantised_exactly() {
    let formats: Vec<String> = entries("quantized").into_iter().filter(|name| name != "refused").collect();
    assert!(formats.len() >= 35, "{} formats", formats.len());
    for name in &formats {
        let model = folder("quantized").join(name);
        let expected = json(model.join("expected.json"));
        let place = Workplace::new();
        let run = place.run(&["--model", model.to_str().expect("UTF-8"), "--split-fused"]);
        assert_eq!(run.status, 0, "{name}: {}", run.stderr);
        let format = expected["format"].as_str().expect("a name");
        assert!(run.stderr.contains(&format!("the weights are quantised ({format})")), "{name}: {}", run.stderr);
        let manifest = place.json(&format!("laser_scan_{name}_run.json"));
        assert_eq!(manifest["quantization"], serde_json::json!([format]), "{name}");
        agrees(&place.json(&format!("laser_scan_{name}.json")), &expected["modules"], name);
    }
}

/// Checks that exactly the `expected` modules were measured, and all their numbers.
fn agrees(ours: &Value, expected: &Value, format: &str) {
    let expected = expected.as_object().expect("modules");
    let mut checked = 0;
    for (name, numbers) in expected {
        let (record, name) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
            Some((stack, expert)) => {
                let (path, leaf) = stack.rsplit_once('.').expect("a path");
                let name = format!("{path}.{expert}.{leaf}");
                (&ours[name.as_str()], name)
            }
            None => (&ours[name.as_str()], name.clone()),
        };
        let what = format!("{format}: {name}");
        same_numbers(record, numbers, &what);
        checked += 1;
        for (part, numbers) in numbers["parts"].as_object().into_iter().flatten() {
            same_ratio(
                &ours[format!("{name}.{part}").as_str()]["snr"],
                numbers.get("snr").unwrap_or(numbers),
                &format!("{what}.{part}"),
            );
            checked += 1;
        }
    }
    assert_eq!(ours.as_object().expect("an object").len(), checked, "{format}");
}

pub fn same_numbers(record: &Value, expected: &Value, what: &str) {
    same_ratio(&record["snr"], &expected["snr"], what);
    for key in ["dtype", "shape", "signal_count", "noise_count"] {
        assert_eq!(record[key], expected[key], "{what}: {key}");
    }
    for key in ["sigma_max", "signal", "noise"] {
        let (ours, exact) = (record[key].as_f64().expect("a number"), expected[key].as_f64().expect("a number"));
        assert!((ours - exact).abs() <= 1e-9 * exact.abs(), "{what}: {key} is {ours:e}, not {exact:e}");
    }
}

#[test]
fn every_other_format_is_refused_by_name() {
    let place = Workplace::new();
    for name in entries("quantized/refused") {
        let model = folder("quantized/refused").join(&name);
        let config = json(model.join("config.json"));
        let method = config["quantization_config"]["quant_method"].as_str().unwrap_or(&name).to_lowercase();
        let run = place.run(&["--model", model.to_str().expect("UTF-8")]);
        run.refused(1, &["is quantised", &method, "scan the model that it was made from"]);
    }
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn codes_are_in_the_place_where_they_belong() {
    use laser_scan::checkpoint::{Checkpoint, Elements, Selection};
    use laser_scan::source::local::Local;

    let mut checked = 0;
    for name in entries("quantized").into_iter().filter(|name| name != "refused") {
        let model = folder("quantized").join(&name);
        let expected = json(model.join("expected.json"));
        let source = Local::open(&model).expect("opens");
        let checkpoint = Checkpoint::open(&source).expect("readable");
        let matrices = matrices(&source, &checkpoint).expect("there");
        for (module, numbers) in expected["modules"].as_object().expect("modules") {
            let Some(corner) = numbers["corner"].as_array() else { continue };
            let (tensor, selection) = match module.strip_suffix(']').and_then(|module| module.rsplit_once('[')) {
                Some((stack, expert)) => (stack.to_owned(), Selection::at(expert.parse().expect("a number"))),
                None => (format!("{module}.weight"), Selection::default()),
            };
            let matrix = matrices.matrix(&tensor, &selection).expect("decoded");
            let Elements::Decoded(numbers) = matrix.elements else { panic!("{name}: {module} is not quantised") };
            let columns = matrix.shape[1];
            let ours = [numbers[0], numbers[1], numbers[columns], numbers[numbers.len() - 1]];
            for (ours, exact) in ours.iter().zip(corner) {
                let exact = exact.as_f64().expect("a number");
                assert!((ours - exact).abs() <= 1e-15 * exact.abs(), "{name}: {module}: {ours:e}, not {exact:e}");
                checked += 1;
            }
        }
    }
    assert!(checked > 400, "{checked} numbers");
}
