//! Files that ask for far more memory or time than they have bytes. Each gets one sentence, in an address space that holds
//! the program and little more.

use std::fs;

use assert_cmd::Command;

use crate::support::pickle::{archive, dictionary, tensor, text};
use crate::support::program::{Run, Workplace, finish};

/// Plans a scan of a file of this name and content in 500 MB of address space and 30 seconds of a core.
fn scan(name: &str, content: &[u8]) -> Run {
    let place = Workplace::new();
    fs::write(place.path(name), content).expect("written");
    let line = "ulimit -v 500000 && ulimit -t 30 && exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_laser-scan"), "--model", name, "--device", "cpu", "--dry-run"]);
    finish(shell.env("RAYON_NUM_THREADS", "1").current_dir(place.path("")))
}

/// Checks that the file is refused with one sentence of a sensible length that says all of `parts`.
#[track_caller]
fn refused(name: &str, content: &[u8], parts: &[&str]) {
    let run = scan(name, content);
    run.refused(1, parts);
    assert!(run.stderr.len() < 2000, "{} bytes: {}…", run.stderr.len(), &run.stderr[..500]);
}

/// Tensor after tensor whose parts, but for the names, are fetched from the memo.
fn many_of_one(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let one = tensor([4, 4], [4, 1]);
    // What follows the name is a function and its arguments; 0x71 keeps what is on the stack.
    let call = &one[text("m.weight").len()..one.len() - 1];
    let mut pickle = [b"\x80\x02".as_slice(), call, b"q\x010\x71\x00}("].concat();
    for at in 0..count {
        pickle.extend([text(&name(at)).as_slice(), b"h\x00h\x01R"].concat());
    }
    [pickle.as_slice(), b"u."].concat()
}

#[test]
fn pickles_that_repeat_or_nest_are_refused() {
    let class = [b"\x80\x02c".as_slice(), &[b'a'; 1_000_000], b"\nb\nq\x00", &b"h\x00".repeat(20_000), b"."].concat();
    // A megabyte that is a key, or a storage's name, a hundred thousand times.
    let long = text(&"k".repeat(4 << 20));
    let keys = [b"\x80\x02}q\x000".as_slice(), &long, b"q\x010h\x00", &b"h\x01h\x00s".repeat(100_000), b"."].concat();
    let one = tensor([4, 4], [4, 1]);
    let call = &one[text("m.weight").len()..one.len() - 1];
    let at = call.windows(6).position(|bytes| bytes == text("0")).expect("a storage");
    let mut storages = [b"\x80\x02".as_slice(), &call[..at], &long, &call[at + 6..], b"q\x010q\x00}("].concat();
    for at in 0..100_000 {
        storages.extend([text(&format!("{at}.weight")).as_slice(), b"h\x00h\x01R"].concat());
    }
    let storages = [storages.as_slice(), b"u."].concat();
    let marks = [b"\x80\x02".as_slice(), &[b'('; 17_000_000], b"."].concat();
    let slots: Vec<u8> = (0..4_300_000u32).flat_map(|slot| [b'r'].into_iter().chain(slot.to_le_bytes())).collect();
    let slots = [b"\x80\x02N".as_slice(), &slots, b"."].concat();
    let far = b"\x80\x02Nr\xff\xff\xff\xff.".to_vec();
    let deep = [b"\x80\x02N".as_slice(), &[0x85; 1_000_000], b"."].concat();
    // Dictionaries of which each is in the one before twice, and the last in the first.
    let mut nested = b"\x80\x02}q\x00".to_vec();
    for _ in 0..20_000 {
        nested.extend([text("model").as_slice(), b"}q\x01s", &text("module"), b"h\x01sh\x01"].concat());
    }
    let nested = [nested.as_slice(), &text("model"), b"h\x00s."].concat();
    for (pickle, part) in [
        (class, "a class has a name beyond all measure"),
        (keys, "no dictionary of tensors"),
        (storages, "no dictionary of tensors"),
        (marks, "beyond measure"),
        (slots, "beyond measure"),
        (far, "beyond measure"),
        (deep, "no dictionary of tensors"),
        (nested, "no dictionary of tensors"),
    ] {
        refused("pytorch_model.bin", &archive(&pickle), &["'pytorch_model.bin'", part]);
    }
}

