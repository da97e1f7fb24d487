//! By what an adapter multiplies the products of its factors.

use std::collections::{BTreeMap, BTreeSet};

use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::super::error::CheckpointError;
use super::super::header::PREFIX;
use super::super::shard::Shard;
use super::{LoraError, check_config};
use crate::source::{Source, SourceError};

/// Where diffusers writes PEFT's configurations of a file's components, whose keys begin with a component's name.
const METADATA: &str = "lora_adapter_metadata";

/// What says how large the scales are.
pub enum Scales {
    /// PEFT's configuration.
    Config(Scale),
    /// One for each component of a pipeline; without a name for a model alone.
    Components(BTreeMap<String, Scale>),
    /// Nothing but what stands beside the factors. Where nothing stands there, the scale is 1.
    Beside,
    /// Nothing, although there should be a configuration.
    Unknown,
}

/// The scale as PEFT's configuration gives it.
pub struct Scale {
    alpha: f64,
    /// Other alphas for the modules whose names match.
    patterns: Vec<(Regex, f64)>,
    /// Whether alpha is divided by the root of the rank: rsLoRA, Kalajdzievski, arXiv 2312.03732.
    is_of_root: bool,
}

impl Scales {
    /// What is known of the scales of the adapter in `shard`, with the `adapter_config.json` beside it.
    pub fn new(source: &dyn Source, shard: &Shard, config: Option<Value>) -> Result<Self, CheckpointError> {
        let refused = |error| CheckpointError::Lora { model: source.model().spelling.clone(), error };
        if let Some(config) = config {
            return Scale::new(|key| config.get(key)).map(Self::Config).map_err(refused);
        }
        if let Some(metadata) = metadata(source, shard)? {
            let all = serde_json::from_str(&metadata).map_err(|_| refused(LoraError::Incomplete(METADATA)))?;
            return Self::of_components(&all).map_err(refused);
        }
        let is_of_peft = shard.tensors.iter().any(|tensor| tensor.name.starts_with("base_model.model."));
        Ok(if is_of_peft { Self::Unknown } else { Self::Beside })
    }

    /// The scales that the configurations `all` give, each key of which begins with a component's name.
    fn of_components(all: &Value) -> Result<Self, LoraError> {
        let keys = all.as_object().into_iter().flat_map(|all| all.keys());
        let components: BTreeSet<&str> = keys.filter_map(|key| key.strip_suffix("lora_alpha")).collect();
        if components.is_empty() {
            return Err(LoraError::Incomplete("lora_alpha"));
        }
        let scale = |start: &str| {
            let value = |key: &str| all.get(format!("{start}{key}"));
            check_config(value)?;
            Ok((start.trim_end_matches('.').to_owned(), Scale::new(value)?))
        };
        components.into_iter().map(scale).collect::<Result<_, _>>().map(Self::Components)
    }

    /// The scale for the module of this name, whose factors have this `rank` and perhaps an alpha of their `own`.
    pub fn of(&self, module: &str, own: Option<f64>, rank: usize) -> Result<f64, LoraError> {
        let scale = match (self, own) {
            (_, Some(alpha)) => return Ok(alpha / rank as f64),
            (Self::Beside, None) => return Ok(1.0),
            (Self::Unknown, None) => return Err(LoraError::NoScale),
            (Self::Config(scale), None) => Some(scale),
            (Self::Components(scales), None) => {
                let component = module.split('.').next().unwrap_or_default();
                scales.get(component).or_else(|| scales.get(""))
            }
        };
        scale.ok_or(LoraError::NoScale)?.of(module, rank)
    }
}

impl Scale {
    fn new<'a>(value: impl Fn(&str) -> Option<&'a Value>) -> Result<Self, LoraError> {
        let alpha = value("lora_alpha").and_then(Value::as_f64);
        let alpha = alpha.filter(|alpha| alpha.is_finite()).ok_or(LoraError::Incomplete("lora_alpha"))?;
        let incomplete = || LoraError::Incomplete("alpha_pattern");
        let mut patterns = Vec::new();
        for (pattern, alpha) in value("alpha_pattern").and_then(Value::as_object).into_iter().flatten() {
            // As PEFT's get_pattern_key matches them.
            let pattern = Regex::new(&format!("^(?:.*\\.)?(?:{pattern})$")).map_err(|_| incomplete())?;
            patterns.push((pattern, alpha.as_f64().ok_or_else(incomplete)?));
        }
        let is_of_root = value("use_rslora").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { alpha, patterns, is_of_root })
    }

    fn of(&self, module: &str, rank: usize) -> Result<f64, LoraError> {
        let mut alpha = self.alpha;
        for (pattern, own) in &self.patterns {
            if pattern.is_match(module).map_err(|_| LoraError::Incomplete("alpha_pattern"))? {
                alpha = *own;
                break;
            }
        }
        let rank = rank as f64;
        Ok(alpha / if self.is_of_root { rank.sqrt() } else { rank })
    }
}

/// The configurations in the metadata of a safetensors file, if it has any.
fn metadata(source: &dyn Source, shard: &Shard) -> Result<Option<String>, SourceError> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<BTreeMap<String, String>>,
    }
    if shard.is_pickle() {
        return Ok(None);
    }
    let header = source.read(&shard.file, PREFIX..shard.data_start)?;
    // The header was read before, so that it is valid.
    let header: Option<Header> = serde_json::from_slice(&header).ok();
    Ok(header.and_then(|header| header.metadata?.remove(METADATA)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scales_are_those_of_peft() {
        let scale = |config: Value| Scales::Config(Scale::new(|key| config.get(key)).expect("a scale"));
        let of = |scales: &Scales, module: &str| scales.of(module, None, 16).expect("a scale");
        let plain = scale(json!({"lora_alpha": 32, "alpha_pattern": {"q_proj": 4, "layers\\.1\\..*": 64}}));
        assert_eq!(of(&plain, "model.layers.0.mlp.up_proj"), 2.0);
        assert_eq!(of(&plain, "model.layers.1.self_attn.q_proj"), 0.25, "the first pattern counts");
        assert_eq!(of(&plain, "model.layers.1.mlp.up_proj"), 4.0);
        assert_eq!(of(&plain, "model.layers.0.self_attn.wq_proj"), 2.0);
        assert_eq!(plain.of("m", Some(8.0), 16).expect("its own"), 0.5);
        assert_eq!(of(&scale(json!({"lora_alpha": 32, "use_rslora": true})), "m"), 8.0);
        assert!(Scale::new(|_| None).is_err());
        assert!(matches!(Scales::Unknown.of("m", None, 16), Err(LoraError::NoScale)));
        assert_eq!(Scales::Beside.of("m", None, 16).expect("one"), 1.0);
    }
}
