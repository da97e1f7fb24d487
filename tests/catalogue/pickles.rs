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
