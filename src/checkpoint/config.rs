//! What `config.json` says that matters here.

use serde_json::Value;

/// The model's own description, as far as it is needed; every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The architecture's name, such as `mistral`.
    pub model_type: Option<String>,
    /// How many decoder layers the model has; layers beyond them are not part of it.
    pub layer_count: Option<usize>,
    /// The quantisation that the weights are stored in, such as `gptq`.
    pub quantization: Option<String>,
    /// The weights file or index, where the model names one of its own.
    pub weights_file: Option<String>,
}

impl Config {
    /// Reads a configuration from the bytes of `config.json`.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not JSON.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let root: Value = serde_json::from_slice(bytes)?;
        // Multimodal models describe their language model in a section of its own.
        let section = root.get("text_config").filter(|section| section.is_object()).unwrap_or(&root);
        let text = |from: &Value, key: &str| from.get(key).and_then(Value::as_str).map(str::to_owned);
        let layer_count = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]
            .iter()
            .find_map(|key| section.get(key).and_then(Value::as_u64))
            .and_then(|count| usize::try_from(count).ok());
        let quantization = root.get("quantization_config").or_else(|| section.get("quantization_config"));
        Ok(Self {
            model_type: text(&root, "model_type"),
            layer_count,
            quantization: quantization
                .filter(|value| value.is_object())
                .map(|value| text(value, "quant_method").unwrap_or_else(|| "unnamed".to_owned())),
            weights_file: text(&root, "transformers_weights"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read() {
        let config =
            Config::parse(br#"{"model_type":"mistral","num_hidden_layers":32,"hidden_size":4096}"#).expect("JSON");
        assert_eq!(config.model_type.as_deref(), Some("mistral"));
        assert_eq!((config.layer_count, config.quantization), (Some(32), None));
        let config =
            Config::parse(br#"{"n_layer":12,"quantization_config":{"quant_method":"gptq","bits":4}}"#).expect("JSON");
        assert_eq!((config.layer_count, config.quantization.as_deref()), (Some(12), Some("gptq")));
        let config = Config::parse(br#"{"model_type":"llava","text_config":{"num_hidden_layers":40}}"#).expect("JSON");
        assert_eq!(config.layer_count, Some(40));
        assert_eq!(Config::parse(b"[1]").expect("JSON"), Config::default());
        assert!(Config::parse(b"{").is_err());
    }
}
