//! Rules that match nothing, which are found before anything is measured.

use std::fs;

use serde_json::json;

use crate::support::checkpoint::{Tensor, file, matrix, write_model};
use crate::support::program::{Run, Workplace, in_project, tiny_mistral};

/// Checks that a scan of `model` with these `rules` is refused with one sentence that says all of `parts`, in a dry run too,
/// and that nothing was measured or written.
#[track_caller]
fn refused_before(model: &str, rules: &[&str], parts: &[&str]) {
    for dry in [&[][..], &["--dry-run"], &["--dry-run", "--json"]] {
        let place = Workplace::new();
        let run: Run = place.run(&[&["--model", model, "-v"], rules, dry].concat());
        run.refused(1, parts);
        assert!(!run.stderr.contains("snr"), "nothing was measured: {}", run.stderr);
        assert_eq!(place.files(), [""; 0]);
    }
}

#[test]
fn types_that_there_are_not() {
    let tiny = tiny_mistral();
    let listed = "self_attn.q_proj, self_attn.k_proj";
    refused_before(
        &tiny,
        &["--types", "q_proj"],
        &["--types 'q_proj' matches none of the types", listed, "did you mean '*q_proj'?"],
    );
    refused_before(&tiny, &["--types", "mlp.*", "--types", "self_atn.*"], &["--types 'self_atn.*'", listed]);
    refused_before(&tiny, &["--types", "mlp.upproj"], &["did you mean 'mlp.up_proj'?"]);
    refused_before(&tiny, &["--types", "mlp"], &["did you mean 'mlp*'?"]);
}

#[test]
fn layers_that_there_are_not() {
    let tiny = tiny_mistral();
    for (layers, range) in [("99", "99"), ("7-", "7-"), ("0-1,30-99", "30-99")] {
        let sentence = format!("--layers {range} matches none of the layers: the layers are 0 to 3");
        refused_before(&tiny, &["--layers", layers], &[&sentence]);
    }
    // A range that reaches beyond the model is what there is of it.
    Workplace::new().run(&["--model", &tiny, "--layers", "2-99", "--dry-run"]).succeeded();
}

#[test]
fn patterns_of_names_that_there_are_not() {
    let tiny = tiny_mistral();
    refused_before(
        &tiny,
        &["--include", "q_proj"],
        &["--include 'q_proj' matches no linear module", "did you mean '*q_proj'?"],
    );
    refused_before(
        &tiny,
        &["--exclude", "*.k_proj", "--exclude", "q_proj"],
        &["--exclude 'q_proj' matches nothing in the model", "did you mean '*q_proj'?"],
    );
    // What is not measured anyway may be excluded.
    Workplace::new().run(&["--model", &tiny, "--exclude", "lm_head", "--exclude", "*norm*", "--dry-run"]).succeeded();
    refused_before(&tiny, &["--include", "*.q_prj"], &["did you mean '*q_proj'?"]);
    refused_before(&tiny, &["--include", "*.fc1"], &["the names look like 'model.layers.0.self_attn.q_proj'"]);
}

#[test]
fn budgets_that_no_module_fits_into() {
    refused_before(&tiny_mistral(), &["--budget", "10"], &["nothing fits into --budget 10", "takes"]);
    Workplace::new().run(&["--model", &tiny_mistral(), "--budget", "60k", "--dry-run"]).succeeded();
}

#[test]
fn finished_scans_are_answered_alike() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral()]).succeeded();
    let scan = "laser_scan_tiny-mistral.json";
    for rules in [&["--types", "q_proj"][..], &["--layers", "99"]] {
        let sentence = |run: &Run| run.stderr.lines().find(|line| line.starts_with("error: ")).map(str::to_owned);
        let expected = sentence(&place.run(&[&["--model", &tiny_mistral()], rules].concat())).expect("refused");
        for command in [&["export", "peft", scan][..], &["report", scan]] {
            let run = place.run(&[command, rules].concat());
            run.refused(1, &[]);
            assert_eq!(sentence(&run).as_ref(), Some(&expected), "{command:?}");
        }
    }
}

#[test]
fn what_a_trainer_cannot_do_for_any_choice() {
    let mixtral = in_project("tests/trainers/models/mixtral");
    let pooled = ["--pool-experts", "mean", "--top-n", "1"];
    let emit = |trainer: &'static str| [&pooled[..], &["--emit", trainer]].concat();
    let nothing = |trainer: &str| format!("nothing is measured, as no configuration for {trainer} could be written");
    refused_before(&mixtral, &emit("peft,unsloth"), &[&nothing("unsloth"), "choose others with --types"]);
    refused_before(&mixtral, &emit("llama-factory"), &[&nothing("llama-factory"), "is one in memory"]);
    // One expert of several that are one parameter, which is so whatever their ratios.
    refused_before(&mixtral, &["--top-n", "1", "--emit", "peft"], &[&nothing("peft"), "--pool-experts mean"]);
    Workplace::new().run(&[&["--model", &mixtral, "--dry-run"], &emit("peft")[..]].concat()).succeeded();
    // The best of the whole model may be of other types.
    let global = ["--model", &mixtral, "--pool-experts", "mean", "--global", "--emit", "llama-factory", "--dry-run"];
    Workplace::new().run(&global).succeeded();
}

#[test]
fn a_choice_of_several_components() {
    let place = Workplace::new();
    for component in ["unet", "text_encoder"] {
        write_model(&place.path(&format!("sd/{component}")), 8);
    }
    let index = json!({"unet": ["diffusers", "U"], "text_encoder": ["transformers", "T"]}).to_string();
    fs::write(place.path("sd/model_index.json"), index).expect("written");
    let model = place.path("sd").to_str().expect("UTF-8").to_owned();
    refused_before(&model, &["--emit", "peft"], &["'unet'", "'text_encoder'", "--types '"]);
    place.run(&["--model", "sd", "--emit", "peft", "--types", "unet.*", "--dry-run"]).succeeded();
}

#[test]
fn layers_of_a_model_without_any() {
    let place = Workplace::new();
    let tensors: Vec<Tensor> = ["up", "down"].map(|name| matrix(&format!("adapter.{name}.weight"), 8, 8)).into();
    fs::write(place.path("flat.safetensors"), file(&tensors)).expect("written");
    let model = place.path("flat.safetensors").to_str().expect("UTF-8").to_owned();
    refused_before(&model, &["--layers", "0"], &["--layers 0 matches nothing: none of the modules is in a layer"]);
}
