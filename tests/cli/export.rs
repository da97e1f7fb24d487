//! From a scan to a trainer's configuration.

use std::fs;

use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, matrix, of_numbers};
use crate::support::program::{Workplace, in_project, tiny_mistral};
use crate::support::scans::{MISTRAL, seed_config, seed_layers, write, write_mistral};

/// The trainers: five of adapters, two of the weights themselves.
/// Those with adapters, and those without.
const ADAPTERS: [&str; 8] =
    ["axolotl", "llama-factory", "peft", "trl", "ms-swift", "unsloth", "mlx-lm", "nemo-automodel"];
const WEIGHTS: [&str; 4] = ["axolotl-full", "ms-swift-full", "nemo-automodel-full", "spectrum"];

/// The items of a list in YAML.
fn items(yaml: &str) -> Vec<&str> {
    yaml.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect()
}

#[test]
fn the_seeds_example_is_what_it_made_by_hand() {
    let place = Workplace::new();
    write_mistral(&place);
    let run = place.run(&["export", "axolotl", "scan.json", "--match-rank", "32"]);
    let yaml = &run.succeeded().stdout;
    assert!(
        yaml.starts_with("lora_r: 64\nlora_alpha: 16\nlora_target_linear: false\nlora_target_modules:\n"),
        "{yaml}"
    );
    let items = items(yaml);
    for (kind, _) in MISTRAL {
        let expected: Vec<String> =
            seed_layers(kind).iter().map(|layer| format!("model.layers.{layer}.{kind}")).collect();
        assert_eq!(expected.len(), 16);
        let ours: Vec<&str> = items.iter().copied().filter(|item| item.ends_with(kind)).collect();
        assert_eq!(ours, expected);
    }
    assert_eq!((items.len(), items.last()), (7 * 16 + 1, Some(&"lm_head")));
    // The numbers behind the rank: 32 layers with 81,920 inputs and outputs each.
    for part in [
        "83,886,080 trainable parameters in 112 modules",
        "plain LoRA of rank 32 has 83,886,080 in all 224 (100.0 %)",
        "alpha / rank is 16 / 64 = 0.250, in plain LoRA 0.500",
    ] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    let rank = |arguments: &[&str]| {
        let run = place.run(&[&["export", "peft", "scan.json"], arguments].concat());
        let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
        (config["r"].as_u64().expect("a rank"), config["lora_alpha"].as_f64().expect("an alpha"))
    };
    assert_eq!(rank(&["--match-rank", "32", "--top-n", "4"]), (256, 16.0));
    assert_eq!(rank(&["--match-rank", "32", "--top-n", "4", "--scale-alpha"]), (256, 128.0));
    assert_eq!(rank(&["--match-rank", "32", "--top-n", "32"]), (32, 16.0));
    assert_eq!(rank(&["--alpha", "0.5"]), (32, 0.5));
    assert_eq!(rank(&["--match-rank", "32", "--types", "mlp.*", "--top-percent", "50"]), (96, 16.0));
}

#[test]
fn the_seeds_configuration_is_edited_in_place() {
    let place = Workplace::new();
    write_mistral(&place);
    let before = seed_config();
    fs::write(place.path("config.yml"), &before).expect("written");
    let line = ["export", "axolotl", "scan.json", "--top-n", "4", "--match-rank", "32", "--into", "config.yml"];
    let shown = place.run(&[&line[..], &["--dry-run"]].concat());
    assert!(shown.succeeded().stdout.contains("-lora_r: 64\n+lora_r: 256\n"), "{}", shown.stdout);
    assert_eq!(place.bytes("config.yml"), before.as_bytes(), "--dry-run changes nothing");
    assert!(!place.path("config.yml.bak").exists());

    let run = place.run(&line);
    assert_eq!(run.succeeded().stdout, "");
    assert!(run.stderr.contains("lora_r: 64 is now 256"), "{}", run.stderr);
    assert_eq!(place.bytes("config.yml.bak"), before.as_bytes());
    let after = String::from_utf8(place.bytes("config.yml")).expect("UTF-8");
    // Everything but the rank and the list is the same, byte for byte; so is the comment within the list.
    let rest = |text: &str| -> Vec<String> {
        let ours = |line: &&str| !line.starts_with("lora_r:") && !line.trim_start().starts_with("- ");
        text.split_inclusive('\n').filter(ours).map(str::to_owned).collect()
    };
    assert_eq!(rest(&after), rest(&before));
    let list =
        after.split("lora_target_modules:\n").nth(1).expect("the list").split("\n\nwandb").next().expect("its end");
    let comment = "\n  # important: you need to unfreeze the lm.head\n  - lm_head";
    assert!(list.ends_with(comment), "{list}");
    assert_eq!(items(list).len(), 29);
    assert!(after.contains("  - path: ./data/function_calling_2k.json\n    ds_type: json\n"));

    let again = place.run(&line);
    assert!(again.succeeded().stderr.contains("says all that already"), "{}", again.stderr);
    assert_eq!(place.bytes("config.yml"), after.as_bytes());
    assert_eq!(place.bytes("config.yml.bak"), before.as_bytes(), "what it was before the last change");
}

