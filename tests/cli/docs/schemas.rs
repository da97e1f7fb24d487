//! What the program writes is valid by the schemas in `docs/schemas`, which describe nothing that it does not write.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use jsonschema::Validator;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::catalogue::families;
use crate::support::checkpoint::{self, matrix, of_numbers, write_shards};
use crate::support::hub::{scan, server};
use crate::support::hub_server::{Access, Faults};
use crate::support::program::{Workplace, entries, in_project, tiny_mistral};

/// What these tests do not get the program to write: the revision of a base on the Hub, what a GPU leaves in a manifest, and the
/// news of a run of more than half a minute.
const UNSEEN: [&str; 10] = [
    "base_revision",
    "bytes_per_second",
    "download",
    "eigensolvers",
    "emulation",
    "flops_done",
    "flops_per_second",
    "libraries",
    "modules_done",
    "seconds_left",
];

/// Documents of each form, by the names of their schemas.
#[derive(Default)]
struct Written(Vec<(&'static str, Value)>);

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn schema(name: &str) -> Value {
    parsed(&fs::read_to_string(in_project(&format!("docs/schemas/{name}.json"))).expect("a schema"))
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{error}"))
}

impl Written {
    /// All files of a scan in `place` whose names begin with `stem`.
    fn add_scan(&mut self, place: &Workplace, stem: &str) {
        self.0.push(("scan", place.json(&format!("{stem}.json"))));
        self.0.push(("run", place.json(&format!("{stem}_run.json"))));
        if place.path(&format!("{stem}_top_snr.json")).exists() {
            self.0.push(("top", place.json(&format!("{stem}_top_snr.json"))));
        }
        let spectra = place.bytes(&format!("{stem}_spectra.safetensors"));
        let (_, header) = SafeTensors::read_metadata(&spectra).expect("safetensors");
        self.0.push(("spectra", json!(header.metadata())));
    }

    fn add_lines(&mut self, schema: &'static str, text: &str) {
        self.0.extend(text.lines().map(|line| (schema, parsed(line))));
    }
}

/// The tiny model: the files, the plan, the log and the comparison.
fn of_the_tiny_model() -> Written {
    let (place, mut written) = (Workplace::new(), Written::default());
    let model = tiny_mistral();
    let scan = ["--model", &model, "--device", "cpu"];
    let run = place.run(&[&scan[..], &["--statistics", "--log-format", "json"]].concat());
    written.add_lines("log", &run.succeeded().stderr);
    written.add_scan(&place, "laser_scan_tiny-mistral");
    let plan = place.run(&[&scan[..], &["--dry-run", "--json"]].concat());
    written.0.push(("plan", parsed(&plan.succeeded().stdout)));
    let plan = place.run(&[&scan[..], &["--dry-run", "--json", "--part", "1/2"]].concat());
    written.0.push(("plan", parsed(&plan.succeeded().stdout)));
    let full = "laser_scan_tiny-mistral.json";
    let best = place.run(&["show", full, "--format", "json", "--statistic", "mp"]);
    written.0.push(("top", parsed(&best.succeeded().stdout)));
    let diff = place.run(&["diff", full, full, "--json"]);
    written.0.push(("diff", parsed(&diff.succeeded().stdout)));
    written
}

/// The parts of a scan, and what is merged of them.
fn of_parts() -> Written {
    let (place, mut written) = (Workplace::new(), Written::default());
    for part in ["1/2", "2/2"] {
        let run =
            place.run(&["--model", &tiny_mistral(), "--part", part, "--output-dir", "parts", "--log-format", "json"]);
        written.add_lines("log", &run.succeeded().stderr);
        written.add_scan(&place, &format!("parts/laser_scan_tiny-mistral_part-{}", part.replace('/', "-of-")));
    }
    place.run(&["merge", "parts"]).succeeded();
    written.add_scan(&place, "laser_scan_tiny-mistral");
    written
}

/// A model of the Hub.
fn of_the_hub() -> Written {
    let (place, mut written) = (Workplace::new(), Written::default());
    let server = server(Access::Open, Faults::default());
    scan(&place, &server, &["--top-percent", "25"]).succeeded();
    written.add_scan(&place, "laser_scan_Mistral-0B");
    written
}

/// Models of other architectures, with experts, fused weights, other names in memory, and components.
fn of_families() -> Written {
    let mut written = Written::default();
    for family in ["dbrx", "gemma3", "jamba", "mixtral", "phi3", "qwen2_5_vl", "qwen3_vl_moe", "t5", "unet_sd15"] {
        let place = Workplace::new();
        let path = in_project(&format!("tests/catalogue/families/{family}.json"));
        families::write(&parsed(&fs::read_to_string(path).expect("a family")), &place.path("model"));
        let options = ["--model", "model", "--split-fused", "--pool-experts", "max", "--statistics", "--include-conv"];
        let run = place.run(&options);
        assert!([0, 3].contains(&run.status), "{family}: {}", run.stderr);
        let plan = place.run(&[&options[..], &["--dry-run", "--json"]].concat());
        written.0.push(("plan", parsed(&plan.stdout)));
        let full = place.files().into_iter().find(|name| name.ends_with("_run.json")).expect("a manifest");
        written.add_scan(&place, full.trim_end_matches("_run.json"));
    }
    written
}

/// What fine-tunes changed.
fn of_changes() -> Written {
    let mut written = Written::default();
    let deltas = |name: &str| in_project(&format!("tests/catalogue/deltas/{name}"));
    for name in entries("tests/catalogue/deltas") {
        let Ok(expected) = fs::read_to_string(format!("{}/expected.json", deltas(&name))) else { continue };
        let place = Workplace::new();
        let base = deltas(parsed(&expected)["base"].as_str().expect("a name"));
        let run = place.run(&["delta", &base, &deltas(&name), "--log-format", "json"]);
        written.add_lines("log", &run.succeeded().stderr);
        written.add_scan(&place, &format!("laser_scan_{name}_delta"));
    }
    // A change of low rank in a weight that is stored whole, where rounding errors leave the ratio in doubt.
    let place = Workplace::new();
    let (weight, side, rank) = ("model.layers.0.self_attn.q_proj.weight", 96, 4);
    let base: Vec<f32> = (0..side * side).map(|at| ((at * 7919) % 1009) as f32 / 5045.0 - 0.1).collect();
    let factor =
        |seed: usize| -> Vec<f32> { (0..side * rank).map(|at| ((at * seed) % 997) as f32 / 9970.0 - 0.05).collect() };
    let (up, down) = (factor(7907), factor(7901));
    let product = |at: usize| (0..rank).map(|k| up[at / side * rank + k] * down[k * side + at % side]).sum::<f32>();
    let merged = base.iter().enumerate().map(|(at, weight)| weight + product(at)).collect();
    for (name, numbers) in [("base", base), ("merged", merged)] {
        write_shards(&place.path(name), &[("model.safetensors", vec![of_numbers(weight, side, side, numbers)])]);
    }
    place.run(&["delta", "base", "merged", "--device", "cpu"]).succeeded();
    written.add_scan(&place, "laser_scan_merged_delta");
    written
}

/// A model with an infinite ratio, and modules that cannot be measured.
fn of_failures() -> Written {
    let (place, mut written) = (Workplace::new(), Written::default());
    let module = |leaf: &str| format!("model.layers.0.{leaf}.weight");
    let tensors = vec![
        matrix(&module("self_attn.q_proj"), 16, 256),
        of_numbers(&module("mlp.up_proj"), 8, 8, vec![f32::NAN; 64]),
        of_numbers(&module("mlp.down_proj"), 8, 8, vec![0.0; 64]),
        checkpoint::vector("model.norm.weight", 8),
    ];
    write_shards(&place.path("model"), &[("model.safetensors", tensors)]);
    let run = place.run(&["--model", "model", "--statistics", "--log-format", "json"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    written.add_lines("log", &run.stderr);
    written.add_scan(&place, "laser_scan_model");
    written
}

/// The journal of a scan that was killed.
fn of_an_interruption() -> Written {
    let (place, mut written) = (Workplace::new(), Written::default());
    write_shards(&place.path("model"), &[("model.safetensors", checkpoint::layers(30, 256))]);
    let running = place.start(&["--model", "model", "--threads", "1"], &[]);
    let begun = Instant::now();
    let journal = || fs::read_to_string(place.path("laser_scan_model.json.journal")).unwrap_or_default();
    while journal().lines().count() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the scan does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill();
    let whole = journal();
    written.add_lines("journal", whole.rsplit_once('\n').expect("whole lines").0);
    written
}

/// The keys of all objects in `value`.
fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            into.extend(object.keys().cloned());
            object.values().for_each(|value| keys(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, into)),
        _ => {}
    }
}

/// The keys that a schema describes.
fn described(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(properties) = object.get("properties").and_then(Value::as_object) {
                into.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| described(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| described(value, into)),
        _ => {}
    }
}

#[test]
fn what_is_written_is_as_described_and_what_is_described_is_written() {
    let names = entries("docs/schemas");
    let schemas: Vec<(Value, Validator)> =
        names.iter().map(|name| schema(name)).map(|schema| (schema.clone(), validator(&schema))).collect();
    let mut seen = BTreeSet::new();
    let mut forms = BTreeSet::new();
    for make in [of_the_tiny_model, of_parts, of_the_hub, of_families, of_changes, of_failures, of_an_interruption] {
        for (name, value) in make().0 {
            let (_, validator) = &schemas[names.iter().position(|own| own == name).expect("a schema")];
            let wrong: Vec<String> =
                validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(wrong.is_empty(), "{name}.json: {}\n{value}", wrong.join("\n"));
            keys(&value, &mut seen);
            if let Some(modules) = value.get("modules").and_then(Value::as_str) {
                let modules = parsed(modules);
                let inner = json!({"$ref": "#/$defs/modules", "$defs": schema("spectra")["$defs"]});
                assert!(self::validator(&inner).is_valid(&modules), "{modules}");
                keys(&modules, &mut seen);
            }
            forms.insert(name);
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), names, "each schema is tried");
    let mut described = BTreeSet::new();
    schemas.iter().for_each(|(schema, _)| self::described(schema, &mut described));
    let unseen: Vec<&String> = described.difference(&seen).collect();
    assert_eq!(unseen, UNSEEN.iter().collect::<Vec<_>>());
}

#[test]
fn schemas_refuse_what_is_not_as_they_describe() {
    let Written(documents) = of_the_tiny_model();
    for name in ["run", "plan", "diff", "log", "spectra"] {
        let validator = validator(&schema(name));
        let (_, sound) = documents.iter().find(|(own, _)| *own == name).expect("a document");
        let object = sound.as_object().expect("an object");
        assert!(validator.is_valid(sound));
        let more: Map<String, Value> = object.clone().into_iter().chain([("made_up".to_owned(), json!(1))]).collect();
        assert!(!validator.is_valid(&Value::Object(more)), "{name}.json allows a key that it does not describe");
        let mut less = object.clone();
        less.shift_remove(object.keys().next_back().expect("a key"));
        assert!(!validator.is_valid(&Value::Object(less)), "{name}.json does not need the last key");
    }
    let scan = validator(&schema("scan"));
    assert!(!scan.is_valid(&json!({"a": {"snr": 1.0}})) && !scan.is_valid(&json!([])));
    assert!(!validator(&schema("top")).is_valid(&json!({"a": ["b", "b"]})));
}
