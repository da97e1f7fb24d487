//! What a folder holds that has no weights to read, and what to name instead.

use crate::source::Form;

/// What to name where nothing is known of a folder.
const NAME_A_MODEL: &str = "name the folder that holds a model's weights, one weight file, or a Hub id";

/// How many names stand in a sentence at most.
const NAMES_SHOWN: usize = 3;

/// What a folder holds in place of weights that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    /// Nothing.
    #[error("holds no files, and neither does any folder directly in it: {NAME_A_MODEL}")]
    Empty,
    /// Weights of a form that is not read.
    #[error("holds '{file}', {}: {}", .form.what, .form.way_out)]
    OtherForm {
        /// One of the files.
        file: String,
        /// Their form.
        form: &'static Form,
    },
    /// Folders that hold weights, on this machine.
    #[error("holds no weights itself, but {}: name {}'{likely}'", do_hold(.folders), if .folders.len() > 1 { "one of them, such as " } else { "" })]
    InFolders {
        /// The folders.
        folders: Vec<String>,
        /// The one that is most likely meant, as it can be named.
        likely: String,
    },
    /// Folders that hold weights, on the Hub, where only a whole repository can be named.
    #[error(
        "holds no weights itself, but {}: download it with 'hf download', and name one of its folders on this machine",
        do_hold(.folders)
    )]
    InFoldersOfHub {
        /// The folders.
        folders: Vec<String>,
    },
    /// The state of a training run.
    #[error(
        "holds the state of a training run, such as '{0}', but no weights: name the folder that the run saved the model in"
    )]
    TrainingState(String),
    /// What describes a model.
    #[error(
        "holds no .safetensors file and no pytorch_model.bin, only what describes a model, such as '{0}': download or copy \
         its weights, too, or name the folder that holds them"
    )]
    DescriptionOnly(String),
    /// Nothing that is known.
    #[error("holds no .safetensors file and no pytorch_model.bin: {NAME_A_MODEL}")]
    NoWeights,
}

/// That these folders hold weights, after it was said that something else does not.
fn do_hold(folders: &[String]) -> String {
    match folders {
        [only] => format!("its folder '{only}' does"),
        _ => format!("its folders {} do", listed(folders)),
    }
}

/// Names in a sentence, not too many of them.
fn listed(names: &[String]) -> String {
    let quoted = |names: &[String]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match names {
        [] => String::new(),
        [only] => format!("'{only}'"),
        [.., last] if names.len() > NAMES_SHOWN => format!("{}, … and '{last}'", quoted(&names[..NAMES_SHOWN - 1])),
        [first @ .., last] => format!("{} and '{last}'", quoted(first)),
    }
}
