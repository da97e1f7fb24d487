//! Models of the Hub, against a server on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::hub::{SHARDS, model_files, repository, same_as_local, scan, server};
use crate::support::hub_server::{Access, COMMIT, Faults, HubServer, MODEL, TOKEN, oid, sha256};
use crate::support::program::{Workplace, finish, in_project};

#[test]
fn only_what_is_needed_comes_down() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
    for decoy in ["consolidated", "original", ".bin", ".gguf", "README"] {
        assert!(!server.log().iter().any(|request| request.contains(decoy)), "{:?}", server.log());
    }
    let manifest = place.json("laser_scan_Mistral-0B_run.json");
    assert_eq!(manifest["commit"], COMMIT);
    assert_eq!(manifest["files"][1]["etag"], sha256(&model_files()[SHARDS[1]]));
}

#[test]
fn the_cache_is_laid_out_as_python_reads_it() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    let root = repository(&place);
    assert_eq!(fs::read_to_string(root.join("refs/main")).expect("readable"), COMMIT);
    for (file, bytes) in
        model_files().into_iter().filter(|(name, _)| name.starts_with("model-") || name.ends_with(".json"))
    {
        let etag = if file.ends_with(".safetensors") { sha256(&bytes) } else { oid(&bytes) };
        assert!(fs::read(root.join("blobs").join(&etag)).expect("a blob") == bytes, "{file}");
        let pointer = root.join("snapshots").join(COMMIT).join(&file);
        #[cfg(unix)]
        assert_eq!(fs::read_link(&pointer).expect("a link"), Path::new("../../blobs").join(&etag));
        assert!(fs::read(&pointer).expect("readable") == bytes, "{file}");
    }
    assert_eq!(fs::read_dir(root.join("blobs")).expect("readable").count(), 4, "nothing incomplete is left");
}

#[test]
fn what_python_has_downloaded_is_not_downloaded_again() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let snapshot = repository(&place).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("created");
    for (file, bytes) in model_files() {
        if !file.contains('/') {
            fs::write(snapshot.join(file), bytes).expect("written");
        }
    }
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
    assert!(
        !server.log().iter().any(|request| request.starts_with("GET ") && !request.contains("api")),
        "{:?}",
        server.log()
    );
}

#[test]
fn a_second_scan_downloads_nothing() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    server.clear_log();
    scan(&place, &server, &[]).succeeded();
    assert_eq!(server.log(), ["GET api/revision/main".to_owned(), format!("GET api/tree/{COMMIT}")]);
}

#[test]
fn a_dry_run_reads_headers_and_nothing_else() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let run = scan(&place, &server, &["--dry-run"]);
    assert!(run.succeeded().stdout.contains("28 modules in 2 files"), "{}", run.stdout);
    assert!(run.stdout.contains("1.47 MiB to download"), "{}", run.stdout);
    let ranges: Vec<String> = server.log().into_iter().filter(|request| request.starts_with("GET store:")).collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert!(ranges.iter().all(|range| range.ends_with("0-131072")), "{ranges:?}");
    let blobs = fs::read_dir(repository(&place).join("blobs")).expect("readable");
    assert_eq!(blobs.count(), 2, "config.json and the index");
    assert_eq!(place.files(), ["hf"]);
}

#[test]
fn a_shard_that_holds_nothing_wanted_is_not_downloaded() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &["--include", "model.layers.0.*"]).succeeded();
    assert!(server.log().contains(&format!("GET store:{}", SHARDS[0])), "{:?}", server.log());
    assert!(!server.log().contains(&format!("GET store:{}", SHARDS[1])), "{:?}", server.log());
}

#[test]
fn a_shard_is_scanned_while_the_next_one_is_still_coming() {
    let faults = Faults { holds: Some(SHARDS[1]), ..Faults::default() };
    let (place, server) = (Workplace::new(), server(Access::Open, faults));
    let home = place.path("hf").to_string_lossy().into_owned();
    let running = place.start(&["--model", MODEL], &[("HF_ENDPOINT", server.endpoint.clone()), ("HF_HOME", home)]);
    let begun = std::time::Instant::now();
    let measured = || {
        let journal = fs::read_to_string(place.path("laser_scan_Mistral-0B.json.journal"));
        journal.map_or(0, |text| text.lines().count())
    };
    while measured() < 14 {
        assert!(begun.elapsed().as_secs() < 60, "only {} modules of the first shard are measured", measured());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    server.set_free();
    assert!(running.wait().status.success());
    same_as_local(&place);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let faults = Faults { cuts: 3, cut_after: 300_000, ..Faults::default() };
    let (place, server) = (Workplace::new(), server(Access::Open, faults));
    let run = scan(&place, &server, &[]);
    assert!(run.succeeded().stderr.contains("broke off"), "{}", run.stderr);
    same_as_local(&place);
    let first: Vec<String> = server.log().into_iter().filter(|request| request.contains(SHARDS[0])).collect();
    assert!(first.contains(&format!("GET store:{} 300000-", SHARDS[0])), "{first:?}");
    assert!(first.contains(&format!("GET store:{} 600000-", SHARDS[0])), "{first:?}");
}

#[test]
fn a_download_that_was_given_up_goes_on_in_the_next_run() {
    let faults = Faults { cuts: 1, cut_after: 0, ..Faults::default() };
    let (place, server) = (Workplace::new(), server(Access::Open, faults));
    let shard = &model_files()[SHARDS[0]];
    let blobs = repository(&place).join("blobs");
    fs::create_dir_all(&blobs).expect("created");
    fs::write(blobs.join(format!("{}.incomplete", sha256(shard))), &shard[..500_000]).expect("written");
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
    let first = server.log().into_iter().filter(|request| request.starts_with(&format!("GET store:{}", SHARDS[0])));
    assert!(first.skip(1).all(|request| request.ends_with(" 500000-")), "{:?}", server.log());
}

#[test]
fn what_an_earlier_download_has_left_may_be_wrong() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let blobs = repository(&place).join("blobs");
    fs::create_dir_all(&blobs).expect("created");
    for shard in SHARDS {
        fs::write(blobs.join(format!("{}.incomplete", sha256(&model_files()[shard]))), vec![0; 1000]).expect("written");
    }
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
}

