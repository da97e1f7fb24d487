//! What an export hands out: files in the forms that a trainer reads, and what a person should know of them.

use super::remedy::Remedy;
use super::yaml::Value;

/// A form that a configuration can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// JSON, sorted.
    SortedJson,
    /// Options for a command line.
    Args,
}

/// A trainer's configuration.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The configuration in its forms, the main one first.
    pub documents: Vec<Document>,
    /// The keys of a YAML configuration, to be set in one that there is.
    pub settings: Vec<(&'static str, Value)>,
    /// Keys that must not stay in such a configuration if they are in it, with what they are set to.
    pub resets: Vec<(&'static str, Value)>,
    /// What a person should know.
    pub notes: Vec<Remark>,
    /// What a person must know.
    pub warnings: Vec<Remark>,
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it belongs: its name, in a folder if the trainer looks for it there.
    pub file: String,
    /// Its form.
    pub format: Format,
    /// What is in it, with a line's end.
    pub text: String,
}

/// Something that is said of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What there is to know.
    pub text: String,
    /// What a person who wants it otherwise can do.
    pub remedy: Option<Remedy>,
}

impl Format {
    /// What it is called on a command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::SortedJson => "sorted-json",
            Self::Args => "args",
        }
    }

    /// How the names of its files end.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Yaml => "yml",
            Self::Json | Self::SortedJson => "json",
            Self::Args => "args",
        }
    }
}

impl Remark {
    /// A remark with a way out.
    pub(super) fn new(text: String, remedy: Remedy) -> Self {
        Self { text, remedy: Some(remedy) }
    }
}

impl From<String> for Remark {
    fn from(text: String) -> Self {
        Self { text, remedy: None }
    }
}
