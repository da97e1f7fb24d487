//! The choice -> a trainer's configuration.
//!
//! Each trainer's file says how the choice is written for it. What they share: which targets in memory are chosen
//! (`choice.rs`, `targets.rs`), the rank (`lora.rs`), the proof that the names hit what was chosen and nothing else
//! (`resolve.rs`), and the forms of a configuration (`yaml.rs`, `args.rs`; `edit` changes one that there is).

mod args;
mod axolotl;
mod choice;
mod error;
mod foresee;
mod llama_factory;
mod lora;
mod ms_swift;
mod peft;
mod recognize;
mod resolve;
mod spectrum;
mod targets;
mod trainer;
mod unsloth;
pub mod yaml;

pub use args::quoted;
use choice::Choice;
pub use error::ExportError;
pub use foresee::foresee;
pub use lora::{Adapter, Alpha, Rank};
pub use recognize::is_export;
pub use trainer::{Format, Trainer};
use yaml::Value;

use crate::select::Selection;

/// What is to be exported.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is chosen of the scan.
    pub selection: &'a Selection<'a>,
    /// What adapter is trained.
    pub adapter: Adapter,
}

/// A trainer's configuration.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The configuration in its forms, the main one first.
    pub documents: Vec<Document>,
    /// The keys of a YAML configuration, to be set in one that there is.
    pub settings: Vec<(&'static str, Value)>,
    /// Keys that must not stay in such a configuration if they are in it, with what they are set to.
    pub resets: Vec<(&'static str, Value)>,
    /// Keys that change what is trained, of which a person should know if they are set.
    pub conflicts: &'static [&'static str],
    /// Keys that change what is trained if they name one of these, of which a person should know too.
    pub naming: &'static [(&'static str, &'static str)],
    /// A key that such a configuration has to have, and why.
    pub needs: Option<(&'static str, &'static str)>,
    /// Keys of another trainer's configuration, for which it could be taken.
    pub foreign: &'static [&'static str],
    /// What a person should know.
    pub notes: Vec<String>,
    /// What a person must know.
    pub warnings: Vec<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it belongs: its name, in a folder if the trainer looks for it there.
    pub file: String,
    /// Its form.
    pub format: Format,
    /// What is in it, with a line's end.
    pub text: String,
}

/// Writes the choice for `trainer`.
///
/// # Errors
///
/// Fails if the trainer cannot train exactly what is chosen.
pub fn export(trainer: Trainer, request: &Request<'_>) -> Result<Export, ExportError> {
    let choice = Choice::new(trainer, request)?;
    let mut export = match trainer {
        Trainer::Axolotl => axolotl::adapter(&choice),
        Trainer::AxolotlFull => axolotl::full(&choice),
        Trainer::LlamaFactory => llama_factory::export(&choice),
        Trainer::Peft => peft::export(&choice),
        Trainer::MsSwift => ms_swift::export(&choice),
        Trainer::Unsloth => unsloth::export(&choice),
        Trainer::Spectrum => spectrum::export(&choice),
    }?;
    export.notes.splice(0..0, choice.notes());
    export.warnings.extend(choice.warnings());
    Ok(export)
}
