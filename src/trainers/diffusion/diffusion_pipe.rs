//! tdrussell's diffusion-pipe: the section of the adapter in its TOML configuration. See its `models/base.py`.

use super::{Form, toml_keys};
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::expression::exactly;
use crate::trainers::profile::Profile;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::{Export, ExportError, Format, Trainer};

/// The classes of blocks within which it trains, by the beginnings of their names.
const BLOCKS: [&str; 8] = [
    "transformer_blocks.",
    "single_transformer_blocks.",
    "blocks.",
    "double_blocks.",
    "single_blocks.",
    "layers.",
    "noise_refiner.",
    "context_refiner.",
];

#[derive(Debug)]
pub struct DiffusionPipe;

impl Trainer for DiffusionPipe {
    fn profile(&self) -> &'static Profile {
        &Profile { key: "diffusion-pipe", name: "diffusion-pipe", formats: &[Format::Toml], ..super::USUAL }
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
        toml_keys::are_of_section(bytes, "adapter", &["type", "rank", "exclude_modules"])
    }

    /// What is excluded is what is not chosen: an expression that PEFT matches with whole names.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = super::within_blocks(choice, &BLOCKS)?;
        choice.check(Rule::ModuleName, &names, &choice.wanted())?;
        let mut adapter = toml::Table::new();
        adapter.insert("type".into(), toml::Value::String("lora".into()));
        adapter.insert("rank".into(), toml::Value::Integer(choice.lora.rank as i64));
        adapter.insert("exclude_modules".into(), toml::Value::String(format!("(?!{}).*", exactly(&names))));
        let mut table = toml::Table::new();
        table.insert("adapter".into(), toml::Value::Table(adapter));
        let note =
            "versions of diffusion-pipe before 9 August 2026 ignore exclude_modules and train everything".to_owned();
        let documents = vec![self.document(choice, Format::Toml, table.to_string())];
        Ok(Export { documents, notes: vec![note.into()], ..Export::default() })
    }
}