#[test]
fn bytes_with_the_wrong_hash_are_discarded() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults { corrupts: true, ..Faults::default() }));
    scan(&place, &server, &[]).refused(1, &["SHA-256", SHARDS[0]]);
    let blobs = fs::read_dir(repository(&place).join("blobs")).expect("readable");
    assert_eq!(blobs.count(), 2, "config.json and the index");
}

#[test]
fn a_server_without_ranges_is_coped_with() {
    let faults = Faults { cuts: 1, cut_after: 300_000, ignores_ranges: true, ..Faults::default() };
    let (place, server) = (Workplace::new(), server(Access::Open, faults));
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
}

#[test]
fn passing_refusals_are_waited_out() {
    for faults in [Faults { rate_limits: 6, ..Faults::default() }, Faults { unavailable: 2, ..Faults::default() }] {
        let (place, server) = (Workplace::new(), server(Access::Open, faults));
        scan(&place, &server, &[]).succeeded();
        same_as_local(&place);
    }
}

#[test]
fn a_rate_limit_that_stays_is_explained() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults { rate_limits: 1000, ..Faults::default() }));
    scan(&place, &server, &[]).refused(1, &["limits the rate", "HF_TOKEN"]);
}

#[test]
fn a_model_that_does_not_exist() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let mut command = place.command();
    command.env("HF_ENDPOINT", &server.endpoint);
    finish(command.args(["--model", "tiny/Mistrall"]))
        .refused(1, &["no model 'tiny/Mistrall'", "spelling", "HF_TOKEN"]);
}

#[test]
fn a_private_model_needs_the_token() {
    let (place, server) = (Workplace::new(), server(Access::Private, Faults::default()));
    scan(&place, &server, &[]).refused(1, &[MODEL, "private", "HF_TOKEN"]);
    let with = |variable: &str, value: &str| {
        let mut command = place.command();
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", place.path("hf")).env(variable, value);
        finish(command.args(["--model", MODEL]))
    };
    with("HF_TOKEN", "hf_wrong").refused(1, &[MODEL, "the token that is set"]);
    with("HF_TOKEN", TOKEN).succeeded();
    // Where a login has left it.
    fs::remove_dir_all(place.path("hf/hub")).expect("removed");
    fs::write(place.path("hf/token"), format!("{TOKEN}\n")).expect("written");
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
}

#[test]
fn a_gated_model_says_where_to_ask() {
    let (place, server) = (Workplace::new(), server(Access::Gated, Faults::default()));
    let page = format!("{}/{MODEL}", server.endpoint);
    scan(&place, &server, &[]).refused(1, &["gated", &page, "HF_TOKEN"]);
}

#[test]
fn revisions_are_pinned() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &["--revision", "no-such-branch"]).refused(1, &["no revision 'no-such-branch'", "branch"]);
    scan(&place, &server, &["--revision", "../../main"]).refused(1, &["is no revision"]);
    scan(&place, &server, &["--revision", COMMIT]).succeeded();
    same_as_local(&place);
}

#[test]
fn offline_reads_the_cache_and_asks_nothing() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &["--offline"]).refused(1, &[MODEL, "not in the cache", "--offline"]);
    assert_eq!(server.log(), [""; 0]);
    scan(&place, &server, &[]).succeeded();
    server.clear_log();
    scan(&place, &server, &["--offline", "--output-dir", "flag"]).succeeded();
    let mut command = place.command();
    command.env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", &server.endpoint).env("HF_HUB_CACHE", place.path("hf/hub"));
    finish(command.args(["--model", MODEL, "--output-dir", "variable"])).succeeded();
    assert_eq!(server.log(), [""; 0]);
    assert_eq!(place.bytes("flag/laser_scan_Mistral-0B.json"), place.bytes("variable/laser_scan_Mistral-0B.json"));

    // A shard that Python has not downloaded is named.
    fs::remove_file(repository(&place).join("snapshots").join(COMMIT).join(SHARDS[1])).expect("removed");
    scan(&place, &server, &["--offline"]).refused(1, &[SHARDS[1]]);
}

