//! Diffusion models end to end: scanned, exported to each trainer that serves them, and applied by the trainer's rule, which is
//! written down here once more, from the trainers' own code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use fancy_regex::Regex;
use serde_json::Value;

use crate::support::checkpoint::{Tensor, matrix, write_shards, zeros};
use crate::support::program::{Workplace, entries, in_project};
use crate::support::tests_of_each;

/// A module of a model.
#[derive(Clone)]
struct Module {
    name: String,
    shape: Vec<usize>,
    /// Its name in the original form, which it may share with others that are parts of the same module there.
    original: Option<String>,
}

/// The configuration and the modules that `make_diffusion.py` wrote.
fn family(name: &str) -> (Value, Vec<Module>) {
    let path = in_project(&format!("tests/trainers/diffusion/{name}.json"));
    let json: Value = serde_json::from_slice(&fs::read(path).expect("a family")).expect("JSON");
    let mut modules = Vec::new();
    for entry in json["modules"].as_array().expect("modules") {
        let pattern = entry[0].as_str().expect("a name");
        let numbers: Vec<u64> = match entry[1].as_array() {
            Some(numbers) => numbers.iter().map(|number| number.as_u64().expect("a number")).collect(),
            None => (0..entry[1].as_u64().expect("a count")).collect(),
        };
        for number in numbers {
            let numbered = |name: &str| name.replacen('*', &number.to_string(), 1);
            modules.push(Module {
                name: numbered(pattern),
                shape: serde_json::from_value(entry[2].clone()).expect("a shape"),
                original: entry[3].as_str().map(numbered),
            });
        }
    }
    (json["config"].clone(), modules)
}

fn tensor(name: &str, shape: &[usize]) -> Tensor {
    if shape.len() == 1 {
        return zeros(name, safetensors::Dtype::F32, shape);
    }
    Tensor { shape: shape.to_vec(), ..matrix(name, shape[0], shape[1..].iter().product()) }
}

/// Writes the model `m` as diffusers does.
fn write(place: &Workplace, config: &Value, modules: &[Module]) {
    let tensors = modules.iter().map(|module| tensor(&format!("{}.weight", module.name), &module.shape)).collect();
    write_shards(&place.path("m"), &[("diffusion_pytorch_model.safetensors", tensors)]);
    fs::write(place.path("m/config.json"), config.to_string()).expect("written");
}

/// Writes `m.safetensors`, a single file in the original form.
fn write_original(place: &Workplace, modules: &[Module]) {
    let mut shapes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for module in modules {
        let Some(original) = &module.original else { continue };
        let shape = shapes.entry(original).or_insert_with(|| [&[0], &module.shape[1..]].concat());
        shape[0] += module.shape[0];
    }
    let tensors =
        shapes.iter().map(|(name, shape)| tensor(&format!("model.diffusion_model.{name}.weight"), shape)).collect();
    write_shards(&place.path(""), &[("m.safetensors", tensors)]);
}

/// The names of a configuration's list.
fn strings(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a string").to_owned()).collect()
}

fn matches(expression: &str, name: &str) -> bool {
    Regex::new(expression).expect("an expression").is_match(name).expect("matched")
}

fn whole(expression: &str, name: &str) -> bool {
    matches(&format!("^(?:{expression})$"), name)
}

/// The items of the list `key` in YAML.
fn items(yaml: &str, key: &str) -> Vec<String> {
    let lines = yaml.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    lines.map_while(|line| line.trim().strip_prefix("- ")).map(str::to_owned).collect()
}

