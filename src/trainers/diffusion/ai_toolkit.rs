//! ostris' ai-toolkit: parts of its YAML configuration. See its `toolkit/lora_special.py` and `toolkit/models/base_model.py`.
//!
//! It looks for words anywhere in a name that begins with that of the network: without this beginning,
//! `transformer_blocks.1.attn.to_q` would also be found in `single_transformer_blocks.1.attn.to_q`.

use super::{Family, Form};
use crate::modules::WEIGHT;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::yaml::{self, Node, Value};
use crate::trainers::{Export, ExportError, Format, Trainer};

/// With adapters.
#[derive(Debug)]
pub struct AiToolkit;

/// Without adapters.
#[derive(Debug)]
pub struct AiToolkitFull;

/// The names of ai-toolkit's own model classes: diffusers' for most families, original ones for Flux.2.
fn form(family: &Family) -> Option<Form> {
    match family.key {
        "flux2" => Some(Form::Original),
        "hunyuan-video" => None,
        _ => Some(Form::Diffusers),
    }
}

fn is_unet(family: &Family) -> bool {
    matches!(family.key, "sd" | "sdxl")
}

impl Trainer for AiToolkit {
    fn profile(&self) -> &'static Profile {
        &Profile { key: "ai-toolkit", name: "ai-toolkit", formats: &[Format::Yaml], keys: &["network"], ..super::USUAL }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, form)
    }

    /// It scales only in U-Nets.
    fn takes_alpha(&self, scan: &Scan) -> bool {
        super::family(scan).is_some_and(|(family, _)| is_unet(family))
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let (family, _) = super::family(choice.selection.scan).ok_or(ExportError::Nothing)?;
        let is_unet = is_unet(family);
        let prefix = if is_unet { "lora_unet." } else { "transformer." };
        let names = choice.names();
        if let Some(name) = names.iter().find(|name| !is_unet && super::is_convolution(name)) {
            let what = format!("adapts convolutions only in U-Nets, and '{name}' is one");
            return Err(choice.unsupported(what, Remedy::LeaveOut));
        }
        let words: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
        choice.check(Rule::PrefixedSubstring { prefix }, &words, &choice.wanted())?;
        let mut only = vec![("only_if_contains", Value::List(words).into())];
        // Without this, what is outside the blocks is passed over.
        let is_in_blocks = |name: &String| family.blocks.iter().any(|block| name.contains(block));
        if !is_unet && !names.iter().all(is_in_blocks) {
            only.insert(0, ("transformer_only", Value::Flag(false).into()));
        }
        let rank = || Node::Value(Value::Number(choice.lora.rank));
        let alpha = || Node::Value(Value::Decimal(choice.lora.alpha));
        let mut network =
            vec![("type", Value::Text("lora".into()).into()), ("linear", rank()), ("linear_alpha", alpha())];
        if is_unet {
            // Without these, convolutions are passed over.
            network.extend([("conv", rank()), ("conv_alpha", alpha())]);
        }
        network.push(("network_kwargs", Node::Section(only)));
        let text = yaml::nested(&[("network", Node::Section(network))]);
        Ok(Export { documents: vec![self.document(choice, Format::Yaml, text)], ..Export::default() })
    }
}

impl Trainer for AiToolkitFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "ai-toolkit-full",
            name: "ai-toolkit",
            formats: &[Format::Yaml],
            keys: &["model"],
            has_adapters: false,
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, form)
    }

    /// Some classes begin parameters' names with the network's name once, others twice. Both hold what is written here.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let prefix = "transformer.";
        let names = choice.trained().map(|place| format!("{prefix}{}{WEIGHT}", choice.target(place).name));
        let words: Vec<String> = names.collect();
        choice.check(Rule::PrefixedParameterSubstring { prefix }, &words, &choice.wanted())?;
        let model = Node::Section(vec![("only_if_contains", Value::List(words).into())]);
        let text = yaml::nested(&[("model", model)]);
        Ok(Export { documents: vec![self.document(choice, Format::Yaml, text)], ..Export::default() })
    }
}
