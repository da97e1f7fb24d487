//! What a trainer is: what it is called, what it trains, and how it is told what to train.

use std::fmt;

use super::Request;
use super::choice::Choice;
use super::document::{Document, Export, Format};
use super::error::ExportError;
use crate::output::in_file_name;
use crate::select::Counted;

/// Who is to train.
pub trait Trainer: fmt::Debug + Sync {
    /// What it is called on a command line and in names of files.
    fn key(&self) -> &'static str;

    /// What people call it.
    fn name(&self) -> &'static str;

    /// The forms of its configuration, the main one first.
    fn formats(&self) -> &'static [Format];

    /// All keys that its configuration can have. A file with other keys is one that a person keeps, and is not replaced.
    fn keys(&self) -> &'static [&'static str];

    /// Its configuration for a choice within one model.
    ///
    /// # Errors
    ///
    /// Fails if it cannot train exactly what is chosen.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError>;

    /// Its configuration for a choice within several `components` of a pipeline, which are models of their own. Most trainers
    /// take one model, and say so.
    ///
    /// # Errors
    ///
    /// Fails if it takes one model, or cannot train exactly what is chosen.
    fn export_components(&self, _request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
        Err(ExportError::Components(components[0].to_owned(), components[1].to_owned()))
    }

    /// Where its configuration for the model called `model` belongs in one of its forms: a file's name, in a folder if the trainer
    /// looks for it there.
    fn file(&self, model: &str, format: Format) -> String {
        let model = in_file_name(model.rsplit('/').next().unwrap_or(model));
        format!("laser_scan_{model}_{}.{}", self.key(), format.ending())
    }

    /// Whether a file with these bytes is one of its own that is not told by its keys.
    fn is_own_file(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// What it trains of a module, where adapters have this rank.
    fn counted(&self, rank: u64) -> Counted {
        Counted::Lora { rank }
    }

    /// Whether modules can have ranks of their own.
    fn has_rank_pattern(&self) -> bool {
        false
    }

    /// Whether the head can be trained with what is chosen.
    fn takes_head(&self) -> bool {
        true
    }

    /// The places of all targets that it trains when it is given the choice.
    fn trains(&self, choice: &Choice<'_>) -> Vec<usize> {
        choice.trained().collect()
    }

    /// Why a choice that keeps a budget does not make the training keep it, if that is so.
    fn exceeds_budgets(&self) -> Option<&'static str> {
        None
    }

    /// What is in the YAML configurations that people write for it, if they do.
    fn user_config(&self) -> Option<&'static UserConfig> {
        None
    }

    /// The configuration of a choice in one form.
    fn document(&self, choice: &Choice<'_>, format: Format, text: String) -> Document {
        Document { file: self.file(choice.model(), format), format, text }
    }
}

/// What matters in a YAML configuration that a person wrote for a trainer, beside the keys that an export sets.
#[derive(Debug)]
pub struct UserConfig {
    /// The keys of the adapter, if one is trained.
    pub adapter: Option<AdapterKeys>,
    /// Keys that change what is trained, of which a person should know if they are set.
    pub conflicts: &'static [&'static str],
    /// Keys that change what is trained if they name one of these, of which a person should know too.
    pub naming: &'static [(&'static str, &'static str)],
    /// A key that such a configuration has to have, and why.
    pub needs: Option<(&'static str, &'static str)>,
    /// Keys of another trainer's configuration, for which it could be taken.
    pub foreign: &'static [&'static str],
}

/// Keys by which a configuration says what adapter is trained.
#[derive(Clone, Copy, Debug)]
pub struct AdapterKeys {
    /// The key of the rank.
    pub rank: &'static str,
    /// The key of alpha.
    pub alpha: &'static str,
}