#[test]
fn pickles_with_too_much_in_them_are_refused() {
    let many = many_of_one(300_000, |at| format!("{at}.weight"));
    refused("many.bin", &archive(&many), &["'many.bin'", "beyond measure"]);
    let one = many_of_one(2, |_| "m.weight".into());
    refused("one.bin", &archive(&one), &["lists tensor 'm.weight' twice"]);
    let long = many_of_one(2, |at| format!("{at}{}", "m".repeat(1 << 20)));
    refused("long.bin", &archive(&long), &["a tensor's name of 1048577 bytes", "'0mmm"]);
    // The extents of a million dimensions, which all tensors share.
    let extents = [b"(".as_slice(), &b"K\x01".repeat(1 << 20), b"tq\x02"].concat();
    let call = [b"ctorch._utils\n_rebuild_tensor_v2\nq\x00((".as_slice(), &text("storage")].concat();
    let storage = [b"ctorch\nFloatStorage\n".as_slice(), &text("0"), &text("cpu"), b"K\x40tQK\x00"].concat();
    let mut wide = [b"\x80\x02".as_slice(), &call, &storage, &extents, b"h\x02\x89tq\x01}("].concat();
    for at in 0..20_000 {
        wide.extend([text(&format!("{at}.weight")).as_slice(), b"h\x00h\x01R"].concat());
    }
    refused("wide.bin", &archive(&[wide.as_slice(), b"u."].concat()), &["no dictionary of tensors"]);
}

/// An archive in which each of these numbers of the directory's only entry of a tensor stands in the place of the true one.
fn with_claims(whole: &[u8], claims: &[(usize, u64)]) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    let entry = whole.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").expect("an entry");
    for (at, claim) in claims {
        damaged[entry + at..][..4].copy_from_slice(&(*claim as u32).to_le_bytes());
    }
    damaged
}

#[test]
fn what_an_archive_claims_is_held_against_the_file() {
    // A span of eight gigabytes in a storage that is said to have four, of a file of a few hundred bytes.
    let spread = |elements: &[u8]| dictionary(&tensor_of([2, 4], [1 << 30, 1], elements));
    let whole = archive(&spread(b"\x8a\x04\x00\x00\x00\x7f"));
    refused("m.bin", &whole, &["'m.bin'", "tensor 'm.weight' reaches beyond its storage"]);
    let huge = with_claims(&whole, &[(20, 0xffff_fff0), (24, 0xffff_fff0)]);
    refused("m.bin", &huge, &["'m.bin'", "not whole", "beyond its end"]);
    let sound = archive(&dictionary(&tensor([4, 4], [4, 1])));
    refused("m.bin", &with_claims(&sound, &[(24, 1 << 31)]), &["'m.bin'", "not whole"]);
    refused("m.bin", &with_claims(&sound, &[(42, 1 << 31)]), &["'m.bin'", "not whole", "beyond its end"]);
    // A storage that is said to have more elements than bytes.
    let numel = archive(&dictionary(&tensor_of([4, 4], [4, 1], b"M\xff\xff")));
    refused("m.bin", &numel, &["'m.bin'", "tensor 'm.weight' reaches beyond its storage"]);
}

/// Like [`tensor`], in a storage of which the pickle says that it has so many elements.
fn tensor_of(shape: [i64; 2], strides: [i64; 2], elements: &[u8]) -> Vec<u8> {
    let one = tensor(shape, strides);
    let at = one.windows(3).position(|bytes| bytes == b"\x40tQ").expect("a storage") - 1;
    [&one[..at], elements, &one[at + 2..]].concat()
}

