//! A scan that is interrupted goes on where it stopped.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::checkpoint;
use crate::support::program::{Running, Workplace};

const JOURNAL: &str = "laser_scan_model.json.journal";

/// A place with a model that takes a few seconds, and a scan of it under way that has measured a few modules.
fn interrupted_midway() -> (Workplace, Running) {
    let place = Workplace::new();
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", checkpoint::layers(30, 256))]);
    let running = place.start(&["--model", "model", "--threads", "1"], &[]);
    let begun = Instant::now();
    while lines(&place) < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the scan does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    (place, running)
}

fn lines(place: &Workplace) -> usize {
    fs::read(place.path(JOURNAL)).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Runs the same line again and checks that it goes on and ends as an undisturbed scan does.
fn goes_on(place: &Workplace) {
    let done = lines(place);
    assert!((3..60).contains(&done), "{done} modules are done");
    let run = place.run(&["--model", "model", "--threads", "1", "-v"]);
    run.succeeded();
    assert!(run.stderr.contains(&format!("{done} modules are done from an interrupted scan")), "{}", run.stderr);
    assert_eq!(run.stderr.lines().filter(|line| line.contains("  snr ")).count(), 60 - done);
    assert!(!place.path(JOURNAL).exists());
    place.run(&["--model", "model", "--output-dir", "undisturbed"]).succeeded();
    for name in ["laser_scan_model.json", "laser_scan_model_top_snr.json"] {
        assert_eq!(place.bytes(name), place.bytes(&format!("undisturbed/{name}")));
    }
}

#[test]
fn after_kill_9() {
    let (place, running) = interrupted_midway();
    running.kill();
    assert_eq!(place.files(), [JOURNAL, "model"], "no output is half-written");
    goes_on(&place);
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_kill_end_within_a_second_and_say_how_to_go_on() {
    use std::os::unix::process::ExitStatusExt;

    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let (place, running) = interrupted_midway();
        let begun = Instant::now();
        let sent = Command::new("kill").args([&format!("-{name}"), &running.id().to_string()]).status().expect("runs");
        assert!(sent.success());
        let output = running.wait();
        assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
        // It dies by the signal, so that a shell script stops too.
        assert_eq!(output.status.signal(), Some(number));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("interrupted") && stderr.contains("run the same line again"), "{stderr}");
        goes_on(&place);
    }
}

#[cfg(unix)]
#[test]
fn a_standard_error_that_nobody_reads_does_not_hold_up_the_end() {
    let place = Workplace::new();
    // More lines than a pipe takes.
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", checkpoint::layers(2000, 4))]);
    let running = place.start(&["--model", "model", "-v"], &[]);
    let begun = Instant::now();
    let mut before = 0;
    // It has come to a halt when nothing more is measured.
    while lines(&place) == 0 || lines(&place) > before {
        assert!(begun.elapsed() < Duration::from_secs(60), "the scan does not come to a halt");
        before = lines(&place);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(before < 4000, "the scan did not fill the pipe");
    let sent = Instant::now();
    Command::new("kill").args(["-TERM", &running.id().to_string()]).status().expect("runs");
    running.wait();
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
}

#[test]
fn a_changed_model_is_never_mixed_in() {
    let (place, running) = interrupted_midway();
    running.kill();
    // Same names, same size, other numbers.
    let path = place.path("model/model.safetensors");
    let mut bytes = fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    for number in bytes[middle..].chunks_exact_mut(4) {
        number.swap(0, 1);
    }
    fs::write(&path, bytes).expect("written");
    let run = place.run(&["--model", "model"]);
    run.succeeded();
    assert!(!run.stderr.contains("interrupted scan"), "{}", run.stderr);
    place.run(&["--model", "model", "--output-dir", "undisturbed"]).succeeded();
    assert_eq!(place.bytes("laser_scan_model.json"), place.bytes("undisturbed/laser_scan_model.json"));
}

#[test]
fn a_scan_of_other_modules_leaves_the_journal_alone() {
    let (place, running) = interrupted_midway();
    running.kill();
    let done = lines(&place);
    place.run(&["--model", "model", "--include", "model.layers.29.*"]).succeeded();
    assert!(lines(&place) >= done - 2, "only what it measured itself is gone");
    goes_on(&place);
}

#[test]
fn fresh_begins_anew() {
    let (place, running) = interrupted_midway();
    running.kill();
    let run = place.run(&["--model", "model", "--fresh"]);
    run.succeeded();
    assert!(!run.stderr.contains("interrupted scan"), "{}", run.stderr);
}

#[test]
fn two_scans_do_not_write_the_same_output() {
    let (place, running) = interrupted_midway();
    place.run(&["--model", "model"]).refused(1, &["another laser-scan", "--output-dir"]);
    running.kill();
}
