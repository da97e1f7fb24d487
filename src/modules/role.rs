//! What a module with a two-dimensional weight is for, as its name tells.

use std::fmt;

use super::architectures::{Architecture, PLAIN};
use super::loading::Kind;
use super::name::Place;
use super::places;
use crate::checkpoint::Config;

/// Last segments of the names of embeddings: tables that are looked up, not multiplied with.
#[rustfmt::skip]
const EMBEDDINGS: [&str; 15] = [
    "embed_tokens", "embed_tokens_per_layer", "embed_positions", "embed_in", "tokens_embed", "positions_embed",
    "embeddings", "emb", "embedding", "wte", "wpe", "relative_attention_bias", "bias_values", "shared", "codebook",
];

/// Parts of the keys under which a configuration has the sizes of vocabularies.
const VOCABULARIES: [&str; 2] = ["vocab_size", "codebook_size"];

/// Parts of the keys under which a configuration has the numbers of rows of tables.
const TABLE_SIZES: [&str; 5] =
    ["vocab_size", "codebook_size", "max_position_embeddings", "n_positions", "num_embeddings"];

/// Endings of the names of embeddings.
const EMBEDDING_ENDINGS: [&str; 6] = ["_embedding", "_embeddings", "_embed", "_emb", "_token", "_tokens"];

/// Last segments of the names of linear modules that look like those of embeddings.
const PROJECTIONS: [&str; 2] = ["decoder_embed", "vision_embed_tokens"];

/// Last segments of the names of heads outside the layers.
const HEADS: [&str; 5] = ["output", "output_projection", "unembed", "logits_dense", "codec_head"];

/// Segments of the names of heads outside the layers, which may consist of several modules.
#[rustfmt::skip]
const HEAD_SEGMENTS: [&str; 18] = [
    "lm_head", "lm_heads", "ctc_head", "embed_out", "score", "classifier", "classification_head", "qa_outputs", "v_head",
    "cls", "discriminator_predictions", "decode_head", "decoder_pred", "class_labels_classifier", "bbox_predictor",
    "class_head", "box_head", "heads",
];

/// Segments of the names of routers.
const ROUTERS: [&str; 3] = ["gate", "router", "shared_expert_gate"];

/// Parts of the names of vision and audio towers, whose layers the configuration counts separately.
const TOWERS: [&str; 6] = ["vision", "visual", "audio", "speech", "image", "tower"];

/// Last segments of the names of projections between an embedding's width and the model's.
const EMBEDDING_PROJECTIONS: [&str; 4] =
    ["project_in", "project_out", "embedding_hidden_mapping_in", "embeddings_project"];

/// What a module is for, which decides whether it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A linear module of a layer, or of what connects layers.
    Linear,
    Embedding,
    /// A linear module that turns the last layer's output into the model's answer.
    Head,
    /// A linear module that chooses among experts.
    Router,
    /// A linear module between an embedding's width and the model's.
    EmbeddingProjection,
    /// Part of a layer that predicts further tokens; trainers do not load it.
    FurtherPrediction,
}

