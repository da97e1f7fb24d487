//! Files that a run writes: what they are called, what they replace, and what becomes of them when writing fails.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::checkpoint::{layers, write_model, write_shards};
use crate::support::program::{Run, Running, Workplace, finish, tiny_mistral};

/// A place with small models in these folders.
fn with_models(folders: &[&str]) -> Workplace {
    let place = Workplace::new();
    folders.iter().for_each(|folder| write_model(&place.path(folder), 8));
    place
}

/// Scans `model` with these arguments.
fn scan(place: &Workplace, model: &str, arguments: &[&str]) -> Run {
    place.run(&[&["--model", model, "-q"], arguments].concat())
}

/// The names of the results among the files in the place.
fn results(place: &Workplace) -> Vec<String> {
    place.files().into_iter().filter(|name| name.contains("laser_scan")).collect()
}

/// What every file in the place holds.
fn contents(place: &Workplace) -> Vec<(String, Vec<u8>)> {
    let names = place.files().into_iter().filter(|name| place.path(name).is_file());
    names.map(|name| (name.clone(), place.bytes(&name))).collect()
}

#[test]
fn checkpoints_of_two_runs_have_results_of_their_own() {
    let place = with_models(&["runs/a/checkpoint-500", "runs/b/checkpoint-500"]);
    for run in ["a", "b"] {
        scan(&place, &format!("runs/{run}/checkpoint-500"), &["--emit", "peft"]).succeeded();
    }
    let expected = ["a", "b"].map(|run| {
        [".json", "_peft.json", "_run.json", "_spectra.safetensors", "_top_snr.json"]
            .map(|ending| format!("laser_scan_{run}-checkpoint-500{ending}"))
    });
    assert_eq!(results(&place), expected.concat());
    // By the file or as the current folder it is the same model, under a name that tells it.
    scan(&place, "runs/a/checkpoint-500/model.safetensors", &[]).succeeded();
    assert!(place.path("laser_scan_a-checkpoint-500-model.json").exists());
    let mut command = place.command();
    command.current_dir(place.path("runs/a/checkpoint-500")).args(["--model", ".", "-q"]);
    finish(&mut command).succeeded();
    assert!(place.path("runs/a/checkpoint-500/laser_scan_a-checkpoint-500.json").exists());
}

#[cfg(unix)]
#[test]
fn a_manifest_is_found_where_a_link_leads() {
    let place = with_models(&["m"]);
    fs::create_dir(place.path("d")).expect("created");
    std::os::unix::fs::symlink("d/real.json", place.path("out.json")).expect("linked");
    fs::write(place.path("d/real.json"), "").expect("written");
    scan(&place, "m", &["--output", "out.json"]).succeeded();
    assert!(place.path("d/real_run.json").exists());
    let run = place.run(&["export", "peft", "out.json", "-q"]);
    assert!(!run.succeeded().stderr.contains("manifest"), "{}", run.stderr);
}

#[test]
fn results_of_another_model_are_not_replaced() {
    let place = with_models(&["x/a/checkpoint-500", "y/a/checkpoint-500"]);
    scan(&place, "x/a/checkpoint-500", &[]).succeeded();
    let before = contents(&place);
    let first = place.path("x/a/checkpoint-500").canonicalize().expect("there");
    let run = scan(&place, "y/a/checkpoint-500", &[]);
    run.refused(1, &["'laser_scan_a-checkpoint-500.json'", first.to_str().expect("UTF-8"), "--overwrite"]);
    assert_eq!(contents(&place), before);
    scan(&place, "y/a/checkpoint-500", &["--output-dir", "other"]).succeeded();
    scan(&place, "y/a/checkpoint-500", &["--overwrite"]).succeeded();
    scan(&place, "x/a/checkpoint-500", &[]).refused(1, &["another model"]);
}

