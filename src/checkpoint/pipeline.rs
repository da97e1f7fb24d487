//! Finds the components of a diffusers pipeline.

use super::description::{exists, not_json, read_json};
use super::error::CheckpointError;
use super::outline::Outline;
use super::{explain, files, index};
use crate::source::Source;

/// The file that makes a folder a diffusers pipeline.
pub const INDEX: &str = "model_index.json";

/// The folders of the components that have weights, in alphabetical order.
pub fn components(source: &dyn Source) -> Result<Vec<String>, CheckpointError> {
    let bytes = read_json(source, INDEX)?;
    let invalid = |reason: String| CheckpointError::Json { file: INDEX.to_owned(), reason };
    let index = Outline::Whole.read(&bytes).map_err(|error| not_json(INDEX, &error))?;
    let entries = index.as_object().ok_or_else(|| invalid("it is no JSON object".into()))?;
    let mut folders = Vec::new();
    for (name, value) in entries {
        // The value is a library and a class, both null if the pipeline does without the component.
        let Some([library, class]) = value.as_array().map(Vec::as_slice) else { continue };
        let (Some(library), Some(class)) = (library.as_str(), class.as_str()) else { continue };
        if name.contains('.') || !index::is_within_folder(name) {
            return Err(invalid(format!("'{name}' is no name of a component")));
        }
        let folder = format!("{name}/");
        let is_model = matches!(library, "diffusers" | "transformers")
            && !["Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor"]
                .iter()
                .any(|end| class.ends_with(end));
        if files::has_weights(source, &folder) {
            folders.push(name.clone());
        } else if is_model
            && (exists(source, &format!("{folder}config.json"))? || !files::links_within(source, &folder).is_empty())
        {
            return Err(explain::absence(source, &folder));
        }
    }
    folders.sort_unstable();
    Ok(folders)
}
