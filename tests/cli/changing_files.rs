//! A model whose files change while it is scanned: no number is of a file that is not there any more.
//!
//! The scans stand still while their files change: they tell of each module on standard error, which nobody reads until
//! then, and a pipe takes so many lines and no more.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::checkpoint::{self, Tensor, matrix};
use crate::support::program::{Run, Running, Workplace};

const JOURNAL: &str = "laser_scan_model.json.journal";
const CHANGED: &str = "has changed since the scan began, in its content or its attributes: run the same line again";
const UNREAD: &str = "could not be read to its end: it was cut short or the disk failed while it was read";
const REMOVED: &str = "was removed while it was scanned: put it back, and run the same line again";

/// Modules of which a pipe takes all lines.
const FEW: usize = 10;

/// Modules of which it takes the lines of less than half.
const MANY: usize = 1000;

/// On one thread modules of a size are measured in model order.
const LINE: [&str; 5] = ["--model", "model", "--threads", "1", "-v"];

/// What another process does to a file, and what the user is told if the file is mapped and if it is not.
type Change = (fn(&Path), &'static str, &'static str);

const CHANGES: [Change; 5] = [
    (overwrite, CHANGED, CHANGED),
    (cut_short, UNREAD, CHANGED),
    (cut_short_and_restore, CHANGED, CHANGED),
    (replace, CHANGED, CHANGED),
    (remove, REMOVED, REMOVED),
];

/// Writes other numbers over the file's, and keeps its length and time of modification.
fn overwrite(path: &Path) {
    let bytes = fs::read(path).expect("readable");
    let numbers = if bytes.starts_with(b"PK") {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("an archive");
        let storage = archive.by_name("a/data/0").expect("a storage");
        let start = storage.data_start().expect("known") as usize;
        start..start + storage.size() as usize
    } else {
        let header = bytes.first_chunk().expect("a header's length");
        8 + u64::from_le_bytes(*header) as usize..bytes.len()
    };
    let start = numbers.start as u64;
    let mut numbers = bytes[numbers].to_vec();
    numbers.chunks_exact_mut(4).for_each(|number| number.swap(0, 1));
    let mut file = File::options().write(true).open(path).expect("opened");
    let modified = file.metadata().and_then(|metadata| metadata.modified()).expect("known");
    file.seek(SeekFrom::Start(start)).expect("found");
    file.write_all(&numbers).expect("written");
    file.set_modified(modified).expect("set");
}

fn cut_short(path: &Path) {
    File::options().write(true).open(path).and_then(|file| file.set_len(0)).expect("cut");
}

fn cut_short_and_restore(path: &Path) {
    let bytes = fs::read(path).expect("readable");
    cut_short(path);
    fs::write(path, bytes).expect("written");
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).expect("copied");
    overwrite(&other);
    fs::rename(other, path).expect("renamed");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

/// The name of a weight, long enough to fill a pipe soon.
fn name(layer: usize, at: usize) -> String {
    format!("model.layers.{layer}.{}_{at:04}.weight", "a_module_with_a_name_that_fills_its_line".repeat(3))
}

/// So many small modules.
fn shard(layer: usize, count: usize) -> Vec<Tensor> {
    (0..count).map(|at| matrix(&name(layer, at), 4, 4)).collect()
}

/// A place with a model of two shards with so many modules each; those of the first are measured first.
fn two_shards(counts: [usize; 2]) -> (Workplace, [PathBuf; 2]) {
    let place = Workplace::new();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let shards = [(names[0], shard(0, counts[0])), (names[1], shard(1, counts[1]))];
    checkpoint::write_shards(&place.path("model"), &shards);
    let paths = names.map(|name| place.path("model").join(name));
    (place, paths)
}

