//! Why a configuration cannot be read or edited.

use std::io;
use std::path::PathBuf;
use std::string::FromUtf8Error;

use crate::output::OutputError;
use crate::trainers::Remedy;

/// Why the text of a configuration cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Lines and columns count from 1.
    #[error("the file is not YAML: line {line}, column {column}: {reason}")]
    NotYaml { line: usize, column: usize, reason: String },
    #[error("the file holds several YAML documents: a trainer's configuration is one")]
    SeveralDocuments,
    #[error("the file is not a YAML mapping with a key on each line, so that no key can be set in it")]
    NotMapping,
    #[error("the file sets '{0}' twice: remove one of the two")]
    Repeated(String),
    /// Something else in the file may depend on the value.
    #[error("the value of '{0}' has an anchor, an alias or a tag, and is not replaced: write it out first")]
    Marked(String),
    /// An edit might change more than the keys.
    #[error("the file is written in a way that laser-scan cannot edit: set its keys by hand")]
    Unsafe,
}

/// Why a configuration in a file cannot be read or edited. The path is the file's.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read '{}'", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("'{}' is not UTF-8", .0.display())]
    NotText(PathBuf, #[source] FromUtf8Error),
    #[error("cannot write '{}'", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("'{}'", .0.display())]
    Edit(PathBuf, #[source] EditError),
    #[error("'{}' is written in a way that laser-scan cannot edit: set these keys by hand: {}", .0.display(), .1.join(", "))]
    ByHand(PathBuf, Vec<&'static str>),
    #[error("'{}' sets {key}, and is not a configuration of {trainer}: name the trainer that it is for", .path.display())]
    Foreign { path: PathBuf, key: &'static str, trainer: &'static str },
    /// A merge key may set the rank or alpha that is looked for.
    #[error("'{}' may take {} from elsewhere ('<<')", .0.display(), .1)]
    Elsewhere(PathBuf, &'static str, Remedy),
    /// A number is written in a way that YAML 1.1 and 1.2 may read differently.
    #[error("'{}' sets {key} to {value}, which is not plainly a number", .path.display())]
    Unclear { path: PathBuf, key: &'static str, value: String, remedy: Remedy },
}

impl ConfigError {
    /// What a person can do about it, unless the message itself says so.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::ByHand(..) => Some(Remedy::PrintInstead),
            Self::Elsewhere(_, _, remedy) | Self::Unclear { remedy, .. } => Some(remedy.clone()),
            _ => None,
        }
    }
}