#[test]
fn what_would_undo_a_choice_is_mended_or_said() {
    let place = Workplace::new();
    write_mistral(&place);
    let config = "adapter: qlora  # cheap\r\nlora_target_linear: true\r\npeft_layers_to_transform: [1]\r\n\
                  lora_target_parameters: ['x']\r\nlora_target_modules: [q_proj, v_proj]";
    fs::write(place.path("config.yml"), config).expect("written");
    let run =
        place.run(&["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml", "--types", "*.q_proj"]);
    run.succeeded();
    for part in ["lora_target_linear: true is now false", "sets peft_layers_to_transform", "lora_r: set to 32"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let expected = "adapter: qlora  # cheap\r\nlora_r: 32\r\nlora_alpha: 16\r\nlora_target_linear: false\r\n\
                    peft_layers_to_transform: [1]\r\nlora_target_parameters: []\r\nlora_target_modules:\r\n  - \
                    model.layers.30.self_attn.q_proj\r\n  - lm_head";
    let after = String::from_utf8(place.bytes("config.yml")).expect("UTF-8");
    assert_eq!(after.trim_end(), expected, "{after}");

    let ours =
        place.run(&["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml", "--head-rank", "8"]);
    assert!(ours.succeeded().stderr.contains("lora_rank_pattern: set to"), "{}", ours.stderr);
    assert!(!ours.stderr.contains("sets lora_rank_pattern"), "{}", ours.stderr);
    let full =
        place.run(&["export", "axolotl-full", "scan.json", "--top-n", "1", "--into", "config.yml", "--layers", "0"]);
    assert!(full.succeeded().stderr.contains("sets adapter, which changes what is trained"), "{}", full.stderr);
    let factory = "### model\nmodel_name_or_path: x\nlora_target: all  # everything\nlora_rank: 8\n";
    fs::write(place.path("factory.yml"), factory).expect("written");
    place.run(&[
        "export",
        "llama-factory",
        "scan.json",
        "--top-n",
        "1",
        "--types",
        "*.q_proj",
        "--into",
        "factory.yml",
    ]);
    let after = String::from_utf8(place.bytes("factory.yml")).expect("UTF-8");
    let target = "lora_target: model.layers.30.self_attn.q_proj,lm_head  # everything\n";
    assert!(after.starts_with("### model\nmodel_name_or_path: x\n") && after.contains(target), "{after}");
}

#[test]
fn configurations_that_cannot_be_edited_stay_as_they_are() {
    let place = Workplace::new();
    write_mistral(&place);
    for (config, reason) in [
        ("base_model: x\nlora_target: all\n", "is not a configuration of Axolotl"),
        ("{lora_r: 8}", "not a YAML mapping with a key on each line"),
        ("lora_r: 8\nlora_r: 9\n", "sets 'lora_r' twice"),
        ("a: [1\n", "is not YAML"),
        ("a: 1\n---\nb: 2\n", "several YAML documents"),
        ("lora_alpha: &alpha 8\nother: *alpha\nlora_target_modules: &names [a]\n", "has an anchor"),
    ] {
        fs::write(place.path("config.yml"), config).expect("written");
        place.run(&["export", "axolotl", "scan.json", "--into", "config.yml"]).refused(1, &["config.yml", reason]);
        assert_eq!(place.bytes("config.yml"), config.as_bytes());
        assert!(!place.path("config.yml.bak").exists());
    }
    place.run(&["export", "axolotl", "scan.json", "--into", "none.yml"]).refused(1, &["cannot read 'none.yml'"]);
    place.run(&["export", "peft", "scan.json", "--into", "config.yml"]).refused(2, &["axolotl"]);
}

/// Every trainer's configuration for the tiny model. `LASER_SCAN_BLESS=1 cargo test` writes the golden files anew.
#[test]
fn configurations_are_those_of_the_golden_files() {
    let place = Workplace::new();
    let golden = in_project("tests/golden/export");
    let model = tiny_mistral();
    for (kind, rank) in [(&ADAPTERS[..], &["--match-rank", "8"][..]), (&WEIGHTS, &[])] {
        let emits: Vec<&str> = kind.iter().flat_map(|trainer| ["--emit", trainer]).collect();
        place.run(&[&["--model", &model, "--top-n", "2", "-q"], &emits[..], rank].concat()).succeeded();
        for trainer in kind {
            let line =
                ["export", trainer, "laser_scan_tiny-mistral.json", "--top-n", "2", "--output-dir", "exported", "-q"];
            place.run(&[&line[..], rank].concat()).succeeded();
        }
    }
    let mut files = Vec::new();
    for folder in ["", "model_snr_results/"] {
        let entries = fs::read_dir(place.path(&format!("exported/{folder}"))).expect("a folder").flatten();
        let names = entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string());
        files.extend(names.map(|name| format!("{folder}{}", name.expect("UTF-8"))));
    }
    assert_eq!(files.len(), 18);
    for file in files {
        let exported = place.bytes(&format!("exported/{file}"));
        assert_eq!(exported, place.bytes(&file), "{file}: the scan emits what 'export' writes");
        let expected = format!("{golden}/{file}");
        if std::env::var_os("LASER_SCAN_BLESS").is_some() {
            fs::create_dir_all(format!("{golden}/model_snr_results")).expect("created");
            fs::write(&expected, &exported).expect("written");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_else(|error| panic!("{expected}: {error}"));
        let exported = String::from_utf8(exported).expect("UTF-8");
        assert_eq!(with_nine_digits(&exported), with_nine_digits(&expected), "{file}");
    }
}

/// A text whose numbers with more than nine decimals have nine: the last digits of a ratio are the processor's, as its
/// vectors' length decides in which order sums are taken.
fn with_nine_digits(text: &str) -> String {
    let is_of_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut rounded = String::new();
    let mut rest = text;
    while let Some(first) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(first);
        let (number, after) = from.split_at(from.find(|letter| !is_of_number(letter)).unwrap_or(from.len()));
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let value = if decimals > 9 { number.parse::<f64>().ok() } else { None };
        rounded += before;
        rounded += &value.map_or_else(|| number.to_owned(), |value| format!("{value:.9}"));
        rest = after;
    }
    rounded + rest
}

