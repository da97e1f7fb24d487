//! Opens the checkpoint of a source.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::config::Config;
use super::description::{exists, not_json, read_json};
use super::error::CheckpointError;
use super::files::WeightFiles;
use super::outline::Outline;
use super::part::Part;
use super::quantization::{self, Method, QuantizationError, Undecodable};
use super::shard::{self, Shard};
use super::weight::{Storage, Weight};
use super::{Checkpoint, Component, Other, adapter, explain, pipeline};
use crate::source::Source;

/// The largest tensor in bytes that is read while a scan is planned: a shape, or a description of a few hundred bytes.
const MAX_PEEK: u64 = 1 << 16;

impl Checkpoint {
    /// Finds the weight files of `source` and reads their headers.
    pub fn open(source: &dyn Source) -> Result<Self, CheckpointError> {
        Self::read(source).map_err(|error| error.with_cached_file(source))
    }

    fn read(source: &dyn Source) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { components: Vec::new(), shards: Vec::new() };
        let is_pipeline = source.single_file().is_none() && source.size(pipeline::INDEX).is_some();
        let folders = if is_pipeline { pipeline::components(source)? } else { Vec::new() };
        if folders.is_empty() {
            checkpoint.add_component(source, None)?;
        }
        for folder in folders {
            checkpoint.add_component(source, Some(folder))?;
        }
        Ok(checkpoint)
    }

    fn add_component(&mut self, source: &dyn Source, name: Option<String>) -> Result<(), CheckpointError> {
        let folder = name.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
        let config = match source.single_file() {
            Some(file) if !file.ends_with(".json") => Config::default(),
            _ => read_config(source, &folder)?,
        };
        let mut others = Vec::new();
        let files = WeightFiles::find(source, &folder, &config)?;
        let files = files.ok_or_else(|| explain::absence(source, &folder))?;
        let is_part = files.may_be_part(source);
        let shards = shard::read(source, files, &mut others)?;
        let names = shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| &*tensor.name);
        if let Some(kind) = adapter::kind(names) {
            return Err(adapter::refused(source, &folder, Some(kind)));
        }
        let refused = |error| CheckpointError::Quantization { model: source.model().spelling.clone(), error };
        let described = match &config.quantization {
            Some(described) => Some(described.clone()),
            None => quantization_beside(source, &folder)?,
        };
        let method = described.as_ref().map(Method::of).transpose().map_err(refused)?;
        let first = self.shards.len();
        let unreadable = shards.iter().flat_map(|shard| &shard.others).cloned();
        others.extend(unreadable.map(|tensor| (tensor, Other::Unreadable)));
        self.shards.extend(shards);
        let (factors, parts): (Vec<Part>, Vec<Part>) =
            self.parts_from(first).into_iter().partition(|part| adapter::is_factor(&part.tensor.name));
        others.extend(factors.into_iter().map(|part| (part.tensor.name, Other::Factor)));
        let peek = |part: &Part| self.peek(source, part);
        let (mut weights, companions) = quantization::assemble(parts, method.as_ref(), &peek).map_err(refused)?;
        others.extend(companions.into_iter().map(|tensor| (tensor, Other::Companion)));
        add_aliases(&mut weights, &self.shards[first..])?;
        let quantized = weights.iter().find(|weight| matches!(weight.storage, Storage::Quantized(_)));
        let quantization = quantized.map(|weight| method.map_or_else(|| weight.dtype(), |method| method.name));
        let weights = weights.into_iter().map(Arc::new).collect();
        self.components.push(Component { name, config, quantization, weights, others, is_part });
        Ok(())
    }

    /// The stored tensors of all shards from `first` on.
    fn parts_from(&self, first: usize) -> Vec<Part> {
        let shards = self.shards.iter().enumerate().skip(first);
        let tensors = shards.flat_map(|(place, shard)| shard.tensors.iter().map(move |tensor| (place, tensor)));
        tensors.map(|(shard, tensor)| Part { shard, tensor: tensor.clone() }).collect()
    }

    /// Reads a small tensor while the scan is planned.
    fn peek(&self, source: &dyn Source, part: &Part) -> Result<Vec<u8>, QuantizationError> {
        let shard = &self.shards[part.shard];
        let undecodable = |reason: String| Undecodable { tensor: part.tensor.name.clone(), reason };
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

/// Adds weights that are stored only under another name.
fn add_aliases(weights: &mut Vec<Weight>, shards: &[Shard]) -> Result<(), CheckpointError> {
    let stored: HashMap<String, usize> =
        weights.iter().enumerate().map(|(place, weight)| (weight.name.clone(), place)).collect();
    let mut aliased: HashMap<&str, usize> = HashMap::new();
    for shard in shards {
        // A pickled file lists all names of a shared tensor itself, so a name that is not stored is not in the index.
        if shard.is_pickle() {
            continue;
        }
        for (alias, name) in shard.aliases.iter().filter(|(alias, _)| !stored.contains_key(alias)) {
            let Some(&place) = stored.get(name) else { continue };
            match aliased.insert(alias, place) {
                None => weights.push(Weight { name: alias.clone(), ..weights[place].clone() }),
                Some(before) if before == place => {}
                Some(_) => return Err(CheckpointError::Alias { file: shard.file.clone(), alias: alias.clone() }),
            }
        }
    }
    Ok(())
}
