//! What `config.json` says that matters here.

use serde::de::Error;
use serde_json::{Value, json};

use super::outline::Outline;

/// Sections in which multimodal models describe their language model.
const TEXT_SECTIONS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

/// What is kept of the file.
const KEPT: Outline = Outline::Sections {
    alike: &["text_config", "llm_config", "language_config", "thinker_config", "attn_config", "ffn_config"],
    whole: &["quantization_config", "compression_config"],
};

/// The most layers that a model is believed to have. The deepest ones have a few hundred.
pub const MAX_LAYERS: usize = 4096;

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
    /// Whether the head shares the embedding's weight, if that is said.
    pub ties_embeddings: Option<bool>,
    /// The description of the language model: the whole, or a section of it. Tables and long lists are left out.
    pub text: Value,
}

impl Config {
    /// Reads a configuration from the bytes of `config.json`.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are no JSON object, or if it promises more layers than any model has.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut root = KEPT.read(bytes)?;
        if !root.is_object() {
            return Err(serde_json::Error::custom("it is no JSON object"));
        }
        let quantization = take_quantization(&mut root);
        let section = text_section(&root);
        let text = |key: &str| root.get(key).and_then(Value::as_str).map(str::to_owned);
        let ties = |from: &Value| from.get("tie_word_embeddings").and_then(Value::as_bool);
        let mut config = Self {
            model_type: text("model_type").or_else(|| text("_class_name")),
            architecture: root.pointer("/architectures/0").and_then(Value::as_str).map(str::to_owned),
            layer_count: None,
            quantization,
            weights_file: text("transformers_weights"),
            ties_embeddings: ties(&root).or_else(|| ties(section)),
            text: section.clone(),
        };
        // transformers writes the number of layers out in any case. Where it is missing, somebody else wrote the file, and all
        // layers that are there count.
        config.layer_count = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]
            .iter()
            .find_map(|key| config.value(key).and_then(whole));
        match config.layer_count.filter(|count| *count > MAX_LAYERS) {
            Some(count) => {
                Err(serde_json::Error::custom(format_args!("it promises {count} layers, which no model has")))
            }
            None => Ok(config),
        }
    }

    /// The first of `keys` that the language model's description gives as a whole number. A
    /// key within a section is written `section.key`.
    pub fn number(&self, keys: &[&str]) -> Option<usize> {
        keys.iter().find_map(|key| self.value(key).and_then(whole))
    }

    /// Whether the language model's description sets `key` to true.
    pub fn flag(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The names of the architecture: the language model's own, then that of the model around it.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        let own = self.text.get("model_type").and_then(Value::as_str);
        own.into_iter().chain(self.model_type.as_deref())
    }

    /// Puts `value` under `key`, where the language model's description does not have anything there.
    pub fn set_default(&mut self, key: &str, value: impl Into<Value>) {
        if self.value(key).is_some() {
            return;
        }
        let place = key.split('.').fold(&mut self.text, |section, key| {
            if !section.is_object() {
                *section = json!({});
            }
            &mut section[key]
        });
        *place = value.into();
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.text.pointer(&format!("/{}", key.replace('.', "/")))
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

/// Takes out of a model's description how it is quantised: by its own, by its language model's, or by what
/// compressed-tensors once called it.
fn take_quantization(root: &mut Value) -> Option<Value> {
    let take = |from: &mut Value, key: &str| from.get_mut(key).map(Value::take);
    let mut found = take(root, "quantization_config");
    let mut section = &mut *root;
    while found.is_none()
        && let Some(key) = TEXT_SECTIONS.into_iter().find(|key| section.get(key).is_some_and(Value::is_object))
    {
        section = &mut section[key];
        found = take(section, "quantization_config");
    }
    found.or_else(|| take(root, "compression_config")).filter(Value::is_object)
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
        assert_eq!((config.layer_count, config.ties_embeddings, config.flag("new")), (Some(40), Some(true), true));
        for quantized in [
            r#"{"text_config": {"text_config": {"quantization_config": {"bits": 4}}}}"#,
            r#"{"compression_config": {"bits": 4}, "text_config": {}}"#,
            r#"{"quantization_config": {"bits": 4}, "text_config": {"quantization_config": {"bits": 8}}}"#,
        ] {
            let config = Config::parse(quantized.as_bytes()).expect("JSON");
            assert_eq!(config.quantization, Some(serde_json::json!({"bits": 4})), "{quantized}");
        }
        let config = Config::parse(br#"{"_class_name":"FluxTransformer2DModel"}"#).expect("JSON");
        assert_eq!(config.model_type.as_deref(), Some("FluxTransformer2DModel"));
        assert!(Config::parse(b"[1]").is_err());
        assert!(Config::parse(b"{").is_err());
    }
}
