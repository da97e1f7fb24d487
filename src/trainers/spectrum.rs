//! Spectrum: its results, its sorted results and its list of parameters, so that whatever reads those (Axolotl's plugin
//! for it, above all) runs on a scan of ours.
//!
//! It writes an infinite ratio as a bare `Infinity`, which is Python's JSON and nobody else's; its readers are Python.

use std::collections::HashSet;

use super::choice::Choice;
use super::resolve::{Rule, is_literal};
use super::trainer::SPECTRUM_FOLDER;
use super::{Export, ExportError, Format};
use crate::output;
use crate::select::{Candidate, best_first};

/// What the input embedding's weight is called, which Spectrum always trains together with the head.
const EMBEDDINGS: [&str; 5] = ["embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"];

/// Its three files.
pub fn export(choice: &Choice<'_>, candidates: &[Candidate<'_>]) -> Result<Export, ExportError> {
    let results = results(choice, candidates)?;
    // The plugin's patterns begin with a name and have no end.
    let (clear, strays): (Vec<_>, Vec<_>) = {
        let places = choice.targets.places();
        results.into_iter().partition(|(name, _)| {
            let wanted: HashSet<usize> = places.get(name.as_str()).copied().into_iter().collect();
            let strays = choice.universe.strays(Rule::ParameterMatch, std::slice::from_ref(name), &wanted);
            is_literal(name) && strays.is_empty()
        })
    };
    let documents = vec![
        choice.document(Format::Yaml, unfrozen(choice)?),
        choice.document(Format::Json, flat(&clear)),
        choice.document(Format::SortedJson, sorted(&clear)),
    ];
    let mut warnings = Vec::new();
    if let Some((first, _)) = strays.first() {
        warnings.push(format!(
            "{} not in the results, as Spectrum's pattern for '{first}' would train others too",
            if strays.len() == 1 { "1 module is".to_owned() } else { format!("{} modules are", strays.len()) },
        ));
    }
    let mut notes = vec![format!(
        "for Axolotl's plugin: put '{SPECTRUM_FOLDER}' where Axolotl is started, and set plugins: \
         [axolotl.integrations.spectrum.SpectrumPlugin], spectrum_model_name: {} and spectrum_top_fraction: 0.5, or whatever \
         part of each type it is to choose by itself from the results; how many were chosen here is in the YAML alone",
        choice.model()
    )];
    if let Some(embedding) = embedding(choice) {
        notes.push(format!("'{embedding}' is trained too, as Spectrum does; --no-head leaves it out with the head"));
    }
    Ok(Export { documents, warnings, notes, ..Export::default() })
}

/// What may be chosen, by its names in memory: the plugin chooses by itself among all that the results hold.
fn results<'a>(
    choice: &Choice<'_>,
    candidates: &'a [Candidate<'a>],
) -> Result<Vec<(String, &'a Candidate<'a>)>, ExportError> {
    let mut results = Vec::new();
    let mut seen = HashSet::new();
    for candidate in candidates {
        let members = candidate.members();
        let mut names: Vec<&String> = members.iter().flat_map(|place| &choice.entries[*place].targets).collect();
        names.dedup();
        for name in names {
            if !seen.insert(name) {
                let held = choice.entries.iter().filter(|entry| entry.targets.contains(name)).count();
                return Err(ExportError::Apart { trainer: choice.trainer, name: name.clone(), held });
            }
            results.push((name.clone(), candidate));
        }
    }
    Ok(results)
}

/// A value as JSON on one line.
fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    output::python_json_text(value).trim_end().to_owned()
}

/// A ratio as Python writes it.
fn ratio(snr: f64) -> String {
    if snr.is_infinite() { "Infinity".to_owned() } else { json(&snr) }
}

/// `{name: {"snr": …, "type": …}}`, as Spectrum writes it: four spaces, types one after the other.
fn flat(results: &[(String, &Candidate<'_>)]) -> String {
    let record = |(name, candidate): &&(String, &Candidate<'_>)| {
        let (name, kind) = (json(name), json(candidate.kind));
        format!("    {name}: {{\n        \"snr\": {},\n        \"type\": {kind}\n    }}", ratio(candidate.snr))
    };
    let records: Vec<String> = by_type(results).iter().flat_map(|(_, group)| group.iter().map(record)).collect();
    format!("{{\n{}\n}}\n", records.join(",\n"))
}

/// `{type: {name: snr}}`, highest first.
fn sorted(results: &[(String, &Candidate<'_>)]) -> String {
    let group = |(kind, group): &(&str, Vec<&(String, &Candidate<'_>)>)| {
        let mut group = group.clone();
        group.sort_by(|a, b| best_first(a.1, b.1));
        let line =
            |(name, candidate): &&(String, &Candidate<'_>)| format!("        {}: {}", json(name), ratio(candidate.snr));
        let lines: Vec<String> = group.iter().map(line).collect();
        format!("    {}: {{\n{}\n    }}", json(kind), lines.join(",\n"))
    };
    let groups: Vec<String> = by_type(results).iter().map(group).collect();
    format!("{{\n{}\n}}\n", groups.join(",\n"))
}

/// The results by type, in the order in which the types appear.
fn by_type<'a, 'b>(results: &'b [(String, &'a Candidate<'a>)]) -> Vec<(&'a str, Vec<&'b (String, &'a Candidate<'a>)>)> {
    let mut types: Vec<(&str, Vec<_>)> = Vec::new();
    for result in results {
        match types.iter_mut().find(|(kind, _)| *kind == result.1.kind) {
            Some((_, group)) => group.push(result),
            None => types.push((result.1.kind, vec![result])),
        }
    }
    types
}

/// The list of what is trained: the head and the input embedding, then the modules type by type. Patterns are anchored at
/// both ends: Spectrum's own are not, and train what begins alike too.
fn unfrozen(choice: &Choice<'_>) -> Result<String, ExportError> {
    let mut lines = vec!["unfrozen_parameters:".to_owned()];
    let mut patterns = Vec::new();
    let mut add = |lines: &mut Vec<String>, name: String| {
        if !is_literal(&name) {
            return Err(choice.unsupported(format!("takes expressions, and '{name}' cannot be written as one")));
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
    for group in choice.groups {
        lines.push(format!("# {} layers", output::visible(group.kind)));
        let members = group.modules.iter().flat_map(|candidate| candidate.members());
        let targets =
            members.flat_map(|place| &choice.entries[place].targets).filter_map(|name| places.get(name.as_str()));
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

/// The name of the input embedding's weight, which Spectrum trains with the head, if there is no doubt about it. A head that
/// is the embedding is left out with it.
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