impl Role {
    /// The role of the module at this `place` in a model of this `architecture` with this `config`. `kind` is what it is in
    /// the library's class, if that is known, and `rows` the number of its weight's rows, if it is.
    pub fn of(
        place: &Place,
        kind: Option<Kind>,
        rows: Option<usize>,
        architecture: &Architecture,
        config: &Config,
    ) -> Self {
        let name = place.name.as_str();
        let segments: Vec<&str> = name.split('.').collect();
        let leaf = segments[segments.len() - 1];
        // The configuration counts the language model's layers, not those of an encoder or a vision tower.
        let beyond = place.layer.filter(|_| place.is_named).zip(config.layer_count);
        let beyond = beyond.is_some_and(|(layer, count)| is_decoder(place.stack()) && layer >= count);
        let is_outside = place.layer.is_none();
        let counts =
            |parts: &[&str]| rows.is_some_and(|rows| is_outside && config.numbers_called(parts).contains(&rows));
        if segments.iter().any(|segment| segment.starts_with("mtp")) || beyond {
            Self::FurtherPrediction
        } else if kind == Some(Kind::Embedding) {
            Self::Embedding
        } else if kind == Some(Kind::Router) {
            Self::Router
        } else if is_of_head(&segments, place, architecture) {
            Self::Head
        } else if kind.is_none() && (is_embedding(&segments, leaf) || (counts(&TABLE_SIZES) && is_called_table(leaf))) {
            Self::Embedding
        } else if counts(&VOCABULARIES) && is_called_answer(leaf) {
            Self::Head
        } else if place.layer.is_none() && EMBEDDING_PROJECTIONS.contains(&leaf) {
            Self::EmbeddingProjection
        } else if place.layer.is_some() && is_called_router(&segments) && !is_of_gated_unit(kind, leaf, config) {
            Self::Router
        } else {
            Self::Linear
        }
    }

    /// Whether the module multiplies with its weight, so that it is measured if all linear modules are asked for.
    pub fn is_linear(self) -> bool {
        matches!(self, Self::Linear | Self::Head | Self::Router | Self::EmbeddingProjection)
    }
}

/// Whether a stack of layers is the language model's, judged by its name.
pub fn is_decoder(stack: &str) -> bool {
    stack.ends_with("model") && !is_tower(stack)
}

/// Whether a stack of layers is a vision or audio tower's, judged by its name.
pub fn is_tower(stack: &str) -> bool {
    TOWERS.iter().any(|tower| stack.contains(tower))
}

/// Whether a name is that of an embedding. An embedding of image patches is none, because it multiplies with its
/// weight.
fn is_embedding(segments: &[&str], leaf: &str) -> bool {
    let is_table = EMBEDDING_ENDINGS.iter().any(|ending| leaf.ends_with(ending));
    EMBEDDINGS.contains(&leaf)
        || segments.contains(&"embed_tokens")
        || (is_table && !leaf.contains("patch") && !PROJECTIONS.contains(&leaf))
}

fn is_called_router(segments: &[&str]) -> bool {
    segments.iter().any(|segment| ROUTERS.contains(segment))
}

/// Whether a linear module called `gate` is that of a gated unit, because the model has no experts to choose from.
fn is_of_gated_unit(kind: Option<Kind>, leaf: &str, config: &Config) -> bool {
    kind == Some(Kind::Linear) && leaf == "gate" && config.numbers_called(&["expert"]).is_empty()
}

/// Whether the last segment of a name may be that of a table, so that its size decides.
fn is_called_table(leaf: &str) -> bool {
    ["emb", "wte", "wpe", "tok", "vocab", "position"].iter().any(|part| leaf.contains(part)) && !leaf.contains("unemb")
}

/// Whether the last segment of a name may be that of a head, so that its size decides.
fn is_called_answer(leaf: &str) -> bool {
    ["head", "logit", "out", "emb", "vocab", "lm"].iter().any(|part| leaf.contains(part))
}

/// The role that a module's name alone suggests.
pub fn by_name(name: &str) -> Role {
    by_place(&places::by_name(name))
}

/// The role that a module's place alone suggests.
pub fn by_place(place: &Place) -> Role {
    Role::of(place, None, None, &PLAIN, &Config::default())
}

/// Whether a module's name alone suggests that it is the projection onto the vocabulary.
pub fn is_head(name: &str) -> bool {
    by_name(name) == Role::Head && is_output(name)
}

/// Whether a module is a head or a part of one.
fn is_of_head(segments: &[&str], place: &Place, architecture: &Architecture) -> bool {
    let (name, leaf) = (place.name.as_str(), segments[segments.len() - 1]);
    segments.iter().any(|segment| segment.ends_with("lm_head"))
        || name == "head"
        || architecture.heads.contains(&name)
        || (place.layer.is_none() && HEADS.contains(&leaf))
        // A head may have layers itself, but a layer has no head of the model.
        || (!place.is_named && place.before_layer().any(|segment| HEAD_SEGMENTS.contains(&segment)))
}