#[test]
fn a_dry_run_tells_what_is_in_the_way_and_makes_nothing() {
    let place = with_models(&["m", "other/m"]);
    scan(&place, "m", &[]).succeeded();
    let config = b"base_model: mistralai/Mistral-7B-v0.1\nlora_r: 8\n";
    fs::write(place.path("laser_scan_m_axolotl.yml"), config).expect("written");
    fs::write(place.path("notes.json"), "{\"learning_rate\": 1e-4}").expect("written");
    fs::create_dir(place.path("folder.json")).expect("created");
    let dry_run = |model: &str, line: &[&str]| {
        // Another run may have left a file, which a scan removes.
        fs::write(place.path(".laser_scan_AbC123.tmp"), "half").expect("written");
        let before = (place.files(), contents(&place));
        let run = scan(&place, model, &[line, &["--dry-run"]].concat());
        assert!((place.files(), contents(&place)) == before, "{line:?}");
        run
    };
    for (model, line, said) in [
        ("other/m", &[][..], "another model"),
        ("m", &["--output", "notes.json"], "'notes.json'"),
        ("m", &["--top-output", "notes.json"], "'notes.json'"),
        ("m", &["--output", "folder.json"], "a folder of that name"),
        ("m", &["--output", "new/a.json", "--top-output", "./new/a.json"], "two outputs"),
        ("m", &["--output", "m/model.safetensors", "--overwrite"], "part of the model"),
        ("m", &["--emit", "axolotl"], "laser_scan_m_axolotl.yml'"),
    ] {
        let run = dry_run(model, line);
        run.refused(1, &[said]);
        assert_eq!(scan(&place, model, line).stderr, run.stderr, "the scan ends so too");
    }
    for line in [&["--output-dir", "new/folder"][..], &["--overwrite"], &[]] {
        dry_run("m", line).succeeded();
    }
}

#[test]
fn the_same_line_runs_as_often_as_one_likes() {
    let place = with_models(&["m"]);
    let line = ["--emit", "peft,axolotl,axolotl-full,llama-factory,ms-swift,unsloth", "--json"];
    let first = scan(&place, "m", &line);
    scan(&place, "m", &["--emit", "spectrum"]).succeeded();
    let second = scan(&place, "m", &line);
    scan(&place, "m", &["--emit", "spectrum"]).succeeded();
    assert_eq!(first.succeeded().stdout, second.succeeded().stdout);
    // Training went on, and the folder is spelled otherwise.
    write_model(&place.path("m"), 12);
    for spelling in ["./m", "m/../m", place.path("m").to_str().expect("UTF-8")] {
        scan(&place, spelling, &[]).succeeded();
    }
    // Other rules, other names of one file.
    scan(&place, "m", &["--output", "all.json", "--top-n", "1"]).succeeded();
    scan(&place, "m", &["--output-dir", "sub", "--top-output", "sub/top.json"]).succeeded();
    scan(&place, "m", &["--output-dir", "sub", "--top-output", "sub/top.json"]).succeeded();
    for _ in 0..2 {
        place.run(&["export", "axolotl", "all.json", "-o", "lora.yml", "-q"]).succeeded();
        place.run(&["export", "llama-factory", "all.json", "-o", "lora.yml", "--format", "args", "-q"]).succeeded();
        place.run(&["report", "all.json", "-q"]).succeeded();
    }
}

#[test]
fn the_best_of_a_model_are_replaced_wherever_its_manifest_is() {
    let place = with_models(&["m", "n"]);
    for top in [&["--top-output", "other.json"][..], &[], &["--top-output", "other.json"], &[]] {
        scan(&place, "m", top).succeeded();
    }
    // The full file is in another folder than the best, which are of other types than before.
    for (full, types) in [("scans/a.json", "*q_proj"), ("scans/b.json", "*up_proj"), ("c/c.json", "*q_proj")] {
        scan(&place, "n", &["--output", full, "--include", types]).succeeded();
    }
    // Another model of the same architecture has modules of the same names: there it is a manifest that tells.
    let before = contents(&place);
    for (model, full, top) in
        [("n", "free.json", "laser_scan_m_top_snr.json"), ("m", "c/free.json", "laser_scan_n_top_snr.json")]
    {
        let run = scan(&place, model, &["--output", full, "--top-output", top]);
        run.refused(1, &[&format!("'{top}' holds the scan of another model"), "--overwrite"]);
    }
    assert_eq!(contents(&place), before);
}

#[test]
fn a_manifest_of_the_first_version_tells_its_model_too() {
    let place = with_models(&["m", "other/m"]);
    scan(&place, "m", &[]).succeeded();
    let mut manifest = place.json("laser_scan_m_run.json");
    manifest.as_object_mut().expect("an object").remove("origin").expect("it says which model it is");
    fs::write(place.path("laser_scan_m_run.json"), manifest.to_string()).expect("written");
    scan(&place, "other/m", &[]).refused(1, &["another model", "--overwrite"]);
    scan(&place, "m", &[]).succeeded();
}