#[test]
fn a_scan_goes_to_spectrum_and_back() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--emit", "spectrum", "-q"]).succeeded();
    let choice = |scan: &str| {
        let run = place.run(&["export", "axolotl", scan, "--top-percent", "30", "--no-head", "-q"]);
        run.succeeded().stdout.clone()
    };
    let ours = choice("laser_scan_tiny-mistral.json");
    assert_eq!(items(&ours).len(), 14);
    assert_eq!(choice("model_snr_results/snr_results_tiny-mistral.json"), ours);
    assert_eq!(choice("model_snr_results/snr_results_tiny-mistral_sorted.json").lines().count(), ours.lines().count());
    let run = place.run(&[
        "diff",
        "laser_scan_tiny-mistral.json",
        "model_snr_results/snr_results_tiny-mistral.json",
        "--json",
    ]);
    let diff: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!((&diff["only_in_a"], &diff["only_in_b"]), (&json!([]), &json!([])));
    assert!(diff["types"].as_array().expect("types").iter().all(|kind| kind["spearman"] == 1.0), "{diff}");
}

#[test]
fn scans_of_others_are_exported_with_the_model() {
    let place = Workplace::new();
    // As Spectrum writes them: bare infinities, norms, the head and the embedding, and line ends of Windows.
    let spectrum = "{\r\n    \"model.layers.1.mlp.up_proj\": {\"snr\": 3.5, \"type\": \"mlp.up_proj\"},\r\n    \
                    \"model.layers.2.mlp.up_proj\": {\"snr\": Infinity, \"type\": \"mlp.up_proj\"},\r\n    \
                    \"model.layers.0.mlp.up_proj\": {\"snr\": NaN, \"type\": \"mlp.up_proj\"},\r\n    \
                    \"model.layers.0.input_layernorm\": {\"snr\": Infinity, \"type\": \"input_layernorm\"},\r\n    \
                    \"model.embed_tokens\": {\"snr\": 1.5, \"type\": \"model.embed_tokens\"},\r\n    \
                    \"lm_head\": {\"snr\": 0.5, \"type\": \"lm_head\"}\r\n}\r\n";
    fs::write(place.path("published.json"), spectrum).expect("written");
    let alone = place.run(&["export", "axolotl", "published.json"]);
    assert_eq!(items(&alone.succeeded().stdout), ["model.layers.2.mlp.up_proj", "model.layers.1.mlp.up_proj"]);
    assert!(alone.stderr.contains("its head is not added") && alone.stderr.contains("--model"), "{}", alone.stderr);
    place.run(&["export", "axolotl", "published.json", "--match-rank", "8"]).refused(1, &["--match-rank", "--model"]);
    place.run(&["export", "axolotl", "published.json", "--budget", "1M"]).refused(1, &["--budget", "--model"]);

    let line = ["export", "axolotl", "published.json", "--top-n", "1", "--model", &tiny_mistral(), "--match-rank", "8"];
    let joined = place.run(&line);
    assert_eq!(items(&joined.succeeded().stdout), ["model.layers.2.mlp.up_proj", "lm_head"]);
    assert!(joined.stderr.contains("in all 28"), "{}", joined.stderr);
    fs::write(place.path("other.json"), r#"{"model.layers.9.mlp.up_proj": {"snr": 1, "type": "t"}}"#).expect("written");
    let wrong = place.run(&["export", "axolotl", "other.json", "--model", &tiny_mistral()]);
    wrong.refused(1, &["'model.layers.9.mlp.up_proj'", "is it the model that was scanned?"]);
    for (content, reason) in [
        ("", "holds no module"),
        ("{\r\n}\r\n", "holds no module"),
        ("[1]", ""),
        ("{\"a\": {\"snr\": \"x\", \"type\": \"t\"}}", "'a'"),
        ("{\"mlp.up_proj\": [\"model.layers.0.mlp.up_proj\"]}", "laser_scan_<model>.json"),
    ] {
        fs::write(place.path("no.json"), content).expect("written");
        place.run(&["export", "axolotl", "no.json"]).refused(1, &["'no.json': ", reason]);
        place.run(&["diff", "published.json", "no.json"]).refused(1, &["'no.json': "]);
    }
}

#[test]
fn selections_are_the_same_in_scan_and_export() {
    let place = Workplace::new();
    for rules in [
        &["--top-n", "1"][..],
        &["--top-percent", "50"],
        &["--global", "--top-n", "5"],
        &["--budget", "60k"],
        &["--types", "mlp.*", "--layers", "1-2"],
    ] {
        let run = place.run(&[&["--model", &tiny_mistral(), "--emit", "peft", "--json", "-q"], rules].concat());
        let top: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
        let chosen: Vec<&Value> =
            top.as_object().expect("types").values().flat_map(|names| names.as_array().expect("names")).collect();
        let emitted = place.json("laser_scan_tiny-mistral_peft.json");
        let names = emitted["target_modules"].as_array().expect("names");
        assert_eq!(names.iter().filter(|name| *name != "lm_head").collect::<Vec<_>>(), chosen, "{rules:?}");
        let exported = place.run(&[&["export", "peft", "laser_scan_tiny-mistral.json", "-q"], rules].concat());
        assert_eq!(serde_json::from_str::<Value>(&exported.succeeded().stdout).expect("JSON"), emitted, "{rules:?}");
    }
    let refused = |rules: &[&str], status: i32, parts: &[&str]| {
        place.run(&[&["--model", &tiny_mistral(), "-q"], rules].concat()).refused(status, parts);
    };
    refused(&["--top-n", "1", "--top-percent", "2"], 2, &["--top-percent"]);
    refused(&["--top-percent", "0"], 2, &["above 0"]);
    refused(&["--layers", "5-2"], 2, &["lower number"]);
    refused(&["--types", "q*"], 1, &["matches none of the types"]);
    refused(&["--layers", "7"], 1, &["--layers 7 matches none of the layers"]);
    refused(&["--budget", "10"], 1, &["nothing fits into --budget 10"]);
    refused(&["--match-rank", "8"], 2, &["--emit"]);
    refused(&["--budget", "1M", "--emit", "peft", "--emit", "spectrum"], 2, &["--budget"]);
}

#[test]
fn heads_are_added_under_their_names_or_said_to_be_tied() {
    let place = Workplace::new();
    write_mistral(&place);
    let manifest = place.json("scan_run.json");
    let mut tied = manifest.clone();
    tied["surroundings"]["ties_embeddings"] = json!(true);
    tied["surroundings"]["modules"] = json!([]);
    write(&place, "scan_run.json", &tied);
    let run = place.run(&["export", "peft", "scan.json"]);
    assert!(!run.succeeded().stdout.contains("lm_head"), "{}", run.stdout);
    assert!(run.stderr.contains("the head is left out: it shares the embedding's weight"), "{}", run.stderr);
    write(&place, "scan_run.json", &manifest);
    let config = |arguments: &[&str]| -> Value {
        let run = place.run(&[&["export", "peft", "scan.json", "--top-n", "1", "--layers", "3"], arguments].concat());
        serde_json::from_str(&run.succeeded().stdout).expect("JSON")
    };
    assert_eq!(config(&[])["target_modules"][7], "lm_head");
    assert_eq!(config(&["--no-head"])["target_modules"].as_array().map(Vec::len), Some(7));
    let own = config(&["--head-rank", "8"]);
    assert_eq!((&own["r"], &own["rank_pattern"]), (&json!(32), &json!({"lm_head": 8})));
    place.run(&["export", "ms-swift", "scan.json", "--head-rank", "8"]).refused(2, &["ms-swift", "--head-rank"]);
}

#[test]
fn names_that_hit_too_much_are_refused() {
    let place = Workplace::new();
    write_mistral(&place);
    let mut manifest = place.json("scan_run.json");
    // A tower whose modules end as those of the language model are called.
    let tower = json!({
        "module": "tower.model.layers.30.self_attn.q_proj", "type": "t", "class": "linear", "layer": 30, "shape": [8, 8],
        "target": ["tower.model.layers.30.self_attn.q_proj"], "target_is_parameter": false,
    });
    manifest["surroundings"]["modules"].as_array_mut().expect("a list").push(tower);
    write(&place, "scan_run.json", &manifest);
    // These take no expression.
    for trainer in ["llama-factory", "unsloth"] {
        let run = place.run(&["export", trainer, "scan.json"]);
        run.refused(
            1,
            &["'model.layers.30.self_attn.q_proj'", "'tower.model.layers.30.self_attn.q_proj'", "not chosen"],
        );
    }
    for trainer in ["axolotl-full", "ms-swift-full", "nemo-automodel", "nemo-automodel-full", "mlx-lm", "trl"] {
        place.run(&["export", trainer, "scan.json"]).succeeded();
    }
}

#[test]
fn the_rank_counts_the_head_on_neither_side() {
    let place = Workplace::new();
    let rank = |scan: &[&str]| {
        place.run(
            &[&["--model", &tiny_mistral(), "--top-n", "2", "--emit", "peft", "--match-rank", "32"], scan].concat(),
        );
        place.json("laser_scan_tiny-mistral_peft.json")["r"].clone()
    };
    assert_eq!((rank(&["-q"]), rank(&["-q", "--all-linear"])), (json!(69), json!(69)));
}

#[test]
fn a_rank_cannot_be_matched_by_the_head_alone() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "--all-linear", "-q"]).succeeded();
    let line = ["export", "peft", "laser_scan_tiny-mistral.json", "--types", "lm_head", "--match-rank", "8"];
    place.run(&line).refused(1, &["beside the head", "--rank"]);
}

