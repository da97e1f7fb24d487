//! Opens the checkpoint of a source.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::config::Config;
use super::description::{exists, not_json, read_json};
use super::error::CheckpointError;
use super::files::WeightFiles;
use super::outline::Outline;
use super::part::Part;
use super::quantization::{self, Method, QuantizationError, Undecodable};
use super::sentence_transformers::Folders;
use super::shard::{self, Shard};
use super::weight::{Storage, Weight};
use super::wrappers::Wrappers;
use super::{Checkpoint, Component, Other, OtherTensor, adapter, explain, pipeline};
use crate::source::Source;

/// The largest tensor in bytes that is read while a scan is planned: a shape, or a description of a few hundred bytes.
const MAX_PEEK: u64 = 1 << 16;

impl Checkpoint {
    /// Finds the weight files of `source` and reads their headers.
    pub fn open(source: &dyn Source) -> Result<Self, CheckpointError> {
        Self::open_after(source, Vec::new())
    }

    /// As [`Checkpoint::open`], but with the shards of another model before its own.
    pub(crate) fn open_after(source: &dyn Source, before: Vec<Shard>) -> Result<Self, CheckpointError> {
        Self::read(source, before).map_err(|error| error.with_cached_file(source))
    }

    fn read(source: &dyn Source, shards: Vec<Shard>) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { components: Vec::new(), shards, beside: Vec::new() };
        let is_pipeline = source.single_file().is_none() && source.size(pipeline::INDEX).is_some();
        let folders = if is_pipeline { pipeline::components(source)? } else { Vec::new() };
        if folders.is_empty() {
            let Folders { transformer, beside } = Folders::of(source)?;
            checkpoint.add_component(source, &transformer, None)?;
            checkpoint.beside = beside;
        }
        for folder in folders {
            checkpoint.add_component(source, &format!("{folder}/"), Some(folder))?;
        }
        Ok(checkpoint)
    }

    /// Reads the component in `folder`, which is empty or ends in `/`.
    fn add_component(
        &mut self,
        source: &dyn Source,
        folder: &str,
        name: Option<String>,
    ) -> Result<(), CheckpointError> {
        let config = match source.single_file() {
            Some(file) if !file.ends_with(".json") => Config::default(),
            _ => read_config(source, folder)?,
        };
        let mut unread = Vec::new();
        let files = WeightFiles::find(source, folder, &config)?;
        let files = files.ok_or_else(|| explain::absence(source, folder))?;
        let is_part = files.may_be_part(source);
        let shards = shard::read(source, files, &mut unread)?;
        let mut names: Vec<&str> = tensor_names(&shards).collect();
        if let Some(kind) = adapter::kind(&names) {
            return Err(explain::adapter(source, folder, Some(kind)));
        }
        let model = || source.model().spelling.clone();
        let refused = |error| CheckpointError::Quantization { model: model(), error };
        let described = described_quantization(source, folder, &config)?;
        let method = described.as_ref().map(Method::of).transpose().map_err(refused)?;
        let unreadable = || shards.iter().flat_map(|shard| &shard.others);
        names.extend(unreadable().map(String::as_str));
        let wrappers = Wrappers::of(&names).map_err(|error| CheckpointError::Wrappers { model: model(), error })?;
        unread.extend(unreadable().map(|tensor| (tensor.clone(), Other::Unreadable)));
        let unread = unread.into_iter().map(|(stored, why)| OtherTensor::of_stored(stored, why, &wrappers));
        let mut others: Vec<OtherTensor> = unread.collect();
        let first = self.shards.len();
        self.shards.extend(shards);
        let mut parts = Vec::new();
        for (part, why) in self.parts_from(first, &wrappers) {
            match why {
                Some(why) => others.push(OtherTensor::of_part(part, why)),
                None => parts.push(part),
            }
        }
        let peek = |part: &Part| self.peek(source, part);
        let (mut weights, companions) = quantization::assemble(parts, method.as_ref(), &peek).map_err(refused)?;
        others.extend(companions.into_iter().map(|part| OtherTensor::of_part(part, Other::Companion)));
        add_aliases(&mut weights, &self.shards[first..], &wrappers)?;
        let quantized = weights.iter().find(|weight| matches!(weight.storage, Storage::Quantized(_)));
        let quantization = quantized.map(|weight| method.map_or_else(|| weight.dtype(), |method| method.name));
        let weights = weights.into_iter().map(Arc::new).collect();
        let wrappers = wrappers.found;
        self.components.push(Component { name, config, quantization, weights, others, wrappers, is_part });
        Ok(())
    }

    /// The stored tensors of all shards from `first` on, and why one is not the model's weight.
    fn parts_from(&self, first: usize, wrappers: &Wrappers) -> Vec<(Part, Option<Other>)> {
        let part = |place: usize, tensor| {
            let part = wrappers.part(first + place, tensor);
            let why = why_no_weight(&part, wrappers);
            (part, why)
        };
        let shards = self.shards[first..].par_iter().enumerate();
        shards.flat_map_iter(|(place, shard)| shard.tensors.iter().map(move |tensor| part(place, tensor))).collect()
    }

    /// Reads a small tensor while the scan is planned.
    fn peek(&self, source: &dyn Source, part: &Part) -> Result<Vec<u8>, QuantizationError> {
        let shard = &self.shards[part.shard];
        let undecodable = |reason: String| Undecodable { tensor: part.stored_name().to_owned(), reason };
        if shard.is_pickle() {
            return Err(undecodable("describes a quantised weight in a .bin file, where none are read".into()).into());
        }
        if part.tensor.size() > MAX_PEEK {
            return Err(undecodable("is larger than any description of a weight".into()).into());
        }
        let range = shard.data_start + part.tensor.bytes.start..shard.data_start + part.tensor.bytes.end;
        Ok(source.read(&shard.file, range).map_err(|error| undecodable(format!("cannot be read: {error}")))?)
    }
}

