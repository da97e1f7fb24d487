//! diffusers: `LoraConfig` for a component's `add_adapter`, and the list that its example scripts take. Also SimpleTuner's list, which
//! goes to the same place.
//!
//! The names are those within the component: one that begins with the component's own name finds nothing.

use serde_json::{Map, Value, json};

use super::Form;
use crate::output;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::peft;
use crate::trainers::prepared::Prepared;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::targets::{AsLoaded, Naming};
use crate::trainers::yaml;
use crate::trainers::{Export, ExportError, Format, Request, Trainer, args};

/// How the configurations of several components are used.
const APPLIED: &str =
    "for name, config in json.load(file).items(): getattr(pipeline, name).add_adapter(LoraConfig(**config))";

#[derive(Debug)]
pub struct Diffusers;

#[derive(Debug)]
pub struct SimpleTuner;

impl Trainer for Diffusers {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "diffusers",
            name: "diffusers",
            formats: &[Format::Json, Format::Args],
            keys: &["rank", "lora_layers", "lora_alpha"],
            has_rank_pattern: true,
            rslora: Some("use_rslora"),
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        // Text encoders take adapters in the same way.
        match component {
            Some(component) if !super::is_denoiser(component) => Ok(Box::new(AsLoaded)),
            _ => super::naming(self.profile(), scan, component, |_| Some(Form::Diffusers)),
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let (config, notes) = peft::config(choice)?;
        let mut documents = vec![self.document(choice, Format::Json, output::python_json_text(&config))];
        // The scripts take a list and one rank.
        let list =
            peft::Names::modules_only(choice).ok().filter(|_| choice.lora.lower.is_empty() && !choice.lora.rslora);
        let mut absent = Vec::new();
        if let Some(names) = list.filter(|names| !names.iter().any(|name| name.contains(','))) {
            let settings = [
                ("rank", yaml::Value::Number(choice.lora.rank)),
                ("lora_alpha", yaml::Value::Decimal(choice.lora.alpha)),
                ("lora_layers", yaml::Value::Text(names.join(","))),
            ];
            documents.push(self.document(choice, Format::Args, args::line(choice.trainer, &settings)?));
        } else {
            let why =
                "diffusers' scripts take a list of names and one rank, and this choice cannot be said so".to_owned();
            absent.push((Format::Args, why));
        }
        Ok(Export { documents, absent, notes, ..Export::default() })
    }

    /// The configurations of all components as one object, each under the component's name.
    fn export_components(&self, request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
        let mut configs = Map::new();
        let mut export = Export::default();
        for component in components {
            let within = |error: ExportError| error.within(component);
            let prepared = Prepared::new(self, request, Some(component)).map_err(within)?;
            let (config, notes) = peft::config(&prepared.choice).map_err(within)?;
            export.documents = vec![self.document(&prepared.choice, Format::Json, String::new())];
            configs.insert((*component).to_owned(), Value::Object(config));
            prepared.tell(&mut export, notes);
        }
        export.documents.iter_mut().for_each(|document| document.text = output::python_json_text(&configs));
        export.absent.push((Format::Args, "diffusers' scripts take the modules of one component".to_owned()));
        export.notes.push(APPLIED.to_owned().into());
        Ok(export)
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        let is_config = |value: &Value| {
            value.as_object().is_some_and(|config| config.keys().all(|key| peft::KEYS.contains(&&**key)))
        };
        let components = serde_json::from_slice::<Map<String, Value>>(bytes);
        components.is_ok_and(|components| !components.is_empty() && components.values().all(is_config))
    }
}

impl Trainer for SimpleTuner {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "simpletuner",
            name: "SimpleTuner",
            formats: &[Format::Json],
            keys: &["model_type", "lora_type", "lora_rank", "lora_alpha", "peft_lora_target_modules"],
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |_| Some(Form::Diffusers))
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = peft::Names::modules_only(choice)?;
        if names.is_empty() {
            return Err(choice.unsupported("takes all modules for an empty list", Remedy::AddModule));
        }
        let config = json!({
            "model_type": "lora",
            // For LyCORIS the list is ignored.
            "lora_type": "standard",
            "lora_rank": choice.lora.rank,
            "lora_alpha": choice.lora.alpha_in_json(),
            "peft_lora_target_modules": names,
        });
        let documents = vec![self.document(choice, Format::Json, output::python_json_text(&config))];
        Ok(Export { documents, ..Export::default() })
    }
}