#[test]
fn a_pool_with_an_expert_that_could_not_be_measured_is_not_ranked_in_an_export_either() {
    let place = Workplace::new();
    let expert = |layer: usize, expert: usize| format!("model.layers.{layer}.mlp.experts.{expert}.down_proj.weight");
    let mut tensors: Vec<Tensor> =
        [0, 1].iter().flat_map(|layer| (0..4).map(|number| matrix(&expert(*layer, number), 12, 16))).collect();
    tensors[2] = of_numbers(&expert(0, 2), 12, 16, vec![f32::NAN; 192]);
    fs::create_dir(place.path("moe")).expect("created");
    fs::write(place.path("moe/model.safetensors"), file(&tensors)).expect("written");
    fs::write(place.path("moe/config.json"), br#"{"model_type": "qwen3_moe"}"#).expect("written");
    let run = place.run(&["--model", "moe", "--pool-experts", "mean", "--emit", "peft", "-q"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    let emitted = place.json("laser_scan_moe_peft.json");
    assert_eq!(emitted["target_parameters"], json!(["model.layers.1.mlp.experts.down_proj"]));
    let exported = place.run(&["export", "peft", "laser_scan_moe.json", "-q"]);
    assert_eq!(serde_json::from_str::<Value>(&exported.succeeded().stdout).expect("JSON"), emitted);
    let each = place.run(&["export", "peft", "laser_scan_moe.json", "--pool-experts", "none"]);
    each.refused(
        1,
        &["'model.layers.0.mlp.experts.down_proj'", "for 4 modules, of which the choice has 3", "--pool-experts mean"],
    );
}

#[test]
fn what_peft_refuses_is_refused_before() {
    let place = Workplace::new();
    write_mistral(&place);
    let mut manifest = place.json("scan_run.json");
    let scan = fs::read_to_string(place.path("scan.json")).expect("readable");
    let scan = scan.replace("self_attn.o_proj", "mixer.out_proj");
    manifest["surroundings"]["model_types"] = json!(["mamba2"]);
    manifest["outputs"]["full_sha256"] = json!(laser_scan::output::sha256(scan.as_bytes()));
    fs::write(place.path("scan.json"), scan).expect("written");
    write(&place, "scan_run.json", &manifest);
    let run = place.run(&["export", "peft", "scan.json"]);
    run.refused(1, &["PEFT cannot adapt 'model.layers.30.mixer.out_proj'", "Mamba", "--types"]);
    place.run(&["export", "axolotl-full", "scan.json"]).succeeded();
    place.run(&["export", "peft", "scan.json", "--types", "mlp.*"]).succeeded();
}

#[test]
fn a_manifest_of_another_scan_is_not_taken() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "-q"]).succeeded();
    let export = |scan: &str| place.run(&["export", "peft", scan, "--top-n", "1"]);
    assert!(export("laser_scan_tiny-mistral.json").succeeded().stdout.contains("lm_head"));
    for (bytes, reason) in [(&b"{"[..], "cannot be read"), (b"{}", "cannot be read")] {
        fs::write(place.path("x_run.json"), bytes).expect("written");
        fs::copy(place.path("laser_scan_tiny-mistral.json"), place.path("x.json")).expect("copied");
        let run = export("x.json");
        assert!(run.succeeded().stderr.contains(reason) && run.stderr.contains("x_run.json"), "{}", run.stderr);
        assert!(!run.stdout.contains("lm_head"), "{}", run.stdout);
    }
    write_mistral(&place);
    fs::copy(place.path("scan_run.json"), place.path("laser_scan_tiny-mistral_run.json")).expect("copied");
    let run = export("laser_scan_tiny-mistral.json");
    assert!(run.succeeded().stderr.contains("was not written with this scan"), "{}", run.stderr);
    fs::remove_file(place.path("scan_run.json")).expect("removed");
    assert!(export("scan.json").succeeded().stderr.contains("there is no 'scan_run.json'"));
    let own = fs::read(place.path("scan.json")).expect("readable");
    write_mistral(&place);
    for output in ["scan.json", "./scan_run.json"] {
        place.run(&["export", "peft", "scan.json", "-o", output]).refused(1, &["belongs to the scan itself"]);
    }
    assert_eq!(place.bytes("scan.json"), own);
}

