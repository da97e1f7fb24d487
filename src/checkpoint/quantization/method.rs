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
    /// In the first version of GPTQ's format, zero points are stored reduced by one.
    Gptq {
        less_one: bool,
    },
    /// AWQ's GEMM format.
    Awq,
}

/// The supported formats of compressed-tensors.
const COMPRESSED: [&str; 6] = [
    "float-quantized",
    "int-quantized",
    "naive-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
    "mxfp4-pack-quantized",
];

impl Method {
    /// Reads a `quantization_config`. Fails if the method is not supported.
    pub fn of(config: &Value) -> Result<Self, QuantizationError> {
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
        let named = text("quant_method").map(str::to_lowercase);
        // bitsandbytes, MLX and old GPTQ files omit the name.
        let method = match named.as_deref() {
            Some(method) => method,
            None if flag("load_in_4bit") || flag("load_in_8bit") => "bitsandbytes",
            None if config.get("desc_act").is_some() => "gptq",
            // mlx-lm writes only these two, or these and a mode.
            None if config.get("group_size").is_some() && config.get("bits").is_some() => "MLX",
            None => "unnamed",
        };
        let unsupported = |name: String| Err(QuantizationError::Unsupported(name));
        let gptq = |format: &str| Kind::Gptq { less_one: format != "gptq_v2" };
        let (name, kind) = match method {
            "fp8" | "mxfp8" | "fbgemm_fp8" => (method.to_owned(), Kind::Fp8),
            "mxfp4" => (method.to_owned(), Kind::ByNames),
            "bitsandbytes" => {
                let four = flag("load_in_4bit") || flag("_load_in_4bit");
                let kind = if four { text("bnb_4bit_quant_type").unwrap_or("fp4") } else { "int8" };
                (format!("bitsandbytes ({kind})"), Kind::ByNames)
            }
            "gptq" => {
                let format = text("checkpoint_format").or_else(|| text("format")).unwrap_or("gptq");
                if !matches!(format, "gptq" | "gptq_v2") {
                    return unsupported(format!("gptq ({format})"));
                }
                (format.to_owned(), gptq(format))
            }
            "awq" => match text("version").or_else(|| text("format")).unwrap_or("gemm").to_lowercase().as_str() {
                "gemm" => ("awq".to_owned(), Kind::Awq),
                version => return unsupported(format!("awq ({version})")),
            },
            "auto-round" | "intel/auto-round" => match text("packing_format").unwrap_or_default() {
                "auto_round:auto_gptq" => ("auto-round (gptq)".to_owned(), gptq("gptq")),
                "auto_round" | "auto_round:gptqmodel" => ("auto-round (gptq)".to_owned(), gptq("gptq_v2")),
                packing => return unsupported(format!("auto-round ({packing})")),
            },
            "compressed-tensors" | "compressed_tensors" => {
                let format = text("format").unwrap_or("unnamed");
                if !COMPRESSED.contains(&format) {
                    return unsupported(format!("compressed-tensors ({format})"));
                }
                (format!("compressed-tensors ({format})"), Kind::ByNames)
            }
            "modelopt" => match text("quant_algo").unwrap_or("unnamed") {
                algorithm @ ("NVFP4" | "FP8") => (format!("modelopt ({algorithm})"), Kind::ByNames),
                algorithm => return unsupported(format!("modelopt ({algorithm})")),
            },
            other => return unsupported(other.to_owned()),
        };
        let bits = config.get("bits").or_else(|| config.get("w_bit")).and_then(as_size);
        Ok(Self { name, kind, block: block(config), group_sizes: group_sizes(config), bits })
    }
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
        for (config, name) in [
            (json!({"quant_method": "hqq"}), "hqq"),
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
