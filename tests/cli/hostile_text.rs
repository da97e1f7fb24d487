//! Text that others wrote: names, configurations and scans that are to deceive a reader, a shell or a trainer.

use std::fs;

use serde_json::{Value, json};

use crate::support::checkpoint::{file, matrix, of_numbers};
use crate::support::program::{Run, Workplace};
use crate::support::scans::{write, write_mistral};

/// Characters that steer a terminal, cannot be seen, or turn the direction of writing.
const UNSEEN: [char; 10] =
    ['\u{1b}', '\u{7}', '\u{9b}', '\u{ad}', '\u{200b}', '\u{202e}', '\u{2028}', '\u{2066}', '\u{feff}', '\u{e0041}'];

/// All of them in one name.
fn evil(name: &str) -> String {
    format!("{name}\n\r{}", UNSEEN.iter().collect::<String>())
}

/// Checks that nothing of a run could deceive who reads it.
#[track_caller]
fn assert_harmless(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let found = text.chars().find(|character| UNSEEN.contains(character) || *character == '\r');
        assert_eq!(found, None, "{text:?}");
    }
    assert!(run.stderr.lines().all(|line| line.chars().count() < 2200), "a line is not cut");
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("defect"), "{}", run.stderr);
}

/// Writes `model`, whose names and whose architecture are hostile, and returns the names of its modules.
fn write_hostile(place: &Workplace) -> Vec<String> {
    let leaves = [evil("up_proj"), "{a,b}".into(), "-x".into(), "*".into(), "%s".into(), "x".repeat(980)];
    let names = leaves.iter().map(|leaf| format!("model.layers.0.mlp.{leaf}"));
    let names: Vec<String> = names.chain([evil("other"), "--help".to_owned()]).collect();
    let mut tensors: Vec<_> = names.iter().map(|name| matrix(&format!("{name}.weight"), 12, 16)).collect();
    tensors.push(of_numbers(&format!("{}.weight", evil("model.layers.1.nan")), 12, 16, vec![f32::NAN; 192]));
    tensors.push(of_numbers(&evil("left.out"), 2, 2, vec![0.0; 4]));
    fs::create_dir(place.path("model")).expect("created");
    fs::write(place.path("model/model.safetensors"), file(&tensors)).expect("written");
    let config = json!({ "model_type": evil("new"), "architectures": [evil("NewModel")], "torch_dtype": evil("x") });
    fs::write(place.path("model/config.json"), config.to_string()).expect("written");
    names
}

