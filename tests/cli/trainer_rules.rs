//! What single trainers take and refuse, by their own rules.

use serde_json::{Value, json};

use crate::support::program::{Workplace, in_project, tiny_mistral};
use crate::support::scans::{write, write_mistral};

/// What the program prints for a trainer, from the scan of a 7B model.
fn exported(place: &Workplace, trainer: &str, options: &[&str]) -> String {
    place.run(&[&["export", trainer, "scan.json"], options].concat()).succeeded().stdout.clone()
}

#[test]
fn whole_blocks_of_the_first_or_last_layers_are_unfrozen() {
    let place = Workplace::new();
    write_mistral(&place);
    let keys = |options: &[&str]| exported(&place, "llama-factory-full", options);
    let last = keys(&["--layers", "30-31", "--top-n", "2", "--no-head"]);
    assert_eq!(last, "finetuning_type: freeze\nfreeze_trainable_layers: 2\nfreeze_trainable_modules: mlp,self_attn\n");
    let first = keys(&["--layers", "0-2", "--top-n", "3", "--types", "mlp.*"]);
    let expected = "finetuning_type: freeze\nfreeze_trainable_layers: -3\nfreeze_trainable_modules: mlp\nfreeze_extra_modules: lm_head\n";
    assert_eq!(first, expected);
    let refused = |options: &[&str], parts: &[&str]| {
        place.run(&[&["export", "llama-factory-full", "scan.json"], options].concat()).refused(1, parts);
    };
    refused(&["--layers", "3-4", "--top-n", "2"], &["neither the first layers nor the last", "--types"]);
    refused(&["--layers", "31", "--types", "mlp.up_proj"], &["'.31.mlp'", "gate_proj", "not chosen"]);
    refused(&["--top-n", "1"], &["other blocks in other layers"]);
}

#[test]
fn trl_makes_an_expression_of_a_single_name() {
    let place = Workplace::new();
    write_mistral(&place);
    let one = exported(&place, "trl", &["--top-n", "1", "--types", "mlp.up_proj", "--no-head"]);
    let item = one.lines().last().expect("an item");
    assert!(item.starts_with(r"  - model\.layers\.") && item.ends_with(r"\.mlp\.up_proj"), "{one}");
    let two = exported(&place, "trl", &["--top-n", "1", "--types", "mlp.up_proj"]);
    assert!(two.starts_with("use_peft: true\n") && two.ends_with(".mlp.up_proj\n  - lm_head\n"), "{two}");
    // PEFT keeps only the end of an expression where experts are parameters, and so would train all layers.
    let mut manifest = place.json("scan_run.json");
    let experts = json!({
        "module": "model.layers.0.mlp.experts", "type": "t", "class": "linear", "layer": 0, "shape": [8, 8],
        "target": ["model.layers.0.mlp.experts.down_proj"], "target_is_parameter": true,
    });
    manifest["surroundings"]["modules"].as_array_mut().expect("a list").push(experts);
    write(&place, "scan_run.json", &manifest);
    let line = ["export", "trl", "scan.json", "--top-n", "1", "--types", "mlp.up_proj", "--no-head"];
    place.run(&line).refused(1, &["alone to PEFT as an expression", "--no-head"]);
}

#[test]
fn mlx_is_asked_only_for_architectures_whose_names_are_known() {
    let place = Workplace::new();
    write_mistral(&place);
    let yaml = exported(&place, "mlx-lm", &["--top-n", "1", "--types", "mlp.up_proj", "--rank", "8", "--alpha", "4"]);
    let [head, tail] = [
        "fine_tune_type: lora\nnum_layers: -1\nlora_parameters:\n  keys:\n    - model.layers.",
        "  rank: 8\n  scale: 0.5\n  dropout: 0\n",
    ];
    assert!(yaml.starts_with(head) && yaml.ends_with(tail), "{yaml}");
    let mut manifest = place.json("scan_run.json");
    manifest["surroundings"]["model_types"] = json!(["brand_new"]);
    write(&place, "scan_run.json", &manifest);
    let run = place.run(&["export", "mlx-lm", "scan.json"]);
    run.refused(
        1,
        &["mlx-lm may have other names than those on disk for the architecture 'brand_new'", "another trainer"],
    );
    std::fs::remove_file(place.path("scan_run.json")).expect("removed");
    place.run(&["export", "mlx-lm", "scan.json"]).refused(1, &["nothing tells this one", "--model"]);
}