fn read_config(source: &dyn Source, folder: &str) -> Result<Config, CheckpointError> {
    let file = format!("{folder}config.json");
    if !exists(source, &file)? {
        return Ok(Config::default());
    }
    let bytes = read_json(source, &file)?;
    Config::parse(&bytes).map_err(|error| not_json(&file, &error))
}

/// The description of the quantisation in `config.json`, or in a file beside it.
fn described_quantization(
    source: &dyn Source,
    folder: &str,
    config: &Config,
) -> Result<Option<Value>, CheckpointError> {
    match &config.quantization {
        Some(described) => Ok(Some(described.clone())),
        None => quantization_beside(source, folder),
    }
}

/// The description of the quantisation in a file beside config.json, which older tools write.
fn quantization_beside(source: &dyn Source, folder: &str) -> Result<Option<Value>, CheckpointError> {
    if source.single_file().is_some_and(|file| !file.ends_with(".json")) {
        return Ok(None);
    }
    for (file, method) in
        [("quantize_config.json", "gptq"), ("quant_config.json", "awq"), ("hf_quant_config.json", "modelopt")]
    {
        let file = format!("{folder}{file}");
        if !exists(source, &file)? {
            continue;
        }
        let bytes = read_json(source, &file)?;
        let value = Outline::Whole.read(&bytes).map_err(|error| not_json(&file, &error))?;
        let mut described = value.get("quantization").unwrap_or(&value).clone();
        if let Some(entries) = described.as_object_mut() {
            entries.entry("quant_method").or_insert_with(|| json!(method));
        }
        return Ok(Some(described));
    }
    Ok(None)
}

/// The names of the tensors that may be weights, as they are stored.
fn tensor_names(shards: &[Shard]) -> impl Iterator<Item = &str> {
    shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| tensor.name.as_str())
}

/// Why a stored tensor is not the model's weight, judged by its name.
fn why_no_weight(part: &Part, wrappers: &Wrappers) -> Option<Other> {
    let name = &part.tensor.name;
    let replaced = || wrappers.is_replaced(name).then_some(Other::Replaced);
    adapter::is_factor(name).then_some(Other::Factor).or_else(replaced)
}

/// Adds weights that are stored only under another name.
fn add_aliases(weights: &mut Vec<Weight>, shards: &[Shard], wrappers: &Wrappers) -> Result<(), CheckpointError> {
    if shards.iter().all(|shard| shard.aliases.is_empty()) {
        return Ok(());
    }
    let stored: HashMap<String, usize> =
        weights.iter().enumerate().map(|(place, weight)| (weight.name.clone(), place)).collect();
    let mut aliased: HashMap<String, usize> = HashMap::new();
    for shard in shards {
        // A pickled file lists all names of a shared tensor itself, so a name that is not stored is not in the index.
        if shard.is_pickle() {
            continue;
        }
        let names = shard.aliases.iter().map(|(alias, name)| (wrappers.own(alias).into_owned(), wrappers.own(name)));
        for (alias, name) in names.filter(|(alias, _)| !stored.contains_key(alias)) {
            let Some(&place) = stored.get(&*name) else { continue };
            match aliased.insert(alias.clone(), place) {
                None => weights.push(Weight { name: alias, ..weights[place].clone() }),
                Some(before) if before == place => {}
                Some(_) => return Err(CheckpointError::Alias { file: shard.file.clone(), alias }),
            }
        }
    }
    Ok(())
}
