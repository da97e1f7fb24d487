//! Diffusion models, whose modules have two sets of names: those of diffusers, and the original ones of the model's authors.
//!
//! kohya's trainers, musubi, ComfyUI and single-file checkpoints keep the original names. They fuse what diffusers has apart, so
//! that one module there may be several of diffusers.

mod ai_toolkit;
mod diffusers;
mod diffusion_pipe;
mod families;
mod family;
mod forms;
mod kohya;
mod lycoris;
mod onetrainer;
mod toml_keys;
mod unet;

pub use ai_toolkit::{AiToolkit, AiToolkitFull};
pub use diffusers::{Diffusers, SimpleTuner};
pub use diffusion_pipe::DiffusionPipe;
pub use family::{Family, Form};
pub use forms::{Encoder, Translated};
pub use kohya::{Musubi, SdScripts};
pub use lycoris::{Lycoris, SimpleTunerLycoris};
pub use onetrainer::{OneTrainer, OneTrainerFull};

use std::collections::HashSet;

use super::choice::Choice;
use super::prepared::Prepared;
use super::profile::Profile;
use super::remedy::Remedy;
use super::targets::{AsLoaded, Naming};
use super::{ExportError, Request, Trainer};
use crate::scan::Scan;

/// The values of most trainers of diffusion models, without the names, forms and keys that each has for itself.
const USUAL: Profile = Profile { takes_diffusion: true, ..Profile::USUAL };

/// What the text encoders of a pipeline are called, with a number from the second on.
const ENCODER: &str = "text_encoder";

/// Last segments of the names of convolutions, in either form.
#[rustfmt::skip]
const CONVOLUTIONS: [&str; 9] = [
    "op", "conv", "conv1", "conv2", "conv_in", "conv_out", "conv_shortcut", "skip_connection", "patch_embedding",
];

/// Ends of other such names.
const CONVOLUTION_ENDS: [&str; 7] =
    ["in_layers.2", "out_layers.3", "input_blocks.0.0", "out.2", "pos_embed.proj", "x_embedder.proj", "img_in.proj"];

/// Whether a module is a convolution by its name. Some trainers pass over those unless they are told not to.
pub fn is_convolution(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    CONVOLUTIONS.contains(&leaf) || CONVOLUTION_ENDS.iter().any(|end| name.ends_with(end))
}

/// The family of a scanned model and the form of its names, if it is a diffusion model that is known.
pub fn family(scan: &Scan) -> Option<(&'static Family, Form)> {
    let around = scan.surroundings.as_ref();
    let scanned = scan.records().iter().map(|record| record.info.name.as_str());
    let others = around.into_iter().flat_map(|around| {
        let modules = around.modules.iter().map(|info| info.name.as_str());
        modules.chain(around.names.iter().map(|name| name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module)))
    });
    Family::of(around, scanned.chain(others))
}

/// Whether a scanned model is a diffusion model whose names are known.
pub fn is_of_diffusion(scan: &Scan) -> bool {
    family(scan).is_some()
}

/// The original module of which only some parts are chosen, if there is one, for a choice in the names of diffusers.
pub fn divided(choice: &Choice<'_>) -> Option<String> {
    let (family, _) = family(choice.selection.scan)?;
    let chosen: HashSet<&str> = choice.trained().map(|place| choice.target(place).name.as_str()).collect();
    let originals = chosen.iter().flat_map(|name| family.translated(name, Form::Original));
    let is_whole =
        |name: &String| family.translated(name, Form::Diffusers).iter().all(|part| chosen.contains(part.as_str()));
    originals.filter(|name| !is_whole(name)).min()
}

/// Whether a component of a pipeline is the model that removes noise; the others encode texts and images.
pub fn is_denoiser(component: &str) -> bool {
    component.starts_with("transformer") || component.starts_with("unet")
}

/// The `component` if it is a text encoder.
pub fn encoder(component: Option<&str>) -> Option<&str> {
    component.filter(|component| component.starts_with(ENCODER))
}

/// Whether a choice is made in a text encoder.
fn is_of_encoder(choice: &Choice<'_>) -> bool {
    encoder(choice.component.as_deref()).is_some()
}

/// The choices within several `components`, that in the denoiser first, for a trainer that takes one denoiser and text encoders.
fn with_encoders<'a>(
    trainer: &dyn Trainer,
    request: &Request<'a>,
    components: &[&str],
) -> Result<Vec<Prepared<'a>>, ExportError> {
    let denoisers: Vec<&str> = components.iter().copied().filter(|component| is_denoiser(component)).collect();
    if let [first, second, ..] = *denoisers {
        return Err(ExportError::Components(first.to_owned(), second.to_owned()));
    }
    let encoders = components.iter().copied().filter(|component| !is_denoiser(component));
    let prepared =
        |component| Prepared::new(trainer, request, Some(component)).map_err(|error| error.within(component));
    denoisers.iter().copied().chain(encoders).map(prepared).collect()
}

/// The names in the form that a `trainer` has for a diffusion model's family. It fails for other models, and where the trainer has
/// no form for the family.
pub fn naming(
    trainer: &Profile,
    scan: &Scan,
    component: Option<&str>,
    form: impl Fn(&Family) -> Option<Form>,
) -> Result<Box<dyn Naming>, ExportError> {
    let unsupported =
        |what: String| ExportError::Unsupported { trainer: trainer.name, what, remedy: Some(Remedy::OtherTrainer) };
    if let Some(other) = component.filter(|component| !is_denoiser(component)) {
        let what = format!("is given the modules of the U-Net or the transformer here, and not those of '{other}'");
        return Err(ExportError::Unsupported { trainer: trainer.name, what, remedy: Some(Remedy::OtherTypes) });
    }
    let Some((family, own)) = family(scan) else {
        let what = "trains diffusion models, and this model is none whose names are known".to_owned();
        return Err(unsupported(what));
    };
    match form(family) {
        None => {
            Err(unsupported(format!("cannot be told which modules of a model like this one ({}) to train", family.key)))
        }
        Some(form) if form == own => Ok(Box::new(AsLoaded)),
        Some(to) => Ok(Box::new(Translated { family, to })),
    }
}

/// The names of what is trained, all of which are within the trainer's blocks and need no escapes.
pub fn within_blocks(choice: &Choice<'_>, blocks: &[&str]) -> Result<Vec<String>, ExportError> {
    let names = choice.literal_names()?;
    match names.iter().find(|name| !blocks.iter().any(|block| name.starts_with(block))) {
        Some(name) => {
            let what = format!("trains only what is within the model's blocks, and '{name}' is not");
            Err(choice.unsupported(what, Remedy::LeaveOut))
        }
        None => Ok(names),
    }
}
