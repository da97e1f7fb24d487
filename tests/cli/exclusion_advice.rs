//! What is advised where modules cannot be read: a line that leaves out these and no others, and that a shell takes as it is.

use std::process::Command;

use safetensors::Dtype;

use crate::support::checkpoint::zeros;
use crate::support::llama::{config, llama, replaced, scan};
use crate::support::program::{Run, Workplace};

/// Scans a model of 12 layers in which these modules are codes.
fn scan_with_codes(place: &Workplace, modules: &[&str]) -> Run {
    let codes = modules.iter().map(|module| zeros(&format!("{module}.weight"), Dtype::F4, &[8, 8]));
    scan(place, &config(12), replaced(llama(0..12), codes), &[])
}

/// The options that a refusal advises, as a shell hands them on.
#[track_caller]
fn advised(place: &Workplace, run: &Run) -> Vec<String> {
    run.refused(1, &["cannot be read", "or leave them out with --exclude"]);
    let line = run.stderr.trim_end().rsplit_once("leave them out with ").expect("advice").1;
    let files = place.files();
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &format!("printf '%s\\n' {line}")]).current_dir(place.path("")).output();
    let output = output.expect("a shell");
    assert!(output.status.success() && place.files() == files, "{line}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// Checks that the advice, followed, leaves out the `modules` and no others.
#[track_caller]
fn leaves_out_only(place: &Workplace, options: &[String], modules: &[&str]) {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let run = place.run(&[&["--model", "m", "--dry-run", "--json"], options.as_slice()].concat());
    let plan: serde_json::Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    let measured = plan["modules"].as_array().expect("a list").len();
    let own =
        modules.iter().filter(|module| llama(0..12).iter().any(|tensor| tensor.name == format!("{module}.weight")));
    assert_eq!(measured, 12 * 7 - own.count(), "{options:?}");
}

#[test]
fn names_are_quoted_for_the_shell_and_stand_for_themselves() {
    for name in ["x'; touch evil; '", "$(touch evil)", "`id`", "a b", "[ab]", "{a,b}", "a*", "?", "a\\b"] {
        let place = Workplace::new();
        let module = format!("model.layers.0.{name}");
        let run = scan_with_codes(&place, &[&module]);
        let options = advised(&place, &run);
        assert_eq!((options.len(), options[0].as_str()), (2, "--exclude"), "{options:?}");
        leaves_out_only(&place, &options, &[&module]);
    }
}

#[test]
fn names_that_deceive_are_not_advised() {
    for name in ["a\u{202e}b", "a\nb", "\u{200b}"] {
        let place = Workplace::new();
        assert_eq!(advised(&place, &scan_with_codes(&place, &[&format!("model.layers.0.{name}")])), ["--exclude"]);
    }
    let place = Workplace::new();
    assert_eq!(advised(&place, &scan_with_codes(&place, &["--output-dir=x.up_proj"])), ["--exclude"]);
}

#[test]
fn what_can_be_read_is_not_left_out_with_what_cannot() {
    let up = |layers: std::ops::Range<usize>| -> Vec<String> {
        layers.map(|layer| format!("model.layers.{layer}.mlp.up_proj")).collect()
    };
    let advice = |modules: &[String]| {
        let place = Workplace::new();
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        let options = advised(&place, &scan_with_codes(&place, &modules));
        if options.len() > 1 {
            leaves_out_only(&place, &options, &modules);
        }
        options
    };
    assert_eq!(advice(&up(5..6)), ["--exclude", "model.layers.5.mlp.up_proj"]);
    assert_eq!(advice(&up(9..12)).len(), 6);
    // A pattern would leave out what can be read.
    assert_eq!(advice(&up(8..12)), ["--exclude"]);
    assert_eq!(advice(&up(0..12)), ["--exclude", "model.layers.*.mlp.up_proj"]);
    let of_two_types = [up(0..12), vec!["model.layers.3.mlp.down_proj".to_owned()]].concat();
    let both = ["--exclude", "model.layers.3.mlp.down_proj", "--exclude", "model.layers.*.mlp.up_proj"];
    assert_eq!(advice(&of_two_types), both);
}

#[test]
fn whoever_asks_for_what_is_missing_is_told_why_it_is() {
    let place = Workplace::new();
    let changed = [
        zeros("model.layers.1.mlp.up_proj.weight", Dtype::F4, &[8, 8]),
        zeros("model.layers.2.mlp.down_proj.weight", Dtype::F32, &[0]),
    ];
    let tensors = replaced(llama(0..12), changed);
    let tensors: Vec<_> = tensors.into_iter().filter(|tensor| !tensor.name.contains("s.3.self_attn.q_proj")).collect();
    scan(&place, &config(13), tensors, &["--dry-run"]).refused(1, &["cannot be read"]);
    let cases = [
        ("model.layers.1.mlp.up_proj", "1 linear module cannot be read ('model.layers.1.mlp.up_proj'): scan the model"),
        ("*.2.mlp.down_proj", "1 linear module is stored without elements"),
        ("*.3.self_attn.q_proj", "1 linear module has no weight, although others of the kind have one"),
        ("model.layers.12.*", "config.json promises 13 layers, of which 1 is not stored ('model.layers.12')"),
    ];
    for (pattern, why) in cases {
        let sentence = format!("--include '{pattern}' matches no linear module that can be measured: {why}");
        place.run(&["--model", "m", "--include", pattern]).refused(1, &[&sentence]);
    }
}