#[test]
fn a_part_of_a_model_of_the_hub_is_the_same_at_the_next_commit() {
    let snapshots =
        ["26bca36bde8333b5", "f1e2d3c4b5a60798"].map(|commit| format!("models--org--Tiny/snapshots/{commit}"));
    let [old, new] = &snapshots;
    let place = with_models(&[old, new, &format!("{old}/unet"), &format!("{new}/unet")]);
    for part in ["", "/model.safetensors", "/unet", "/unet/model.safetensors"] {
        for snapshot in &snapshots {
            scan(&place, &format!("{snapshot}{part}"), &["--output", "scan.json", "--top-output", "top.json"])
                .succeeded();
        }
        let origin = place.json("scan_run.json")["origin"].clone();
        assert_eq!(origin, format!("org/Tiny{part}"));
        let other = if part.is_empty() { "/unet" } else { "" };
        let run = scan(&place, &format!("{new}{other}"), &["--output", "scan.json"]);
        run.refused(1, &[&format!("another model, 'org/Tiny{part}'")]);
        fs::remove_file(place.path("scan.json")).expect("removed");
        fs::remove_file(place.path("scan_run.json")).expect("removed");
    }
    // A manifest that tells the path instead.
    scan(&place, &format!("{old}/unet"), &[]).succeeded();
    let mut manifest = place.json("laser_scan_Tiny-unet_run.json");
    manifest["origin"] = place.path(&format!("{old}/unet")).to_str().expect("UTF-8").into();
    fs::write(place.path("laser_scan_Tiny-unet_run.json"), manifest.to_string()).expect("written");
    scan(&place, &format!("{new}/unet"), &[]).succeeded();
}

#[test]
fn what_is_no_result_of_the_model_is_not_replaced() {
    let place = with_models(&["m"]);
    scan(&place, "m", &["--output", "mine.json"]).succeeded();
    let scanned = place.bytes("mine.json");
    for (file, content, option) in [
        ("notes.json", &b"{\"learning_rate\": 1e-4}"[..], "--output"),
        ("notes.txt", b"not even JSON", "--output"),
        ("lost.json", &[&scanned[..], b" "].concat(), "--output"),
        ("names.txt", b"mine", "--top-output"),
        ("top.json", b"{\"mlp.up_proj\": [\"model.layers.99.mlp.up_proj\"]}", "--top-output"),
    ] {
        fs::write(place.path(file), content).expect("written");
        scan(&place, "m", &[option, file]).refused(1, &[&format!("'{file}'"), "--overwrite"]);
        assert!(place.bytes(file) == content, "{file}");
        scan(&place, "m", &[option, file, "--overwrite"]).succeeded();
        assert!(place.bytes(file) != content, "{file}");
        fs::remove_file(place.path(file)).expect("removed");
    }
    // What stands where the manifest is to be.
    fs::write(place.path("free_run.json"), "{\"tool\": \"another\"}").expect("written");
    scan(&place, "m", &["--output", "free.json"]).refused(1, &["'free_run.json'", "--overwrite"]);
    // A scan that was put in the place of the one that the manifest tells of.
    fs::write(place.path("mine.json"), [&scanned[..], b"\n"].concat()).expect("written");
    scan(&place, "m", &["--output", "mine.json"]).refused(1, &["'mine.json'", "manifest", "--overwrite"]);
    // A file that was made to reserve a name holds nothing that could be lost.
    fs::write(place.path("empty.json"), "").expect("written");
    scan(&place, "m", &["--output", "empty.json"]).succeeded();
}

#[test]
fn a_scan_that_ended_between_two_of_its_files_is_finished_by_the_same_line() {
    let place = with_models(&["m"]);
    scan(&place, "m", &[]).succeeded();
    let full = place.bytes("laser_scan_m.json");
    // The manifest is new, the full file is not yet, and the journal is still there.
    fs::write(place.path("laser_scan_m.json"), [&full[..], b"\n"].concat()).expect("written");
    fs::write(place.path("laser_scan_m.json.journal"), "").expect("written");
    scan(&place, "m", &[]).succeeded();
    assert_eq!(place.bytes("laser_scan_m.json"), full);
}