/// The lines of the journal.
fn lines(place: &Workplace) -> usize {
    fs::read(place.path(JOURNAL)).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Starts the scan and waits until it has noted so many modules more and stands still.
fn until(place: &Workplace, line: &[&str], more: usize) -> Running {
    let known = lines(place);
    let running = place.start(line, &[]);
    let begun = Instant::now();
    let mut before = 0;
    while lines(place) < known + more || lines(place) > before {
        assert!(begun.elapsed() < Duration::from_secs(120), "the scan does not get on");
        before = lines(place);
        std::thread::sleep(Duration::from_millis(200));
    }
    running
}

/// What a scan under way comes to.
fn end(running: Running) -> Run {
    let output = running.wait();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Run { status: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Checks that a run has ended for the reason that `file` is not what it was, and has written nothing.
#[track_caller]
fn refused(place: &Workplace, run: &Run, file: &Path, sentence: &str) {
    let file = file.file_name().expect("a name").to_string_lossy();
    run.refused(1, &[&format!("'{file}' {sentence}")]);
    let files = place.files();
    assert!(files.iter().all(|name| name == JOURNAL || !name.starts_with("laser_scan")), "{files:?}");
}

/// Puts a file back of which something is missing.
fn put_back(path: &Path, whole: &[u8]) {
    if fs::metadata(path).map_or(0, |metadata| metadata.len()) < whole.len() as u64 {
        fs::write(path, whole).expect("written");
    }
}

/// Runs the line again, undisturbed, and checks that its results are those of the files as they are now.
#[track_caller]
fn goes_on(place: &Workplace, known: usize) {
    let run = place.run(&LINE);
    let resumed = format!("{known} modules are done from an interrupted scan");
    assert_eq!(run.succeeded().stderr.contains("done from an interrupted scan"), known > 0, "{}", run.stderr);
    assert!(known == 0 || run.stderr.contains(&resumed), "not {known}: {}", run.stderr);
    place.run(&[&LINE[..], &["--output-dir", "undisturbed"]].concat()).succeeded();
    for name in ["laser_scan_model.json", "laser_scan_model_top_snr.json"] {
        assert_eq!(place.bytes(name), place.bytes(&format!("undisturbed/{name}")));
    }
    assert!(!place.path(JOURNAL).exists());
}

#[test]
fn a_file_that_changes_while_it_is_measured_ends_the_scan() {
    for (change, sentence, _) in CHANGES {
        let (place, [first, _]) = two_shards([MANY, FEW]);
        let before = fs::read(&first).expect("readable");
        let running = until(&place, &LINE, 2);
        let known = lines(&place);
        change(&first);
        refused(&place, &end(running), &first, sentence);
        assert_eq!(lines(&place), known, "nothing is noted of what has changed");
        put_back(&first, &before);
        goes_on(&place, 0);
    }
}

#[test]
fn a_file_that_changes_before_it_is_measured_leaves_the_others_done() {
    for (change, sentence, _) in CHANGES {
        let (place, [_, second]) = two_shards([MANY, FEW]);
        let before = fs::read(&second).expect("readable");
        let running = until(&place, &LINE, 2);
        change(&second);
        refused(&place, &end(running), &second, sentence);
        assert_eq!(lines(&place), MANY);
        put_back(&second, &before);
        goes_on(&place, MANY);
    }
}

#[test]
fn a_file_that_changes_after_it_was_measured_is_found_at_the_end() {
    let (place, [first, _]) = two_shards([FEW, MANY]);
    let running = until(&place, &LINE, FEW + 1);
    overwrite(&first);
    refused(&place, &end(running), &first, CHANGED);
    assert_eq!(lines(&place), FEW + MANY);
    goes_on(&place, MANY);
}

#[test]
fn a_file_whose_modules_were_measured_in_an_earlier_run_is_looked_at_too() {
    let (place, [first, _]) = two_shards([FEW, MANY]);
    until(&place, &LINE, FEW + 1).kill();
    let running = until(&place, &LINE, 1);
    replace(&first);
    refused(&place, &end(running), &first, CHANGED);
    goes_on(&place, MANY);
}

#[test]
fn what_describes_a_model_may_change() {
    let (place, _) = two_shards([MANY, FEW]);
    let running = until(&place, &LINE, 1);
    fs::write(place.path("model/config.json"), "{}").expect("written");
    fs::write(place.path("model/notes.txt"), "new").expect("written");
    end(running).succeeded();
}

/// `pytorch_model.bin` of many small modules in one storage.
fn pickled() -> Vec<u8> {
    let numbers = matrix("storage", 4 * MANY, 4).bytes;
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let number = |number: usize| [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat();
    let pair = |pair: [usize; 2]| [number(pair[0]), number(pair[1]), b"\x86".to_vec()].concat();
    let tensor = |at: usize| {
        let storage = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), number(16 * MANY)];
        let parts = [
            text(&name(0, at)),
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            storage.concat(),
            b"tQ".to_vec(),
            number(16 * at),
            pair([4, 4]),
            pair([4, 1]),
            b"\x89}tR".to_vec(),
        ];
        parts.concat()
    };
    let tensors: Vec<u8> = (0..MANY).flat_map(tensor).collect();
    let pickle = [b"\x80\x02}(".as_slice(), &tensors, b"u."].concat();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", &pickle), ("a/data/0", &numbers)] {
        writer.start_file(name, stored).expect("started");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

#[test]
fn a_pickled_file_is_checked_as_well() {
    for (change, _, sentence) in CHANGES {
        let place = Workplace::new();
        let path = place.path("model/pytorch_model.bin");
        fs::create_dir(place.path("model")).expect("created");
        let before = pickled();
        fs::write(&path, &before).expect("written");
        let running = until(&place, &LINE, 2);
        change(&path);
        refused(&place, &end(running), &path, sentence);
        put_back(&path, &before);
        goes_on(&place, 0);
    }
}

#[test]
fn a_file_in_the_hubs_cache_is_checked_as_well() {
    for (change, sentence, _) in CHANGES {
        let place = Workplace::new();
        let commit = "26bca36bde8333b5d7f72e9ed20ccda6a618af24";
        let repository = place.path("cache/models--org--model");
        let snapshot = repository.join("snapshots").join(commit);
        let blob = repository.join("blobs/0123");
        fs::create_dir_all(&snapshot).expect("created");
        fs::create_dir_all(repository.join("blobs")).expect("created");
        fs::write(&blob, checkpoint::file(&shard(0, MANY))).expect("written");
        std::os::unix::fs::symlink("../../blobs/0123", snapshot.join("model.safetensors")).expect("linked");
        let line =
            ["--model", "org/model", "--revision", commit, "--offline", "--cache-dir", "cache", "-v", "--threads", "1"];
        let running = until(&place, &line, 2);
        change(&blob);
        refused(&place, &end(running), Path::new("model.safetensors"), sentence);
    }
}

#[test]
fn the_journal_is_written_into_nothing_else() {
    let (place, _) = two_shards([FEW, FEW]);
    fs::write(place.path("mine.txt"), "mine").expect("written");
    let journal = place.path(JOURNAL);
    let link = || std::os::unix::fs::symlink("mine.txt", &journal).expect("linked");
    let dangling = || std::os::unix::fs::symlink("new.txt", &journal).expect("linked");
    let hard_link = || fs::hard_link(place.path("mine.txt"), &journal).expect("linked");
    let other = || fs::write(&journal, "mine").expect("written");
    let cases: [(&dyn Fn(), &str); 4] = [
        (&link, "is a symbolic link: move it away"),
        (&dangling, "is a symbolic link: move it away"),
        (&hard_link, "is a file that has other names too: move it away"),
        (&other, "holds something else: move it away"),
    ];
    for (put, sentence) in cases {
        put();
        for fresh in [None, Some("--fresh")] {
            let line: Vec<&str> = LINE.into_iter().chain(fresh).collect();
            place.run(&line).refused(1, &[&format!("'{JOURNAL}'"), sentence]);
            assert_eq!(place.bytes("mine.txt"), b"mine");
            assert!(fs::symlink_metadata(&journal).is_ok() && !place.path("new.txt").exists());
        }
        fs::remove_file(&journal).expect("removed");
    }
}
