//! What a trainer is: what is fixed about it, and how its configuration is written.

use std::fmt;

use super::Request;
use super::choice::Choice;
use super::document::{Document, Export, Format};
use super::error::ExportError;
use crate::output::in_file_name;
use crate::select::Counted;

/// A program that fine-tunes models, and its configuration. An implementation is one file and one line in [`super::ALL`].
pub trait Trainer: fmt::Debug + Sync {
    fn profile(&self) -> &'static Profile;

    /// The configuration for a choice within one model. It fails if the trainer cannot train exactly what is chosen.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError>;

    /// The configuration for a choice within several `components` of a pipeline, which are models of their own. Most
    /// trainers take one model and refuse.
    fn export_components(&self, _request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
        Err(ExportError::Components(components[0].to_owned(), components[1].to_owned()))
    }

    /// The name of the file for a configuration of the model called `model`, in a folder if the trainer looks for it there.
    fn file(&self, model: &str, format: Format) -> String {
        let model = in_file_name(model.rsplit('/').next().unwrap_or(model));
        format!("laser_scan_{model}_{}.{}", self.profile().key, format.ending())
    }

    /// Whether these bytes are a file that an export for this trainer wrote, where its keys do not show that.
    fn is_own_file(&self, _bytes: &[u8]) -> bool {
        false
    }

    /// The places of all targets that the trainer trains when it is given the choice.
    fn trains(&self, choice: &Choice<'_>) -> Vec<usize> {
        choice.trained().collect()
    }

    fn document(&self, choice: &Choice<'_>, format: Format, text: String) -> Document {
        Document { file: self.file(choice.model(), format), format, text }
    }
}

/// What is fixed about a trainer.
#[derive(Debug)]
pub struct Profile {
    /// Its name on the command line and in file names.
    pub key: &'static str,
    /// Its name in messages.
    pub name: &'static str,
    /// The forms of its configuration, the default first.
    pub formats: &'static [Format],
    /// All keys that its configuration can have. A file with other keys is one that a person keeps, and is not replaced.
    pub keys: &'static [&'static str],
    /// Whether it trains LoRA adapters; otherwise it trains the weights themselves.
    pub has_adapters: bool,
    /// Whether modules can have different ranks.
    pub has_rank_pattern: bool,
    /// Whether it can train the head along with the chosen modules.
    pub takes_head: bool,
    /// Why it trains more parameters than a budget allows, if it does.
    pub exceeds_budgets: Option<&'static str>,
    /// What matters in the YAML configurations that people write for it, if they do.
    pub user_config: Option<UserConfig>,
}

impl Profile {
    /// The values of most trainers, without the names, forms and keys that each has for itself.
    pub(super) const USUAL: Self = Self {
        key: "",
        name: "",
        formats: &[],
        keys: &[],
        has_adapters: true,
        has_rank_pattern: false,
        takes_head: true,
        exceeds_budgets: None,
        user_config: None,
    };

    /// What the trainer trains of a module, where adapters have this rank.
    pub fn counted(&self, rank: u64) -> Counted {
        if self.has_adapters { Counted::Lora { rank } } else { Counted::Weights }
    }
}

/// What matters in a YAML configuration that a person wrote for a trainer, beside the keys that an export sets.
#[derive(Debug)]
pub struct UserConfig {
    pub adapter: Option<AdapterKeys>,
    /// Keys that change what is trained: a warning names those that are set.
    pub conflicts: &'static [&'static str],
    /// Keys, each with a word, that change what is trained if their value contains the word: a warning names those too.
    pub naming: &'static [(&'static str, &'static str)],
    /// A key that such a configuration must have, and why.
    pub needs: Option<(&'static str, &'static str)>,
    /// Keys by which the configuration of another trainer is recognised.
    pub foreign: &'static [&'static str],
}

/// The keys that set an adapter's rank and alpha.
#[derive(Clone, Copy, Debug)]
pub struct AdapterKeys {
    pub rank: &'static str,
    pub alpha: &'static str,
}