#[test]
fn a_configuration_keeps_its_own_rank_and_every_older_copy() {
    let place = Workplace::new();
    write_mistral(&place);
    let config = "base_model: x\nadapter: lora\nlora_r: 8\nlora_alpha: 64\n";
    fs::write(place.path("config.yml"), config).expect("written");
    let line = |count: &str| {
        let line = ["export", "axolotl", "scan.json", "--types", "*.q_proj", "--into", "config.yml", "--top-n"];
        place.run(&[&line[..], &[count]].concat())
    };
    let run = line("1");
    assert!(run.succeeded().stderr.contains("rank 8: "), "{}", run.stderr);
    let first = String::from_utf8(place.bytes("config.yml")).expect("UTF-8");
    assert!(first.starts_with(config), "{first}");
    line("2").succeeded();
    assert_eq!(place.bytes("config.yml.bak"), first.as_bytes(), "what it was before the last change");
    assert_eq!(place.bytes("config.yml.bak.1"), config.as_bytes(), "nothing is lost");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(place.path("config.yml"), fs::Permissions::from_mode(0o600)).expect("set");
        line("3").succeeded();
        for file in ["config.yml", "config.yml.bak"] {
            let mode = fs::metadata(place.path(file)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file} stays private");
        }
    }
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let place = Workplace::new();
    write_mistral(&place);
    for (arguments, part) in [
        (&["export", "spectrum", "scan.json", "--match-rank", "8"][..], "without adapters"),
        (&["export", "axolotl-full", "scan.json", "--alpha", "8"], "without adapters"),
        (&["export", "llama-factory", "scan.json", "--head-rank", "8"], "one rank for all"),
        (&["export", "axolotl", "scan.json", "--format", "json"], "--format takes yaml"),
        (&["export", "axolotl", "scan.json", "--transformers", "4"], "--model"),
        (&["--model", "x", "--alpha", "8"], "--emit"),
        (&["--model", "x", "--emit", "peft,llama-factory", "--head-rank", "8"], "one rank for all"),
    ] {
        place.run(arguments).refused(2, &[part]);
    }
    let run = place.run(&["export", "spectrum", "scan.json", "--match-rank", "8"]);
    assert!(run.stderr.contains("laser-scan export [OPTIONS] <TRAINER>"), "its own usage: {}", run.stderr);
}