/// Whether a head is the projection onto the vocabulary itself, which may share the embedding's weight.
pub fn is_output(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    ["lm_head", "decoder", "embed_out", "proj_out", "output", "output_projection"].contains(&leaf)
}

/// The reason why a module with this role is left out.
impl fmt::Display for Role {
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
        let of = |name: &str, config: &Config| {
            Role::of(&places::by_name(name), None, None, Architecture::of(config), config)
        };
        let role = |name: &str| of(name, &Config::default());
        assert_eq!(role("model.layers.0.mlp.gate_proj"), Role::Linear);
        assert_eq!(role("model.layers.0.mlp.gate"), Role::Router);
        assert_eq!(role("model.layers.0.block_sparse_moe.gate"), Role::Router);
        assert_eq!(role("transformer.wte"), Role::Embedding);
        assert_eq!(role("model.decoder.embed_positions"), Role::Embedding);
        assert_eq!(role("gpt_neox.embed_in"), Role::Embedding);
        assert_eq!(role("embed_out"), Role::Head);
        assert_eq!(role("score"), Role::Head);
        assert_eq!(role("classifier.out_proj"), Role::Head);
        assert_eq!(role("decoder.embed_tokens.3"), Role::Embedding);
        assert_eq!(role("vision.embeddings.patch_embedding"), Role::Linear);
        assert_eq!(role("model.decoder.project_in"), Role::EmbeddingProjection);
        assert_eq!(role("mtp.layers.0.mlp.up_proj"), Role::FurtherPrediction);
        // A block's own projection in Flux, the head in Whisper.
        assert_eq!(role("single_transformer_blocks.0.proj_out"), Role::Linear);
        let config = Config { layer_count: Some(2), ..Config::default() };
        assert_eq!(of("model.layers.2.mlp.up_proj", &config), Role::FurtherPrediction);
        assert_eq!(of("model.language_model.layers.2.mlp.up_proj", &config), Role::FurtherPrediction);
        assert_eq!(of("visual.blocks.2.mlp.fc1", &config), Role::Linear);
        assert_eq!(of("decoder.block.2.layer.0.SelfAttention.q", &config), Role::Linear);
        let whisper = Config { model_type: Some("whisper".into()), ..Config::default() };
        assert_eq!(of("proj_out", &whisper), Role::Head);
        assert_eq!(role("mtp_block.0.mlp.up_proj"), Role::FurtherPrediction);
        assert_eq!(role("model.audio_lm_head"), Role::Head);
    }

    #[test]
    fn what_a_class_has_and_how_many_rows_go_before_a_name() {
        let config =
            Config::parse(br#"{"text_config": {"vocab_size": 320}, "max_position_embeddings": 64}"#).expect("JSON");
        let role = |name: &str, kind, rows| Role::of(&places::by_name(name), kind, Some(rows), &PLAIN, &config);
        assert_eq!(role("embed", None, 320), Role::Embedding);
        assert_eq!(role("tok_lookup", None, 64), Role::Embedding);
        assert_eq!(role("tok_lookup", None, 65), Role::Linear);
        assert_eq!(role("text_out", None, 320), Role::Head);
        assert_eq!(role("layers.0.text_out", None, 320), Role::Linear);
        assert_eq!(role("merger.mlp.0", None, 320), Role::Linear);
        assert_eq!(role("layers.0.query", Some(Kind::Embedding), 8), Role::Embedding);
        assert_eq!(role("time_embed", Some(Kind::Linear), 8), Role::Linear);
        assert_eq!(role("layers.0.ff.gate", None, 8), Role::Router);
        assert_eq!(role("layers.0.ff.gate", Some(Kind::Linear), 8), Role::Linear);
    }
}
