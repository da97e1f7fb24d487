//! Axolotl without adapters: it trains the weights themselves, and freezes the others in its `utils/freeze.py`.

use super::axolotl::{FOREIGN, NAMING};
use super::choice::Choice;
use super::profile::{Profile, UserConfig};
use super::resolve::{Rule, is_literal};
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer};

/// Keys that train something other than single weights, or different weights in turn.
const CONFLICTS: [&str; 6] = [
    "adapter",
    "freeze_mm_modules",
    "lisa_n_layers",
    "lisa_step_interval",
    "spectrum_top_fraction",
    "spectrum_model_name",
];

#[derive(Debug)]
pub struct AxolotlFull;

impl Trainer for AxolotlFull {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "axolotl-full",
            name: "Axolotl",
            formats: &[Format::Yaml],
            keys: &["unfrozen_parameters"],
            has_adapters: false,
            user_config: Some(UserConfig {
                adapter: None,
                conflicts: &CONFLICTS,
                naming: NAMING,
                needs: None,
                foreign: FOREIGN,
            }),
            ..Profile::USUAL
        }
    }

    /// Patterns are anchored at both ends. Their dots are not escaped, because Axolotl itself puts a backslash before each.
    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = choice.parameters();
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
