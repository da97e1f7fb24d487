//! Every format of quantised weights: its numbers, or its name in a refusal.

use std::collections::HashMap;
use std::sync::Arc;

use half::{bf16, f16};
use laser_scan::checkpoint::{Checkpoint, Dtype, Elements, Selection, Weight};
use laser_scan::source::local::Local;
use serde_json::Value;

use super::damaged::damaged;
use super::{entries, folder, formats, json, matrices, same_ratio};
use crate::support::program::Workplace;
use crate::support::tests_of_each;

/// Every module's numbers are those of the library that wrote the weights.
fn dequantised(name: &str) {
    let model = folder("quantized").join(name);
    let expected = json(model.join("expected.json"));
    let place = Workplace::new();
    let run = place.run(&["--model", model.to_str().expect("UTF-8"), "--split-fused"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let format = expected["format"].as_str().expect("a name");
    assert!(run.stderr.contains(&format!("the weights are quantised ({format})")), "{}", run.stderr);
    let manifest = place.json(&format!("laser_scan_{name}_run.json"));
    assert_eq!(manifest["quantization"], serde_json::json!([format]));
    agrees(&place.json(&format!("laser_scan_{name}.json")), &expected["modules"], name);
}

/// Checks that exactly the `expected` modules were measured, and all their numbers.
fn agrees(ours: &Value, expected: &Value, format: &str) {
    let expected = expected.as_object().expect("modules");
    let mut checked = 0;
    for (name, numbers) in expected {
        let (record, name) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
            Some((stack, expert)) => {
                let (path, leaf) = stack.rsplit_once('.').expect("a path");
                let name = format!("{path}.{expert}.{leaf}");
                (&ours[name.as_str()], name)
            }
            None => (&ours[name.as_str()], name.clone()),
        };
        let what = format!("{format}: {name}");
        same_numbers(record, numbers, &what);
        checked += 1;
        for (part, numbers) in numbers["parts"].as_object().into_iter().flatten() {
            same_ratio(
                &ours[format!("{name}.{part}").as_str()]["snr"],
                numbers.get("snr").unwrap_or(numbers),
                &format!("{what}.{part}"),
            );
            checked += 1;
        }
    }
    assert_eq!(ours.as_object().expect("an object").len(), checked, "{format}");
}

pub fn same_numbers(record: &Value, expected: &Value, what: &str) {
    same_ratio(&record["snr"], &expected["snr"], what);
    for key in ["dtype", "shape", "signal_count", "noise_count"] {
        assert_eq!(record[key], expected[key], "{what}: {key}");
    }
    for key in ["sigma_max", "signal", "noise"] {
        let (ours, exact) = (record[key].as_f64().expect("a number"), expected[key].as_f64().expect("a number"));
        assert!((ours - exact).abs() <= 1e-9 * exact.abs(), "{what}: {key} is {ours:e}, not {exact:e}");
    }
}

/// The format is refused by its name.
fn refused(name: &str) {
    let place = Workplace::new();
    let model = folder("quantized/refused").join(name);
    let config = json(model.join("config.json"));
    let method = config["quantization_config"]["quant_method"].as_str().unwrap_or(name).to_lowercase();
    let run = place.run(&["--model", model.to_str().expect("UTF-8")]);
    run.refused(1, &["is quantised", &method, "scan the model that it was made from"]);
    assert!(place.files().is_empty(), "{:?}", place.files());
}

/// The numbers that a matrix has for elements.
fn widened(elements: Elements<'_>) -> Vec<f64> {
    let (dtype, bytes) = match elements {
        Elements::Coded(coded) => return coded.numbers(),
        Elements::Decoded(numbers) => return numbers,
        Elements::Stored(dtype, bytes) => (dtype, bytes),
    };
    let halves = bytes.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::F16 => halves.map(|bytes| f16::from_le_bytes(*bytes).to_f64()).collect(),
        Dtype::BF16 => halves.map(|bytes| bf16::from_le_bytes(*bytes).to_f64()).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
        _ => panic!("numbers in {dtype}"),
    }
}

/// Codes are in the place where they belong.
fn in_place(name: &str) {
    let mut checked = 0;
    let model = folder("quantized").join(name);
    let expected = json(model.join("expected.json"));
    let source = Local::open(&model).expect("opens");
    let checkpoint = Checkpoint::open(&source).expect("readable");
    let matrices = matrices(&source, &checkpoint).expect("there");
    let weights: HashMap<String, Arc<Weight>> = checkpoint.weights().collect();
    for (module, numbers) in expected["modules"].as_object().expect("modules") {
        let Some(corner) = numbers["corner"].as_array() else { continue };
        let (tensor, selection) = match module.strip_suffix(']').and_then(|module| module.rsplit_once('[')) {
            Some((stack, expert)) => (stack.to_owned(), Selection::at(expert.parse().expect("a number"))),
            None => (format!("{module}.weight"), Selection::default()),
        };
        let matrix = matrices.matrix(weights[&tensor].as_ref(), &selection).expect("decoded");
        let columns = matrix.shape[1];
        let numbers = widened(matrix.elements);
        let ours = [numbers[0], numbers[1], numbers[columns], numbers[numbers.len() - 1]];
        for (ours, exact) in ours.iter().zip(corner) {
            let exact = exact.as_f64().expect("a number");
            assert!((ours - exact).abs() <= 1e-15 * exact.abs(), "{name}: {module}: {ours:e}, not {exact:e}");
            checked += 1;
        }
    }
    assert!(checked > 0, "no number of a place");
}

/// Every number of a place that is expected is looked at by `in_place`; together they are many.
#[test]
fn many_numbers_of_places_are_expected() {
    let corners = |name: &&str| {
        let expected = json(folder("quantized").join(name).join("expected.json"));
        let modules = expected["modules"].as_object().expect("modules").values();
        modules.filter_map(|numbers| Some(numbers["corner"].as_array()?.len())).sum::<usize>()
    };
    let formats = formats();
    let names: Vec<&str> = formats.iter().map(AsRef::as_ref).collect();
    assert!(names.iter().map(corners).sum::<usize>() > 400);
}

tests_of_each! {
    formats(),
    [
        autoround_awq autoround_gptq awq bnb_fp4 bnb_int8 bnb_nf4 bnb_nf4_nested ct_float_block ct_float_channel
        ct_float_tensor ct_int_asym ct_int_channel ct_int_group ct_mxfp4 ct_mxfp8 ct_nvfp4 ct_pack4_actorder
        ct_pack4_asym ct_pack4_group ct_pack8_channel fbgemm_fp8 fbgemm_fp8_experts fp8_block fp8_block_e8m0
        fp8_experts fp8_experts_tensor fp8_fp4_experts fp8_fp4_pairs fp8_qscale_alias fp8_scale_alias fp8_tensor
        gptq_2bit gptq_3bit gptq_8bit gptq_no_g_idx gptq_sym_v1 gptq_v1 gptq_v1_actorder gptq_v2 hqq_3bit hqq_4bit
        hqq_4bit_axis_0 modelopt_fp8 modelopt_fp8_experts modelopt_nvfp4 modelopt_nvfp4_experts mxfp4_gpt_oss mxfp8
        quark_fp8 quark_mxfp4 torchao_float8 torchao_int4 torchao_int8 torchao_intx
    ],
    dequantised, in_place, damaged
}

mod others {
    use super::{entries, refused, tests_of_each};

    tests_of_each! {
        entries("quantized/refused"),
        [
            aqlm auto_round bitnet eetq gguf_in_config higgs quanto quark spqr torchao vptq
        ],
        refused
    }
}