#[test]
fn one_trainer_that_cannot_keeps_no_other_from_its_configuration() {
    let place = Workplace::new();
    let model = in_project("tests/trainers/models/mixtral");
    // All but one of the whole model: that experts will be chosen is not known before.
    let rules = ["--pool-experts", "mean", "--global", "--top-n", "23"];
    let line = [&["--model", &model, "-q", "--emit", "llama-factory,unsloth,peft"][..], &rules].concat();
    let run = place.run(&line);
    assert_eq!(run.status, 1, "{}", run.stderr);
    for trainer in ["llama-factory", "unsloth"] {
        assert!(run.stderr.contains(&format!("not the configuration for {trainer}")), "{}", run.stderr);
    }
    let config = place.json("laser_scan_mixtral_peft.json");
    assert!(config["target_parameters"].as_array().is_some_and(|names| names.len() >= 7), "{config}");
    // A pool goes by its name in memory, and routers count on no side of a rank.
    let pooled = ["export", "peft", "laser_scan_mixtral.json", "--types", "mlp.experts.*", "-q"];
    place.run(&pooled).succeeded();
    let rank = |scan: &[&str]| {
        place.run(&[&["--model", &model, "-q"], scan].concat()).succeeded();
        let line = ["export", "peft", "laser_scan_mixtral.json", "--types", "self_attn.*", "--match-rank", "32", "-q"];
        serde_json::from_str::<Value>(&place.run(&line).succeeded().stdout).expect("JSON")["r"].clone()
    };
    assert_eq!(rank(&[]), rank(&["--all-linear"]));
}