#[test]
fn adapters_are_rank_stabilised_where_the_trainer_can() {
    let place = Workplace::new();
    write_mistral(&place);
    for (trainer, line) in [
        ("axolotl", "peft_use_rslora: true\n"),
        ("llama-factory", "use_rslora: true\n"),
        ("ms-swift", "use_rslora: true\n"),
        ("trl", "use_rslora: true\n"),
        ("peft", "    \"use_rslora\": true"),
        ("unsloth", "    \"use_rslora\": true"),
        ("mlx-lm", "  scale: 2\n"),
    ] {
        let text = exported(&place, trainer, &["--top-n", "2", "--rank", "64", "--use-rslora"]);
        assert!(text.contains(line), "{trainer}: {text}");
        assert!(trainer == "mlx-lm" || !exported(&place, trainer, &["--top-n", "2"]).contains("rslora"), "{trainer}");
    }
    // What a configuration has already counts too.
    std::fs::write(place.path("c.yml"), "lora_r: 64\nlora_alpha: 16\nuse_rslora: true\n").expect("written");
    let run = place.run(&["export", "trl", "scan.json", "--top-n", "2", "--into", "c.yml"]);
    assert!(run.succeeded().stderr.contains("alpha / √rank is 16 / √64 = 2.00"), "{}", run.stderr);
    place.run(&["export", "nemo-automodel", "scan.json", "--use-rslora"]).refused(2, &["has no rsLoRA"]);
    place.run(&["export", "axolotl-full", "scan.json", "--use-rslora"]).refused(2, &["without adapters"]);
}

#[test]
fn a_module_that_cannot_use_the_rank_has_its_own() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--top-n", "2", "--emit", "peft", "--match-rank", "32"]);
    assert!(run.succeeded().stderr.contains("can hold no more than rank"), "{}", run.stderr);
    let config = place.json("laser_scan_tiny-mistral_peft.json");
    let only = |key: &str| -> (String, f64) {
        let pattern = config[key].as_object().expect("an object");
        let (names, value) = pattern.iter().next().expect("a pattern");
        assert_eq!(pattern.len(), 1);
        (names.clone(), value.as_f64().expect("a number"))
    };
    let ((names, rank), (same, alpha)) = (only("rank_pattern"), only("alpha_pattern"));
    assert_eq!(names, same);
    assert!(names.contains("k_proj") && names.contains("v_proj") && !names.contains("up_proj"), "{names}");
    let whole = |key: &str| config[key].as_f64().expect("a number");
    assert!(rank < whole("r"));
    assert!((alpha / rank - whole("lora_alpha") / whole("r")).abs() < 1e-12);
}

/// PEFT matches a pattern with the whole name of a parameter, as `re.match(rf"(.*\.)?({pattern})$", name)`.
#[test]
fn a_parameter_that_cannot_use_the_rank_has_its_own() {
    let place = Workplace::new();
    let model = in_project("tests/trainers/models/qwen3_moe");
    place.run(&["--model", &model, "--pool-experts", "mean", "-q"]).succeeded();
    let options = ["--match-rank", "24", "--no-head", "--top-n", "1"];
    let run = place.run(&[&["export", "peft", "laser_scan_qwen3_moe.json"], &options[..]].concat());
    let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    let own = |name: &str| {
        let matches = |pattern: &str| {
            let expression = fancy_regex::Regex::new(&format!(r"^(?:(.*\.)?({pattern})$)")).expect("an expression");
            expression.is_match(name).expect("matched")
        };
        let ranks = config["rank_pattern"].as_object().expect("an object");
        ranks.iter().find(|(pattern, _)| matches(pattern)).map(|(_, rank)| rank.as_u64().expect("a rank"))
    };
    let parameters = config["target_parameters"].as_array().expect("a list").iter();
    let parameters: Vec<&str> = parameters.map(|name| name.as_str().expect("a name")).collect();
    assert!(config["r"].as_u64() > Some(20) && parameters.iter().any(|name| name.ends_with("down_proj")), "{config}");
    // The experts are 32 x 20.
    for name in parameters {
        assert!(own(name).is_some_and(|rank| rank <= 20) || !name.ends_with("experts.down_proj"), "{name}: {config}");
    }
}

#[test]
fn a_scan_says_what_to_do_next() {
    let place = Workplace::new();
    let model = tiny_mistral();
    let scan = ["--model", model.as_str(), "--top-n", "2", "--types", "mlp.*"];
    // On a line of its own, to be copied.
    let next = "\n  laser-scan export axolotl laser_scan_tiny-mistral.json --top-n 2 --types 'mlp.*'\n";
    assert!(place.run(&scan).succeeded().stderr.contains(next));
    for more in [&["-q"][..], &["--emit", "peft"], &["--log-format", "json"]] {
        assert!(!place.run(&[&scan[..], more].concat()).succeeded().stderr.contains("laser-scan export"));
    }
    // Nothing has changed, so that nothing is chosen.
    let delta = place.run(&["delta", &model, &model, "--device", "cpu"]);
    assert!(!delta.succeeded().stderr.contains("laser-scan export"), "{}", delta.stderr);
    let run = place.run(&["export", "peft", "laser_scan_tiny-mistral.json", "--top-n", "2", "--types", "mlp.*"]);
    let config: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    assert_eq!(config["task_type"], "CAUSAL_LM");
    assert!(run.stderr.contains("the head is trained too: 'lm_head', with ") && run.stderr.contains("--no-head"));
}
