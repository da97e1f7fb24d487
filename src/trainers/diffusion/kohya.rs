//! kohya's own networks: musubi-tuner's patterns and sd-scripts' ranks by expression, as arguments. See `networks/lora.py` of
//! musubi-tuner and `networks/lora_flux.py` of sd-scripts.

use super::Form;
use super::toml_keys;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::profile::Profile;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::{Export, ExportError, Format, Trainer, quoted};

/// The classes of blocks within which musubi-tuner trains, by the beginnings of their names.
const BLOCKS: [&str; 8] = [
    "blocks.",
    "transformer_blocks.",
    "double_blocks.",
    "single_blocks.",
    "layers.",
    "noise_refiner.",
    "context_refiner.",
    "joint_blocks.",
];

/// The families that musubi-tuner trains.
const MUSUBI: [&str; 6] = ["wan", "hunyuan-video", "qwen-image", "flux", "flux2", "z-image"];

#[derive(Debug)]
pub struct Musubi;

#[derive(Debug)]
pub struct SdScripts;

impl Trainer for Musubi {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "musubi",
            name: "musubi-tuner",
            formats: &[Format::Toml, Format::Args],
            keys: &["network_dim", "network_alpha", "network_args"],
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |family| {
            let form = if family.key == "z-image" { Form::Diffusers } else { Form::Original };
            MUSUBI.contains(&family.key).then_some(form)
        })
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        toml_keys::are_all(bytes, self.profile().keys)
    }

    /// Inclusion alone narrows nothing: everything is excluded, and the choice included again. Dots are escaped without a backslash,
    /// which a shell and Python's literals would take for themselves.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = super::within_blocks(choice, &BLOCKS)?;
        let patterns: Vec<String> = names.iter().map(|name| name.replace('.', "[.]")).collect();
        choice.check(Rule::ModuleExpression, &patterns, &choice.wanted())?;
        let list: Vec<String> = patterns.iter().map(|pattern| format!("r'{pattern}'")).collect();
        let arguments = ["exclude_patterns=[r'.*']".to_owned(), format!("include_patterns=[{}]", list.join(", "))];
        let mut table = toml::Table::new();
        table.insert("network_dim".into(), toml::Value::Integer(choice.lora.rank as i64));
        table.insert("network_alpha".into(), toml::Value::Float(choice.lora.alpha));
        let values = arguments.iter().map(|argument| toml::Value::String(argument.clone())).collect();
        table.insert("network_args".into(), toml::Value::Array(values));
        let line = format!(
            "--network_dim {} --network_alpha {} --network_args {}\n",
            choice.lora.rank,
            choice.lora.alpha,
            arguments.each_ref().map(|argument| quoted(argument)).join(" ")
        );
        let documents =
            vec![self.document(choice, Format::Toml, table.to_string()), self.document(choice, Format::Args, line)];
        Ok(Export { documents, ..Export::default() })
    }
}

impl Trainer for SdScripts {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "sd-scripts",
            name: "sd-scripts",
            formats: &[Format::Args],
            keys: &["network_train_unet_only", "network_dim", "network_alpha", "network_args"],
            ..super::USUAL
        }
    }

    /// Of its own networks, only those of Flux and HunyuanImage take a rank by expression.
    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |family| (family.key == "flux").then_some(Form::Original))
    }

    /// Expressions are looked for in the names of adapters. The second one matches what the first does not, so that it does not
    /// matter which of them counts where both match.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = super::within_blocks(choice, &["double_blocks.", "single_blocks."])?;
        choice.check(Rule::ModuleName, &names, &choice.wanted())?;
        let flat: Vec<String> = names.iter().map(|name| format!("lora_unet_{}", name.replace('.', "_"))).collect();
        let all = flat.join("|");
        let rank = choice.lora.rank;
        let argument = format!("network_reg_dims=^({all})$={rank},^(?!({all})$)=0");
        let line = format!(
            "--network_train_unet_only --network_dim {rank} --network_alpha {} --network_args {}\n",
            choice.lora.alpha,
            quoted(&argument)
        );
        Ok(Export { documents: vec![self.document(choice, Format::Args, line)], ..Export::default() })
    }
}
