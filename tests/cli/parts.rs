//! A scan in parts, as several machines make it, and what is merged of them.

use std::fs;

use serde_json::{Value, json};

use crate::support::checkpoint::{layers, matrix, write_shards};
use crate::support::program::{Run, Workplace, in_project, tiny_mistral};

/// The files of a whole scan of the model called `name`.
fn files(name: &str) -> [String; 3] {
    ["", "_top_snr"]
        .map(|end| format!("laser_scan_{name}{end}.json"))
        .into_iter()
        .chain([format!("laser_scan_{name}_spectra.safetensors")])
        .collect::<Vec<_>>()
        .try_into()
        .expect("three")
}

fn part(place: &Workplace, model: &str, part: &str, options: &[&str]) -> Run {
    place.run(&[&["--model", model, "--device", "cpu", "--part", part, "--output-dir", "parts"], options].concat())
}

/// Measures all parts of `model`, and checks that merged they are the undivided scan, to the byte.
fn is_the_same_in(model: &str, name: &str, count: usize, options: &[&str], choice: &[&str]) {
    let place = Workplace::new();
    // In any order.
    for number in (1..=count).rev() {
        let run = part(&place, model, &format!("{number}/{count}"), options);
        assert!(run.succeeded().stdout.is_empty(), "a part chooses nothing: {}", run.stdout);
    }
    let whole = [&["--model", model, "--device", "cpu", "--output-dir", "whole"], options, choice].concat();
    let whole = place.run(&whole);
    let merged = place.run(&[&["merge", "parts"], choice].concat());
    assert_eq!(merged.succeeded().stdout, whole.succeeded().stdout);
    for file in files(name) {
        assert_eq!(place.bytes(&file), place.bytes(&format!("whole/{file}")), "{file} of {count} parts");
    }
    let manifest = place.json(&format!("laser_scan_{name}_run.json"));
    let undivided = place.json(&format!("whole/laser_scan_{name}_run.json"));
    for key in [
        "model",
        "files",
        "algorithm",
        "methods",
        "processors",
        "measured",
        "failed",
        "left_out",
        "outputs",
        "surroundings",
    ] {
        assert_eq!(manifest[key], undivided[key], "{key}");
    }
    assert_eq!((&manifest["merged"]["of"], &manifest["merged"]["missing"]), (&json!(count), &json!([])));
    assert_eq!(manifest.get("part"), None);
}

#[test]
fn two_shards_in_any_number_of_parts_are_the_undivided_scan() {
    for count in [1, 4, 7, 40] {
        is_the_same_in(&tiny_mistral(), "tiny-mistral", count, &[], &["--top-n", "2"]);
    }
}

#[test]
fn options_of_the_choice_are_those_of_the_merge() {
    let choice = ["--statistic", "mp", "--top-percent", "50", "--types", "mlp.*", "--emit", "peft", "--no-head"];
    is_the_same_in(&tiny_mistral(), "tiny-mistral", 3, &["--all-linear", "--exclude", "*.1.*"], &choice);
    is_the_same_in(&tiny_mistral(), "tiny-mistral", 2, &["--split-fused"], &["--statistics", "--global", "--json"]);
}

#[test]
fn experts_are_pooled_when_all_parts_are_there() {
    let place = Workplace::new();
    let name = |layer: usize, expert: usize, leaf: &str| {
        format!("model.layers.{layer}.mlp.experts.{expert}.{leaf}_proj.weight")
    };
    let of_layer = |layer: usize| {
        (0..4).flat_map(move |expert| {
            [matrix(&name(layer, expert, "up"), 16, 8), matrix(&name(layer, expert, "down"), 8, 16)]
        })
    };
    write_shards(&place.path("moe"), &[("model.safetensors", (0..3).flat_map(of_layer).collect())]);
    let model = place.path("moe").to_str().expect("UTF-8").to_owned();
    is_the_same_in(&model, "moe", 5, &[], &["--pool-experts", "mean", "--ties", "margin"]);
}