#[test]
fn names_reach_no_terminal_as_they_are_and_no_file_otherwise() {
    let place = Workplace::new();
    let names = write_hostile(&place);
    let planned = place.run(&["--model", "model", "--dry-run", "-v"]);
    assert_harmless(planned.succeeded());
    assert!(planned.stdout.lines().all(|line| line.chars().count() < 2200), "{}", planned.stdout);
    let run = place.run(&["--model", "model", "-v"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert_harmless(&run);
    assert!(run.stderr.contains("warning: cannot measure 'model.layers.1.nan\\u{a}\\u{d}\\u{1b}"), "{}", run.stderr);
    assert!(run.stderr.contains("the architecture 'new\\u{a}\\u{d}\\u{1b}"), "{}", run.stderr);

    let full = place.json("laser_scan_model.json");
    for name in &names {
        assert_eq!((&full[name]["module"], &full[name]["target"]), (&json!(name), &Value::Null), "{name:?}");
    }
    for line in [
        &["diff", "laser_scan_model.json", "laser_scan_model.json"][..],
        &["export", "peft", "laser_scan_model.json"],
        &["export", "axolotl", "laser_scan_model.json"],
        &["export", "axolotl", "laser_scan_model.json", "-o", "out.yml"],
        &["report", "laser_scan_model.json"],
    ] {
        assert_harmless(place.run(line).succeeded());
    }
    for trainer in ["axolotl-full", "spectrum", "llama-factory", "ms-swift", "unsloth"] {
        assert_harmless(&place.run(&["export", trainer, "laser_scan_model.json"]));
    }
    let page = String::from_utf8(place.bytes("laser_scan_model.html")).expect("UTF-8");
    assert!(!page.contains(UNSEEN), "a page is for reading, too");
}

#[test]
fn what_an_error_quotes_is_harmless_too() {
    let place = Workplace::new();
    for (name, content) in [
        ("adapter/adapter_config.json", json!({ "base_model_name_or_path": evil("org/base") })),
        ("quantised/config.json", json!({ "quantization_config": { "quant_method": evil("x") } })),
        ("listed/model.safetensors.index.json", json!({ "weight_map": { evil("a.weight"): evil("b.safetensors") } })),
    ] {
        let path = place.path(name);
        let folder = path.parent().expect("a folder");
        fs::create_dir(folder).expect("created");
        fs::write(&path, content.to_string()).expect("written");
        if name.starts_with("quantised") {
            let codes = matrix("model.layers.0.mlp.up_proj.qweight", 12, 16);
            fs::write(folder.join("model.safetensors"), file(&[codes])).expect("written");
        }
        let run = place.run(&["--model", folder.to_str().expect("UTF-8")]);
        run.refused(1, &["\\u{1b}"]);
        assert_harmless(&run);
    }
    let scans = [
        json!({ evil("a"): { "snr": "1", "type": "t" } }),
        json!({ evil("a"): { "snr": 1 }, format!("{}.weight", evil("a")): { "snr": 1 } }),
        json!({ evil("a"): { "snr": 1, "type": "t", "module": "a", evil("k"): [], "shape": [1] } }),
    ];
    for scan in scans {
        write(&place, "scan.json", &scan);
        let run = place.run(&["export", "peft", "scan.json"]);
        run.refused(1, &["\\u{1b}"]);
        assert_harmless(&run);
    }
    let config = "lora_r: \u{1b}[2J\nadapter: lora\n";
    fs::write(place.path("config.yml"), config).expect("written");
    write_mistral(&place);
    let run = place.run(&["export", "axolotl", "scan.json", "--into", "config.yml"]);
    run.refused(1, &["config.yml"]);
    assert_harmless(&run);
}

#[test]
fn what_a_command_line_quotes_is_harmless_too() {
    let place = Workplace::new();
    for text in ["\u{1b}]0;title\u{7}", "\u{202e}x\u{200b}"] {
        let (name, pattern) = (format!("--x{text}"), format!("{text}["));
        for line in [&[name.as_str()][..], &["--model", "m", "--include", &pattern], &["export", &name, "scan.json"]] {
            let run = place.run(line);
            assert_eq!(run.status, 2, "{}", run.stderr);
            assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
            // clap leaves out what it knows to steer a terminal.
            assert!(!text.starts_with('\u{202e}') || run.stderr.contains("\\u{202e}x\\u{200b}"), "{}", run.stderr);
            assert_harmless(&run);
        }
    }
}

/// A scan of these modules of one type, without a manifest.
fn write_scan(place: &Workplace, names: &[&str]) {
    let record = |name: &&str| ((*name).to_owned(), json!({ "snr": 1.0, "type": "t" }));
    write(place, "names.json", &Value::Object(names.iter().map(record).collect()));
}

#[test]
fn no_name_becomes_an_option_of_the_trainer() {
    let place = Workplace::new();
    for (name, reason) in [
        ("-x.up", "would take '-x.up' on a command line for an option"),
        ("--output_dir", "would take '--output_dir' on a command line for an option"),
        ("a\u{202e}b", "'a\\u{202e}b' has characters that cannot be seen on a command line"),
        ("a\nb", "'a\\u{a}b' has characters that cannot be seen on a command line"),
    ] {
        write_scan(&place, &[name]);
        for trainer in ["llama-factory", "ms-swift"] {
            let line = ["export", trainer, "names.json"];
            place.run(&[&line[..], &["--format", "args"]].concat()).refused(1, &[reason, "out of the choice"]);
            place.run(&[&line[..], &["--output-dir", "out"]].concat()).refused(1, &[reason]);
            assert!(!place.path("out").exists());
        }
    }
    // What a shell would take for something else is in quotes; the trainers' own words are no names.
    write_scan(&place, &["a b", "$(touch x)", "it's"]);
    let run = place.run(&["export", "ms-swift", "names.json", "--format", "args"]);
    assert!(run.succeeded().stdout.contains("--target_modules 'a b' '$(touch x)' 'it'\\''s'"), "{}", run.stdout);
    for (trainer, name) in [("llama-factory", "all"), ("ms-swift", "all-linear"), ("llama-factory", " up")] {
        write_scan(&place, &[name]);
        place.run(&["export", trainer, "names.json"]).refused(1, &[&format!("'{name}'")]);
    }
}

#[test]
fn marks_of_expressions_are_no_expressions() {
    let place = Workplace::new();
    for name in ["model.layers.0.up$", "^model.layers.0.up", "model.layers.0.u+p", "model.layers.0.(up|down)"] {
        write_scan(&place, &[name]);
        for trainer in ["axolotl-full", "spectrum"] {
            place.run(&["export", trainer, "names.json"]).refused(1, &["takes expressions", name]);
        }
    }
    write_mistral(&place);
    let mut manifest = place.json("scan_run.json");
    let head = &mut manifest["surroundings"]["modules"][0];
    (head["module"], head["target"]) = (json!("a(b|c)*.lm_head"), json!(["a(b|c)*.lm_head"]));
    manifest["surroundings"]["names"] = json!(["x: y.embed_tokens.weight"]);
    write(&place, "scan_run.json", &manifest);
    let run = place.run(&["export", "peft", "scan.json", "--top-n", "1", "--head-rank", "8", "-q"]);
    let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!(config["rank_pattern"], json!({ r"a\(b\|c\)\*\.lm_head": 8 }));
    manifest["surroundings"]["modules"][0]["target"] = json!(["lm_head"]);
    manifest["surroundings"]["modules"][0]["module"] = json!("lm_head");
    write(&place, "scan_run.json", &manifest);
    let run = place.run(&["export", "spectrum", "scan.json", "--top-n", "1", "-q"]);
    assert!(!run.succeeded().stdout.contains("embed_tokens"), "{}", run.stdout);
}

#[test]
fn a_configuration_is_edited_rightly_or_refused() {
    let place = Workplace::new();
    write_mistral(&place);
    let line = ["export", "axolotl", "scan.json", "--top-n", "1", "--types", "*.q_proj", "--into", "config.yml", "-q"];
    let config = "adapter: lora\nlora_target_modules: {b2 1\n # k\n  }\n";
    fs::write(place.path("config.yml"), config).expect("written");
    assert_eq!(place.run(&line).succeeded().stderr, "");
    let expected = "adapter: lora\nlora_r: 32\nlora_alpha: 16\nlora_target_linear: false\nlora_target_modules:\n  - \
                    model.layers.30.self_attn.q_proj\n  # k\n  - lm_head\n";
    assert_eq!(String::from_utf8(place.bytes("config.yml")).expect("UTF-8"), expected);
    for config in [
        "!!str\nadapter: lora\n",
        "&all\nadapter: lora\nother: *all\n",
        "adapter: lora # one\u{2028}lora_r: 8\n",
        "adapter: lora\nnote: 'a\u{85}b'\n",
        "adapter: lora\rlora_r: 8\r",
    ] {
        fs::write(place.path("config.yml"), config).expect("written");
        let reason = "'config.yml' is written in a way that laser-scan cannot edit: set these keys by hand: lora_r, \
                      lora_alpha, lora_target_linear, lora_target_modules; without --into their lines are printed";
        // The rank is not looked for where nothing can be found.
        let line = [&line[..], &["--rank", "8", "--alpha", "8"]].concat();
        let run = place.run(&line);
        run.refused(1, &["'config.yml'", "written in a way that laser-scan cannot edit"]);
        assert!(run.stderr.contains(reason), "{}", run.stderr);
        assert_eq!(place.bytes("config.yml"), config.as_bytes());
    }
}

#[test]
fn what_would_overrule_a_choice_is_said() {
    let place = Workplace::new();
    write_mistral(&place);
    let warned = |trainer: &str, config: &str| {
        fs::write(place.path("config.yml"), config).expect("written");
        let line = ["export", trainer, "scan.json", "--top-n", "1", "--types", "*.q_proj", "--into", "config.yml"];
        place.run(&[&line[..], &["--dry-run"]].concat()).succeeded().stderr.clone()
    };
    let plugins = "plugins:\n  - axolotl.integrations.spectrum.SpectrumPlugin\n";
    let said = warned("axolotl-full", &format!("base_model: x\n{plugins}spectrum_top_fraction: 0.5\n"));
    for part in ["names SpectrumPlugin in plugins, which changes", "sets spectrum_top_fraction, which changes"] {
        assert!(said.contains(part), "{said}");
    }
    let said = warned("axolotl-full", "base_model: x\nplugins:\n  # - x.SpectrumPlugin\n  - y\n");
    assert!(!said.contains("warning: 'config.yml'"), "{said}");
    assert!(warned("axolotl-full", "base_model: x\nlisa_n_layers: 4\n").contains("sets lisa_n_layers"));
    let said = warned("axolotl", "base_model: x\nadapter: lora\nlora_model_dir: old\n");
    assert!(said.contains("sets lora_model_dir, which changes what is trained"), "{said}");
    let said = warned("llama-factory", "model_name_or_path: x\nadapter_name_or_path: old\nresize_vocab: true\n");
    assert!(said.contains("sets adapter_name_or_path") && said.contains("sets resize_vocab"), "{said}");
}

#[test]
fn a_tower_that_is_not_chosen_is_frozen_again() {
    let place = Workplace::new();
    write_mistral(&place);
    let mut manifest = place.json("scan_run.json");
    manifest["surroundings"]["model_types"] = json!(["llava"]);
    write(&place, "scan_run.json", &manifest);
    fs::write(place.path("config.yml"), "model_name_or_path: x\nfreeze_vision_tower: false\n").expect("written");
    let run = place.run(&["export", "llama-factory", "scan.json", "--top-n", "1", "--into", "config.yml"]);
    assert!(run.succeeded().stderr.contains("freeze_vision_tower: false is now true"), "{}", run.stderr);
}

/// Where the program runs as root, what it replaces stays the file of its owner.
#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
fn a_file_stays_its_owners() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    let place = Workplace::new();
    write_mistral(&place);
    let line = ["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml", "--rank"];
    fs::write(place.path("config.yml"), "adapter: lora\n").expect("written");
    fs::write(place.path("out.yml"), "old\n").expect("written");
    if chown(place.path("config.yml"), Some(1234), Some(2345)).is_err() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    chown(place.path("out.yml"), Some(1234), Some(2345)).expect("root");
    fs::set_permissions(place.path("config.yml"), fs::Permissions::from_mode(0o4640)).expect("set");
    fs::set_permissions(place.path("out.yml"), fs::Permissions::from_mode(0o600)).expect("set");
    for rank in ["8", "9", "10"] {
        place.run(&[&line[..], &[rank]].concat()).succeeded();
    }
    place.run(&["export", "axolotl", "scan.json", "-o", "out.yml", "--overwrite"]).succeeded();
    for (name, mode) in
        [("config.yml", 0o640), ("config.yml.bak", 0o640), ("config.yml.bak.1", 0o640), ("out.yml", 0o600)]
    {
        let file = fs::metadata(place.path(name)).expect("there");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 2345, mode), "{name}");
    }
}

