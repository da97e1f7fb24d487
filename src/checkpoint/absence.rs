//! Says what a folder contains instead of weights, and what the user can name instead.

use crate::source::Form;

const NAME_A_MODEL: &str = "name the folder that holds a model's weights, one weight file, or a Hub id";

const NAMES_SHOWN: usize = 3;

/// What a folder contains instead of weights that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    #[error("holds no files, and neither does any folder directly in it: {NAME_A_MODEL}")]
    Empty,
    #[error("holds '{file}', {}: {}", .form.what, .form.way_out)]
    OtherForm { file: String, form: &'static Form },
    #[error("holds no weights itself, but {}: name {}'{likely}'", do_hold(.folders), if .folders.len() > 1 { "one of them, such as " } else { "" })]
    InFolders {
        folders: Vec<String>,
        /// The path of the folder that the user most likely means.
        likely: String,
    },
    #[error(
        "holds no weights itself, but {}: download it with 'hf download', and name one of its folders on this machine",
        do_hold(.folders)
    )]
    InFoldersOfHub { folders: Vec<String> },
    #[error(
        "holds the state of a training run, such as '{0}', but no weights: name the folder that the run saved the model in"
    )]
    TrainingState(String),
    #[error(
        "holds no .safetensors file and no pytorch_model.bin, only what describes a model, such as '{0}': download or copy \
         its weights, too, or name the folder that holds them"
    )]
    DescriptionOnly(String),
    #[error("holds no .safetensors file and no pytorch_model.bin: {NAME_A_MODEL}")]
    NoWeights,
}

/// The clause "its folders … do", after "holds no weights itself, but".
fn do_hold(folders: &[String]) -> String {
    match folders {
        [only] => format!("its folder '{only}' does"),
        _ => format!("its folders {} do", listed(folders)),
    }
}

/// Lists names in a sentence, with an ellipsis in place of some if there are too many.
fn listed(names: &[String]) -> String {
    let quoted = |names: &[String]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    match names {
        [] => String::new(),
        [only] => format!("'{only}'"),
        [.., last] if names.len() > NAMES_SHOWN => format!("{}, … and '{last}'", quoted(&names[..NAMES_SHOWN - 1])),
        [first @ .., last] => format!("{} and '{last}'", quoted(first)),
    }
}
