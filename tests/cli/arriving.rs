//! Modules that are measured while the file that holds them is still coming from the Hub.

use std::collections::BTreeMap;
use std::fs;

use crate::support::checkpoint;
use crate::support::hub::repository;
use crate::support::hub_server::{Access, Faults, HubServer, MODEL, sha256};
use crate::support::program::{Running, Workplace};

/// The one file of the model.
const FILE: &str = "model.safetensors";

const JOURNAL: &str = "laser_scan_Mistral-0B.json.journal";

/// What is told with `-v` of each module that is measured.
const MEASURED: &str = "  snr ";

/// Layers of the model, which have two modules each.
const LAYERS: usize = 20;

/// The model's file: 40 modules of 16 KiB.
fn model() -> Vec<u8> {
    checkpoint::file(&checkpoint::layers(LAYERS, 64))
}

/// A server that has the model, and a scan of it that has begun.
fn begin(place: &Workplace, faults: Faults) -> (HubServer, Running) {
    let server = HubServer::start(BTreeMap::from([(FILE.to_owned(), model())]), Access::Open, faults);
    let home = place.path("hf").to_string_lossy().into_owned();
    let variables = [("HF_ENDPOINT", server.endpoint.clone()), ("HF_HOME", home)];
    let running = place.start(&["--model", MODEL, "-v", "--threads", "2"], &variables);
    (server, running)
}

/// The lines of the journal.
fn noted(place: &Workplace) -> usize {
    fs::read_to_string(place.path(JOURNAL)).map_or(0, |text| text.lines().count())
}

/// Checks that the results are those of the same file in a folder.
fn same_as_local(place: &Workplace) {
    fs::create_dir(place.path("local")).expect("created");
    fs::write(place.path("local").join(FILE), model()).expect("written");
    place.run(&["--model", "local", "--output", "local.json"]).succeeded();
    assert_eq!(place.bytes("laser_scan_Mistral-0B.json"), place.bytes("local.json"));
}

/// Leaves in the cache what an earlier download should have left: the file's first bytes, of which some may be wrong.
fn leave(place: &Workplace, bytes: &[u8]) {
    let blobs = repository(place).join("blobs");
    fs::create_dir_all(&blobs).expect("created");
    fs::write(blobs.join(format!("{}.incomplete", sha256(&model()))), bytes).expect("written");
}

#[test]
fn a_module_is_measured_before_its_file_is_whole_and_noted_after() {
    let place = Workplace::new();
    // All but the last module.
    let sends_first = model().len() - 100;
    let (server, mut running) = begin(&place, Faults { holds: Some(FILE), sends_first, ..Faults::default() });
    let mut news = running.news();
    let early: Vec<String> = news.by_ref().filter(|line| line.contains(MEASURED)).take(2 * LAYERS - 1).collect();
    assert_eq!(noted(&place), 0, "{early:?}");
    server.set_free();
    let late: Vec<String> = news.collect();
    assert!(running.wait().status.success(), "{late:?}");
    assert!(late.iter().any(|line| line.contains(&format!("downloaded '{FILE}'"))), "{early:?} {late:?}");
    assert_eq!(late.iter().filter(|line| line.contains(MEASURED)).count(), 1, "{late:?}");
    same_as_local(&place);
}

#[test]
fn what_was_measured_of_wrong_bytes_is_measured_again() {
    let place = Workplace::new();
    let mut wrong = model()[..500_000].to_vec();
    let header = 8 + u64::from_le_bytes(*wrong.first_chunk().expect("a header's length")) as usize;
    wrong[header..].chunks_exact_mut(4).for_each(|number| number[1] ^= 0x55);
    leave(&place, &wrong);
    let (server, mut running) = begin(&place, Faults { holds: Some(FILE), ..Faults::default() });
    let mut news = running.news();
    let early: Vec<String> = news.by_ref().filter(|line| line.contains(MEASURED)).take(20).collect();
    assert_eq!(noted(&place), 0, "{early:?}");
    server.set_free();
    let late: Vec<String> = news.collect();
    assert!(running.wait().status.success(), "{late:?}");
    assert!(late.iter().any(|line| line.contains("the download was wrong and begins anew")), "{late:?}");
    let again = late.iter().skip_while(|line| !line.contains("begins anew")).filter(|line| line.contains(MEASURED));
    assert_eq!(again.count(), 2 * LAYERS, "{late:?}");
    same_as_local(&place);
}

#[test]
fn what_an_earlier_download_has_left_is_measured_at_once() {
    let place = Workplace::new();
    leave(&place, &model()[..500_000]);
    let (server, mut running) = begin(&place, Faults { holds: Some(FILE), ..Faults::default() });
    let mut news = running.news();
    assert_eq!(news.by_ref().filter(|line| line.contains(MEASURED)).take(20).count(), 20);
    server.set_free();
    let late: Vec<String> = news.collect();
    assert!(running.wait().status.success(), "{late:?}");
    assert_eq!(late.iter().filter(|line| line.contains(MEASURED)).count(), 2 * LAYERS - 20, "{late:?}");
    same_as_local(&place);
}

#[test]
fn nothing_is_noted_of_a_file_that_is_refused() {
    let place = Workplace::new();
    let sends_first = model().len() - 100;
    let faults = Faults { holds: Some(FILE), sends_first, corrupts: true, ..Faults::default() };
    let (server, mut running) = begin(&place, faults);
    let mut news = running.news();
    assert_eq!(news.by_ref().filter(|line| line.contains(MEASURED)).take(10).count(), 10);
    server.set_free();
    let late: Vec<String> = news.collect();
    assert_eq!(running.wait().status.code(), Some(1), "{late:?}");
    assert!(late.iter().any(|line| line.contains("SHA-256")), "{late:?}");
    assert_eq!(place.files(), ["hf"]);
}

#[test]
fn a_server_that_begins_with_the_file_again_is_not_believed() {
    let place = Workplace::new();
    leave(&place, &model()[..300_000]);
    let (_server, mut running) = begin(&place, Faults { ignores_ranges: true, ..Faults::default() });
    let news: Vec<String> = running.news().collect();
    assert!(running.wait().status.success(), "{news:?}");
    same_as_local(&place);
}
