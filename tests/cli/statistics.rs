//! Rankings by other statistics, from the spectra of a finished scan.

use std::fs;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::checkpoint::{layers, write_shards};
use crate::support::program::{Workplace, tiny_mistral};

const FULL: &str = "laser_scan_tiny-mistral.json";
const SPECTRA: &str = "laser_scan_tiny-mistral_spectra.safetensors";

/// A place with a finished scan of the tiny model.
fn scanned(options: &[&str]) -> Workplace {
    let place = Workplace::new();
    place.run(&[&["--model", &tiny_mistral(), "--device", "cpu"], options].concat()).succeeded();
    place
}

fn spectrum(place: &Workplace, module: &str) -> Vec<f64> {
    let bytes = place.bytes(SPECTRA);
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = file.tensor(module).expect("the module's spectrum");
    assert_eq!(tensor.dtype(), Dtype::F64);
    tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect()
}

/// The names of the best of a type.
fn best(top: &Value, kind: &str) -> Vec<String> {
    let names = top[kind].as_array().expect("names").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn spectra_are_those_of_the_numbers() {
    let place = scanned(&[]);
    let full = place.json(FULL);
    for (module, record) in full.as_object().expect("modules") {
        let values = spectrum(&place, module);
        let shape: Vec<usize> = record["shape"].as_array().expect("a shape").iter().map(extent).collect();
        assert_eq!(values.len(), shape[0].min(shape[1]));
        assert_eq!(Some(values[0]), record["sigma_max"].as_f64());
        let threshold = record["threshold"].as_f64().expect("a number");
        let signal = values.iter().filter(|value| **value > threshold);
        assert_eq!(Some(signal.clone().count() as u64), record["signal_count"].as_u64());
        assert_eq!(Some(signal.fold(0.0, |sum, value| sum + value)), record["signal"].as_f64());
    }
    let metadata = SafeTensors::read_metadata(&place.bytes(SPECTRA)).expect("a header").1.metadata().clone();
    let hash = place.json("laser_scan_tiny-mistral_run.json")["outputs"]["full_sha256"].clone();
    assert_eq!(metadata.expect("metadata")["full_sha256"], hash.as_str().expect("a hash"));
}

fn extent(value: &Value) -> usize {
    value.as_u64().and_then(|extent| usize::try_from(extent).ok()).expect("an extent")
}

#[test]
fn another_statistic_ranks_from_the_spectra_as_a_scan_does() {
    let place = scanned(&[]);
    let mut rankings = Vec::new();
    for statistic in ["laser", "mp", "effective-rank", "alpha"] {
        let shown = place.run(&["show", FULL, "--format", "json", "--statistic", statistic, "-q"]);
        let of_scan = scanned(&["--statistic", statistic]).json("laser_scan_tiny-mistral_top_snr.json");
        let shown: Value = serde_json::from_str(&shown.succeeded().stdout).expect("JSON");
        assert_eq!(shown, of_scan, "{statistic}");
        rankings.push(best(&shown, "mlp.down_proj"));
    }
    assert!(rankings[1..].iter().any(|ranking| *ranking != rankings[0]));
}

#[test]
fn rows_have_the_statistics_if_they_are_asked_for() {
    let plain = scanned(&[]);
    let asked = scanned(&["--statistics"]).json(FULL);
    for (module, record) in plain.json(FULL).as_object().expect("modules") {
        let mut with = asked[module].as_object().expect("a record").clone();
        let statistics = with.shift_remove("statistics").expect("statistics");
        assert_eq!(&Value::Object(with), record);
        let values = spectrum(&plain, module);
        let sum: f64 = values.iter().sum();
        let entropy: f64 = values.iter().map(|value| value / sum).map(|share| -share * share.ln()).sum();
        let rank = statistics["effective_rank"].as_f64().expect("a number");
        assert!((rank - entropy.exp() / values.len() as f64).abs() < 1e-12 * rank, "{module}");
        let mp = &statistics["mp"];
        let signal: f64 = values.iter().filter(|value| Some(**value) > mp["threshold"].as_f64()).sum();
        assert!((mp["signal"].as_f64().expect("a number") - signal).abs() < 1e-12 * signal, "{module}");
    }
}

#[test]
fn nothing_is_measured_twice() {
    let place = scanned(&["--top-n", "3"]);
    let (full, spectra) = (place.bytes(FULL), place.bytes(SPECTRA));
    let model = tiny_mistral();
    let again = place.run(&["--model", &model, "--top-n", "1", "--types", "mlp.*", "--device", "cpu"]);
    assert!(again.succeeded().stderr.contains("nothing is measured anew"), "{}", again.stderr);
    assert_eq!((place.bytes(FULL), place.bytes(SPECTRA)), (full.clone(), spectra));
    let top = place.json("laser_scan_tiny-mistral_top_snr.json");
    assert_eq!(top.as_object().expect("types").len(), 3);
    let manifest = place.json("laser_scan_tiny-mistral_run.json");
    assert_eq!((&manifest["options"]["top_n"], &manifest["measured"]), (&1.into(), &28.into()));
    // Another statistic adds to the rows, and they go again with it.
    let other = ["--model", &model, "--statistic", "mp", "--device", "cpu"];
    assert!(place.run(&other).succeeded().stderr.contains("nothing is measured anew"));
    assert_eq!(place.json("laser_scan_tiny-mistral_run.json")["options"]["statistic"], "mp");
    assert!(place.json(FULL)["model.layers.0.mlp.up_proj"]["statistics"].is_object());
    assert!(place.run(&["--model", &model, "--device", "cpu"]).succeeded().stderr.contains("nothing is measured anew"));
    assert_eq!(place.bytes(FULL), full);
    for more in [&["--fresh"][..], &["--all-linear"]] {
        let run = place.run(&[&["--model", &model, "--device", "cpu"], more].concat());
        assert!(!run.succeeded().stderr.contains("nothing is measured anew"), "{more:?}");
    }
}

#[test]
fn a_changed_weight_is_measured_anew() {
    let place = Workplace::new();
    write_shards(&place.path("m"), &[("model.safetensors", layers(2, 24))]);
    let scan = ["--model", "m", "--device", "cpu"];
    place.run(&scan).succeeded();
    let before = place.bytes("laser_scan_m.json");
    let mut changed = layers(2, 24);
    changed[0].bytes[0] ^= 1;
    write_shards(&place.path("m"), &[("model.safetensors", changed)]);
    let run = place.run(&scan);
    assert!(!run.succeeded().stderr.contains("nothing is measured anew"), "{}", run.stderr);
    assert_ne!(place.bytes("laser_scan_m.json"), before);
}

#[test]
fn without_spectra_there_is_one_statistic() {
    let place = scanned(&["--no-spectra"]);
    assert!(!place.path(SPECTRA).exists());
    assert!(place.json("laser_scan_tiny-mistral_run.json")["outputs"].get("spectra").is_none());
    place.run(&["show", FULL]).succeeded();
    place
        .run(&["show", FULL, "--statistic", "mp"])
        .refused(1, &["mp", "spectra are missing", SPECTRA, "use --statistic laser"]);
    let other = scanned(&[]);
    fs::copy(other.path(SPECTRA), place.path(SPECTRA)).expect("copied");
    place.run(&["show", FULL, "--statistic", "mp"]).succeeded();
    // A scan that was changed by hand is another.
    let text = String::from_utf8(place.bytes(FULL)).expect("UTF-8").replacen("BF16", "F16", 1);
    fs::write(place.path(FULL), text).expect("written");
    place.run(&["show", FULL, "--statistic", "mp"]).refused(1, &["were not written with this scan"]);
    let (full, manifest) = (other.bytes(FULL), other.bytes("laser_scan_tiny-mistral_run.json"));
    fs::write(place.path(FULL), full).expect("written");
    fs::write(place.path("laser_scan_tiny-mistral_run.json"), manifest).expect("written");
    fs::write(place.path(SPECTRA), b"nothing").expect("written");
    place.run(&["show", FULL, "--statistic", "mp"]).refused(1, &["cannot be read", SPECTRA]);
    place.run(&["--model", &tiny_mistral(), "--fresh"]).refused(1, &[SPECTRA, "--overwrite"]);
}

#[test]
fn spectra_in_a_models_folder_are_no_weights() {
    let place = Workplace::new();
    write_shards(&place.path("m"), &[("weights.safetensors", layers(2, 24))]);
    place.run(&["--model", "m", "--output-dir", "m"]).succeeded();
    let run = place.run(&["--model", "m", "--output-dir", "m", "--fresh"]);
    assert_eq!(run.succeeded().stderr.matches("in 1 file").count(), 1, "{}", run.stderr);
}

#[test]
fn scans_by_different_statistics_are_not_compared() {
    let place = scanned(&["--output-dir", "a"]);
    place.run(&["--model", &tiny_mistral(), "--output-dir", "b", "--statistic", "mp"]).succeeded();
    let (a, b) = (format!("a/{FULL}"), format!("b/{FULL}"));
    place.run(&["diff", &a, &b]).refused(1, &["was ranked by laser", "by mp", "--statistic"]);
    let run = place.run(&["diff", &a, &b, "--statistic", "mp"]);
    assert!(run.succeeded().stdout.contains("1.0000"), "{}", run.stdout);
}

#[test]
fn a_table_for_other_programs_has_every_number() {
    let place = scanned(&[]);
    let table = place.run(&["show", FULL, "--format", "csv", "-q"]).succeeded().stdout.clone();
    let mut rows = table.lines();
    let header: Vec<&str> = rows.next().expect("a header").split(',').collect();
    let at = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    let full = place.json(FULL);
    assert_eq!(rows.clone().count(), full.as_object().expect("modules").len());
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let record = &full[cells[at("module")]];
        for key in ["snr", "sigma_max", "threshold", "signal", "noise"] {
            assert_eq!(cells[at(key)].parse::<f64>().ok(), record[key].as_f64(), "{row}");
        }
        assert!(cells[at("effective_rank")].parse::<f64>().is_ok_and(|rank| rank > 0.0 && rank <= 1.0), "{row}");
    }
    let markdown = place.run(&["show", FULL, "--format", "markdown", "--top-n", "2"]).succeeded().stdout.clone();
    assert!(markdown.starts_with("| type | chosen | layers, best first | snr |\n| --- |"), "{markdown}");
    place.run(&["show", FULL, "--top-n", "1", "--top-output", "best.json"]).succeeded();
    assert_eq!(best(&place.json("best.json"), "mlp.up_proj"), ["model.layers.0.mlp.up_proj"]);
    place.run(&["show", FULL, "--top-output", FULL]).refused(1, &["belongs to the scan itself"]);
    place.run(&["show", FULL, "--ties", "margin", "--statistic", "mp"]).refused(2, &["--ties"]);
}

#[test]
fn flat_spectra_are_told_of_once_a_type() {
    let place = Workplace::new();
    // Narrower than 1 : 3.7, so that noise alone has an infinite ratio.
    let narrow = |layer: usize| {
        let name = format!("model.layers.{layer}.self_attn.v_proj.weight");
        crate::support::checkpoint::matrix(&name, 32, 512)
    };
    write_shards(&place.path("m"), &[("model.safetensors", (0..3).map(narrow).collect())]);
    let run = place.run(&["--model", "m"]);
    let told = run.succeeded().stderr.lines().filter(|line| line.contains("ratios are infinite")).count();
    assert_eq!(told, 1, "{}", run.stderr);
    assert!(run.stdout.contains("inf x3"), "{}", run.stdout);
    let scan = "laser_scan_m.json";
    let by_margin = place.run(&["show", scan, "--ties", "margin"]);
    assert!(!by_margin.succeeded().stderr.contains("infinite"), "{}", by_margin.stderr);
    let by_mp = place.run(&["show", scan, "--statistic", "mp"]);
    assert!(!by_mp.succeeded().stdout.contains("inf") && by_mp.stderr.is_empty(), "{}", by_mp.stderr);
}