#[test]
fn the_cache_directory_can_be_named() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &["--cache-dir", "elsewhere", "-q"]).succeeded();
    assert!(place.path("elsewhere/models--tiny--Mistral-0B/refs/main").is_file());
    assert!(!place.path("hf").exists());
}

#[test]
fn no_network_says_so_and_falls_back_to_the_cache() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let unreachable = || {
        let mut command = place.command();
        command.env("HF_ENDPOINT", format!("http://{closed}")).env("HF_HOME", place.path("hf"));
        finish(command.args(["--model", MODEL]))
    };
    unreachable().refused(1, &["there is no folder '", "the Hub cannot be reached", "network"]);
    scan(&place, &server, &[]).succeeded();
    let run = unreachable();
    assert!(run.succeeded().stderr.contains("reading 'tiny/Mistral-0B' from the cache"), "{}", run.stderr);
}

#[test]
fn a_folder_wins_over_a_hub_model_of_the_same_name() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    crate::support::checkpoint::write_model(&place.path(MODEL), 8);
    scan(&place, &server, &[]).succeeded();
    assert_eq!(server.log(), [""; 0]);
    assert_eq!(place.json("laser_scan_Mistral-0B.json").as_object().map(serde_json::Map::len), Some(6));
}

/// The files in a folder of the catalogue, with `prefix` before their names.
fn catalogued(folder: &str, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(in_project(&format!("tests/catalogue/{folder}"))).expect("readable").flatten();
    let name = |entry: &fs::DirEntry| format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
    entries.map(|entry| (name(&entry), fs::read(entry.path()).expect("readable"))).collect()
}

#[test]
fn a_dry_run_of_quantised_weights_reads_headers_and_descriptions_only() {
    for folder in ["quantized/bnb_nf4", "quantized/ct_pack4_group", "pickle/whole"] {
        let place = Workplace::new();
        let server = HubServer::start(catalogued(folder, ""), Access::Open, Faults::default());
        let run = scan(&place, &server, &["--dry-run", "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
        assert!(plan["modules"].as_array().is_some_and(|modules| modules.len() > 2), "{folder}: {plan}");
        let blobs = fs::read_dir(repository(&place).join("blobs")).expect("readable").flatten();
        let large = blobs.filter(|blob| blob.metadata().is_ok_and(|blob| blob.len() > 2000));
        assert_eq!(large.count(), 0, "{folder}");
        scan(&place, &server, &[]).succeeded();
        let local = in_project(&format!("tests/catalogue/{folder}"));
        place.run(&["--model", &local, "--output", "local.json"]).succeeded();
        assert_eq!(place.bytes("laser_scan_Mistral-0B.json"), place.bytes("local.json"), "{folder}");
    }
}

#[test]
fn of_a_pipeline_only_one_variant_comes_down() {
    let (place, mut files) = (Workplace::new(), catalogued("quantized/fp8_tensor", "unet/"));
    let index = br#"{"_class_name": "Pipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}"#;
    files.insert("model_index.json".into(), index.to_vec());
    files.insert("unet/model.fp16.safetensors".into(), b"another variant".to_vec());
    files.insert("whole.safetensors".into(), b"everything in one file".to_vec());
    let server = HubServer::start(files, Access::Open, Faults::default());
    scan(&place, &server, &[]).succeeded();
    for decoy in ["fp16", "whole"] {
        assert!(!server.log().iter().any(|request| request.contains(decoy)), "{:?}", server.log());
    }
    let full = place.json("laser_scan_Mistral-0B.json");
    assert!(full.as_object().expect("an object").keys().all(|name| name.starts_with("unet.")), "{full}");
}

#[test]
fn ranges_that_are_ignored_give_the_right_bytes_all_the_same() {
    let place = Workplace::new();
    let faults = Faults { ignores_ranges: true, ..Faults::default() };
    let server = HubServer::start(catalogued("quantized/bnb_nf4", ""), Access::Open, faults);
    scan(&place, &server, &["--dry-run"]).succeeded();
}

#[test]
fn an_export_reads_headers_and_nothing_else() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let published = r#"{"model.layers.1.mlp.up_proj": {"snr": 3.5, "type": "mlp.up_proj"}}"#;
    fs::write(place.path("published.json"), published).expect("written");
    let mut command = place.command();
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", place.path("hf"));
    let run = finish(command.args(["export", "peft", "published.json", "--model", MODEL, "--match-rank", "8"]));
    assert!(run.succeeded().stdout.contains("\"lm_head\""), "{}", run.stdout);
    assert!(run.stderr.contains("in all 28"), "{}", run.stderr);
    let ranges: Vec<String> = server.log().into_iter().filter(|request| request.starts_with("GET store:")).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| range.ends_with("0-131072")), "{ranges:?}");
}
