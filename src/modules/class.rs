//! What a module with a two-dimensional weight is.

use std::fmt;

use super::architectures::{Architecture, UNKNOWN};
use super::name::Place;
use crate::checkpoint::Config;

/// Leaves of embeddings: tables that are looked up, not multiplied with.
const EMBEDDINGS: [&str; 15] = [
    "embed_tokens",
    "embed_tokens_per_layer",
    "embed_positions",
    "embed_in",
    "tokens_embed",
    "positions_embed",
    "embeddings",
    "emb",
    "embedding",
    "wte",
    "wpe",
    "relative_attention_bias",
    "bias_values",
    "shared",
    "codebook",
];

/// Endings of leaves of embeddings.
const EMBEDDING_ENDINGS: [&str; 6] = ["_embedding", "_embeddings", "_embed", "_emb", "_token", "_tokens"];

/// Leaves of linear modules that are called as embeddings are.
const PROJECTIONS: [&str; 2] = ["decoder_embed", "vision_embed_tokens"];

/// Leaves of heads outside the layers.
const HEADS: [&str; 2] = ["output", "output_projection"];

/// Segments of the names of heads outside the layers, which may consist of several modules.
const HEAD_SEGMENTS: [&str; 18] = [
    "lm_head",
    "lm_heads",
    "ctc_head",
    "embed_out",
    "score",
    "classifier",
    "classification_head",
    "qa_outputs",
    "v_head",
    "cls",
    "discriminator_predictions",
    "decode_head",
    "decoder_pred",
    "class_labels_classifier",
    "bbox_predictor",
    "class_head",
    "box_head",
    "heads",
];

/// Segments of the names of routers, which choose among experts.
const ROUTERS: [&str; 3] = ["gate", "router", "shared_expert_gate"];

/// Parts of the names of towers, whose layers the configuration counts apart.
const TOWERS: [&str; 6] = ["vision", "visual", "audio", "speech", "image", "tower"];

/// Leaves of projections between an embedding's width and the model's.
const EMBEDDING_PROJECTIONS: [&str; 4] =
    ["project_in", "project_out", "embedding_hidden_mapping_in", "embeddings_project"];

/// What a module is, which decides whether it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A linear module within the model.
    Linear,
    /// A lookup table.
    Embedding,
    /// A linear module that turns the last layer's output into an answer.
    Head,
    /// A linear module that chooses among experts.
    Router,
    /// A linear module between an embedding's width and the model's.
    EmbeddingProjection,
    /// Part of a layer that predicts further tokens; trainers do not load it.
    FurtherPrediction,
}

impl Class {
    /// What the module called `name` is, in a model of this `architecture` with this `config`.
    pub fn of(name: &str, architecture: &Architecture, config: &Config) -> Self {
        let place = Place::of(name);
        let segments: Vec<&str> = name.split('.').collect();
        let leaf = segments[segments.len() - 1];
        // The configuration counts the layers of the language model, not those of an encoder or a vision tower.
        let beyond = place.layer.zip(config.layer_count);
        let beyond = beyond.is_some_and(|(layer, count)| is_decoder(&place.stack) && layer >= count);
        if segments.iter().any(|segment| matches!(*segment, "mtp" | "mtp_layers")) || beyond {
            Self::FurtherPrediction
        } else if is_of_head(name, &segments, &place, architecture) {
            Self::Head
        } else if is_embedding(&segments, leaf) {
            Self::Embedding
        } else if place.layer.is_none() && EMBEDDING_PROJECTIONS.contains(&leaf) {
            Self::EmbeddingProjection
        } else if place.layer.is_some() && segments.iter().any(|segment| ROUTERS.contains(segment)) {
            Self::Router
        } else {
            Self::Linear
        }
    }

    /// Whether the module multiplies with its weight, so that `--all-linear` measures it.
    pub fn is_linear(self) -> bool {
        matches!(self, Self::Linear | Self::Head | Self::Router | Self::EmbeddingProjection)
    }
}

/// Whether a stack of layers is the language model's, by its name.
pub fn is_decoder(stack: &str) -> bool {
    stack.ends_with("model") && !is_tower(stack)
}