/// Whether the `trainer` trains the module called `name` when it is given this configuration. For trainers without adapters it is
/// asked for the module's weight.
fn trains(trainer: &str, family: &str, text: &str, name: &str) -> bool {
    let json = || serde_json::from_str::<Value>(text).expect("JSON");
    let table = || text.parse::<toml::Table>().expect("TOML");
    let ends =
        |targets: &[String]| targets.iter().any(|target| name == target || name.ends_with(&format!(".{target}")));
    match trainer {
        "diffusers" => match &json()["target_modules"] {
            Value::String(expression) => whole(expression, name),
            list => ends(&strings(list)),
        },
        "simpletuner" => ends(&strings(&json()["peft_lora_target_modules"])),
        "simpletuner-lycoris" => {
            let preset = &json()["apply_preset"];
            // Without the list, everything of the usual classes is trained.
            assert_eq!(
                (&preset["target_module"], &preset["use_fnmatch"]),
                (&Value::Array(Vec::new()), &Value::Bool(true))
            );
            strings(&preset["target_name"]).iter().any(|target| target == name)
        }
        "lycoris" => {
            let preset = table();
            let list = |key: &str| preset[key].as_array().expect("a list").clone();
            for key in ["unet_target_module", "text_encoder_target_module", "text_encoder_target_name"] {
                assert!(list(key).is_empty(), "{key}");
            }
            list("unet_target_name").iter().any(|target| target.as_str() == Some(name))
        }
        "ai-toolkit" => {
            let words = items(text, "only_if_contains");
            // Convolutions are adapted only in U-Nets, and with a rank of their own.
            assert_eq!(words[0].starts_with("lora_unet."), text.contains("\n  conv: "));
            let prefix = if words[0].starts_with("lora_unet.") { "lora_unet." } else { "transformer." };
            let blocks: &[&str] = match family {
                "z_image" => &["layers"],
                "wan" => &["blocks"],
                "flux2" => &["double_blocks", "single_blocks"],
                _ => &["transformer_blocks"],
            };
            let is_reached = prefix == "lora_unet."
                || text.contains("transformer_only: false")
                || blocks.iter().any(|block| name.contains(block));
            is_reached && words.iter().any(|word| format!("{prefix}{name}").contains(word.as_str()))
        }
        "ai-toolkit-full" => {
            let words = items(text, "only_if_contains");
            let hits = |beginning: &str| words.iter().any(|word| format!("{beginning}{name}").contains(word.as_str()));
            // Some of its classes have the beginning twice.
            assert_eq!(hits("transformer."), hits("transformer.transformer."));
            hits("transformer.")
        }
        "onetrainer" | "onetrainer-full" => {
            let filter = json()["layer_filter"].as_str().expect("a filter").to_owned();
            assert_eq!(
                (&json()["layer_filter_preset"], &json()["layer_filter_regex"]),
                (&"custom".into(), &true.into())
            );
            filter.split(',').any(|pattern| pattern.is_empty() || matches(pattern, name))
        }
        "musubi" => {
            let arguments = table()["network_args"].clone();
            let patterns = |at: usize, key: &str| -> Vec<String> {
                let list = arguments[at].as_str().and_then(|text| text.strip_prefix(key)).expect("patterns").to_owned();
                assert!(!list.contains('='), "it is split at every sign of equality");
                list.trim_matches(['[', ']']).split(", ").map(|item| item[2..item.len() - 1].to_owned()).collect()
            };
            let excluded = patterns(0, "exclude_patterns=").iter().any(|pattern| whole(pattern, name));
            !excluded || patterns(1, "include_patterns=").iter().any(|pattern| whole(pattern, name))
        }
        "sd-scripts" => {
            let argument = text.split("network_reg_dims=").nth(1).expect("ranks").trim_end().trim_end_matches('\'');
            let adapter = format!("lora_unet_{}", name.replace('.', "_"));
            let rules: Vec<(&str, u64)> = argument
                .split(',')
                .map(|rule| rule.split_once('=').expect("a rank"))
                .map(|(expression, rank)| (expression, rank.parse().expect("a number")))
                .collect();
            let found: Vec<u64> =
                rules.iter().filter(|(expression, _)| matches(expression, &adapter)).map(|(_, rank)| *rank).collect();
            // One matches, so that it does not matter whether the first or the last one counts.
            assert_eq!(found.len(), 1, "{adapter}");
            found[0] > 0
        }
        "diffusion-pipe" => !whole(table()["adapter"]["exclude_modules"].as_str().expect("an expression"), name),
        other => panic!("{other}"),
    }
}