#[test]
fn changes_are_measured_in_parts_too() {
    let place = Workplace::new();
    let deltas = |name: &str| in_project(&format!("tests/catalogue/deltas/{name}"));
    let (base, lora) = (deltas("mistral"), deltas("lora"));
    for number in 1..=3 {
        place.run(&["delta", &base, &lora, "--part", &format!("{number}/3"), "--output-dir", "parts"]).succeeded();
    }
    place.run(&["delta", &base, &lora, "--output-dir", "whole"]).succeeded();
    place.run(&["merge", "parts"]).succeeded();
    for file in files("lora_delta") {
        assert_eq!(place.bytes(&file), place.bytes(&format!("whole/{file}")), "{file}");
    }
}

#[test]
fn each_part_resumes_and_is_reused_by_itself() {
    let place = Workplace::new();
    part(&place, &tiny_mistral(), "2/4", &[]).succeeded();
    let names = ["", "_run"].map(|end| format!("laser_scan_tiny-mistral_part-2-of-4{end}.json"));
    let mut found: Vec<String> = fs::read_dir(place.path("parts"))
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [names[0].clone(), names[1].clone(), "laser_scan_tiny-mistral_part-2-of-4_spectra.safetensors".to_owned()]
    );
    let again = part(&place, &tiny_mistral(), "2/4", &[]);
    assert!(again.succeeded().stderr.contains("nothing is measured anew"), "{}", again.stderr);
    // Another division is another part.
    assert!(!part(&place, &tiny_mistral(), "2/5", &[]).succeeded().stderr.contains("nothing is measured anew"));
    let shown = place.run(&["show", &format!("parts/{}", names[0])]);
    assert!(shown.succeeded().stderr.contains("this is part 2 of 4 of a scan"), "{}", shown.stderr);
}

