//! The documentation's page of quantised formats, whose rows are those of the catalogue.

use std::fmt::Write;
use std::fs;

use super::{entries, formats};
use crate::support::program::in_project;

const PAGE: &str = "docs/formats.md";

const HEAD: &str = "\
<!-- Made from the code by tests/cli/catalogue/formats.rs. -->

# Quantised formats

Quantised weights are dequantised by the formula of their format, evaluated in float64 on the stored numbers. A warning
and the manifest name the format: the numbers are those of the quantised model.

| format | read |
|---|---|
";

const TAIL: &str = "
Checkpoints of these formats are in `tests/catalogue`, with the numbers that are expected of them.
";

/// A format, or several that are read alike.
struct Row {
    format: &'static str,
    read: &'static str,
    /// The checkpoints of the catalogue that are in it.
    checkpoints: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        format: "fp8 (`weight_scale_inv` and its other names)",
        read: "scales by block, ragged ones too, as F32 or powers of two; by tensor; stacks of experts (`gate_up_proj_scale_inv`), too",
        checkpoints: &[
            "fp8_block",
            "fp8_block_e8m0",
            "fp8_tensor",
            "fp8_scale_alias",
            "fp8_qscale_alias",
            "fp8_experts",
            "fp8_experts_tensor",
        ],
    },
    Row {
        format: "fp8 with 4-bit experts as DeepSeek-V4 has them",
        read: "yes",
        checkpoints: &["fp8_fp4_pairs", "fp8_fp4_experts"],
    },
    Row { format: "8-bit floats that were only cast", read: "as the numbers that they are", checkpoints: &[] },
    Row { format: "MXFP8", read: "yes", checkpoints: &["mxfp8"] },
    Row {
        format: "FBGEMM fp8",
        read: "scales by output; Llama-4's stacks of experts, too",
        checkpoints: &["fbgemm_fp8", "fbgemm_fp8_experts"],
    },
    Row {
        format: "compressed-tensors, `float-quantized`",
        read: "scales by channel, tensor, block",
        checkpoints: &["ct_float_channel", "ct_float_tensor", "ct_float_block"],
    },
    Row {
        format: "compressed-tensors, `int-quantized`",
        read: "scales by channel and group, with and without zero points",
        checkpoints: &["ct_int_channel", "ct_int_group", "ct_int_asym"],
    },
    Row {
        format: "compressed-tensors, `pack-quantized`",
        read: "2, 4 and 8 bits, with and without zero points and order",
        checkpoints: &["ct_pack4_group", "ct_pack4_asym", "ct_pack8_channel", "ct_pack4_actorder"],
    },
    Row {
        format: "compressed-tensors, `nvfp4-pack-quantized`, `mxfp4-pack-quantized` and `mxfp8-quantized`",
        read: "yes",
        checkpoints: &["ct_nvfp4", "ct_mxfp4", "ct_mxfp8"],
    },
    Row {
        format: "compressed-tensors, `mixed-precision`",
        read: "if all parts have formats from above",
        checkpoints: &[],
    },
    Row {
        format: "ModelOpt, NVFP4 and FP8",
        read: "yes, both in one model, and Llama-4's stacks of experts, too",
        checkpoints: &["modelopt_nvfp4", "modelopt_fp8", "modelopt_nvfp4_experts", "modelopt_fp8_experts"],
    },
    Row { format: "Quark, FP8 and MXFP4", read: "yes", checkpoints: &["quark_fp8", "quark_mxfp4"] },
    Row {
        format: "torchao in safetensors",
        read: "int8, integers unpacked to int8, float8, and int4 in rows",
        checkpoints: &["torchao_int8", "torchao_intx", "torchao_float8", "torchao_int4"],
    },
    Row {
        format: "HQQ",
        read: "1, 2, 3, 4 and 8 bits along either axis, with scales that are not quantised themselves",
        checkpoints: &["hqq_4bit", "hqq_4bit_axis_0", "hqq_3bit"],
    },
    Row { format: "MXFP4 as gpt-oss has it", read: "yes, expert by expert", checkpoints: &["mxfp4_gpt_oss"] },
    Row {
        format: "bitsandbytes, 4-bit",
        read: "nf4 and fp4, nested or not",
        checkpoints: &["bnb_nf4", "bnb_nf4_nested", "bnb_fp4"],
    },
    Row { format: "bitsandbytes, int8", read: "yes", checkpoints: &["bnb_int8"] },
    Row {
        format: "GPTQ",
        read: "2, 3, 4 and 8 bits, both versions, with and without order; as AutoRound writes it, too",
        checkpoints: &[
            "gptq_v1",
            "gptq_v1_actorder",
            "gptq_v2",
            "gptq_8bit",
            "gptq_3bit",
            "gptq_2bit",
            "gptq_no_g_idx",
            "gptq_sym_v1",
            "autoround_gptq",
        ],
    },
    Row {
        format: "AWQ",
        read: "the GEMM form, 4 bits; as AutoRound writes it, too",
        checkpoints: &["awq", "autoround_awq"],
    },
    Row { format: "BitNet, `online`", read: "as the plain numbers that they are", checkpoints: &[] },
    Row {
        format: "torchao's int4 in tiles, Quark's integers, Quanto, AQLM, EETQ, VPTQ, SpQR, HIGGS, BitNet's packed weights, AutoRound's other forms, GGUF, and anything else",
        read: "refused by name",
        checkpoints: &[
            "torchao",
            "quark",
            "quanto",
            "aqlm",
            "eetq",
            "vptq",
            "spqr",
            "higgs",
            "bitnet",
            "auto_round",
            "gguf_in_config",
        ],
    },
];

/// With `LASER_SCAN_BLESS=1` the page is written anew.
#[test]
fn the_page_says_what_the_rows_say() {
    let mut expected = HEAD.to_owned();
    for Row { format, read, .. } in ROWS {
        writeln!(expected, "| {format} | {read} |").expect("memory");
    }
    expected += TAIL;
    if std::env::var_os("LASER_SCAN_BLESS").is_some() {
        fs::write(in_project(PAGE), expected).expect("writable");
    } else {
        let page = fs::read_to_string(in_project(PAGE)).expect("a page");
        assert_eq!(page, expected, "run with LASER_SCAN_BLESS=1 and look at what changed");
    }
}

#[test]
fn the_rows_are_those_of_the_catalogue() {
    let listed: Vec<&str> = ROWS.iter().flat_map(|row| row.checkpoints).copied().collect();
    for name in formats().iter().chain(&entries("quantized/refused")) {
        assert!(listed.contains(&name.as_str()), "{name} is in the catalogue, but in no row");
    }
    for name in &listed {
        let is_there = ["quantized", "quantized/refused", "pickle"]
            .iter()
            .any(|folder| entries(folder).iter().any(|entry| entry == name));
        assert!(is_there, "{name} is in a row, but not in the catalogue");
    }
}
