//! Spectrum: its results, its sorted results and its list of parameters, so that programs that read those, above all
//! Axolotl's plugin for Spectrum, can use a scan of laser-scan.

use std::collections::HashSet;

use super::choice::Choice;
use super::document::Remark;
use super::profile::Profile;
use super::remedy::Remedy;
use super::resolve::{Rule, is_literal};
use super::{Export, ExportError, Format, Trainer};
use crate::output::{self, in_file_name};
use crate::scan::{self, Rated, Scan};
use crate::statistic::Criterion;

/// The folder in which Spectrum and Axolotl's plugin look for results.
const FOLDER: &str = "model_snr_results";

const RESULTS: [scan::Format; 2] = [scan::Format::Spectrum, scan::Format::SpectrumSorted];

/// Names of the input embedding, which Spectrum always trains together with the head.
const EMBEDDINGS: [&str; 5] = ["embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"];

#[derive(Debug)]
pub struct Spectrum;

impl Trainer for Spectrum {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "spectrum",
            name: "Spectrum",
            formats: &[Format::Yaml, Format::Json, Format::SortedJson],
            keys: &["unfrozen_parameters"],
            has_adapters: false,
            takes_diffusion: true,
            ..Profile::USUAL
        }
    }

    fn file(&self, model: &str, format: Format) -> String {
        let ending = match format {
            Format::SortedJson => "_sorted.json",
            Format::Json => ".json",
            Format::Yaml | Format::Toml | Format::Args => "_unfrozenparameters.yaml",
        };
        let slug = in_file_name(&model.replace(['/', '_'], "-"));
        format!("{FOLDER}/snr_results_{slug}{ending}")
    }

    fn is_own_file(&self, bytes: &[u8]) -> bool {
        Scan::from_bytes(bytes).is_ok_and(|scan| RESULTS.contains(&scan.format))
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let results = results(choice)?;
        // The plugin's patterns are not anchored at the end, so that a name may also match longer ones.
        let (clear, strays): (Vec<Rated<'_>>, Vec<Rated<'_>>) = {
            let places = choice.targets.places();
            results.into_iter().partition(|(name, ..)| {
                let wanted: HashSet<usize> = places.get(name).copied().into_iter().collect();
                let strays = choice.universe.strays(Rule::ParameterMatch, &[(*name).to_owned()], &wanted);
                is_literal(name) && strays.is_empty()
            })
        };
        let documents = vec![
            self.document(choice, Format::Yaml, unfrozen(choice)?),
            self.document(choice, Format::Json, scan::spectrum(&clear) + "\n"),
            self.document(choice, Format::SortedJson, scan::spectrum_sorted(&clear) + "\n"),
        ];
        let mut warnings = Vec::new();
        if let Some((first, ..)) = strays.first() {
            let text = format!(
                "{} not in the results, as Spectrum's pattern for '{first}' would train others too",
                if strays.len() == 1 { "1 module is".to_owned() } else { format!("{} modules are", strays.len()) },
            );
            warnings.push(text.into());
        }
        let plugin = format!(
            "for Axolotl's plugin: put '{FOLDER}' where Axolotl is started, and set plugins: \
             [axolotl.integrations.spectrum.SpectrumPlugin], spectrum_model_name: {} and spectrum_top_fraction: 0.5, or \
             whatever part of each type it is to choose by itself from the results; how many were chosen here is in the YAML \
             alone",
            choice.model()
        );
        let mut notes = vec![plugin.into()];
        let criterion = choice.selection.scan.ranking().criterion;
        if criterion != Criterion::Laser {
            notes.push(
                format!("under 'snr' the results have the value of {criterion}, by which modules are ranked").into(),
            );
        }
        if let Some(embedding) = embedding(choice) {
            let text = format!("'{embedding}' is trained too, as Spectrum does");
            notes.push(Remark::new(text, Remedy::NoHeadNorEmbedding));
        }
        Ok(Export { documents, warnings, notes, ..Export::default() })
    }
}

/// All eligible modules by their names in memory: the plugin makes its own choice among all that the results hold.
fn results<'a>(choice: &Choice<'a>) -> Result<Vec<Rated<'a>>, ExportError> {
    let records = choice.selection.scan.records();
    let mut results = Vec::new();
    let mut seen = HashSet::new();
    for candidate in &choice.selection.eligible {
        let members = candidate.members().iter();
        let mut names: Vec<&String> = members.flat_map(|place| records[*place].info.memory.names()).collect();
        names.dedup();
        for name in names {
            if !seen.insert(name) {
                let held = records.iter().filter(|record| record.info.memory.names().contains(name)).count();
                return Err(ExportError::Apart { trainer: choice.trainer, name: name.clone(), held });
            }
            results.push((name.as_str(), candidate.kind(), candidate.score.value));
        }
    }
    Ok(results)
}

/// The list of what is trained: the head and the input embedding, then the modules type by type. Patterns are anchored at
/// both ends; Spectrum's own are not, and also train parameters whose names only begin alike.
fn unfrozen(choice: &Choice<'_>) -> Result<String, ExportError> {
    let mut lines = vec!["unfrozen_parameters:".to_owned()];
    let mut patterns = Vec::new();
    let mut add = |lines: &mut Vec<String>, name: String| {
        if !is_literal(&name) {
            let what = format!("takes expressions, and '{name}' cannot be written as one");
            return Err(choice.unsupported(what, None));
        }
        let pattern = format!("^{name}$");
        lines.push(format!("- {pattern}"));
        patterns.push(pattern);
        Ok(())
    };
    for head in &choice.heads {
        add(&mut lines, choice.target(*head).parameter())?;
    }
    let places = choice.targets.places();
    let mut seen = HashSet::new();
    for group in &choice.selection.groups {
        lines.push(format!("# {} layers", output::visible(group.kind)));
        let members = group.modules.iter().flat_map(|candidate| candidate.members());
        let names = members.flat_map(|place| choice.selection.scan.records()[*place].info.memory.names());
        let targets = names.filter_map(|name| places.get(name.as_str()));
        for target in targets.filter(|target| choice.chosen.contains(target) && seen.insert(**target)) {
            add(&mut lines, choice.target(*target).parameter())?;
        }
    }
    choice.check(Rule::ParameterMatch, &patterns, &choice.wanted())?;
    if let Some(embedding) = embedding(choice) {
        lines.insert(1 + choice.heads.len(), format!("- ^{embedding}$"));
    }
    Ok(lines.join("\n") + "\n")
}

/// The name of the input embedding's weight, if a head is trained and just one parameter looks like it.
fn embedding(choice: &Choice<'_>) -> Option<String> {
    if choice.heads.is_empty() {
        return None;
    }
    let is_embedding = |name: &&String| {
        let module = name.strip_suffix(crate::modules::WEIGHT);
        module.and_then(|module| module.rsplit('.').next()).is_some_and(|leaf| EMBEDDINGS.contains(&leaf))
    };
    let mut found = choice.targets.others.iter().filter(is_embedding);
    found.next().filter(|name| found.next().is_none() && is_literal(name)).cloned()
}
