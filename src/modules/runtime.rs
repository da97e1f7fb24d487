//! Names on disk -> names in memory.
//!
//! A trainer sees the modules of a model that transformers has loaded, whose names may differ from those on disk:
//! version 5 stacks experts into one parameter, and multimodal models and vision encoders were renamed over time. The
//! table of architectures has the rules.

use super::architectures::Architecture;
use super::name::number;
use crate::checkpoint::Config;

/// A line of versions of transformers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// Version 4.57, the last of version 4.
    Four,
    #[default]
    Five,
}

impl Line {
    pub fn version(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }
}

/// The names in memory of one model's modules.
pub struct Runtime {
    rules: Vec<(&'static str, &'static str)>,
    has_head: bool,
}

impl Runtime {
    /// The names for a model with this configuration under a `line` of transformers.
    pub fn new(config: &Config, line: Line) -> Self {
        // Renamings of a class come before those of its model_type.
        let names = [&config.architecture, &config.model_type].into_iter().flatten();
        let rows = names.filter_map(|name| Architecture::called(name));
        let rules = rows.flat_map(|row| {
            let by_five = if line == Line::Five { row.renamed_by_five } else { &[] };
            row.renamed.iter().chain(by_five).copied().flatten().copied()
        });
        Self { rules: rules.collect(), has_head: has_head(config) }
    }

    /// The names in memory of the tensor or module called `name` on disk: one, or several if it is divided. `base` is
    /// the name of the base model, which holds everything but the head, if the checkpoint's names lack it.
    pub fn names(&self, name: &str, base: Option<&str>) -> Vec<String> {
        let name = match base {
            Some(base) if self.has_head => format!("{base}.{name}"),
            _ => name.to_owned(),
        };
        self.rules.iter().fold(vec![name], |names, (from, to)| {
            let renamed = |name: String| {
                let others: Option<Vec<String>> = alternatives(to).iter().map(|to| rename(&name, from, to)).collect();
                others.unwrap_or_else(|| vec![name])
            };
            names.into_iter().flat_map(renamed).collect()
        })
    }
}

/// The names that a rule's right side stands for: one for each alternative in braces, or itself without braces. Braces
/// in names from a file have no meaning.
fn alternatives(to: &str) -> Vec<String> {
    let braces = to.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match braces {
        Some((before, (alternatives, after))) => {
            alternatives.split(',').map(|alternative| format!("{before}{alternative}{after}")).collect()
        }
        None => vec![to.to_owned()],
    }
}

/// Whether a trainer loads the model with a head. A class that ends in `Model` has none.
fn has_head(config: &Config) -> bool {
    let is_base =
        |class: &str| class.ends_with("Model") && !class.ends_with("HeadModel") && !class.ends_with("HeadsModel");
    !config.architecture.as_deref().is_some_and(is_base)
}

/// Whether the model that a trainer loads projects onto the vocabulary, unlike a classifier.
pub fn has_vocabulary_head(config: &Config) -> bool {
    let other = ["Classification", "QuestionAnswering", "MultipleChoice"];
    let is_other = |class: &str| other.iter().any(|task| class.contains(task));
    has_head(config) && !config.architecture.as_deref().is_some_and(is_other)
}

/// `name` with the first run of segments that matches `from` replaced by `to`; `None` if none matches.
fn rename(name: &str, from: &str, to: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let (anchored, from) = from.strip_prefix("^.").map_or((false, from), |from| (true, from));
    let from: Vec<&str> = from.split('.').collect();
    let matches = |run: &[&str]| {
        run.iter().zip(&from).all(|(segment, wanted)| match *wanted {
            "#" => number(segment).is_some(),
            wanted => *segment == wanted,
        })
    };
    let at = segments.windows(from.len()).position(matches).filter(|at| !anchored || *at == 0)?;
    let mut numbers =
        segments[at..].iter().zip(&from).filter(|(_, wanted)| **wanted == "#").map(|(segment, _)| *segment);
    let to = to.strip_prefix("^.").unwrap_or(to).split('.');
    let replaced: Vec<&str> =
        to.map(|segment| if segment == "#" { numbers.next().unwrap_or("#") } else { segment }).collect();
    let parts = segments[..at].iter().copied().chain(replaced).chain(segments[at + from.len()..].iter().copied());
    Some(parts.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(model_type: &str) -> Config {
        Config { model_type: Some(model_type.into()), ..Config::default() }
    }

    #[test]
    fn experts_are_stacked_in_version_five_only() {
        let disk = "model.layers.3.block_sparse_moe.experts.7.w3";
        let name = |line| Runtime::new(&config("mixtral"), line).names(disk, None);
        assert_eq!(name(Line::Five), ["model.layers.3.mlp.experts.gate_up_proj"]);
        assert_eq!(name(Line::Four), [disk]);
    }

    #[test]
    fn numbers_move_with_their_segments() {
        let name = Runtime::new(&config("segformer"), Line::Five)
            .names("segformer.encoder.block.2.5.attention.self.key", None);
        assert_eq!(name, ["segformer.stages.2.blocks.5.attention.k_proj"]);
    }

    #[test]
    fn what_is_divided_has_several_names() {
        let name = Runtime::new(&config("dinov2"), Line::Five).names("dinov2.encoder.layer.3.mlp.weights_in", None);
        assert_eq!(name, ["dinov2.encoder.layer.3.mlp.gate_proj", "dinov2.encoder.layer.3.mlp.up_proj"]);
    }

    #[test]
    fn marks_in_a_name_are_its_own() {
        let name = |disk: &str| Runtime::new(&config("qwen3_moe"), Line::Five).names(disk, None);
        let others = [
            "model.layers.0.mlp.{up,down}_proj",
            "model.layers.0.mlp.}up{",
            "model.layers.0.mlp.experts.#.up_proj",
            "^.model.layers.0.mlp.%s",
        ];
        for disk in others {
            assert_eq!(name(disk), [disk]);
        }
        let divided = Runtime::new(&config("dinov2"), Line::Five).names("{a,b}.layer.3.mlp.weights_in", None);
        assert_eq!(divided, ["{a,b}.layer.3.mlp.gate_proj", "{a,b}.layer.3.mlp.up_proj"]);
    }

    #[test]
    fn renamings_are_anchored_and_do_not_repeat() {
        let name = |disk: &str| Runtime::new(&config("qwen2_vl"), Line::Five).names(disk, None).concat();
        assert_eq!(name("visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.visual.blocks.0.attn.qkv"), "model.visual.blocks.0.attn.qkv");
        assert_eq!(name("model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("model.language_model.layers.1.mlp.up_proj"), "model.language_model.layers.1.mlp.up_proj");
        assert_eq!(name("lm_head"), "lm_head");
    }

    #[test]
    fn the_base_is_added_under_a_head_only() {
        let with = |architecture: &str| Config { architecture: Some(architecture.into()), ..config("gpt2") };
        let name =
            |config: &Config| Runtime::new(config, Line::Five).names("h.0.attn.c_attn", Some("transformer")).concat();
        assert_eq!(name(&with("GPT2LMHeadModel")), "transformer.h.0.attn.c_attn");
        assert_eq!(name(&with("GPT2Model")), "h.0.attn.c_attn");
    }
}