/// Whoever may write a file but is neither its owner nor in its group gives no more people access to it than there were.
#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
fn a_group_that_cannot_be_kept_loses_no_file_to_another() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    let place = Workplace::new();
    write_mistral(&place);
    let set = |name: &str, mode: u32| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).expect("set");
    };
    fs::write(place.path("config.yml"), "adapter: lora\n").expect("written");
    set("config.yml", 0o646);
    set("", 0o777);
    let (nobody, program) = (65534, env!("CARGO_BIN_EXE_laser-scan"));
    let mut command = std::process::Command::new(program);
    command.args(["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml"]);
    command.current_dir(place.path("")).uid(nobody).gid(nobody);
    let run = chown(place.path("config.yml"), Some(1234), Some(2345)).and_then(|()| command.output());
    let Ok(output) = run else {
        eprintln!("skipped: only root can take another's place, and not every folder lets others in");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["config.yml", "config.yml.bak"] {
        let file = fs::metadata(place.path(name)).expect("there");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (nobody, nobody, 0o604), "{name}");
    }
}

#[test]
fn braces_in_a_name_are_the_names_own() {
    let place = Workplace::new();
    fs::create_dir(place.path("moe")).expect("created");
    let name = "model.layers.0.mlp.{up,down}_proj";
    fs::write(place.path("moe/model.safetensors"), file(&[matrix(&format!("{name}.weight"), 8, 8)])).expect("written");
    fs::write(place.path("moe/config.json"), r#"{"model_type": "mixtral", "num_hidden_layers": 1}"#).expect("written");
    place.run(&["--model", "moe"]).succeeded();
    assert_eq!(place.json("laser_scan_moe.json")[name]["target"], Value::Null);
    let run = place.run(&["export", "peft", "laser_scan_moe.json", "-q"]);
    let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!(config["target_modules"], json!([name]));
}
