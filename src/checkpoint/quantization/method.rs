//! Reads a configuration's description of the quantisation.

use serde_json::Value;

use super::QuantizationError;

/// A quantisation method with those of its settings that are only in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// The name for the manifest and messages.
    pub name: String,
    pub kind: Kind,
    /// The rows and columns of a block with one scale.
    pub block: Option<[usize; 2]>,
    /// The group sizes along the input that modules may have.
    pub group_sizes: Vec<usize>,
    /// The width of a code, if it is the same for all modules.
    pub bits: Option<usize>,
}

/// The format, as far as the names of the tensors do not determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The names of the tensors determine the format.
    ByNames,
    Fp8,
    /// FBGEMM's fp8, in which scales belong to outputs.
    Fbgemm,
    /// In the first version of GPTQ's format, zero points are stored reduced by one.
    Gptq {
        less_one: bool,
    },
    /// AWQ's GEMM format.
    Awq,
}

/// The supported formats of compressed-tensors.
const COMPRESSED: [&str; 7] = [
    "float-quantized",
    "int-quantized",
    "naive-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
    "mxfp8-quantized",
];

/// The supported algorithms of ModelOpt.
const MODELOPT: [&str; 2] = ["NVFP4", "FP8"];

/// The supported types of Quark's weights.
const QUARK: [&str; 3] = ["fp8_e4m3", "fp8_e5m2", "fp4"];

impl Method {
    /// Reads a `quantization_config`. Fails if the method is not supported.
    pub fn of(config: &Value) -> Result<Self, QuantizationError> {
        let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
        let named = text(config, "quant_method").map(str::to_lowercase);
        // bitsandbytes, MLX and old GPTQ files omit the name.
        let method = match named.as_deref() {
            Some(method) => method,
            None if flag("load_in_4bit") || flag("load_in_8bit") => "bitsandbytes",
            None if config.get("desc_act").is_some() => "gptq",
            // mlx-lm writes only these two, or these and a mode.
            None if config.get("group_size").is_some() && config.get("bits").is_some() => "MLX",
            None => "unnamed",
        };
        let (name, kind) = named_kind(method, config).map_err(QuantizationError::Unsupported)?;
        let bits = config.get("bits").or_else(|| config.get("w_bit")).and_then(as_size);
        Ok(Self { name, kind, block: block(config), group_sizes: group_sizes(config), bits })
    }
}

/// The full name and the kind of a method, or the full name alone if it is not supported.
fn named_kind(method: &str, config: &Value) -> Result<(String, Kind), String> {
    match method {
        "fp8" | "mxfp8" => Ok((method.to_owned(), Kind::Fp8)),
        "fbgemm_fp8" => Ok((method.to_owned(), Kind::Fbgemm)),
        "mxfp4" | "torchao" | "hqq" => Ok((method.to_owned(), Kind::ByNames)),
        // Weights that are only quantised while the model runs are stored as plain numbers.
        "bitnet" if text(config, "quantization_mode") == Some("online") => Ok((method.to_owned(), Kind::ByNames)),
        "bitsandbytes" => {
            let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
            let four = flag("load_in_4bit") || flag("_load_in_4bit");
            let kind = if four { text(config, "bnb_4bit_quant_type").unwrap_or("fp4") } else { "int8" };
            Ok((format!("bitsandbytes ({kind})"), Kind::ByNames))
        }
        "gptq" => match text(config, "checkpoint_format").or_else(|| text(config, "format")).unwrap_or("gptq") {
            "gptq_v2" => Ok(("gptq_v2".to_owned(), Kind::Gptq { less_one: false })),
            "gptq" => Ok((method.to_owned(), Kind::Gptq { less_one: true })),
            format => Err(format!("gptq ({format})")),
        },
        "awq" => {
            match text(config, "version").or_else(|| text(config, "format")).unwrap_or("gemm").to_lowercase().as_str() {
                "gemm" => Ok((method.to_owned(), Kind::Awq)),
                version => Err(format!("awq ({version})")),
            }
        }
        "auto-round" | "intel/auto-round" => match text(config, "packing_format").unwrap_or_default() {
            "auto_round:auto_gptq" => Ok(("auto-round (gptq)".to_owned(), Kind::Gptq { less_one: true })),
            "auto_round" | "auto_round:gptqmodel" => {
                Ok(("auto-round (gptq)".to_owned(), Kind::Gptq { less_one: false }))
            }
            "auto_round:auto_awq" => Ok(("auto-round (awq)".to_owned(), Kind::Awq)),
            packing => Err(format!("auto-round ({packing})")),
        },
        "compressed-tensors" | "compressed_tensors" => {
            of_parts(config, "compressed-tensors", "format", "mixed-precision", &COMPRESSED)
        }
        "modelopt" => of_parts(config, "modelopt", "quant_algo", "MIXED_PRECISION", &MODELOPT),
        "quark" => match quark_types(config).into_iter().find(|dtype| !QUARK.contains(&dtype.as_str())) {
            Some(dtype) => Err(format!("quark ({dtype})")),
            None => Ok((method.to_owned(), Kind::ByNames)),
        },
        other => Err(other.to_owned()),
    }
}