/// Whether a trainer has the original names of this family.
fn has_originals(trainer: &str, family: &str) -> bool {
    match trainer {
        "lycoris" => !matches!(family, "sd15" | "z_image"),
        "musubi" => family != "z_image",
        "sd-scripts" => true,
        "ai-toolkit" | "ai-toolkit-full" => family == "flux2",
        "diffusion-pipe" => matches!(family, "wan" | "flux2" | "z_image"),
        _ => false,
    }
}

/// The trainers that serve a family.
fn trainers(family: &str) -> Vec<&'static str> {
    let mut trainers = vec!["diffusers", "simpletuner", "lycoris", "simpletuner-lycoris"];
    if family != "hunyuan_video" {
        trainers.extend(["ai-toolkit", "ai-toolkit-full"]);
    }
    if family != "wan" {
        trainers.extend(["onetrainer", "onetrainer-full"]);
    }
    if !matches!(family, "sd3" | "sd15" | "sdxl") {
        trainers.push("musubi");
    }
    if !matches!(family, "hunyuan_video" | "sd15" | "sdxl") {
        trainers.push("diffusion-pipe");
    }
    trainers.extend((family == "flux").then_some("sd-scripts"));
    trainers
}

/// All of two layers is chosen, so that what trainers have as one is chosen whole; and layer 11 begins as layer 1 does. The sides of a
/// U-Net have no layers.
fn choice(family: &str) -> &'static [&'static str] {
    match family {
        "sd15" | "sdxl" => &["--top-n", "2"],
        // The first two layers are refiners' too, which some trainers do not reach.
        "hunyuan_video" | "z_image" => &["--top-percent", "100", "--layers", "7"],
        _ => &["--top-percent", "100", "--layers", "1,7"],
    }
}

/// The chosen modules, as the file of the best has them.
fn chosen(place: &Workplace, file: &str) -> BTreeSet<String> {
    let top = place.json(file);
    top.as_object().expect("types").values().flat_map(strings).collect()
}

fn suffix(trainer: &str) -> &'static str {
    if trainer.ends_with("-full") { ".weight" } else { "" }
}

/// Every trainer that serves a family trains exactly what is chosen, whichever form the scanned model has.
fn exported(name: &str) {
    let (config, modules) = family(name);
    let place = Workplace::new();
    write(&place, &config, &modules);
    place.run(&[&["--model", "m", "-q"], choice(name)].concat()).succeeded();
    let chosen = chosen(&place, "laser_scan_m_top_snr.json");
    assert!(chosen.len() > 7);
    for trainer in trainers(name) {
        let export = place.run(&[&["export", trainer, "laser_scan_m.json"], choice(name)].concat());
        let text = &export.succeeded().stdout;
        assert!(!export.stderr.contains("language models"), "{trainer}: {}", export.stderr);
        let called = |module: &Module| match &module.original {
            Some(original) if has_originals(trainer, name) => original.clone(),
            _ => module.name.clone(),
        };
        for module in &modules {
            let is_trained = trains(trainer, name, text, &format!("{}{}", called(module), suffix(trainer)));
            assert_eq!(is_trained, chosen.contains(&module.name), "{trainer}: {}", module.name);
        }
    }
}

tests_of_each! {
    entries("tests/trainers/diffusion").iter().map(|file| file.trim_end_matches(".json")).collect::<Vec<_>>(),
    [flux flux2 hunyuan_video qwen_image sd15 sd3 sdxl wan z_image],
    exported
}

/// A single file in the original form gives the same as the model of diffusers that it is.
#[test]
fn single_files_are_exported_alike() {
    std::thread::scope(|scope| {
        for name in ["flux", "flux2", "hunyuan_video", "qwen_image", "sd3", "sdxl", "wan", "z_image"] {
            scope.spawn(move || single_file(name));
        }
    });
}

