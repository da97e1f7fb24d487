//! Weights that are read by byte range, of which nothing lands on disk.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::hub::{model_files, same_as_local, scan, server};
use crate::support::hub_server::{Access, Faults, HubServer};
use crate::support::program::Workplace;

/// The bytes of all files in a folder and below it.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| {
        let metadata = entry.metadata().expect("known");
        if metadata.is_dir() { size_of(&entry.path()) } else { metadata.len() }
    };
    entries.map(size).sum()
}

/// The bytes that were asked for of the weights' files, beside their headers.
fn requested(server: &HubServer) -> u64 {
    let files = model_files();
    let length = |line: &String| {
        let (file, range) = line.strip_prefix("GET store:")?.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().unwrap_or(files[file].len() as u64));
        (start > 0).then_some(end - start)
    };
    server.log().iter().filter_map(length).sum()
}

#[test]
fn nothing_but_results_lands_on_disk() {
    let place = Workplace::new();
    let hub = server(Access::Open, Faults::default());
    let run = scan(&place, &hub, &["--stream", "--device", "cpu"]);
    run.succeeded();
    same_as_local(&place);
    let weights: usize = model_files().values().map(Vec::len).sum();
    let cached = size_of(&place.path("hf"));
    assert!(cached < weights as u64 / 20, "{cached} of {weights} bytes are in the cache");
    let manifest = place.json("laser_scan_Mistral-0B_run.json");
    assert_eq!(manifest["options"]["stream"], true);
    // What is in the cache later is not streamed, and gives the same.
    scan(&place, &hub, &["--fresh"]).succeeded();
    hub.clear_log();
    scan(&place, &hub, &["--stream", "--fresh"]).succeeded();
    assert_eq!(requested(&hub), 0);
    same_as_local(&place);
}

#[test]
fn only_the_bytes_of_a_part_travel() {
    let place = Workplace::new();
    let hub = server(Access::Open, Faults::default());
    let mut all = 0;
    for number in 1..=3 {
        let part = format!("{number}/3");
        let plan = scan(&place, &hub, &["--stream", "--part", &part, "--dry-run", "--json"]);
        let plan: Value = serde_json::from_str(&plan.succeeded().stdout).expect("JSON");
        let expected = plan["download_bytes"].as_u64().expect("a number");
        hub.clear_log();
        scan(&place, &hub, &["--stream", "--part", &part, "--device", "cpu"]).succeeded();
        assert_eq!(requested(&hub), expected);
        all += expected;
    }
    let whole = scan(&place, &hub, &["--stream", "--dry-run", "--json"]);
    let whole: Value = serde_json::from_str(&whole.succeeded().stdout).expect("JSON");
    assert_eq!(whole["download_bytes"], json!(all));
    place.run(&["merge", "."]).succeeded();
    same_as_local(&place);
}

#[test]
fn what_breaks_off_is_asked_for_again() {
    let place = Workplace::new();
    let faults = Faults { cuts: 3, cut_after: 5000, rate_limits: 1, unavailable: 1, ..Faults::default() };
    let hub = server(Access::Open, faults);
    scan(&place, &hub, &["--stream", "--device", "cpu"]).succeeded();
    same_as_local(&place);
}
