//! mlx-lm: the YAML file of `mlx_lm.lora --config FILE`. See its `tuner/utils.py`.
//!
//! mlx-lm has files of its own for each architecture, whose names are those on disk, but that all experts of a layer are one
//! module for each of their projections. It compares whole names, and does not say which of them it has not found.

use super::choice::Choice;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::Rule;
use super::targets::Naming;
use super::yaml::{self, Node, Value};
use super::{Export, ExportError, Format, Trainer};
use crate::modules::name::number;
use crate::modules::{InMemory, Info};
use crate::scan::Scan;

/// The architectures whose modules have their names on disk in mlx-lm 0.32.2, but for experts. Each was seen to: a small model that
/// transformers saved was loaded by mlx-lm, and all that was chosen of it was found.
#[rustfmt::skip]
const KNOWN: [&str; 30] = [
    "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "glm4_moe", "granite", "helium", "llama",
    "ministral3", "mistral", "mixtral", "nemotron", "olmo2", "olmo3", "olmoe", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
    "seed_oss", "smollm3", "stablelm", "starcoder2",
];

/// What the projections of experts are called on disk, where mlx-lm gives them other names.
const RENAMED: [(&str, &str); 3] = [("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")];

#[derive(Debug)]
pub struct MlxLm;

/// The names on disk, with the module of all experts in place of a single one.
struct Mlx;

impl Naming for Mlx {
    fn memory(&self, info: &Info) -> Option<InMemory> {
        Some(InMemory::Modules(vec![stacked(&info.name).unwrap_or_else(|| info.name.clone())]))
    }
}

/// The module that holds the same projection of all experts of a layer, for the name of one expert's.
fn stacked(name: &str) -> Option<String> {
    let (path, expert) = name.split_once(".experts.")?;
    let (expert, projection) = expert.split_once('.')?;
    number(expert)?;
    let renamed = RENAMED.iter().find(|(disk, _)| *disk == projection);
    Some(format!("{path}.switch_mlp.{}", renamed.map_or(projection, |(_, own)| own)))
}

impl Trainer for MlxLm {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "mlx-lm",
            name: "mlx-lm",
            formats: &[Format::Yaml],
            keys: &["fine_tune_type", "num_layers"],
            sections: &[("lora_parameters", &["keys", "rank", "scale", "dropout"])],
            rslora: Some("scale"),
            ..Profile::USUAL
        }
    }

    fn naming(&self, scan: &Scan, _: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        let around = scan.surroundings.as_ref();
        let unsupported = |what: String| ExportError::Unsupported {
            trainer: self.profile().name,
            what,
            remedy: Some(if around.is_none() { Remedy::GiveModel } else { Remedy::OtherTrainer }),
        };
        match around.map(|around| around.model_types.as_slice()) {
            Some([own]) if KNOWN.contains(&own.as_str()) => Ok(Box::new(Mlx)),
            Some([own, ..]) => {
                Err(unsupported(format!("may have other names than those on disk for the architecture '{own}'")))
            }
            _ => Err(unsupported("has names of its own for each architecture, and nothing tells this one".to_owned())),
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = choice.names();
        choice.check(Rule::ModuleName, &names, &choice.wanted())?;
        let parameters = vec![
            ("keys", Value::List(names).into()),
            ("rank", Value::Number(choice.lora.rank).into()),
            // mlx-lm multiplies with it, where others divide an alpha by the rank.
            ("scale", Value::Decimal(choice.lora.factor()).into()),
            ("dropout", Value::Number(0).into()),
        ];
        let text = yaml::nested(&[
            ("fine_tune_type", Value::Text("lora".into()).into()),
            // All layers. Whole names are found beyond it too, but not in an adapter that is trained further.
            ("num_layers", Value::Decimal(-1.0).into()),
            ("lora_parameters", Node::Section(parameters)),
        ]);
        Ok(Export { documents: vec![self.document(choice, Format::Yaml, text)], ..Export::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_experts_of_a_layer_are_one_module() {
        let of = |name: &str| stacked(name);
        assert_eq!(of("m.layers.3.mlp.experts.7.up_proj").as_deref(), Some("m.layers.3.mlp.switch_mlp.up_proj"));
        assert_eq!(of("m.moe.experts.0.w3").as_deref(), Some("m.moe.switch_mlp.up_proj"));
        assert_eq!(of("m.layers.3.mlp.up_proj"), None);
        assert_eq!(of("m.experts.x.w1"), None);
    }
}
