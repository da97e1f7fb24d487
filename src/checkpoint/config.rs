//! The parts of `config.json` that are needed for a scan.

use serde::de::Error;
use serde_json::{Value, json};

use super::outline::Outline;

/// Sections in which multimodal models describe their language model.
const TEXT_SECTIONS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

const KEPT: Outline = Outline::Sections {
    same: &["encoder", "decoder", "text_encoder", "audio_encoder"],
    whole: &["quantization_config", "compression_config"],
};

/// The most layers that a configuration may claim. The deepest models have a few hundred.
pub const MAX_LAYERS: usize = 4096;

/// The needed parts of a model's configuration, any of which may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The architecture's name, such as `mistral`, or the class of a diffusers model, such as `UNet2DConditionModel`.
    pub model_type: Option<String>,
    /// Whether diffusers wrote it: only its configurations name their class under `_class_name`. An argument of that class may
    /// be called `model_type` too.
    pub is_of_diffusers: bool,
    /// The class that wrote the weights, such as `MistralForCausalLM`.
    pub architecture: Option<String>,
    /// The number of decoder layers; further layers in the checkpoint do not belong to the model.
    pub layer_count: Option<usize>,
    pub quantization: Option<Value>,
    /// The weights file or index, if the configuration names one.
    pub weights_file: Option<String>,
    /// Whether the head shares the embedding's weight.
    pub ties_embeddings: Option<bool>,
    /// The section that describes the language model, or the whole configuration, without tables and long lists.
    pub text: Value,
    /// The whole configuration, with its sections, without tables and long lists.
    pub root: Value,
    /// Whether the model comes with code of its own.
    pub has_own_code: bool,
}

impl Config {
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
            model_type: text("_class_name").or_else(|| text("model_type")),
            is_of_diffusers: text("_class_name").is_some(),
            architecture: root.pointer("/architectures/0").and_then(Value::as_str).map(str::to_owned),
            layer_count: None,
            quantization,
            weights_file: text("transformers_weights"),
            ties_embeddings: ties(&root).or_else(|| ties(section)),
            text: section.clone(),
            root: root.clone(),
            has_own_code: root.get("auto_map").is_some(),
        };
        // transformers always writes the number of layers. If it is missing, another tool wrote the file, and all layers in
        // the checkpoint count.
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

    /// The first of `keys` whose value for the language model is a natural number. A key in a section is written
    /// `section.key`.
    pub fn number(&self, keys: &[&str]) -> Option<usize> {
        keys.iter().find_map(|key| self.value(key).and_then(whole))
    }

    /// Whether `key` is true for the language model.
    pub fn flag(&self, key: &str) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The architecture of the language model, then that of the whole model.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        let own = self.text.get("model_type").and_then(Value::as_str);
        own.into_iter().chain(self.model_type.as_deref())
    }

    /// Sets `key` for the language model to `value` if it is missing.
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

    /// The numbers of the whole configuration and its sections whose key contains one of `parts`.
    pub fn numbers_called(&self, parts: &[&str]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = vec![&self.root];
        while let Some(section) = open.pop() {
            for (key, value) in section.as_object().into_iter().flatten() {
                if value.is_object() {
                    open.push(value);
                } else if parts.iter().any(|part| key.contains(part)) {
                    found.extend(whole(value));
                }
            }
        }
        found
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.text.pointer(&format!("/{}", key.replace('.', "/")))
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

/// Removes and returns the description of the quantisation, which belongs to the whole model or to its language model, or is
/// called `compression_config` by old versions of compressed-tensors.
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

/// The section of the language model, which some multimodal models nest in another one.
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
        assert!(config.is_of_diffusers);
        let config = Config::parse(br#"{"_class_name":"WanModel","model_type":"t2v"}"#).expect("JSON");
        assert_eq!(config.model_type.as_deref(), Some("WanModel"));
        assert!(Config::parse(b"[1]").is_err());
        assert!(Config::parse(b"{").is_err());
    }
}
