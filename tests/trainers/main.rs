//! That the exports are still those which the trainers' own code was seen to take: `verify_trainers.py`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// A path within this test's folder.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trainers").join(path)
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

#[test]
fn what_the_trainers_took_is_still_what_is_exported() {
    let golden: Value =
        serde_json::from_slice(&std::fs::read(here("golden.json")).expect("golden data")).expect("JSON");
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 62);
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut scanned = HashSet::new();
    for case in cases {
        let model = case["model"].as_str().expect("a name");
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
}
