//! What a person can do about errors of the library, in terms of the command line's options.

use anyhow::{Error, anyhow};
use laser_scan::modules::UnreadableError;
use laser_scan::output::{OutputError, is_deceptive};
use laser_scan::scan::Outputs;
use laser_scan::select::SelectError;
use laser_scan::trainers::quoted;

/// An error of the library for which options may help.
pub trait Advise {
    fn with_advice(self) -> Error;
}

impl Advise for SelectError {
    fn with_advice(self) -> Error {
        match self {
            Self::Pattern(_) => self.into(),
            Self::NoType { .. } => anyhow!("--types {self}"),
            Self::NoLayer { .. } | Self::Layerless(_) => anyhow!("--layers {self}"),
            Self::TypeNotInLayers(layers, pattern) => {
                anyhow!("--layers {layers} has no module of the types that --types '{pattern}' names")
            }
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

/// How to go on without the modules that cannot be read. A person may paste the options, and their names come from files that
/// others wrote: names that would become options or have invisible characters are not shown.
impl Advise for UnreadableError {
    fn with_advice(self) -> Error {
        let is_harmless = |pattern: &String| !pattern.starts_with('-') && !pattern.contains(is_deceptive);
        let patterns = Some(&self.patterns).filter(|patterns| !patterns.is_empty() && patterns.iter().all(is_harmless));
        let options = match patterns {
            Some(patterns) => patterns.iter().map(|pattern| format!(" --exclude {}", quoted(pattern))).collect(),
            None => " --exclude".to_owned(),
        };
        anyhow!("{self}; or leave them out with{options}")
    }
}

impl Advise for OutputError {
    fn with_advice(self) -> Error {
        match self {
            error if error.is_taken() => anyhow!("{error}: choose another place, or have it replaced by --overwrite"),
            error => error.into(),
        }
    }
}

/// Why the results could not be written, and how to write them from the journal.
pub fn unwritten(error: OutputError, outputs: &Outputs, resume_with: Option<&str>) -> Error {
    let Some(resume_with) = resume_with.filter(|_| outputs.journal.exists()) else { return error.into() };
    let journal = outputs.journal.display();
    anyhow!(
        "{error}; nothing is lost: all that is measured is in '{journal}', so that {resume_with} writes it without measuring anew"
    )
}