#[test]
fn the_choice_is_of_one_component() {
    let place = Workplace::new();
    for component in ["unet", "text_encoder"] {
        fs::create_dir_all(place.path(&format!("sd/{component}"))).expect("created");
        let tensors = [0, 1].map(|layer| matrix(&format!("layers.{layer}.mlp.up_proj.weight"), 12, 16));
        fs::write(place.path(&format!("sd/{component}/model.safetensors")), file(&tensors)).expect("written");
        fs::write(place.path(&format!("sd/{component}/config.json")), "{}").expect("written");
    }
    let index = br#"{"_class_name": "P", "unet": ["diffusers", "U"], "text_encoder": ["transformers", "T"]}"#;
    fs::write(place.path("sd/model_index.json"), index).expect("written");
    place.run(&["--model", "sd", "-q"]).succeeded();
    let both = place.run(&["export", "peft", "laser_scan_sd.json", "--top-n", "1"]);
    both.refused(1, &["'unet'", "'text_encoder'", "--types '"]);
    let one = place.run(&["export", "peft", "laser_scan_sd.json", "--top-n", "2", "--types", "unet.*", "-q"]);
    let config: Value = serde_json::from_str(&one.succeeded().stdout).expect("JSON");
    let mut names: Vec<&str> =
        config["target_modules"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["layers.0.mlp.up_proj", "layers.1.mlp.up_proj"]);
}

