//! The cache that Python shares, where it is not as it should be.

use std::fs;
use std::path::PathBuf;

use crate::support::hub::{SHARDS, model_files, repository, same_as_local, scan, server};
use crate::support::hub_server::{Access, COMMIT, Faults, sha256};
use crate::support::program::Workplace;

/// Where the content of the first shard lies.
fn blob(place: &Workplace) -> PathBuf {
    repository(place).join("blobs").join(sha256(&model_files()[SHARDS[0]]))
}

/// Where the first shard is found.
fn pointer(place: &Workplace) -> PathBuf {
    repository(place).join("snapshots").join(COMMIT).join(SHARDS[0])
}

#[test]
fn a_blob_of_the_wrong_length_is_downloaded_again() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    let whole = fs::read(blob(&place)).expect("readable");
    for damaged in [&whole[..1000], &[], &[&whole[..], b"more"].concat()] {
        fs::write(blob(&place), damaged).expect("written");
        server.clear_log();
        let run = scan(&place, &server, &["--dry-run"]);
        assert!(!run.succeeded().stdout.contains("; 0 B to download"), "{}", run.stdout);
        scan(&place, &server, &["--fresh"]).succeeded();
        assert!(fs::read(blob(&place)).expect("readable") == whole);
        assert!(server.log().contains(&format!("GET store:{}", SHARDS[0])), "{:?}", server.log());
        assert!(!server.log().contains(&format!("GET store:{}", SHARDS[1])), "{:?}", server.log());
    }
    same_as_local(&place);
}

#[test]
fn a_copy_of_the_wrong_length_is_downloaded_again() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    fs::create_dir_all(pointer(&place).parent().expect("a folder")).expect("created");
    fs::write(pointer(&place), &model_files()[SHARDS[0]][..1000]).expect("written");
    scan(&place, &server, &[]).succeeded();
    same_as_local(&place);
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_downloaded_again() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    // A blob that is gone, and one that never had this name.
    for target in [blob(&place), "../../blobs/0123".into()] {
        fs::remove_file(blob(&place)).expect("removed");
        fs::remove_file(pointer(&place)).expect("removed");
        std::os::unix::fs::symlink(target, pointer(&place)).expect("linked");
        scan(&place, &server, &["--fresh"]).succeeded();
        same_as_local(&place);
        assert!(blob(&place).is_file());
    }
}

#[test]
fn what_only_the_cache_lacks_is_said_to_be_lacking_there() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    // A dry run leaves what describes the model, the index among it, and no weights.
    scan(&place, &server, &["--dry-run"]).succeeded();
    scan(&place, &server, &["--offline"]).refused(1, &[SHARDS[0], "is not in the cache", "with a network"]);
    let snapshot = repository(&place).join("snapshots").join(COMMIT);
    fs::remove_file(snapshot.join("model.safetensors.index.json")).expect("removed");
    scan(&place, &server, &["--offline"]).refused(1, &["is not in the cache", "with a network"]);
}

#[test]
fn offline_a_damaged_file_is_named_with_the_way_out() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    let config = fs::canonicalize(pointer(&place).with_file_name("config.json")).expect("a blob");
    for (file, damaged) in [(blob(&place), 1000), (blob(&place), 0), (config.clone(), 0)] {
        let whole = fs::read(&file).expect("readable");
        fs::write(&file, &whole[..damaged]).expect("written");
        let named = file.canonicalize().expect("there").to_string_lossy().into_owned();
        scan(&place, &server, &["--offline"]).refused(1, &[&named, "delete it", "download it again"]);
        fs::write(&file, whole).expect("written");
    }
    // What the sentence says is enough.
    fs::remove_file(blob(&place)).expect("removed");
    scan(&place, &server, &["--fresh"]).succeeded();
    same_as_local(&place);
}

#[cfg(unix)]
#[test]
fn offline_a_link_to_nothing_is_named() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    scan(&place, &server, &[]).succeeded();
    for file in ["config.json", SHARDS[0]] {
        let content = fs::canonicalize(pointer(&place).with_file_name(file)).expect("a blob");
        let whole = fs::read(&content).expect("readable");
        fs::remove_file(&content).expect("removed");
        scan(&place, &server, &["--offline"]).refused(1, &[file, "not in the cache", "--offline"]);
        fs::write(content, whole).expect("written");
    }
    // What nobody needs may be missing.
    std::os::unix::fs::symlink("../../blobs/gone", pointer(&place).with_file_name("README.md")).expect("linked");
    scan(&place, &server, &["--offline", "--dry-run"]).succeeded();
}

#[test]
fn a_lock_that_cannot_be_opened_is_named() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let lock = format!("hf/hub/.locks/models--tiny--Mistral-0B/{}.lock", sha256(&model_files()[SHARDS[0]]));
    // Whoever runs this may open any file, but nobody a folder.
    fs::create_dir_all(place.path(&lock)).expect("created");
    scan(&place, &server, &[]).refused(1, &[&lock, "--cache-dir"]);
}

#[test]
fn a_branch_is_remembered_whole() {
    let (place, server) = (Workplace::new(), server(Access::Open, Faults::default()));
    let refs = repository(&place).join("refs");
    fs::create_dir_all(&refs).expect("created");
    fs::write(refs.join("main"), "0123456789012345678901234567890123456789").expect("written");
    // A reader that has it open goes on to read what it opened: the new commit takes the old one's place in one step.
    let mut open = fs::File::open(refs.join("main")).expect("readable");
    scan(&place, &server, &["--dry-run"]).succeeded();
    assert_eq!(fs::read_to_string(refs.join("main")).expect("readable"), COMMIT);
    let mut old = String::new();
    std::io::Read::read_to_string(&mut open, &mut old).expect("readable");
    assert_eq!(old, "0123456789012345678901234567890123456789");
    assert_eq!(fs::read_dir(&refs).expect("readable").count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode();
        fs::write(place.path("usual"), "").expect("written");
        assert_eq!(mode(refs.join("main")), mode(place.path("usual")), "others may read it as any file");
    }
}