#[test]
fn a_dry_run_shows_what_each_part_takes() {
    let place = Workplace::new();
    let run = part(&place, &tiny_mistral(), "2/7", &["--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    let parts = plan["parts"].as_array().expect("parts");
    assert_eq!((parts.len(), &plan["part"]), (7, &json!({"number": 2, "of": 7})));
    let sum = |key: &str| parts.iter().map(|part| part[key].as_f64().expect("a number")).sum::<f64>();
    assert_eq!(sum("modules"), 28.0);
    assert!(parts.iter().all(|part| part["files"].as_u64() <= Some(2) && part["bytes"].as_u64() > Some(0)));
    assert_eq!(plan["modules"].as_array().map(Vec::len), parts[1]["modules"].as_u64().map(|count| count as usize));
    let table = part(&place, &tiny_mistral(), "2/7", &["--dry-run"]);
    assert!(table.succeeded().stdout.starts_with("part  modules  files  size"), "{}", table.stdout);
    assert!(!place.path("parts").exists());
}

/// A place with three of four parts.
fn without_the_third() -> Workplace {
    let place = Workplace::new();
    for number in [1, 2, 4] {
        part(&place, &tiny_mistral(), &format!("{number}/4"), &[]).succeeded();
    }
    place
}

#[test]
fn a_missing_part_is_missed_unless_it_may_be() {
    let place = without_the_third();
    place.run(&["merge", "parts"]).refused(1, &["part 3 of 4 is missing", "--partial"]);
    assert!(!place.path("laser_scan_tiny-mistral.json").exists());
    let run = place.run(&["merge", "parts", "--partial"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: part 3 of 4 is missing, so that their modules are not ranked"),
        "{}",
        run.stderr
    );
    let manifest = place.json("laser_scan_tiny-mistral_run.json");
    assert_eq!(manifest["merged"]["missing"], json!([3]));
    let numbers: Vec<u64> =
        manifest["merged"]["runs"].as_array().expect("runs").iter().filter_map(|run| run["number"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 4]);
    let shown = place.run(&["show", "laser_scan_tiny-mistral.json"]);
    assert!(shown.succeeded().stderr.contains("part 3 of 4 is missing"), "{}", shown.stderr);
    // Once it is there, the whole takes the place of what was partial.
    part(&place, &tiny_mistral(), "3/4", &[]).succeeded();
    place.run(&["merge", "parts"]).succeeded();
    place.run(&["--model", &tiny_mistral(), "--output-dir", "whole"]).succeeded();
    assert_eq!(place.bytes("laser_scan_tiny-mistral.json"), place.bytes("whole/laser_scan_tiny-mistral.json"));
}

#[test]
fn what_is_not_of_one_scan_is_not_merged() {
    let place = without_the_third();
    let merge = |options: &[&str]| place.run(&[&["merge"], options].concat());
    let first = "parts/laser_scan_tiny-mistral_part-1-of-4.json";
    let copy = "parts/copy.json";
    for end in [".json", "_run.json", "_spectra.safetensors"] {
        fs::copy(place.path(&first.replace(".json", end)), place.path(&copy.replace(".json", end))).expect("copied");
    }
    merge(&[first, copy]).refused(1, &["are both part 1: give each once"]);
    merge(&["parts", copy]).refused(1, &["are both part 1"]);
    let other = |model: &str, number: &str, options: &[&str]| {
        let run = [&["--model", model, "--part", number, "--output-dir", "other"], options].concat();
        place.run(&run).succeeded();
        let name = model.rsplit('/').next().expect("a name");
        format!("other/laser_scan_{name}_part-{}.json", number.replace('/', "-of-"))
    };
    merge(&[first, &other(&tiny_mistral(), "3/5", &[])]).refused(1, &["is one of 4 parts and", "one of 5"]);
    merge(&[first, &other(&tiny_mistral(), "3/4", &["--exclude", "*.0.*"])])
        .refused(1, &["different options of what to scan"]);
    merge(&[first, &other(&tiny_mistral(), "3/4", &["--transformers", "4", "--fresh"])])
        .refused(1, &["different lines of transformers"]);
    write_shards(&place.path("model"), &[("model.safetensors", layers(2, 8))]);
    let of_model = place.path("model").to_str().expect("UTF-8").to_owned();
    merge(&[first, &other(&of_model, "2/4", &[])])
        .refused(1, &["are not parts of one scan: they are of different models"]);
    // The same name, but weights that were changed in between.
    let one = other(&of_model, "1/2", &[]);
    write_shards(&place.path("model"), &[("model.safetensors", layers(2, 8).into_iter().rev().collect())]);
    let two = other(&of_model, "2/2", &[]);
    merge(&[&one, &two]).refused(1, &["the weights differ ('model.safetensors')"]);
}

#[test]
fn what_is_no_part_is_told_in_one_sentence() {
    let place = without_the_third();
    let merge = |path: &str| place.run(&["merge", path]);
    place.run(&["--model", &tiny_mistral()]).succeeded();
    fs::create_dir(place.path("empty")).expect("created");
    merge("laser_scan_tiny-mistral.json").refused(1, &["is a whole scan and no part of one"]);
    merge("laser_scan_tiny-mistral_top_snr.json").refused(1, &["it has only the names of the best"]);
    merge("laser_scan_tiny-mistral_run.json").refused(1, &["it is the manifest"]);
    merge("none.json").refused(1, &["cannot read 'none.json'"]);
    merge("empty").refused(1, &["'empty' holds no part of a scan"]);
    place.run(&["merge"]).refused(2, &["PART.json"]);
    let manifest = "parts/laser_scan_tiny-mistral_part-1-of-4_run.json";
    fs::remove_file(place.path(manifest)).expect("removed");
    merge("parts").refused(1, &["the scan's manifest is missing"]);
}

#[test]
fn parts_are_counted_from_one_and_choose_nothing() {
    let place = Workplace::new();
    for wrong in ["0/4", "5/4", "1/0", "x", "", "1/4/2"] {
        part(&place, &tiny_mistral(), wrong, &[]).refused(2, &["it takes K/N, such as 2/8"]);
    }
    for option in
        [&["--top-n", "3"][..], &["--emit", "peft"], &["--statistic", "mp"], &["--budget", "1M"], &["--global"]]
    {
        part(&place, &tiny_mistral(), "1/4", option).refused(2, &["cannot be used with", option[0]]);
    }
    part(&place, &tiny_mistral(), "1/4", &["--json"]).refused(2, &["a part chooses nothing"]);
}
