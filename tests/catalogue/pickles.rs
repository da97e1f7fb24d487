//! `pytorch_model.bin`, whole, in shards and hostile.

use crate::program::Workplace;
use crate::quantized::same_numbers;
use crate::{folder, json};

#[test]
fn pickled_weights_are_measured() {
    for name in ["whole", "sharded"] {
        let model = folder("pickle").join(name);
        let place = Workplace::new();
        let run = place.run(&["--model", model.to_str().expect("UTF-8")]);
        assert_eq!((run.status, run.stderr.contains("skipping")), (0, false), "{name}: {}", run.stderr);
        let ours = place.json(&format!("laser_scan_{name}.json"));
        let expected = json(model.join("expected.json"));
        let expected = expected["modules"].as_object().expect("modules");
        for (module, numbers) in expected {
            same_numbers(&ours[module.as_str()], numbers, &format!("{name}: {module}"));
        }
        assert_eq!(ours.as_object().expect("an object").len(), expected.len(), "{name}");
    }
}

#[test]
fn code_in_a_pickle_does_not_run() {
    let place = Workplace::new();
    let model = folder("pickle/hostile");
    place.run(&["--model", model.to_str().expect("UTF-8")]).refused(1, &["pytorch_model.bin"]);
}

#[test]
fn safetensors_are_preferred_to_pickles() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("both")).expect("created");
    for (from, to) in
        [("pickle/hostile/pytorch_model.bin", "pytorch_model.bin"), ("quantized/awq/config.json", "config.json")]
    {
        std::fs::copy(folder(from), place.path("both").join(to)).expect("copied");
    }
    std::fs::copy(folder("quantized/awq/model.safetensors"), place.path("both/model.safetensors")).expect("copied");
    place.run(&["--model", "both", "--dry-run"]).succeeded();
}

/// `pytorch_model.bin` with this pickle in it, and one storage of zeros.
pub fn archive(pickle: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", pickle), ("a/data/0", &[0; 256])] {
        writer.start_file(name, stored).expect("started");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

/// A pickled text.
pub fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A pickled dictionary of these keys and values.
pub fn dictionary(entries: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(".as_slice(), entries, b"u."].concat()
}

/// The pickled tensor of this shape and these strides in storage 0, under the name `m.weight`.
pub fn tensor(shape: [i64; 2], strides: [i64; 2]) -> Vec<u8> {
    let number = |number: i64| [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat();
    let pair = |pair: [i64; 2]| [number(pair[0]), number(pair[1]), b"\x86".to_vec()].concat();
    let storage = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), b"K\x40tQ".to_vec()];
    let parts = [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        storage.concat(),
        b"K\x00".to_vec(),
        pair(shape),
        pair(strides),
    ];
    [text("m.weight"), parts.concat(), b"\x89}tR".to_vec()].concat()
}

#[test]
fn pickles_that_lie_are_refused() {
    let sound = tensor([4, 4], [4, 1]);
    let cases: [(Vec<u8>, &str); 6] = [
        (dictionary(&[sound.as_slice(), &sound].concat()), "lists tensor 'm.weight' twice"),
        (dictionary(&tensor([1 << 40, 1 << 20], [0, 0])), "takes more bytes than the file has"),
        (dictionary(&tensor([3, 2], [i64::MAX, 1])), "strides are impossible"),
        (dictionary(&tensor([8, 8], [16, 1])), "beyond its storage"),
        ([b"\x80\x02N".as_slice(), &[0x85; 100_000], b"."].concat(), "no dictionary of tensors"),
        ([b"\x80\x02Nq\x00".as_slice(), &b"h\x00h\x00\x86q\x00".repeat(60), b"."].concat(), "no dictionary of tensors"),
    ];
    for (pickle, part) in cases {
        let place = Workplace::new();
        std::fs::write(place.path("pytorch_model.bin"), archive(&pickle)).expect("written");
        place.run(&["--model", "pytorch_model.bin"]).refused(1, &[part]);
    }
    let place = Workplace::new();
    std::fs::write(place.path("pytorch_model.bin"), archive(&dictionary(&sound))).expect("written");
    place.run(&["--model", "pytorch_model.bin"]).refused(1, &["every weight is zero"]);
}
