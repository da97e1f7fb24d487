//! What a person can do about what the library cannot do, in the words of the command line.

use anyhow::{Error, anyhow};
use laser_scan::modules::UnreadableError;
use laser_scan::output::{OutputError, is_deceptive};
use laser_scan::scan::Outputs;
use laser_scan::select::SelectError;
use laser_scan::trainers::quoted;

/// An error of the library, for which there may be a way out.
pub trait WayOut {
    /// The error, with the options that help.
    fn with_way_out(self) -> Error;
}

/// Why nothing can be chosen, in the words of the options.
impl WayOut for SelectError {
    fn with_way_out(self) -> Error {
        match self {
            Self::Pattern(_) => self.into(),
            Self::NoType { .. } => anyhow!("--types {self}"),
            Self::NoLayer { .. } | Self::Layerless(_) => anyhow!("--layers {self}"),
            Self::NotInLayers(layers) => anyhow!("--layers {layers} has no module of the types that --types names"),
            Self::NoShape(name) => anyhow!(
                "--budget needs the shape of every module, and that of '{name}' is not known: give the model with --model"
            ),
            Self::TooSmall { budget, name, cost } => {
                anyhow!("nothing fits into --budget {budget}: the smallest module, '{name}', takes {cost} parameters")
            }
        }
    }
}

/// How to go on without the modules that cannot be read. The names are others' and the line is for a person to paste: it
/// names nothing that would become an option, or that has characters that cannot be seen.
impl WayOut for UnreadableError {
    fn with_way_out(self) -> Error {
        let is_harmless = |pattern: &String| !pattern.starts_with('-') && !pattern.contains(is_deceptive);
        let patterns = Some(&self.patterns).filter(|patterns| !patterns.is_empty() && patterns.iter().all(is_harmless));
        let options = match patterns {
            Some(patterns) => patterns.iter().map(|pattern| format!(" --exclude {}", quoted(pattern))).collect(),
            None => " --exclude".to_owned(),
        };
        anyhow!("{self}; or leave them out with{options}")
    }
}

impl WayOut for OutputError {
    fn with_way_out(self) -> Error {
        match self {
            error if error.is_taken() => anyhow!("{error}: choose another place, or have it replaced by --overwrite"),
            error => error.into(),
        }
    }
}

/// Why the results could not be written, and where they are nevertheless; the line `again` writes them.
pub fn unwritten(error: OutputError, outputs: &Outputs, again: &str) -> Error {
    if !outputs.journal.exists() {
        return error.into();
    }
    let journal = outputs.journal.display();
    anyhow!(
        "{error}; nothing is lost: all that is measured is in '{journal}', so that {again} writes it without measuring anew"
    )
}
