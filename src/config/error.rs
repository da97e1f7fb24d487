//! Why a configuration cannot be read or edited.

use std::io;
use std::path::PathBuf;
use std::string::FromUtf8Error;

use crate::output::OutputError;
use crate::trainers::Remedy;

/// Why a configuration cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be parsed.
    #[error("the file is not YAML: line {line}, column {column}: {reason}")]
    NotYaml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// There are several documents in it.
    #[error("the file holds several YAML documents: a trainer's configuration is one")]
    SeveralDocuments,
    /// There are no lines of keys in it.
    #[error("the file is not a YAML mapping with a key on each line, so that no key can be set in it")]
    NotMapping,
    /// A key that is to be set stands in it twice.
    #[error("the file sets '{0}' twice: remove one of the two")]
    Repeated(String),
    /// Something else in the file may depend on the value.
    #[error("the value of '{0}' has an anchor, an alias or a tag, and is not replaced: write it out first")]
    Marked(String),
    /// There is no telling what an edit would do.
    #[error("the file is written in a way that laser-scan cannot edit: set its keys by hand")]
    Unsafe,
}

/// Why a configuration in a file cannot be read or edited. The path is the file's.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read '{}'", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is not text.
    #[error("'{}' is not UTF-8", .0.display())]
    NotText(PathBuf, #[source] FromUtf8Error),
    /// It, or what is kept of it, cannot be written.
    #[error("cannot write '{}'", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    /// It cannot be replaced.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Its text cannot be edited.
    #[error("'{}'", .0.display())]
    Edit(PathBuf, #[source] EditError),
    /// There is no telling what an edit would do to these keys.
    #[error("'{}' is written in a way that laser-scan cannot edit: set these keys by hand: {}", .0.display(), .1.join(", "))]
    ByHand(PathBuf, Vec<&'static str>),
    /// It sets a key that another trainer has.
    #[error("'{}' sets {key}, and is not a configuration of {trainer}: name the trainer that it is for", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The trainer whose configuration it should be.
        trainer: &'static str,
    },
    /// The number of a key may come from elsewhere; what to give instead.
    #[error("'{}' may take {} from elsewhere ('<<')", .0.display(), .1)]
    Elsewhere(PathBuf, &'static str, Remedy),
    /// A number is written in a way that may be read as another.
    #[error("'{}' sets {key} to {value}, which is not plainly a number", .path.display())]
    Unclear {
        /// The file.
        path: PathBuf,
        /// The number's key.
        key: &'static str,
        /// What is written.
        value: String,
        /// What to give instead.
        remedy: Remedy,
    },
}

impl ConfigError {
    /// What a person can do about it, unless the error itself says so.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::ByHand(..) => Some(Remedy::PrintInstead),
            Self::Elsewhere(_, _, remedy) | Self::Unclear { remedy, .. } => Some(remedy.clone()),
            _ => None,
        }
    }
}