fn single_file(name: &str) {
    let (_, modules) = family(name);
    let place = Workplace::new();
    write_original(&place, &modules);
    place.run(&[&["--model", "m.safetensors", "-q", "--include-conv"], choice(name)].concat()).succeeded();
    let chosen = chosen(&place, "laser_scan_m_top_snr.json");
    assert!(chosen.len() > 5, "{name}: {chosen:?}");
    for trainer in trainers(name) {
        let export = place.run(&[&["export", trainer, "laser_scan_m.json"], choice(name)].concat());
        let text = &export.succeeded().stdout;
        assert!(!export.stderr.contains("nothing vouches"), "{trainer}: {}", export.stderr);
        for module in &modules {
            let Some(original) = &module.original else { continue };
            let called = if has_originals(trainer, name) { original } else { &module.name };
            let is_trained = trains(trainer, name, text, &format!("{called}{}", suffix(trainer)));
            assert_eq!(is_trained, chosen.contains(original), "{name}, {trainer}: {called}");
        }
    }
}

/// What is silently missed or trained too much, according to those who have seen it.
#[test]
fn what_trainers_miss_in_silence_is_refused_or_avoided() {
    let (config, modules) = family("flux");
    let place = Workplace::new();
    write(&place, &config, &modules);
    place.run(&["--model", "m", "-q"]).succeeded();
    let export =
        |trainer: &str, options: &[&str]| place.run(&[&["export", trainer, "laser_scan_m.json"], options].concat());
    // A part of what is one module to the trainer.
    let run = export("lycoris", &["--top-n", "1", "--types", "*.attn.to_q"]);
    run.refused(
        1,
        &["single_blocks.", "has one module", "of which the choice has 1", "all of them or none", "--types"],
    );
    // The root's proj_out, whose name is also the end of those in all single blocks.
    export("simpletuner", &["--types", "proj_out"]).refused(1, &["'proj_out'", "not chosen"]);
    let root = export("diffusers", &["--types", "proj_out"]);
    assert!(root.succeeded().stdout.contains(r#""target_modules": "^proj_out$""#), "{}", root.stdout);
    // What is outside the blocks, which two trainers never reach and one passes over by default.
    for trainer in ["musubi", "sd-scripts", "diffusion-pipe"] {
        export(trainer, &["--types", "x_embedder"]).refused(1, &["only what is within the model's blocks"]);
    }
    let outside = export("ai-toolkit", &["--types", "x_embedder"]);
    assert!(outside.succeeded().stdout.contains("transformer_only: false"), "{}", outside.stdout);
    let inside = export("ai-toolkit", &["--top-n", "1", "--types", "*.norm.linear"]);
    assert!(!inside.succeeded().stdout.contains("transformer_only"), "{}", inside.stdout);
    // Alpha is the rank there, whatever is asked for.
    let run = export("ai-toolkit", &["--top-n", "1", "--rank", "8", "--alpha", "4"]);
    assert!(run.succeeded().stdout.contains("linear: 8\n  linear_alpha: 8\n"), "{}", run.stdout);
    assert!(run.stderr.contains("takes the rank for alpha"), "{}", run.stderr);
    // The scripts of diffusers take no expression, and an earlier choice must not pass for this one.
    export("diffusers", &["--types", "proj_out", "--format", "args"])
        .refused(1, &["take a list of names and one rank"]);
    export("diffusers", &["--types", "x_embedder", "--output-dir", "o"]).succeeded();
    let again = export("diffusers", &["--types", "proj_out", "--output-dir", "o"]);
    assert!(
        again.succeeded().stderr.contains("laser_scan_m_diffusers.args' is of an earlier choice"),
        "{}",
        again.stderr
    );
    // What is fused has its inputs once: 12 blocks of 32 inputs and 32 + 32 + 32 outputs, and of 32 and 32.
    let run = export(
        "sd-scripts",
        &[
            "--top-percent",
            "100",
            "--types",
            "transformer_blocks.attn.to_*",
            "--rank",
            "2",
            "--types",
            "transformer_blocks.attn.add_*",
        ],
    );
    let expected = 2 * 12 * (2 * (32 + 96) + 2 * (32 + 32));
    assert!(
        run.succeeded().stderr.contains(&format!("rank 2: {},{:03} trainable", expected / 1000, expected % 1000)),
        "{}",
        run.stderr
    );
    // A scan of it leads to a trainer that has it.
    let scan = place.run(&["--model", "m", "--top-n", "1", "--output-dir", "next"]);
    assert!(
        scan.succeeded().stderr.contains("\n  laser-scan export diffusers 'next/laser_scan_m.json'"),
        "{}",
        scan.stderr
    );
    // Trainers of language models do not train it.
    let run = export("trl", &["--top-n", "1", "--types", "x_embedder", "--types", "context_embedder"]);
    assert!(run.succeeded().stderr.contains("TRL trains language models"), "{}", run.stderr);
    // A comma at the end of OneTrainer's filter matches everything.
    let filter = export("onetrainer", &["--top-n", "1", "--types", "proj_out"]);
    assert!(filter.succeeded().stdout.contains("\"layer_filter\": \"^proj_out$\""), "{}", filter.stdout);
    // Its fused output formats fail for a part of a group.
    let said =
        |options: &[&str]| export("onetrainer", options).succeeded().stderr.contains("only a part of 'single_blocks.");
    assert!(said(&["--top-n", "1", "--types", "single_transformer_blocks.attn.to_q"]));
    assert!(!said(&["--top-percent", "100", "--layers", "1,7"]));
    export("musubi", &["--types", "nothing"]).refused(1, &["nothing"]);
    // Language models have other trainers.
    let llama = Workplace::new();
    crate::support::scans::write_mistral(&llama);
    llama.run(&["export", "lycoris", "scan.json"]).refused(1, &["trains diffusion models", "another trainer"]);
}

/// What a trainer has as one module is ranked as one when this is asked for: by the mean or the largest ratio of its parts.
#[test]
fn what_is_fused_is_ranked_as_one_when_asked() {
    let (config, modules) = family("flux");
    let place = Workplace::new();
    write(&place, &config, &modules);
    place.run(&["--model", "m", "-q"]).succeeded();
    let ratios = place.json("laser_scan_m.json");
    let export = |options: &[&str]| place.run(&[&["export", "lycoris", "laser_scan_m.json"], options].concat());
    for (how, of) in [("mean", mean as fn(&[f64]) -> f64), ("max", largest)] {
        for fused in ["double_blocks.*.img_attn.qkv", "double_blocks.*.txt_attn.qkv"] {
            let mut parts: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
            for module in &modules {
                if let Some(original) = module.original.as_ref().filter(|original| starred(original) == fused) {
                    parts.entry(original).or_default().push(ratios[&module.name]["snr"].as_f64().expect("a ratio"));
                }
            }
            assert!(parts.len() == 12 && parts.values().all(|parts| parts.len() == 3), "{fused}");
            let mut best: Vec<(&String, f64)> = parts.iter().map(|(name, parts)| (*name, of(parts))).collect();
            best.sort_by(|one, other| other.1.total_cmp(&one.1));
            assert!(best[3].1 > best[4].1, "{fused}: no order of {best:?}");
            let run = export(&["--pool-fused", how, "--top-n", "4", "--types", fused]);
            let preset: toml::Table = run.succeeded().stdout.parse().expect("TOML");
            let names = preset["unet_target_name"].as_array().expect("a list").iter();
            let names: BTreeSet<&str> = names.map(|name| name.as_str().expect("a name")).collect();
            assert_eq!(names, best[..4].iter().map(|(name, _)| name.as_str()).collect(), "{fused} by {how}");
        }
    }
    // Four of each type, and nothing is fused in part: the error without it names it.
    export(&["--pool-fused", "mean", "--top-n", "4"]).succeeded();
    export(&["--top-n", "4"]).refused(1, &["has one module", "--pool-fused mean (or max)"]);
    // A budget counts what is fused as it is: 32 inputs and 224 outputs at rank 2, of which two fit.
    let of_budget = ["--pool-fused", "mean", "--types", "single_blocks.*.linear1", "--rank", "2"];
    let run = export(&[&of_budget[..], &["--budget", "1100"]].concat());
    assert_eq!(run.succeeded().stdout.matches("single_blocks.").count(), 2, "{}", run.stdout);
    // It is chosen by the types of its parts too, which are those that the scan shows.
    let by_part = ["--pool-fused", "mean", "--top-n", "1", "--types", "transformer_blocks.attn.to_q"];
    let run = export(&by_part);
    assert!(run.succeeded().stdout.contains(".img_attn.qkv") && !run.stdout.contains("txt_attn"), "{}", run.stdout);
    // With parts that were not scanned there is nothing to pool.
    place.run(&["--model", "m", "--include", "*.attn.to_q", "--output", "q.json", "-q"]).succeeded();
    let line = ["export", "lycoris", "q.json", "--pool-fused", "mean", "--types", "transformer_blocks.*"];
    place.run(&line).refused(1, &["for 3 of the model, of which the scan has 1", "scan the others too"]);
    // Trainers with diffusers' names fuse nothing.
    let apart = ["export", "diffusers", "laser_scan_m.json", "--top-n", "4", "-q"];
    let (one, other) = (place.run(&apart), place.run(&[&apart[..], &["--pool-fused", "mean"]].concat()));
    assert_eq!(one.succeeded().stdout, other.succeeded().stdout);
}

/// A name with stars for its numbers.
fn starred(name: &str) -> String {
    let starred = |segment: &'_ str| if segment.parse::<u32>().is_ok() { "*".to_owned() } else { segment.to_owned() };
    name.split('.').map(starred).collect::<Vec<String>>().join(".")
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(0.0, f64::max)
}

/// The configuration of every trainer for a small Flux. `LASER_SCAN_BLESS=1 cargo test` writes the golden files anew.
#[test]
fn configurations_are_those_of_the_golden_files() {
    let (config, modules) = family("flux");
    let place = Workplace::new();
    write(&place, &config, &modules);
    let choice = ["--top-percent", "100", "--layers", "7", "--rank", "8", "--alpha", "4", "-q"];
    place.run(&["--model", "m", "--top-n", "1", "-q"]).succeeded();
    let golden = in_project("tests/golden/export/diffusion");
    for trainer in trainers("flux") {
        let options = if trainer.ends_with("-full") { &choice[..4] } else { &choice };
        let line = ["export", trainer, "laser_scan_m.json", "--output-dir", "exported"];
        place.run(&[&line[..], options].concat()).succeeded();
    }
    let files = fs::read_dir(place.path("exported")).expect("a folder").flatten();
    let read = |file: fs::DirEntry| (file.file_name(), fs::read_to_string(file.path()).expect("UTF-8"));
    let files: BTreeMap<_, String> = files.map(read).collect();
    assert_eq!(files.len(), trainers("flux").len() + 2, "two have two forms");
    for (name, text) in files {
        let expected = Path::new(&golden).join(&name);
        if std::env::var_os("LASER_SCAN_BLESS").is_some() {
            fs::create_dir_all(&golden).expect("created");
            fs::write(&expected, &text).expect("written");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        assert_eq!(text, expected, "{}", name.display());
    }
    // What an export wrote is replaced by the next without being asked.
    for trainer in trainers("flux") {
        let line = ["export", trainer, "laser_scan_m.json", "--output-dir", "exported", "-q"];
        place.run(&[&line[..], &choice[..4]].concat()).succeeded();
    }
}

/// Of a pipeline, the trainers of a denoiser take no text encoder for it.
#[test]
fn a_text_encoder_is_not_taken_for_the_denoiser() {
    let (config, modules) = family("wan");
    let place = Workplace::new();
    write(&place, &config, &modules);
    fs::create_dir_all(place.path("p/text_encoder")).expect("created");
    fs::rename(place.path("m"), place.path("p/transformer")).expect("moved");
    let index = r#"{"_class_name": "WanPipeline", "transformer": ["diffusers", "WanTransformer3DModel"], "text_encoder": ["transformers", "CLIPTextModel"]}"#;
    fs::write(place.path("p/model_index.json"), index).expect("written");
    let clip =
        (0..2).map(|layer| matrix(&format!("text_model.encoder.layers.{layer}.self_attn.q_proj.weight"), 16, 16));
    write_shards(&place.path("p/text_encoder"), &[("model.safetensors", clip.collect())]);
    fs::write(place.path("p/text_encoder/config.json"), r#"{"model_type": "clip_text_model"}"#).expect("written");
    place.run(&["--model", "p", "-q", "--ties", "margin"]).succeeded();
    for trainer in
        ["lycoris", "simpletuner", "simpletuner-lycoris", "ai-toolkit", "ai-toolkit-full", "musubi", "diffusion-pipe"]
    {
        let export =
            |types: &str| place.run(&["export", trainer, "laser_scan_p.json", "--top-n", "1", "--types", types]);
        export("text_encoder.*").refused(1, &["not those of 'text_encoder'", "--types"]);
        let run = export("transformer.attn1.*");
        assert!(run.succeeded().stderr.contains("within the component 'transformer'"), "{}", run.stderr);
    }
    let run = place.run(&["export", "diffusers", "laser_scan_p.json", "--top-n", "1", "--types", "text_encoder.*"]);
    assert!(run.succeeded().stdout.contains("encoder.layers"), "{}", run.stdout);
}

/// A pipeline `p` with the U-Net of a family and these text encoders, of so many layers each.
fn write_pipeline(place: &Workplace, unet: &str, encoders: &[(&str, usize)]) -> Vec<Module> {
    let (config, modules) = family(unet);
    write(place, &config, &modules);
    fs::create_dir_all(place.path("p")).expect("created");
    fs::rename(place.path("m"), place.path("p/unet")).expect("moved");
    let mut index = serde_json::json!({"_class_name": "X", "unet": ["diffusers", "UNet2DConditionModel"]});
    for (encoder, layers) in encoders {
        let leaves = ["self_attn.q_proj", "self_attn.v_proj"];
        let name = |layer: usize, leaf: &str| format!("text_model.encoder.layers.{layer}.{leaf}.weight");
        let tensors = (0..*layers).flat_map(|layer| leaves.map(|leaf| matrix(&name(layer, leaf), 16, 24)));
        fs::create_dir_all(place.path(&format!("p/{encoder}"))).expect("created");
        write_shards(&place.path(&format!("p/{encoder}")), &[("model.safetensors", tensors.collect())]);
        let config = r#"{"model_type": "clip_text_model", "architectures": ["CLIPTextModel"]}"#;
        fs::write(place.path(&format!("p/{encoder}/config.json")), config).expect("written");
        index[*encoder] = serde_json::json!(["transformers", "CLIPTextModel"]);
    }
    fs::write(place.path("p/model_index.json"), index.to_string()).expect("written");
    modules
}

/// The strings of a list in TOML.
fn listed(preset: &toml::Table, key: &str) -> BTreeSet<String> {
    let names = preset[key].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// The U-Net and its text encoders in one choice, for the trainers that take both.
#[test]
fn several_components_are_trained_together() {
    let place = Workplace::new();
    let modules = write_pipeline(&place, "sdxl", &[("text_encoder", 2), ("text_encoder_2", 3)]);
    let types = ["--types", "unet.*attn1.to_q", "--types", "text_encoder*.v_proj"];
    let both = [&["--top-percent", "100"], &types[..]].concat();
    place.run(&[&["--model", "p", "-q"], &both[..]].concat()).succeeded();
    let chosen = chosen(&place, "laser_scan_p_top_snr.json");
    let of = |component: &str| -> BTreeSet<String> {
        let within = chosen.iter().filter_map(|name| name.strip_prefix(&format!("{component}.")));
        within.map(str::to_owned).collect()
    };
    let export = |trainer: &str, options: &[&str]| {
        place.run(&[&["export", trainer, "laser_scan_p.json", "--rank", "8", "--alpha", "4"], options].concat())
    };

    let run = export("diffusers", &both);
    let configs: BTreeMap<String, Value> = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!(configs.keys().collect::<Vec<_>>(), ["text_encoder", "text_encoder_2", "unet"]);
    for (component, config) in &configs {
        let targets: BTreeSet<String> = strings(&config["target_modules"]).into_iter().collect();
        // Version 5 of transformers has CLIP's layers without the model that was around them.
        let own = of(component).iter().map(|name| name.replace("text_model.", "")).collect::<BTreeSet<String>>();
        assert_eq!((targets, &config["r"]), (own, &Value::from(8)), "{component}");
    }
    for part in ["unet: rank 8: ", "text_encoder_2: rank 8: ", "add_adapter(LoraConfig(**config))"] {
        assert!(run.stderr.contains(part), "{part} is not in {}", run.stderr);
    }
    export("diffusers", &[&["--format", "args"], &both[..]].concat()).refused(1, &["the modules of one component"]);

    let run = export("lycoris", &both);
    let preset: toml::Table = run.succeeded().stdout.parse().expect("TOML");
    let originals = modules.iter().filter(|module| of("unet").contains(&module.name));
    let originals: BTreeSet<String> = originals.filter_map(|module| module.original.clone()).collect();
    assert_eq!(listed(&preset, "unet_target_name"), originals);
    assert_eq!(listed(&preset, "text_encoder_target_name"), of("text_encoder_2"));
    assert!(!preset.contains_key("name_algo_map"));
    // What both encoders have is given to both. A rank that follows from the shapes differs, and is then said of each module.
    for one in ["text_encoder.self_attn.v_proj", "text_encoder.self_attn.q_proj"] {
        export("lycoris", &["--top-n", "1", "--types", "unet.*attn1.to_q", "--types", one])
            .refused(1, &["would train 'text_model.encoder.layers.", "of 'text_encoder_2' too", "of both, or of none"]);
    }
    let line = ["export", "lycoris", "laser_scan_p.json", "--match-rank", "2", "--scale-alpha"];
    let run = place.run(&[&line[..], &both].concat());
    let preset: toml::Table = run.succeeded().stdout.parse().expect("TOML");
    let own = preset["name_algo_map"].as_table().expect("a table");
    let dimension = |name: &str| own[name]["dim"].as_integer().expect("a rank");
    assert!(of("text_encoder_2").iter().all(|name| dimension(name) == 4), "{own:?}");

    // ai-toolkit has a name for each of them.
    let run = export("ai-toolkit", &both);
    let words: BTreeSet<String> = items(&run.succeeded().stdout, "only_if_contains").into_iter().collect();
    let numbered = [("unet", "lora_unet"), ("text_encoder", "lora_te1"), ("text_encoder_2", "lora_te2")];
    let expected = numbered.iter().flat_map(|(component, beginning)| {
        of(component).into_iter().map(move |name| format!("{beginning}.{name}")).collect::<Vec<String>>()
    });
    assert_eq!(words, expected.collect());
    assert!(run.stdout.contains("train:\n  train_unet: true\n  train_text_encoder: true\n"), "{}", run.stdout);
    let first = export("ai-toolkit", &["--top-n", "1", "--types", "text_encoder.self_attn.q_proj"]);
    assert_eq!(items(&first.succeeded().stdout, "only_if_contains").len(), 1);
    assert!(first.stdout.contains("train_unet: false"), "{}", first.stdout);
    let different = ["export", "ai-toolkit", "laser_scan_p.json", "--match-rank", "2"];
    place.run(&[&different[..], &both].concat()).refused(1, &["has one rank", "give --rank"]);

    // What a pattern names is not left out in silence where it has no layers.
    let no_layers = ["--types", "unet*", "--types", "text_encoder*", "--layers", "0"];
    export("lycoris", &no_layers).refused(1, &["--layers 0 has no module of the types that --types 'unet*' names"]);

    // An encoder alone leaves the U-Net as it is; the other trainers take one component.
    let encoders = ["--top-percent", "100", "--types", "text_encoder*.v_proj"];
    let preset: toml::Table = export("lycoris", &encoders).succeeded().stdout.parse().expect("TOML");
    assert!(listed(&preset, "unet_target_name").is_empty());
    for trainer in ["simpletuner", "musubi", "onetrainer", "peft"] {
        export(trainer, &both).refused(1, &["which are models of their own", "--types 'unet.*'"]);
    }
    // What was written is replaced by the next export.
    for trainer in ["diffusers", "lycoris", "ai-toolkit"] {
        for _ in 0..2 {
            export(trainer, &[&["--output-dir", "o"], &both[..]].concat()).succeeded();
        }
    }
}
