//! That the exports are still those which the trainers' own code was seen to take: `verify_trainers.py`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

use crate::support::program::{entries, in_project};
use crate::support::tests_of_each;

/// A path within the folder of what was tried with the trainers.
fn here(path: &str) -> PathBuf {
    PathBuf::from(in_project("tests/trainers")).join(path)
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a string")).collect()
}

/// What the program printed, or why it refused.
fn run(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_laser-scan")).current_dir(folder).args(arguments).output().expect("runs");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(printed.into_owned());
    }
    let error = said.lines().find_map(|line| line.strip_prefix("error: "));
    Err(error.unwrap_or_else(|| panic!("{said}")).to_owned())
}

/// The exports that were tried, of every model.
fn cases() -> Vec<Value> {
    let golden = std::fs::read(here("golden.json")).expect("golden data");
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    golden["cases"].as_array().expect("cases").clone()
}

/// What the trainers took of a model is still what is exported.
fn exported(model: &str) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut scanned = HashSet::new();
    for case in cases().iter().filter(|case| case["model"] == model) {
        let (scan, arguments) = (strings(&case["scan"]), strings(&case["arguments"]));
        let folder = place.path().join(format!("{model}{}", scan.concat().replace('*', "")));
        if scanned.insert(folder.clone()) {
            std::fs::create_dir(&folder).expect("created");
            let path = here(&format!("models/{model}"));
            let line = [&["--model", path.to_str().expect("UTF-8"), "-q"], scan.as_slice()].concat();
            run(&folder, &line).expect("scanned");
        }
        let file = format!("laser_scan_{model}.json");
        let line = [&["export", arguments[0], &file, "-q"], &arguments[1..]].concat();
        let expected = match case["refused"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(case["output"].as_str().expect("an output").to_owned()),
        };
        assert_eq!(run(&folder, &line), expected, "{model} {scan:?} {arguments:?}");
    }
    assert!(!scanned.is_empty(), "no export was tried of {model}");
}

tests_of_each! { entries("tests/trainers/models"), [llama llava mixtral qwen2_tied qwen3_moe], exported }

#[test]
fn every_case_is_of_a_model_that_is_here() {
    let models = entries("tests/trainers/models");
    let cases = cases();
    assert_eq!(cases.len(), 128);
    assert!(cases.iter().all(|case| models.iter().any(|model| case["model"] == model.as_str())));
}
