//! Modules that only an expression can name, because a list of their names would hit others too.

use serde_json::{Value, json};

use crate::support::checkpoint::{file, matrix};
use crate::support::program::Workplace;
use crate::support::scans::{write, write_mistral};

/// What a chosen `proj_out` at the root of a Flux is called, beside those of its blocks.
const ROOT: &str = "^proj_out$";

/// A scan of a model that has a `proj_out` at its root and in its blocks.
fn scan_flux(place: &Workplace) {
    let blocks = [0, 1].map(|block| format!("single_transformer_blocks.{block}.proj_out.weight"));
    let names =
        ["proj_out.weight", "transformer_blocks.0.ff.net.2.weight"].map(str::to_owned).into_iter().chain(blocks);
    let tensors: Vec<_> = names.map(|name| matrix(&name, 8, 12)).collect();
    let config = br#"{"_class_name": "FluxTransformer2DModel"}"#;
    place.write(&[("flux/model.safetensors", &file(&tensors)), ("flux/config.json", config)]);
    place.run(&["--model", "flux", "-q"]).succeeded();
}

fn export(place: &Workplace, trainer: &str, more: &[&str]) -> String {
    let line = [&["export", trainer, "laser_scan_flux.json", "--rank", "8", "-q"], more].concat();
    place.run(&line).succeeded().stdout.clone()
}

#[test]
fn a_root_that_blocks_end_with_is_named_by_an_expression() {
    let place = Workplace::new();
    scan_flux(&place);
    let root = &["--types", "proj_out"];
    let config: Value = serde_json::from_str(&export(&place, "peft", root)).expect("JSON");
    assert_eq!(config["target_modules"], ROOT);
    assert!(export(&place, "axolotl", root).contains(&format!("\nlora_target_modules: {ROOT}\n")));
    assert!(export(&place, "ms-swift", root).ends_with(&format!("\ntarget_regex: {ROOT}\n")));
    assert!(
        export(&place, "ms-swift", &[root, &["--format", "args"][..]].concat()).contains("--target_regex '^proj_out$'")
    );
    let run = place.run(&["export", "peft", "laser_scan_flux.json", "--types", "proj_out"]);
    let note = "'proj_out' in a list would hit also 'single_transformer_blocks.0.proj_out'";
    assert!(run.succeeded().stderr.contains(note), "{}", run.stderr);
    place.run(&["export", "llama-factory", "laser_scan_flux.json", "--types", "proj_out"]).refused(1, &["not chosen"]);
}

#[test]
fn a_list_is_written_where_it_hits_what_is_chosen() {
    let place = Workplace::new();
    scan_flux(&place);
    let chosen = |more: &[&str]| -> Value {
        let config: Value = serde_json::from_str(&export(&place, "peft", more)).expect("JSON");
        config["target_modules"].clone()
    };
    assert!(chosen(&["--types", "*.proj_out"]).is_array());
    // All that the name of the root hits.
    assert!(chosen(&["--types", "*proj_out"]).is_array());
    let expression = chosen(&["--types", "*", "--top-n", "1"]);
    let expression = expression.as_str().expect("one of the blocks is not chosen");
    let block = |number| {
        format!(r"^(proj_out|single_transformer_blocks\.{number}\.proj_out|transformer_blocks\.0\.ff\.net\.2)$")
    };
    assert!([block(0), block(1)].contains(&expression.to_owned()), "{expression}");
}

#[test]
fn an_expression_takes_the_place_of_a_list_in_a_configuration() {
    let place = Workplace::new();
    scan_flux(&place);
    let old =
        "base_model: x\nadapter: lora\nlora_r: 8\nlora_alpha: 16\nlora_target_modules: # mine\n  - to_q\nseed: 1\n";
    place.write(&[("config.yml", old.as_bytes())]);
    let line = ["export", "axolotl", "laser_scan_flux.json", "--types", "proj_out", "--into", "config.yml", "-q"];
    place.run(&line).succeeded();
    let new = std::fs::read_to_string(place.path("config.yml")).expect("written");
    assert!(new.contains(&format!("\nlora_target_modules: {ROOT} # mine\n")), "{new}");
    assert!(!new.contains("to_q") && new.ends_with("seed: 1\n"), "{new}");
}

#[test]
fn of_mixtures_an_expression_is_not_written() {
    let place = Workplace::new();
    write_mistral(&place);
    let manifest = place.json("scan_run.json");
    let module = |name: &str, is_parameter: bool| {
        json!({
            "module": name, "type": "t", "class": "linear", "layer": 30, "shape": [8, 8], "target": [name],
            "target_is_parameter": is_parameter,
        })
    };
    // A tower whose modules end as those of the language model are called.
    let tower = module("tower.model.layers.30.self_attn.q_proj", false);
    let experts = module("model.layers.30.mlp.experts.down_proj", true);
    let with = |modules: &[&Value], transformers: u64| {
        let mut manifest = manifest.clone();
        let around = &mut manifest["surroundings"];
        around["modules"].as_array_mut().expect("a list").extend(modules.iter().map(|module| (*module).clone()));
        around["transformers"] = transformers.into();
        write(&place, "scan_run.json", &manifest);
    };
    for trainer in ["axolotl", "peft", "ms-swift"] {
        let line = ["export", trainer, "scan.json"];
        with(&[&tower], 5);
        assert!(place.run(&line).succeeded().stdout.contains(r"model\\.layers\\.") || trainer != "peft");
        with(&[&tower, &experts], 4);
        place.run(&line).succeeded();
        // PEFT would keep the last segments only.
        with(&[&tower, &experts], 5);
        place.run(&line).refused(1, &["'tower.model.layers.30.self_attn.q_proj'", "not chosen"]);
    }
}