#[test]
fn configurations_and_pages_replace_only_their_kind() {
    let place = with_models(&["m"]);
    scan(&place, "m", &[]).succeeded();
    let config = b"base_model: mistralai/Mistral-7B-v0.1\nlora_r: 8\n";
    fs::write(place.path("config.yml"), config).expect("written");
    fs::write(place.path("laser_scan_m_axolotl.yml"), config).expect("written");
    fs::write(place.path("page.html"), "<!DOCTYPE html>\n<p>mine</p>\n").expect("written");
    for (file, line) in [
        ("config.yml", &["export", "axolotl", "laser_scan_m.json", "-o", "config.yml"][..]),
        ("laser_scan_m_axolotl.yml", &["export", "axolotl", "laser_scan_m.json", "--output-dir", "."]),
        ("page.html", &["report", "laser_scan_m.json", "-o", "page.html"]),
    ] {
        let before = contents(&place);
        place.run(line).refused(1, &[&format!("{file}'"), "--overwrite"]);
        assert_eq!(contents(&place), before);
        place.run(&[line, &["--overwrite"]].concat()).succeeded();
        place.run(line).succeeded();
    }
    fs::write(place.path("laser_scan_m_axolotl.yml"), config).expect("written");
    let before = contents(&place);
    let run = scan(&place, "m", &["--emit", "peft", "--emit", "axolotl", "--json"]);
    run.refused(1, &["laser_scan_m_axolotl.yml'", "--overwrite"]);
    assert!(contents(&place) == before, "it is refused before the scan");
}

#[test]
fn a_page_of_the_first_version_is_replaced() {
    let place = with_models(&["m"]);
    scan(&place, "m", &[]).succeeded();
    let line = ["report", "laser_scan_m.json", "-o", "page.html"];
    place.run(&line).succeeded();
    let text = || String::from_utf8(place.bytes("page.html")).expect("UTF-8");
    let page = text();
    let early = "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<meta name='viewport' \
        content='width=device-width, initial-scale=1'>\n<title>m</title>\n<style>\n</style>\n</head>\n<body>\n<main>\n\
        <h1>m</h1>\n<p class='sub'>6 modules, 6 chosen; from a file of laser-scan</p>\n</main>\n</body>\n</html>\n";
    fs::write(place.path("page.html"), early).expect("written");
    place.run(&line).succeeded();
    assert_eq!(text(), page);
    // A page of another program may begin alike.
    let other = early.replacen("from a file of", "written in", 1);
    fs::write(place.path("page.html"), &other).expect("written");
    place.run(&line).refused(1, &["'page.html'", "--overwrite"]);
    assert_eq!(text(), other);
}

#[test]
fn nothing_that_is_made_from_a_scan_takes_the_place_of_its_files() {
    let place = with_models(&["m"]);
    let line = ["--output", "laser_scan_m_peft.json", "--overwrite"];
    scan(&place, "m", &[&line[..], &["--emit", "peft"]].concat()).refused(1, &["belongs to the scan itself"]);
    assert_eq!(results(&place), [""; 0]);
    scan(&place, "m", &line).succeeded();
    let before = contents(&place);
    for line in [
        &["export", "peft", "laser_scan_m_peft.json", "--output-dir", "."][..],
        &["export", "peft", "laser_scan_m_peft.json", "-o", "laser_scan_m_peft_run.json"],
        &["report", "laser_scan_m_peft.json", "-o", "laser_scan_m_peft_run.json"],
    ] {
        place.run(&[line, &["--overwrite"]].concat()).refused(1, &["belongs to the scan itself"]);
    }
    assert_eq!(contents(&place), before);
}

#[test]
fn a_trainer_that_is_named_twice_is_written_once() {
    let place = with_models(&["m"]);
    let run = place.run(&["--model", "m", "--emit", "peft,axolotl", "--emit", "peft"]);
    assert_eq!(run.succeeded().stderr.matches("laser_scan_m_peft.json").count(), 1, "{}", run.stderr);
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let place = with_models(&["m"]);
    let left = ".laser_scan_AbC123.tmp";
    let plant = |folder: &str| {
        fs::create_dir_all(place.path(folder)).expect("created");
        fs::write(place.path(folder).join(left), "half").expect("written");
    };
    let is_gone = |folder: &str| !place.path(folder).join(left).exists();
    plant(".");
    scan(&place, "m", &[]).succeeded();
    assert!(is_gone("."));
    plant("configs");
    place.run(&["export", "axolotl", "laser_scan_m.json", "--output-dir", "configs", "-q"]).succeeded();
    assert!(is_gone("configs"));
    let config = ["export", "axolotl", "laser_scan_m.json", "--into", "configs/config.yml", "-q"];
    fs::write(place.path("configs/config.yml"), "adapter: lora\n").expect("written");
    for _ in ["changes the file", "has nothing to change"] {
        plant("configs");
        place.run(&config).succeeded();
        assert!(is_gone("configs"));
    }
    plant("pages");
    place.run(&["report", "laser_scan_m.json", "-o", "pages/m.html", "-q"]).succeeded();
    assert!(is_gone("pages"));
}

