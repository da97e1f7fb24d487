//! ostris' ai-toolkit: parts of its YAML configuration. See its `toolkit/lora_special.py` and `toolkit/models/base_model.py`.
//!
//! It looks for words anywhere in a name that begins with that of the network: without this beginning,
//! `transformer_blocks.1.attn.to_q` would also be found in `single_transformer_blocks.1.attn.to_q`.

use super::{Encoder, Family, Form};
use crate::modules::WEIGHT;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::yaml::{self, Node, Value};
use crate::trainers::{Export, ExportError, Format, Request, Trainer};

/// Parts of the names of what it adapts in CLIP: the linear modules of `CLIPAttention` and `CLIPMLP`.
const ADAPTED: [&str; 2] = [".self_attn.", ".mlp."];

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

fn is_of_unet(scan: &Scan) -> bool {
    super::family(scan).is_some_and(|(family, _)| is_unet(family))
}

impl Trainer for AiToolkit {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "ai-toolkit",
            name: "ai-toolkit",
            formats: &[Format::Yaml],
            sections: &[
                (
                    "network",
                    &[
                        "type",
                        "linear",
                        "linear_alpha",
                        "conv",
                        "conv_alpha",
                        "network_kwargs",
                        "only_if_contains",
                        "transformer_only",
                    ],
                ),
                ("train", &["train_unet", "train_text_encoder"]),
            ],
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        match super::encoder(component).filter(|_| is_of_unet(scan)) {
            Some(encoder) => Ok(Box::new(Encoder { component: encoder.to_owned() })),
            None => super::naming(self.profile(), scan, component, form),
        }
    }

    /// It scales only in U-Nets.
    fn takes_alpha(&self, scan: &Scan) -> bool {
        is_of_unet(scan)
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        self.network(&[choice])
    }

    /// One network has the modules of the U-Net and of the text encoders.
    fn export_components(&self, request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
        let all = super::with_encoders(self, request, components)?;
        let mut export = self.network(&all.iter().map(|prepared| &prepared.choice).collect::<Vec<_>>())?;
        all.into_iter().for_each(|prepared| prepared.tell(&mut export, Vec::new()));
        Ok(export)
    }
}

impl AiToolkit {
    /// The network for these choices, which are made in different components.
    fn network(&self, choices: &[&Choice<'_>]) -> Result<Export, ExportError> {
        let lora = &choices[0].lora;
        let mut words = Vec::new();
        for choice in choices {
            if choice.lora.rank != lora.rank {
                let what =
                    format!("has one rank, and these components would have {} and {}", lora.rank, choice.lora.rank);
                return Err(choice.unsupported(what, Remedy::GiveRank));
            }
            let within = |error: ExportError| match &choice.component {
                Some(component) if choices.len() > 1 => error.within(component),
                _ => error,
            };
            words.extend(words_of(choice).map_err(within)?);
        }
        let (family, _) = super::family(choices[0].selection.scan).ok_or(ExportError::Nothing)?;
        let mut only = vec![("only_if_contains", Value::List(words.clone()).into())];
        // Without this, what is outside the blocks is passed over.
        let is_in_blocks = |word: &String| family.blocks.iter().any(|block| word.contains(block));
        if !is_unet(family) && !words.iter().all(is_in_blocks) {
            only.insert(0, ("transformer_only", Value::Flag(false).into()));
        }
        let rank = || Node::Value(Value::Number(lora.rank));
        let alpha = || Node::Value(Value::Decimal(lora.alpha));
        let mut network =
            vec![("type", Value::Text("lora".into()).into()), ("linear", rank()), ("linear_alpha", alpha())];
        if is_unet(family) {
            // Without these, convolutions are passed over.
            network.extend([("conv", rank()), ("conv_alpha", alpha())]);
        }
        network.push(("network_kwargs", Node::Section(only)));
        let mut sections = vec![("network", Node::Section(network))];
        if choices.iter().any(|choice| super::is_of_encoder(choice)) {
            let has_unet = choices.iter().any(|choice| !super::is_of_encoder(choice));
            let trained = [("train_unet", has_unet), ("train_text_encoder", true)];
            let trained = trained.map(|(key, is_trained)| (key, Value::Flag(is_trained).into()));
            sections.push(("train", Node::Section(trained.to_vec())));
        }
        let document = self.document(choices[0], Format::Yaml, yaml::nested(&sections));
        Ok(Export { documents: vec![document], ..Export::default() })
    }
}

/// The words that find exactly what is trained of a choice.
fn words_of(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
    let is_unet = is_of_unet(choice.selection.scan);
    let names = choice.names();
    let prefix = match super::encoder(choice.component.as_deref()) {
        Some(encoder) => {
            if let Some(name) = names.iter().find(|name| !ADAPTED.iter().any(|part| name.contains(part))) {
                let what =
                    format!("adapts what is in the attention and the MLP of a text encoder, and '{name}' is not");
                return Err(choice.unsupported(what, Remedy::LeaveOut));
            }
            network_of(choice, encoder)
        }
        None if is_unet => "lora_unet.".to_owned(),
        None => "transformer.".to_owned(),
    };
    if let Some(name) = names.iter().find(|name| !is_unet && super::is_convolution(name)) {
        let what = format!("adapts convolutions only in U-Nets, and '{name}' is one");
        return Err(choice.unsupported(what, Remedy::LeaveOut));
    }
    let words: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    choice.check(Rule::PrefixedSubstring { prefix: &prefix }, &words, &choice.wanted())?;
    Ok(words)
}

/// The beginning of the names in a text encoder, which are numbered if there are several.
fn network_of(choice: &Choice<'_>, encoder: &str) -> String {
    let components = choice.around.map_or(&[][..], |around| &around.components);
    let encoders: Vec<&String> =
        components.iter().filter(|component| super::encoder(Some(component)).is_some()).collect();
    let number = encoders.iter().position(|component| *component == encoder).filter(|_| encoders.len() > 1);
    number.map_or_else(|| "lora_te.".to_owned(), |place| format!("lora_te{}.", place + 1))
}

impl Trainer for AiToolkitFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "ai-toolkit-full",
            name: "ai-toolkit",
            formats: &[Format::Yaml],
            sections: &[("model", &["only_if_contains"])],
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
