//! Telling quantised weights by their names: their codes must never be taken for weights.

use safetensors::Dtype;

use crate::checkpoint::{Config, TensorInfo};

/// Endings of tensors that only a quantised module has, with the format's name.
const COMPANIONS: [(&str, &str); 11] = [
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale_inv", "block-wise fp8"),
    (".weight_scale_2", "ModelOpt nvfp4"),
    (".weight_scale", "compressed-tensors or fbgemm fp8"),
    (".weight.absmax", "bitsandbytes 4-bit"),
    (".SCB", "bitsandbytes int8"),
    ("_blocks", "MXFP4"),
    ("._weight_qdata", "torchao"),
    (".scales", "affine integers with scales"),
];

/// The name of the quantisation that a checkpoint is stored in, if it is: what `config` says, else what a tensor's name
/// or the dtype of a module's weight gives away.
pub fn quantization<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>, config: &Config) -> Option<String> {
    if let Some(name) = &config.quantization {
        return Some(name.clone());
    }
    tensors.into_iter().find_map(|tensor| {
        let companion = COMPANIONS.iter().find(|(ending, _)| tensor.name.ends_with(ending));
        let is_code = !matches!(tensor.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
            && tensor.shape.len() > 1
            && tensor.name.ends_with(super::WEIGHT);
        match companion {
            Some((_, format)) => Some((*format).to_owned()),
            None if is_code => Some(format!("weights in {}", tensor.dtype)),
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_weights() {
        let tensor = |name: &str, dtype| TensorInfo { name: name.into(), dtype, shape: vec![4, 4], bytes: 0..0 };
        let found = |name: &str, dtype| quantization(&[tensor(name, dtype)], &Config::default());
        assert_eq!(found("model.layers.0.mlp.up_proj.weight", Dtype::BF16), None);
        assert_eq!(found("h.0.attn.bias", Dtype::BOOL), None);
        assert_eq!(found("a.qweight", Dtype::I32).as_deref(), Some("GPTQ or AWQ"));
        assert_eq!(found("a.experts.gate_up_proj_blocks", Dtype::U8).as_deref(), Some("MXFP4"));
        assert_eq!(found("a.weight", Dtype::F8_E4M3).as_deref(), Some("weights in F8_E4M3"));
        let config = Config { quantization: Some("fp8".into()), ..Config::default() };
        assert_eq!(quantization(&[], &config).as_deref(), Some("fp8"));
    }
}
