//! What differs between architectures, as one table.
//!
//! Names and shapes tell most about a module (`name.rs`, `role.rs`), and how names on disk become names in memory is known
//! from the libraries themselves (`loading`). A row here adds what they do not tell: how a fused weight is divided, which
//! tensors are stacks of experts without a name that says so, and where a trainer must take care.
//!
//! To teach laser-scan a new architecture, add its `model_type` to a row, or a row to the file of its kind. `row.rs`
//! defines what a row can say and has pieces that many rows share. `defaults.rs`, which a script writes, has the values
//! that transformers assumes if a configuration does not give them.
//!
//! The layouts were taken from the models' own code in transformers 5.23 and diffusers 0.42.

mod decoders;
mod defaults;
mod diffusion;
mod encoders;
mod experts;
#[cfg(test)]
mod page;
mod row;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use row::{Architecture, InputFirst, Layout, Odd, PLAIN, QKV, Refused, Stack};

use crate::checkpoint::Config;

const TABLE: [&[Architecture]; 4] = [decoders::ROWS, experts::ROWS, encoders::ROWS, diffusion::ROWS];

static BY_NAME: LazyLock<HashMap<&str, &Architecture>> = LazyLock::new(|| {
    let rows = TABLE.into_iter().flatten();
    rows.flat_map(|row| row.names.iter().map(move |name| (*name, row))).collect()
});

impl Architecture {
    /// The row for a model with this configuration.
    pub fn of(config: &Config) -> &'static Self {
        let general = if config.is_of_diffusers { &diffusion::ANY } else { &PLAIN };
        config.model_type.as_deref().and_then(Self::called).unwrap_or(general)
    }

    pub fn called(name: &str) -> Option<&'static Self> {
        BY_NAME.get(name).copied()
    }
}

/// The configuration completed by the defaults of transformers: first those of the language model's own architecture,
/// then those of the model around it.
pub fn completed(config: &Config) -> Config {
    let mut completed = config.clone();
    for model_type in config.model_types() {
        completed.ties_embeddings = completed.ties_embeddings.or_else(|| defaults::ties_embeddings(model_type));
        for (key, number) in defaults::numbers(model_type) {
            completed.set_default(key, *number);
        }
        for (key, flag) in defaults::flags(model_type) {
            completed.set_default(key, *flag);
        }
    }
    completed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Config {
        completed(&Config::parse(json.as_bytes()).expect("JSON"))
    }

    #[test]
    fn no_architecture_has_two_rows() {
        let names: usize = TABLE.into_iter().flatten().map(|row| row.names.len()).sum();
        assert_eq!(BY_NAME.len(), names);
    }

    #[test]
    fn every_class_of_diffusers_has_convolutions() {
        let of = |text: &str| Architecture::of(&parse(text));
        for known in [r#"{"_class_name": "BrandNewTransformer3DModel"}"#, r#"{"_class_name": "AutoencoderKL"}"#] {
            assert!(of(known).convolutions, "{known}");
        }
        assert!(!of(r#"{"model_type": "brand_new"}"#).convolutions);
    }

    #[test]
    fn what_is_missing_is_as_the_class_has_it() {
        let falcon = parse(r#"{"model_type": "falcon", "num_attention_heads": 8}"#);
        assert_eq!((falcon.flag("multi_query"), falcon.flag("new_decoder_architecture")), (true, false));
        assert!(!parse(r#"{"model_type": "falcon", "multi_query": false}"#).flag("multi_query"));
        // As many keys as queries, not as many as the class's own default of heads.
        assert_eq!(falcon.number(&["num_kv_heads"]), None);
        assert_eq!((falcon.number(&["num_attention_heads"]), falcon.layer_count), (Some(8), None));
        let mamba = parse(r#"{"model_type": "mamba2", "n_groups": null}"#);
        assert_eq!((mamba.number(&["mamba_head_dim", "head_dim"]), mamba.number(&["n_groups"])), (Some(64), None));
        assert_eq!(parse(r#"{"model_type": "dbrx"}"#).number(&["ffn_config.moe_num_experts"]), Some(4));
    }

    #[test]
    fn heads_are_tied_as_the_class_has_it_unless_it_is_said() {
        let ties = |text: &str| parse(text).ties_embeddings;
        for tied in ["opt", "gpt2", "gemma2", "bloom", "t5", "whisper", "cohere"] {
            assert_eq!(ties(&format!(r#"{{"model_type": "{tied}"}}"#)), Some(true), "{tied}");
        }
        for untied in ["llama", "mistral", "qwen2", "gpt_neox", "llava"] {
            assert_eq!(ties(&format!(r#"{{"model_type": "{untied}"}}"#)), Some(false), "{untied}");
        }
        assert_eq!(ties(r#"{"model_type": "gpt2", "tie_word_embeddings": false}"#), Some(false));
        // The language model's own default goes before that of the model around it.
        assert_eq!(ties(r#"{"model_type": "llava", "text_config": {"model_type": "gemma2"}}"#), Some(true));
        assert_eq!(ties(r#"{"model_type": "vit"}"#), None);
        assert_eq!(ties(r#"{"model_type": "brand_new"}"#), None);
    }
}