/// The name and the kind of a method of `library` that gives its format under `key`. If that is only said to be `mixed`, each
/// part of the model has one of its own under the same key, and all of them must be `supported`.
fn of_parts(
    config: &Value,
    library: &str,
    key: &str,
    mixed: &str,
    supported: &[&str],
) -> Result<(String, Kind), String> {
    let format = text(config, key).unwrap_or("unnamed");
    let mut formats = vec![format.to_owned()];
    if format == mixed {
        formats.clear();
        visit(config, &mut |name, value| {
            let part = value.as_str().filter(|part| name == key && *part != mixed);
            formats.extend(part.map(str::to_owned));
        });
    }
    match formats.iter().find(|format| !supported.contains(&format.as_str())) {
        Some(part) if part == format => Err(format!("{library} ({format})")),
        Some(part) => Err(format!("{library} ({format}, with {part})")),
        None => Ok((format!("{library} ({format})"), Kind::ByNames)),
    }
}

/// The types of Quark's weights. Several for the same weights are one after the other, as in `fp4, fp8_e4m3`.
fn quark_types(config: &Value) -> Vec<String> {
    let mut types = Vec::new();
    visit(config, &mut |key, value| {
        let steps = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let named: Vec<&str> = steps.iter().filter_map(|step| text(step, "dtype")).collect();
        if key == "weight" && !named.is_empty() {
            types.push(named.join(", "));
        }
    });
    types
}

fn text<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    config.get(key).and_then(Value::as_str)
}

/// The shape of the blocks with one scale each.
fn block(config: &Value) -> Option<[usize; 2]> {
    let mut found = None;
    visit(config, &mut |key, value| {
        if matches!(key, "weight_block_size" | "block_structure") {
            let extents: Option<Vec<usize>> = value.as_array().map(|list| list.iter().filter_map(as_size).collect());
            if let Some([rows, columns]) = extents.as_deref() {
                found.get_or_insert([*rows, *columns]);
            }
        }
    });
    found.filter(|block| !block.contains(&0))
}

/// The group sizes of all modules.
fn group_sizes(config: &Value) -> Vec<usize> {
    let mut sizes = Vec::new();
    visit(config, &mut |key, value| {
        if matches!(key, "group_size" | "q_group_size") {
            sizes.extend(as_size(value).filter(|size| *size > 0));
        }
    });
    sizes
}

fn as_size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|size| usize::try_from(size).ok())
}

/// Calls `see` with every key and value at any depth.
fn visit(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                see(key, value);
                visit(value, see);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn methods_are_known_by_name() {
        let method = |config: Value| Method::of(&config).map(|method| (method.name, method.kind));
        let known = method(json!({"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}));
        assert_eq!(known.expect("known"), ("gptq_v2".into(), Kind::Gptq { less_one: false }));
        let known = method(json!({"load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}));
        assert_eq!(known.expect("known"), ("bitsandbytes (nf4)".into(), Kind::ByNames));
        let mixed = json!({"quant_method": "compressed-tensors", "format": "mixed-precision",
            "config_groups": {"group_0": {"format": "pack-quantized"}, "group_1": {"format": "float-quantized"}}});
        assert_eq!(method(mixed).expect("known").0, "compressed-tensors (mixed-precision)");
        for (config, name) in [
            (json!({"quant_method": "bitnet", "quantization_mode": "offline"}), "bitnet"),
            (json!({"quant_method": "auto-round", "packing_format": "auto_round:mlx"}), "auto-round (auto_round:mlx)"),
            (
                json!({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
                    "quantized_layers": {"a": {"quant_algo": "FP8"}, "b": {"quant_algo": "W4A8_AWQ"}}}),
                "modelopt (MIXED_PRECISION, with W4A8_AWQ)",
            ),
            (
                json!({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "fp4"}, {"dtype": "fp8_e4m3"}]}}),
                "quark (fp4, fp8_e4m3)",
            ),
            (json!({"quant_method": "awq", "version": "gemv"}), "awq (gemv)"),
            (json!({"quant_method": "gptq", "checkpoint_format": "marlin"}), "gptq (marlin)"),
            (json!({"quant_method": "compressed-tensors", "format": "marlin-24"}), "compressed-tensors (marlin-24)"),
            (json!({"group_size": 64, "bits": 4}), "MLX"),
            (json!({}), "unnamed"),
        ] {
            match method(config) {
                Err(QuantizationError::Unsupported(refused)) => assert_eq!(refused, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn blocks_and_groups_are_found_at_any_depth() {
        let config = json!({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {
            "group_0": {"weights": {"group_size": 32, "block_structure": [16, 8]}},
            "group_1": {"weights": {"group_size": -1}}, "group_2": {"weights": {"group_size": 64}}}});
        let method = Method::of(&config).expect("known");
        assert_eq!((method.block, method.group_sizes), (Some([16, 8]), vec![32, 64]));
    }
}
