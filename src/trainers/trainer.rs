//! A trainer: how its configuration is written.

use std::fmt;

use super::Request;
use super::choice::Choice;
use super::document::{Document, Export, Format};
use super::error::ExportError;
use super::profile::Profile;
use super::targets::{AsLoaded, Naming};
use crate::output::in_file_name;
use crate::scan::Scan;

/// A program that fine-tunes models, and its configuration. An implementation is one file and one line in [`super::ALL`].
pub trait Trainer: fmt::Debug + Sync {
    fn profile(&self) -> &'static Profile;

    /// The names by which it knows the modules of a `scan`, or of one `component` of it. It fails if it does not know the model.
    fn naming(&self, _scan: &Scan, _component: Option<&str>) -> Result<Box<dyn Naming>, ExportError> {
        Ok(Box::new(AsLoaded))
    }

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

    /// Whether it scales what adapters add by an alpha of its own; otherwise it takes the rank for it.
    fn takes_alpha(&self, _scan: &Scan) -> bool {
        true
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
