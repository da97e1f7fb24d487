//! LyCORIS: the preset, a TOML file, of kohya's sd-scripts, the kohya_ss GUI and musubi-tuner, and the JSON of SimpleTuner. See its
//! `lycoris/kohya.py` and `lycoris/wrapper.py`.
//!
//! A preset without a list of classes wraps everything, so that the lists are there and empty. LoRA, LoKr and whole weights
//! (`algo=full`) take the same preset.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::json;

use super::toml_keys;
use super::{Encoder, Form};
use crate::output;
use crate::scan::Scan;
use crate::trainers::choice::Choice;
use crate::trainers::lora::Lora;
use crate::trainers::profile::Profile;
use crate::trainers::remedy::Remedy;
use crate::trainers::resolve::Rule;
use crate::trainers::targets::{Naming, Target, Targets};
use crate::trainers::{Export, ExportError, Format, Request, Trainer};

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
    text_encoder_target_name: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    name_algo_map: BTreeMap<String, Own>,
}

/// What a module has for itself.
#[derive(PartialEq, Serialize)]
struct Own {
    dim: u64,
    alpha: f64,
}

impl Preset {
    /// The preset for these choices, of which the first has the usual rank and alpha.
    fn new(choices: &[&Choice<'_>]) -> Result<Self, ExportError> {
        let mut preset = Self {
            enable_conv: false,
            use_fnmatch: true,
            unet_target_module: [],
            unet_target_name: Vec::new(),
            text_encoder_target_module: [],
            text_encoder_target_name: Vec::new(),
            name_algo_map: BTreeMap::new(),
        };
        let mut all: BTreeMap<String, Own> = BTreeMap::new();
        for choice in choices {
            let names = names(choice)?;
            preset.enable_conv |= names.iter().any(|name| super::is_convolution(name));
            for (name, own) in ranks(choice) {
                if all.get(&name).is_some_and(|other| *other != own) {
                    let what = format!(
                        "has one rank for each name, and '{name}' would have several, one in each text encoder"
                    );
                    return Err(choice.unsupported(what, Remedy::GiveRank));
                }
                all.insert(name, own);
            }
            if super::is_of_encoder(choice) {
                check_other_encoders(choice, &names)?;
                let known = &mut preset.text_encoder_target_name;
                known.extend(names.into_iter().filter(|name| !known.contains(name)).collect::<Vec<_>>());
            } else {
                preset.unet_target_name = names;
            }
        }
        preset.name_algo_map = own(all, &choices[0].lora);
        Ok(preset)
    }
}

impl Trainer for Lycoris {
    fn profile(&self) -> &'static Profile {
        &Profile { key: "lycoris", name: "LyCORIS", formats: &[Format::Toml], has_rank_pattern: true, ..super::USUAL }
    }

    /// sd-scripts has diffusers' names for Stable Diffusion 1.5 and 2, and musubi-tuner for Z-Image; both have original ones for all
    /// others.
    fn naming(&self, scan: &Scan, component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        let trains_encoders =
            || super::family(scan).is_some_and(|(family, _)| ["sd", "sdxl", "sd3", "flux"].contains(&family.key));
        if let Some(encoder) = super::encoder(component).filter(|_| trains_encoders()) {
            return Ok(Box::new(Encoder { component: encoder.to_owned() }));
        }
        super::naming(self.profile(), scan, component, |family| {
            Some(if matches!(family.key, "sd" | "z-image") { Form::Diffusers } else { Form::Original })
        })
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        toml_keys::are_all(bytes, &KEYS)
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        self.preset(&[choice])
    }

    /// One preset has the modules of the denoiser and those of all text encoders.
    fn export_components(&self, request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
        let all = super::with_encoders(self, request, components)?;
        let choices: Vec<&Choice<'_>> = all.iter().map(|prepared| &prepared.choice).collect();
        let mut export = self.preset(&choices)?;
        let usage = std::mem::take(&mut export.notes);
        all.into_iter().for_each(|prepared| prepared.tell(&mut export, Vec::new()));
        export.notes.extend(usage);
        Ok(export)
    }
}

impl Lycoris {
    fn preset(&self, choices: &[&Choice<'_>]) -> Result<Export, ExportError> {
        // Texts, numbers and flags under keys that are texts have a form in TOML.
        let text = toml::to_string(&Preset::new(choices)?).expect("plain data has a TOML form");
        let document = self.document(choices[0], Format::Toml, text);
        let lora = &choices[0].lora;
        let line = format!(
            "train with --network_module lycoris.kohya --network_dim {} --network_alpha {} --network_args \"preset=FILE.toml\" \"algo=lora\"",
            lora.rank, lora.alpha
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
        let own = own(ranks(choice), &choice.lora);
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

/// The rank and the alpha of each module.
fn ranks(choice: &Choice<'_>) -> BTreeMap<String, Own> {
    let lora = &choice.lora;
    let of = |place: usize| {
        let rank = lora.lower.get(&place).copied().unwrap_or(lora.rank);
        (choice.target(place).name.clone(), Own { dim: rank, alpha: lora.alpha_at(rank) })
    };
    choice.trained().map(of).collect()
}

/// The modules with a rank or an alpha other than the `usual` ones. A convolution has none without its own.
fn own(mut ranks: BTreeMap<String, Own>, usual: &Lora) -> BTreeMap<String, Own> {
    let usual = Own { dim: usual.rank, alpha: usual.alpha };
    ranks.retain(|name, own| *own != usual || super::is_convolution(name));
    ranks
}

/// Makes sure that the chosen `names` of a text encoder hit nothing in another one, as all are given the same list.
fn check_other_encoders(choice: &Choice<'_>, names: &[String]) -> Result<(), ExportError> {
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let (scan, Some(around)) = (choice.selection.scan, choice.around) else { return Ok(()) };
    let chosen: HashSet<usize> = choice.selection.chosen().flat_map(|module| module.members()).copied().collect();
    let is_other = |other: &&String| super::encoder(Some(other)).is_some() && choice.component.as_ref() != Some(*other);
    for other in around.components.iter().filter(is_other) {
        let targets = Targets::new(scan, Some(other), &Encoder { component: other.clone() }).all;
        let is_missed = |target: &&Target| {
            names.contains(target.name.as_str()) && !target.members.iter().all(|place| chosen.contains(place))
        };
        if let Some(target) = targets.iter().find(is_missed) {
            let what = format!(
                "gives one list to all text encoders, and would train '{}' of '{other}' too, which is not chosen: choose the same \
                 of both, or of none",
                target.name
            );
            return Err(choice.unsupported(what, None));
        }
    }
    Ok(())
}
