//! kohya's own networks: musubi-tuner's patterns and sd-scripts' ranks by expression, as arguments. See `networks/lora.py` of
//! musubi-tuner and `networks/lora_flux.py` of sd-scripts.

use super::Form;
use super::toml_keys;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::expression::exactly;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::resolve::{Rule, is_literal};
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
            takes_diffusion: true,
            ..Profile::USUAL
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
        let names = within_blocks(choice, &BLOCKS)?;
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
            takes_diffusion: true,
            ..Profile::USUAL
        }
    }

    /// Of its own networks, only those of Flux and HunyuanImage take a rank by expression.
    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |family| (family.key == "flux").then_some(Form::Original))
    }

    /// Expressions are looked for in the names of adapters. The second one matches what the first does not, so that it does not
    /// matter which of them counts where both match.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = within_blocks(choice, &["double_blocks.", "single_blocks."])?;
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

/// diffusion-pipe: the section of the adapter.
#[derive(Debug)]
pub struct DiffusionPipe;

impl Trainer for DiffusionPipe {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "diffusion-pipe",
            name: "diffusion-pipe",
            formats: &[Format::Toml],
            keys: &["adapter"],
            takes_diffusion: true,
            ..Profile::USUAL
        }
    }

    fn takes_alpha(&self, _: &Scan) -> bool {
        false
    }

    /// It has diffusers' names for Flux, Qwen-Image and Stable Diffusion 3, and original ones for others. It ignores the key for SDXL.
    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |family| match family.key {
            "flux" | "qwen-image" | "sd3" => Some(Form::Diffusers),
            "wan" | "flux2" | "z-image" => Some(Form::Original),
            _ => None,
        })
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        toml_keys::are_all(bytes, self.profile().keys)
    }

    /// What is excluded is what is not chosen: an expression that PEFT matches with whole names.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = within_blocks(
            choice,
            &[
                "transformer_blocks.",
                "single_transformer_blocks.",
                "blocks.",
                "double_blocks.",
                "single_blocks.",
                "layers.",
            ],
        )?;
        choice.check(Rule::ModuleName, &names, &choice.wanted())?;
        let chosen = exactly(&names);
        let chosen = chosen.trim_start_matches('^').trim_end_matches('$');
        let mut adapter = toml::Table::new();
        adapter.insert("type".into(), toml::Value::String("lora".into()));
        adapter.insert("rank".into(), toml::Value::Integer(choice.lora.rank as i64));
        adapter.insert("exclude_modules".into(), toml::Value::String(format!("(?!(?:{chosen})$).*")));
        let mut table = toml::Table::new();
        table.insert("adapter".into(), toml::Value::Table(adapter));
        let note =
            "versions of diffusion-pipe before 9 August 2026 ignore exclude_modules and train everything".to_owned();
        let documents = vec![self.document(choice, Format::Toml, table.to_string())];
        Ok(Export { documents, notes: vec![note.into()], ..Export::default() })
    }
}

/// The names of what is trained, all of which are within the trainer's blocks and need no escapes.
fn within_blocks(choice: &Choice<'_>, blocks: &[&str]) -> Result<Vec<String>, ExportError> {
    let names: Vec<String> = choice.trained().map(|place| choice.target(place).name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !blocks.iter().any(|block| name.starts_with(block))) {
        let what = format!("trains only what is within the model's blocks, and '{name}' is not");
        return Err(choice.unsupported(what, Remedy::LeaveOut));
    }
    if let Some(name) = names.iter().find(|name| !is_literal(name)) {
        let what = format!("takes expressions, and '{name}' has more in it than letters and digits");
        return Err(choice.unsupported(what, Remedy::LeaveOut));
    }
    Ok(names)
}
