//! LyCORIS: the preset, a TOML file, of kohya's sd-scripts, the kohya_ss GUI and musubi-tuner, and the JSON of SimpleTuner. See its
//! `lycoris/kohya.py` and `lycoris/wrapper.py`.
//!
//! A preset without a list of classes wraps everything, so that the lists are there and empty. LoRA, LoKr and whole weights
//! (`algo=full`) take the same preset.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::Form;
use super::toml_keys;
use crate::output;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::profile::Profile;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::Naming;
use crate::trainers::{Export, ExportError, Format, Trainer};

const KEYS: [&str; 7] = [
    "enable_conv",
    "use_fnmatch",
    "unet_target_module",
    "unet_target_name",
    "text_encoder_target_module",
    "text_encoder_target_name",
    "name_algo_map",
];

/// In kohya's trainers, with the names of their own model classes.
#[derive(Debug)]
pub struct Lycoris;

/// In SimpleTuner, with the names of diffusers.
#[derive(Debug)]
pub struct SimpleTunerLycoris;

/// A preset, in the order of its keys.
#[derive(Serialize)]
struct Preset {
    enable_conv: bool,
    use_fnmatch: bool,
    unet_target_module: [String; 0],
    unet_target_name: Vec<String>,
    text_encoder_target_module: [String; 0],
    text_encoder_target_name: [String; 0],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    name_algo_map: BTreeMap<String, Own>,
}

/// What a module has for itself.
#[derive(Serialize)]
struct Own {
    dim: u64,
    alpha: f64,
}

impl Trainer for Lycoris {
    fn profile(&self) -> &'static Profile {
        &Profile { key: "lycoris", name: "LyCORIS", formats: &[Format::Toml], has_rank_pattern: true, ..super::USUAL }
    }

    /// sd-scripts has diffusers' names for Stable Diffusion 1.5 and 2, and musubi-tuner for Z-Image; both have original ones for all
    /// others.
    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |family| {
            Some(if matches!(family.key, "sd" | "z-image") { Form::Diffusers } else { Form::Original })
        })
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        toml_keys::are_all(bytes, &KEYS)
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = names(choice)?;
        let own = own(choice, &names);
        let preset = Preset {
            enable_conv: names.iter().any(|name| super::is_convolution(name)),
            use_fnmatch: true,
            unet_target_module: [],
            unet_target_name: names,
            text_encoder_target_module: [],
            text_encoder_target_name: [],
            name_algo_map: own,
        };
        // Texts, numbers and flags under keys that are texts have a form in TOML.
        let text = toml::to_string(&preset).expect("plain data has a TOML form");
        let document = self.document(choice, Format::Toml, text);
        let line = format!(
            "train with --network_module lycoris.kohya --network_dim {} --network_alpha {} --network_args \"preset=FILE.toml\" \"algo=lora\"",
            choice.lora.rank, choice.lora.alpha
        );
        Ok(Export { documents: vec![document], notes: vec![line.into()], ..Export::default() })
    }
}

impl Trainer for SimpleTunerLycoris {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "simpletuner-lycoris",
            name: "LyCORIS in SimpleTuner",
            formats: &[Format::Json],
            keys: &["algo", "multiplier", "linear_dim", "linear_alpha", "apply_preset"],
            has_rank_pattern: true,
            ..super::USUAL
        }
    }

    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        super::naming(self.profile(), scan, component, |_| Some(Form::Diffusers))
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = names(choice)?;
        let own = own(choice, &names);
        let config = json!({
            "algo": "lora",
            "multiplier": 1.0,
            "linear_dim": choice.lora.rank,
            "linear_alpha": choice.lora.alpha_in_json(),
            "apply_preset": {
                "enable_conv": names.iter().any(|name| super::is_convolution(name)),
                "target_module": [],
                "use_fnmatch": true,
                "target_name": names,
                "name_algo_map": own,
            },
        });
        let document = self.document(choice, Format::Json, output::python_json_text(&config));
        let line = r#"in SimpleTuner's config.json: "lora_type": "lycoris", "lycoris_config": "FILE.json""#.to_owned();
        Ok(Export { documents: vec![document], notes: vec![line.into()], ..Export::default() })
    }
}

/// The whole names of what is trained, none of which a pattern would take for more.
fn names(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
    let names = choice.literal_names()?;
    choice.check(Rule::ModuleName, &names, &choice.wanted())?;
    Ok(names)
}

/// The modules with a rank of their own. A convolution has none without it.
fn own(choice: &Choice<'_>, names: &[String]) -> BTreeMap<String, Own> {
    let of = |name: &String, rank: u64| (name.clone(), Own { dim: rank, alpha: choice.lora.alpha_at(rank) });
    let lower = choice.lora.lower.iter().map(|(place, rank)| of(&choice.target(*place).name, *rank));
    let convolutions = names.iter().filter(|name| super::is_convolution(name)).map(|name| of(name, choice.lora.rank));
    convolutions.chain(lower).collect()
}
