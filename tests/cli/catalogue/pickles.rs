//! `pytorch_model.bin`, whole, in shards and hostile.

use super::quantized::same_numbers;
use super::{folder, json};
use crate::support::pickle::{archive, dictionary, tensor};
use crate::support::program::Workplace;

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
