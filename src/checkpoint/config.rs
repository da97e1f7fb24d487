//! What `config.json` says that matters here.

use serde_json::Value;

/// Sections in which multimodal models describe their language model.
const TEXT_SECTIONS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

/// The model's own description, as far as it is needed; every part may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The architecture's name, such as `mistral`, or the class of a diffusers model, such as `UNet2DConditionModel`.
    pub model_type: Option<String>,
    /// The class that wrote the weights, such as `MistralForCausalLM`.
    pub architecture: Option<String>,
    /// How many decoder layers the model has; layers beyond them are not part of it.
    pub layer_count: Option<usize>,
    /// How the weights are quantised.
    pub quantization: Option<Value>,
    /// The weights file or index, where the model names one of its own.
    pub weights_file: Option<String>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: bool,
    /// The description of the language model: the whole, or a section of it.
    pub text: Value,
}

impl Config {
    /// Reads a configuration from the bytes of `config.json`.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not JSON.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let root: Value = serde_json::from_slice(bytes)?;
        let section = text_section(&root);
        let text = |key: &str| root.get(key).and_then(Value::as_str).map(str::to_owned);
        let quantization = root.get("quantization_config").or_else(|| section.get("quantization_config"));
        let quantization = quantization.or_else(|| root.get("compression_config"));
        let ties = |from: &Value| from.get("tie_word_embeddings").and_then(Value::as_bool);
        let mut config = Self {
            model_type: text("model_type").or_else(|| text("_class_name")),
            architecture: root.pointer("/architectures/0").and_then(Value::as_str).map(str::to_owned),
            layer_count: None,
            quantization: quantization.filter(|value| value.is_object()).cloned(),
            weights_file: text("transformers_weights"),
            ties_embeddings: ties(&root).or_else(|| ties(section)).unwrap_or(false),
            text: section.clone(),
        };
        config.layer_count = config.number(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"]);
        Ok(config)
    }

    /// The first of `keys` that the language model's description gives as a whole number. A key within a section is
    /// written `section.key`.
    pub fn number(&self, keys: &[&str]) -> Option<usize> {
        let find = |key: &&str| self.text.pointer(&format!("/{}", key.replace('.', "/"))).and_then(Value::as_u64);
        keys.iter().find_map(find).and_then(|number| usize::try_from(number).ok())
    }

    /// Whether the language model's description sets `key` to true.
    pub fn flag(&self, key: &str) -> bool {
        self.text.get(key).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// The description of the language model, which multimodal models keep in a section, some of them in a section of one.
fn text_section(root: &Value) -> &Value {
    let section = TEXT_SECTIONS.iter().find_map(|key| root.get(key).filter(|section| section.is_object()));
    section.map_or(root, text_section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read() {
        let config = Config::parse(
            br#"{"model_type":"mistral","num_hidden_layers":32,"hidden_size":4096,"num_key_value_heads":8}"#,
        )
        .expect("JSON");
        assert_eq!(config.model_type.as_deref(), Some("mistral"));
        assert_eq!((config.layer_count, &config.quantization), (Some(32), &None));
        assert_eq!(config.number(&["n_head_kv", "num_key_value_heads"]), Some(8));
        let config = Config::parse(
            br#"{"n_layer":12,"quantization_config":{"quant_method":"gptq","bits":4},"ffn_config":{"moe_num_experts":16}}"#,
        );
        let config = config.expect("JSON");
        assert_eq!((config.layer_count, config.quantization.is_some()), (Some(12), true));
        assert_eq!(config.number(&["ffn_config.moe_num_experts"]), Some(16));
        let config = Config::parse(
            br#"{"model_type":"llava","text_config":{"num_hidden_layers":40,"tie_word_embeddings":true,"new":true}}"#,
        );
        let config = config.expect("JSON");
        assert_eq!((config.layer_count, config.ties_embeddings, config.flag("new")), (Some(40), true, true));
        let config = Config::parse(br#"{"_class_name":"FluxTransformer2DModel"}"#).expect("JSON");
        assert_eq!(config.model_type.as_deref(), Some("FluxTransformer2DModel"));
        assert_eq!(Config::parse(b"[1]").expect("JSON").model_type, None);
        assert!(Config::parse(b"{").is_err());
    }
}