#[test]
fn parts_of_a_divided_weight_are_joined_with_their_own_shapes() {
    let place = Workplace::new();
    fs::create_dir(place.path("vit")).expect("created");
    let tensors = [0, 1].map(|layer| matrix(&format!("encoder.layer.{layer}.mlp.weights_in.weight"), 96, 32));
    fs::write(place.path("vit/model.safetensors"), file(&tensors)).expect("written");
    fs::write(place.path("vit/config.json"), r#"{"model_type": "dinov2", "architectures": ["Dinov2Model"]}"#)
        .expect("written");
    // As a scan of the model in memory has them.
    let record = |layer: usize, leaf: &str, snr: f64| {
        (format!("encoder.layer.{layer}.mlp.{leaf}"), json!({ "snr": snr, "type": format!("mlp.{leaf}") }))
    };
    let scan = [
        record(0, "gate_proj", 2.0),
        record(1, "gate_proj", 1.0),
        record(0, "up_proj", 1.0),
        record(1, "up_proj", 2.0),
    ];
    write(&place, "scan.json", &Value::Object(scan.into_iter().collect()));
    let run = place.run(&["export", "peft", "scan.json", "--model", "vit", "--top-n", "1"]);
    let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!(config["target_modules"], json!(["encoder.layer.1.mlp.up_proj", "encoder.layer.0.mlp.gate_proj"]));
    // Two adapters of rank 32 beside weights of 48 x 32.
    assert!(run.stderr.contains("5,120 trainable parameters in 2 modules"), "{}", run.stderr);
    let other = json!({"encoder.layer.0.mlp.weights_in": {
        "snr": 1, "type": "t", "module": "encoder.layer.0.mlp.weights_in", "shape": [64, 32], "layer": 0,
    }});
    write(&place, "other.json", &other);
    place.run(&["export", "peft", "other.json", "--model", "vit"]).refused(1, &["[64, 32]", "[96, 32]", "scanned?"]);
}

#[test]
fn routers_are_parameters_to_peft() {
    let place = Workplace::new();
    fs::create_dir(place.path("moe")).expect("created");
    let names = ["self_attn.q_proj", "mlp.router"].map(|leaf| format!("model.layers.0.{leaf}.weight"));
    fs::write(place.path("moe/model.safetensors"), file(&names.map(|name| matrix(&name, 12, 16)))).expect("written");
    fs::write(place.path("moe/config.json"), br#"{"model_type": "gpt_oss"}"#).expect("written");
    let config = |line: &str| -> Value {
        let scan = ["--model", "moe", "--all-linear", "--transformers", line, "-q"];
        place.run(&scan).succeeded();
        let run = place.run(&["export", "peft", "laser_scan_moe.json", "-q"]);
        serde_json::from_str(&run.succeeded().stdout).expect("JSON")
    };
    let five = config("5");
    assert_eq!(five["target_modules"], json!(["model.layers.0.self_attn.q_proj"]));
    assert_eq!(five["target_parameters"], json!(["model.layers.0.mlp.router.weight"]));
    assert_eq!(config("4")["target_modules"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_rank_that_is_set_is_understood_or_asked_for() {
    let place = Workplace::new();
    write_mistral(&place);
    let line = ["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml"];
    let config = |text: &str| fs::write(place.path("config.yml"), format!("adapter: lora\n{text}\n")).expect("written");
    for text in ["lora_r: \"8\"\nlora_alpha: '64'", "lora_r: 8.0\nlora_alpha: 64.0"] {
        config(text);
        assert!(place.run(&line).succeeded().stderr.contains("rank 8: "), "{text}");
    }
    // To PyYAML these are 8, 16, 16 and something from elsewhere.
    for (text, reason) in [
        ("lora_r: 010", "sets lora_r to 010, which is not plainly a number: give --rank"),
        ("lora_r: 0x10", "give --rank"),
        ("lora_r: 8\nlora_alpha: 64.5", "only a whole number for alpha, and it is 64.5: give --alpha"),
        ("lora_r: 8\nlora_alpha: 1_6", "give --alpha"),
        ("defaults: &d\n  lora_r: 5\n<<: *d", "may take lora_r from elsewhere ('<<'): give --rank"),
    ] {
        config(text);
        let before = place.bytes("config.yml");
        place.run(&line).refused(1, &[reason]);
        assert_eq!(place.bytes("config.yml"), before);
        place.run(&[&line[..], &["--rank", "8", "--alpha", "16", "--dry-run"]].concat()).succeeded();
    }
}

#[cfg(unix)]
#[test]
fn a_copy_is_no_link_to_the_file_itself() {
    let place = Workplace::new();
    write_mistral(&place);
    let line = ["export", "axolotl", "scan.json", "--top-n", "1", "--into", "config.yml", "--rank", "9"];
    let config = "base_model: x\nadapter: lora\n";
    for link in [std::os::unix::fs::symlink::<_, _>, |a, b| fs::hard_link(a, b)] {
        fs::write(place.path("config.yml"), config).expect("written");
        let _ = fs::remove_file(place.path("config.yml.bak"));
        link(place.path("config.yml"), place.path("config.yml.bak")).expect("linked");
        place.run(&line).succeeded();
        assert_eq!(place.bytes("config.yml.bak"), config.as_bytes());
        assert!(String::from_utf8_lossy(&place.bytes("config.yml")).contains("lora_r: 9\n"));
    }
}