#[test]
fn a_temporary_file_that_is_being_written_is_left_alone() {
    let place = with_models(&["m"]);
    let path = place.path(".laser_scan_live00.tmp");
    let live = fs::File::create(&path).expect("created");
    live.lock().expect("locked");
    scan(&place, "m", &[]).succeeded();
    assert!(path.exists());
    drop(live);
    scan(&place, "m", &[]).succeeded();
    assert!(!path.exists());
}

#[test]
fn names_that_would_harm_become_harmless() {
    let place = with_models(&["-rf"]);
    scan(&place, "./-rf", &[]).succeeded();
    assert!(place.path("laser_scan_-rf.json").exists());
    let long = "n".repeat(250);
    write_model(&place.path(&long), 8);
    scan(&place, &long, &["--emit", "llama-factory"]).succeeded();
    scan(&place, &long, &["--emit", "spectrum"]).succeeded();
    #[cfg(unix)]
    {
        write_model(&place.path("a:b\u{1b}[2J\u{202e}\n"), 8);
        scan(&place, "a:b\u{1b}[2J\u{202e}\n", &["--emit", "peft"]).succeeded();
        assert!(place.path("laser_scan_a_b_[2J__.json").exists(), "{:?}", place.files());
        assert!(place.path("laser_scan_a_b_[2J___peft.json").exists(), "{:?}", place.files());
    }
}

/// Runs a line where no file can get longer than `kilobytes`, as if the disk were full.
#[cfg(target_os = "linux")]
fn with_little_room(place: &Workplace, kilobytes: usize, arguments: &[&str]) -> Run {
    let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_laser-scan");
    let mut command = assert_cmd::Command::new("bash");
    command.args(["-c", &script, "bash", program]).args(arguments).current_dir(place.path("."));
    command.env("HOME", place.path("."));
    finish(&mut command)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let place = Workplace::new();
    let line = ["--model", &tiny_mistral(), "-q"];
    place.run(&line).succeeded();
    let scan = "laser_scan_tiny-mistral.json";
    place.run(&["export", "spectrum", scan, "--output-dir", ".", "-q"]).succeeded();
    let before = contents(&place);
    for line in [
        &["export", "spectrum", scan, "--output-dir", "."][..],
        &["export", "axolotl", scan, "-o", "new.yml", "--top-n", "100"],
        &["report", scan],
    ] {
        with_little_room(&place, 1, line).refused(1, &["cannot write", "arge"]);
        assert_eq!(contents(&place), before, "{line:?}");
    }
    // Here it is the journal that finds no room.
    let anew = [&line[..], &["--fresh"]].concat();
    with_little_room(&place, 1, &anew).refused(1, &["cannot write", ".journal"]);
    fs::remove_file(place.path(&format!("{scan}.journal"))).expect("left for the next scan");
    assert_eq!(contents(&place), before);
}

/// A scan into the folder `out` that has begun, and that does not end before its standard error is read: that is a pipe, and
/// there are more lines than it takes.
fn under_way() -> (Workplace, Running) {
    let place = Workplace::new();
    write_shards(&place.path("m"), &[("model.safetensors", layers(1000, 4))]);
    let running = place.start(&["--model", "m", "--output-dir", "out", "-v"], &[]);
    let begun = Instant::now();
    // With a line in it the journal is open, and the scan measures.
    while fs::metadata(place.path("out/laser_scan_m.json.journal")).map_or(0, |journal| journal.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the scan does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    (place, running)
}

#[test]
fn results_that_cannot_be_written_are_in_the_journal() {
    let (place, running) = under_way();
    let in_the_way = place.path("out/laser_scan_m_run.json");
    fs::create_dir(&in_the_way).expect("created");
    let output = running.wait();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let error = stderr.lines().last().expect("an error");
    assert!(error.contains("laser_scan_m_run.json'") && error.contains("nothing is lost"), "{error}");
    assert!(!place.path("out/laser_scan_m.json").exists());
    fs::remove_dir(in_the_way).expect("removed");
    let run = place.run(&["--model", "m", "--output-dir", "out", "-v"]);
    assert!(run.succeeded().stderr.contains("2000 modules are done from an interrupted scan"));
}

#[cfg(unix)]
#[test]
fn a_folder_that_vanishes_during_the_scan_is_made_again() {
    let (place, running) = under_way();
    fs::rename(place.path("out"), place.path("moved")).expect("renamed");
    let output = running.wait();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = fs::read_dir(place.path("out")).expect("there").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    let files = [".json", "_run.json", "_spectra.safetensors", "_top_snr.json"];
    assert_eq!(names, files.map(|ending| std::ffi::OsString::from(format!("laser_scan_m{ending}"))));
}
