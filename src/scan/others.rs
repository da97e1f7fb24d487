//! The two forms of Spectrum's results.
//!
//! Spectrum writes an infinite ratio as a bare `Infinity`. Only Python accepts this as JSON, but so do all readers of
//! the files.

use super::Scan;
use crate::output::python_json_text;

/// A module's name, type and ratio, which is all that Spectrum's results hold.
pub(crate) type Rated<'a> = (&'a str, &'a str, f64);

impl Scan {
    /// The measured modules.
    pub(crate) fn rated(&self) -> Vec<Rated<'_>> {
        let snrs = self.records.iter().filter_map(|record| Some((&record.info, record.snr()?)));
        snrs.map(|(info, snr)| (info.name.as_str(), info.kind.as_str(), snr)).collect()
    }
}

/// `{name: {"snr": …, "type": …}}` as Spectrum writes it: indented by four spaces, one type after the other.
pub(crate) fn spectrum(results: &[Rated<'_>]) -> String {
    let record = |(name, kind, snr): &Rated<'_>| {
        let (name, kind) = (json(name), json(kind));
        format!("    {name}: {{\n        \"snr\": {},\n        \"type\": {kind}\n    }}", ratio(*snr))
    };
    let records: Vec<String> = by_type(results).iter().flat_map(|(_, group)| group.iter().map(record)).collect();
    format!("{{\n{}\n}}", records.join(",\n"))
}

/// `{type: {name: snr}}`, highest first.
pub(crate) fn spectrum_sorted(results: &[Rated<'_>]) -> String {
    let line = |(name, _, snr): &Rated<'_>| format!("        {}: {}", json(name), ratio(*snr));
    let group = |(kind, mut group): (&str, Vec<Rated<'_>>)| {
        group.sort_by(|(_, _, one), (_, _, other)| other.total_cmp(one));
        let lines: Vec<String> = group.iter().map(line).collect();
        format!("    {}: {{\n{}\n    }}", json(kind), lines.join(",\n"))
    };
    let groups: Vec<String> = by_type(results).into_iter().map(group).collect();
    format!("{{\n{}\n}}", groups.join(",\n"))
}

/// The results grouped by type, in the order in which the types first appear.
fn by_type<'a>(results: &[Rated<'a>]) -> Vec<(&'a str, Vec<Rated<'a>>)> {
    let mut types: Vec<(&str, Vec<Rated<'_>>)> = Vec::new();
    for result in results {
        match types.iter_mut().find(|(kind, _)| *kind == result.1) {
            Some((_, group)) => group.push(*result),
            None => types.push((result.1, vec![*result])),
        }
    }
    types
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    python_json_text(value).trim_end().to_owned()
}

/// A ratio as Python writes it.
fn ratio(snr: f64) -> String {
    if snr.is_infinite() { "Infinity".to_owned() } else { json(&snr) }
}
