//! What an export hands out: files in the forms that a trainer reads, and remarks on them.

use super::remedy::Remedy;
use super::yaml::Value;

/// A form that a configuration can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
    /// JSON, sorted by ratio.
    SortedJson,
    Toml,
    /// Options for a command line.
    Args,
}

#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The configuration in all forms of the trainer, the default first.
    pub documents: Vec<Document>,
    /// Forms of the trainer in which this choice cannot be given, and why.
    pub absent: Vec<(Format, String)>,
    /// The keys to set in an existing YAML configuration.
    pub settings: Vec<(&'static str, Value)>,
    /// Keys to set only if the existing configuration has them, because their old values would change what is trained.
    pub resets: Vec<(&'static str, Value)>,
    pub notes: Vec<Remark>,
    pub warnings: Vec<Remark>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The name, in a folder if the trainer looks for it there.
    pub file: String,
    pub format: Format,
    /// The contents, with a line end.
    pub text: String,
}

/// A note or a warning on an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub text: String,
    /// What a person who wants it otherwise can do.
    pub remedy: Option<Remedy>,
}

impl Format {
    /// Its name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::SortedJson => "sorted-json",
            Self::Toml => "toml",
            Self::Args => "args",
        }
    }

    pub fn ending(self) -> &'static str {
        match self {
            Self::Yaml => "yml",
            Self::Json | Self::SortedJson => "json",
            Self::Toml => "toml",
            Self::Args => "args",
        }
    }
}

impl Remark {
    pub(super) fn new(text: String, remedy: Remedy) -> Self {
        Self { text, remedy: Some(remedy) }
    }
}

impl From<String> for Remark {
    fn from(text: String) -> Self {
        Self { text, remedy: None }
    }
}