#[test]
fn a_directory_of_a_terabyte_is_refused() {
    let sound = archive(&dictionary(&tensor([4, 4], [4, 1])));
    let end = sound.len() - 22;
    let claim = |at: usize, bytes: &[u8]| [&sound[..end + at], bytes, &sound[end + at + bytes.len()..]].concat();
    refused("m.bin", &claim(8, &[0xfe, 0xff, 0xfe, 0xff]), &["'m.bin'", "not whole"]);
    refused("m.bin", &claim(12, &0xffff_fffe_u32.to_le_bytes()), &["'m.bin'", "not whole"]);
    refused("m.bin", &claim(16, &0xffff_fffe_u32.to_le_bytes()), &["'m.bin'", "not whole"]);
    // The record for archives of more than four gigabytes, and where it is.
    let zip64 = |entries: u64, length: u64, start: u64, at: u64| {
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44u64.to_le_bytes());
        record.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        [entries, entries, length, start].iter().for_each(|number| record.extend(number.to_le_bytes()));
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend(at.to_le_bytes());
        record.extend(1u32.to_le_bytes());
        let small = [&b"PK\x05\x06\0\0\0\0"[..], &[0xff; 12], &[0, 0]].concat();
        [&sound[..end], &record, &small].concat()
    };
    let field = |at: usize| u64::from(u32::from_le_bytes(sound[end + at..][..4].try_into().expect("four bytes")));
    let (length, start) = (field(12), field(16));
    scan("m.bin", &zip64(2, length, start, end as u64)).succeeded();
    for lie in [
        zip64(1 << 40, length, start, end as u64),
        zip64(1 << 40, 46 << 40, start, end as u64),
        zip64(2, 1 << 40, start, end as u64),
        zip64(2, length, 1 << 40, end as u64),
        zip64(2, length, u64::MAX, end as u64),
        zip64(2, length, start, 1 << 40),
        zip64(2, length, start, u64::MAX),
    ] {
        refused("m.bin", &lie, &["'m.bin'", "not whole"]);
    }
}

/// A file of safetensors with this header and no data.
fn safetensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn headers_with_too_much_in_them_are_refused() {
    let tensor = |name: &str, dtype: &str, shape: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,0]}}"#)
    };
    let object = |entries: Vec<String>| safetensors(&format!("{{{}}}", entries.join(",")));
    let many = object((0..300_000).map(|at| tensor(&at.to_string(), "U8", "[0]")).collect());
    refused("m.safetensors", &many, &["'m.safetensors'", "more than 262144"]);
    let long = "m".repeat(1 << 20);
    let extents = format!("[{}0]", "1,".repeat(1_000_000));
    let pairs = |count: usize| (0..count).map(|at| format!(r#""{at}":"{at}""#)).collect::<Vec<_>>().join(",");
    for (entry, part) in [
        (tensor(&long, "U8", "[0]"), "a name has 1048576 bytes"),
        (tensor("m", &long, "[0]"), "unknown dtype 'mmm"),
        (tensor("m", "U8", &extents), "more than 32 dimensions"),
        (tensor("m", "U8", &format!("\"{long}\"")), "header is not valid"),
        (format!(r#""__metadata__":{{{}}}"#, pairs(300_000)), "more than 262144"),
    ] {
        refused("m.safetensors", &object(vec![entry]), &["'m.safetensors'", part]);
    }
    // What a training script says about itself may be long.
    let thumbnail = format!(r#""__metadata__":{{"thumbnail":"{}"}}"#, "m".repeat(20_000_000));
    refused("m.safetensors", &object(vec![thumbnail, tensor("m", "U8", "[0]")]), &["no linear module"]);
}

#[test]
fn an_index_with_too_much_in_it_is_refused() {
    let index = |entries: &str| format!(r#"{{"weight_map":{{{entries}}}}}"#).into_bytes();
    let name = "model.safetensors.index.json";
    let many: Vec<String> = (0..1_100_000).map(|at| format!(r#""{at}":"a""#)).collect();
    refused(name, &index(&many.join(",")), &[name, "not a valid index", "more than 1048576"]);
    let long = "m".repeat(1 << 20);
    refused(name, &index(&format!(r#""a":"{long}""#)), &[name, "a name has 1048576 bytes"]);
    refused(name, &index(&format!(r#""{long}":"a""#)), &[name, "a name has 1048576 bytes"]);
    refused(name, &index(r#""a":"x","a":"y""#), &[name, "lists tensor 'a' twice"]);
}
