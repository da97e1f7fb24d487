//! Axolotl without adapters: the training of the weights themselves. (`utils/freeze.py`)

use super::axolotl::{FOREIGN, NAMING};
use super::choice::Choice;
use super::resolve::{Rule, is_literal};
use super::trainer::UserConfig;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer};
use crate::select::Counted;

/// What trains something else than single weights, or other weights in turn.
const CONFLICTS: [&str; 6] = [
    "adapter",
    "freeze_mm_modules",
    "lisa_n_layers",
    "lisa_step_interval",
    "spectrum_top_fraction",
    "spectrum_model_name",
];

/// Axolotl without adapters.
#[derive(Debug)]
pub struct AxolotlFull;

impl Trainer for AxolotlFull {
    fn key(&self) -> &'static str {
        "axolotl-full"
    }

    fn name(&self) -> &'static str {
        "Axolotl"
    }

    fn formats(&self) -> &'static [Format] {
        &[Format::Yaml]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["unfrozen_parameters"]
    }

    fn counted(&self, _rank: u64) -> Counted {
        Counted::Weights
    }

    fn user_config(&self) -> Option<&'static UserConfig> {
        Some(&UserConfig { adapter: None, conflicts: &CONFLICTS, naming: NAMING, needs: None, foreign: FOREIGN })
    }

    /// The key for training the weights themselves. Patterns are anchored at both ends. Axolotl itself puts a backslash before
    /// each dot, so that one more would make it a backslash and any character.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names: Vec<String> = choice.trained().map(|place| choice.target(place).parameter()).collect();
        if let Some(name) = names.iter().find(|name| !is_literal(name)) {
            let what = format!("takes expressions, and '{name}' cannot be written as one");
            return Err(choice.unsupported(what, None));
        }
        let patterns: Vec<String> = names.iter().map(|name| format!("^{name}$")).collect();
        choice.check(Rule::ParameterMatch, &patterns, &choice.wanted())?;
        let settings = vec![("unfrozen_parameters", Value::List(patterns))];
        let documents = vec![self.document(choice, Format::Yaml, yaml::document(&settings))];
        Ok(Export { documents, settings, ..Export::default() })
    }
}
