//! Finds out from a folder's files why it has no weights that can be read.

use serde_json::Value;

use super::absence::Absence;
use super::adapter::called;
use super::description::{broken, not_only_uncached, read_json, spelling};
use super::error::CheckpointError;
use super::files::{NAMES, is_other_than_weights, is_weights, links_within, names};
use super::numbered::is_shard;
use super::outline::Outline;
use crate::source::{Form, Source, is_training_state};

/// The error that `folder`, which is empty or ends in `/`, contains an adapter. Its configuration tells the base model, and
/// the kind if `kind` is `None`.
pub fn adapter(source: &dyn Source, folder: &str, kind: Option<&'static str>) -> CheckpointError {
    let config = read_json(source, &format!("{folder}adapter_config.json")).ok();
    let config = config.and_then(|bytes| Outline::Whole.read(&bytes).ok()).unwrap_or_default();
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let kind = kind.unwrap_or_else(|| called(text("peft_type")));
    let base = text("base_model_name_or_path").filter(|base| !base.is_empty()).map(str::to_owned);
    CheckpointError::Adapter { model: spelling(source, folder), kind, base }
}

/// The error that `folder`, which is empty or ends in `/`, has no weights that can be read.
pub fn absence(source: &dyn Source, folder: &str) -> CheckpointError {
    if let Some(link) = links_within(source, folder).into_iter().next() {
        return broken(link);
    }
    let files = source.files();
    let is_hidden = |name: &str| name.split('/').any(|part| part.starts_with('.'));
    let within = files.iter().filter_map(|file| file.strip_prefix(folder)).filter(|name| !is_hidden(name));
    let within: Vec<&str> = within.collect();
    let direct = names(source, folder);
    if direct.iter().any(|name| is_of_adapter(name)) {
        return adapter(source, folder, None);
    }
    let folders = folders_with(&within, is_weights_of_model);
    if folders.is_empty()
        && let Some(adapted) = likely(&folders_with(&within, is_of_adapter))
    {
        return adapter(source, &format!("{folder}{adapted}/"), None);
    }
    let absence = if let Some(likely) = likely(&folders) {
        let likely = spelling(source, &format!("{folder}{likely}/"));
        let is_on_hub = source.model().commit.is_some();
        if is_on_hub { Absence::InFoldersOfHub { folders } } else { Absence::InFolders { folders, likely } }
    } else if let Some((file, form)) = Form::among(&within) {
        Absence::OtherForm { file: file.to_owned(), form }
    } else if let Some(file) = within.iter().find(|name| is_training_state(name)) {
        Absence::TrainingState((*file).to_owned())
    } else if let Some(file) = direct.iter().find(|name| is_description(name)) {
        Absence::DescriptionOnly(file.clone())
    } else if within.is_empty() {
        Absence::Empty
    } else {
        Absence::NoWeights
    };
    let has_no_model = matches!(absence, Absence::Empty | Absence::NoWeights | Absence::DescriptionOnly(_));
    match not_only_uncached(source, &format!("{folder}{}", NAMES[0])) {
        Err(error) if has_no_model => error.into(),
        _ => CheckpointError::Absent { model: spelling(source, folder), absence },
    }
}

/// The folders with wanted files, the checkpoints of a training run in the order of their steps.
fn folders_with(names: &[&str], is_wanted: fn(&str) -> bool) -> Vec<String> {
    let split = names.iter().filter_map(|name| name.rsplit_once('/'));
    let mut folders: Vec<String> =
        split.filter(|(_, file)| is_wanted(file)).map(|(folder, _)| folder.to_owned()).collect();
    folders.sort_by_cached_key(|folder| (step(folder), folder.clone()));
    folders.dedup();
    folders
}

/// The step of a training run's checkpoint, such as `checkpoint-500`.
fn step(folder: &str) -> Option<u64> {
    folder.rsplit_once('-')?.1.parse().ok()
}

/// The folder that the user most likely means: the last checkpoint of a training run, or else the first folder.
fn likely(folders: &[String]) -> Option<&String> {
    folders.last().filter(|folder| step(folder).is_some()).or(folders.first())
}

/// Whether a file's name is that of a model's weights.
pub fn is_weights_of_model(name: &str) -> bool {
    let is_pickle =
        name.ends_with(".bin") && (name == "pytorch_model.bin" || name.starts_with("pytorch_model-") && is_shard(name));
    (is_weights(name) || is_pickle) && !is_other_than_weights(name)
}

fn is_of_adapter(name: &str) -> bool {
    name == "adapter_config.json" || name.starts_with("adapter_model")
}

fn is_description(name: &str) -> bool {
    name == "config.json" || name.starts_with("tokenizer") || name.ends_with("_config.json")
}