/// Whether a stack of layers is a tower's, by its name.
pub fn is_tower(stack: &str) -> bool {
    TOWERS.iter().any(|tower| stack.contains(tower))
}

/// Whether a name is that of an embedding. The embedding of a patch multiplies, whatever it is called.
fn is_embedding(segments: &[&str], leaf: &str) -> bool {
    let is_table = EMBEDDING_ENDINGS.iter().any(|ending| leaf.ends_with(ending));
    EMBEDDINGS.contains(&leaf)
        || segments.contains(&"embed_tokens")
        || (is_table && !leaf.starts_with("patch") && !PROJECTIONS.contains(&leaf))
}

/// What `name` alone tells of a module.
pub fn by_name(name: &str) -> Class {
    Class::of(name, &UNKNOWN, &Config::default())
}

/// Whether `name` alone tells that a module is the projection onto the vocabulary.
pub fn is_head(name: &str) -> bool {
    by_name(name) == Class::Head && is_output(name)
}

/// Whether a module is a head, or a part of one.
fn is_of_head(name: &str, segments: &[&str], place: &Place, architecture: &Architecture) -> bool {
    let leaf = segments[segments.len() - 1];
    segments.contains(&"lm_head")
        || name == "head"
        || architecture.heads.contains(&name)
        || (place.layer.is_none()
            && (HEADS.contains(&leaf) || segments.iter().any(|segment| HEAD_SEGMENTS.contains(segment))))
}

/// Whether a head is the projection onto the vocabulary itself, which is what shares the embedding's weight.
pub fn is_output(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    ["lm_head", "decoder", "embed_out", "proj_out", "output", "output_projection"].contains(&leaf)
}

/// The reason for which a module of the class is left out.
impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Linear => "a linear module",
            Self::Embedding => "an embedding",
            Self::Head => "a head",
            Self::Router => "a router",
            Self::EmbeddingProjection => "an embedding's projection",
            Self::FurtherPrediction => "a layer beyond those of the model: predicts further tokens",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_module_is() {
        let of = |name: &str, config: &Config| Class::of(name, Architecture::of(config), config);
        let class = |name: &str| of(name, &Config::default());
        assert_eq!(class("model.layers.0.mlp.gate_proj"), Class::Linear);
        assert_eq!(class("model.layers.0.mlp.gate"), Class::Router);
        assert_eq!(class("model.layers.0.block_sparse_moe.gate"), Class::Router);
        assert_eq!(class("transformer.wte"), Class::Embedding);
        assert_eq!(class("model.decoder.embed_positions"), Class::Embedding);
        assert_eq!(class("gpt_neox.embed_in"), Class::Embedding);
        assert_eq!(class("embed_out"), Class::Head);
        assert_eq!(class("score"), Class::Head);
        assert_eq!(class("classifier.out_proj"), Class::Head);
        assert_eq!(class("decoder.embed_tokens.3"), Class::Embedding);
        assert_eq!(class("vision.embeddings.patch_embedding"), Class::Linear);
        assert_eq!(class("model.decoder.project_in"), Class::EmbeddingProjection);
        assert_eq!(class("mtp.layers.0.mlp.up_proj"), Class::FurtherPrediction);
        // A block's own projection in Flux, the head in Whisper.
        assert_eq!(class("single_transformer_blocks.0.proj_out"), Class::Linear);
        let config = Config { layer_count: Some(2), ..Config::default() };
        assert_eq!(of("model.layers.2.mlp.up_proj", &config), Class::FurtherPrediction);
        assert_eq!(of("model.language_model.layers.2.mlp.up_proj", &config), Class::FurtherPrediction);
        assert_eq!(of("visual.blocks.2.mlp.fc1", &config), Class::Linear);
        assert_eq!(of("decoder.block.2.layer.0.SelfAttention.q", &config), Class::Linear);
        let whisper = Config { model_type: Some("whisper".into()), ..Config::default() };
        assert_eq!(of("proj_out", &whisper), Class::Head);
    }
}
