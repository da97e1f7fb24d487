//! Whose file a scan is in, and the two forms of Spectrum's results.
//!
//! Spectrum writes an infinite ratio as a bare `Infinity`, which is Python's JSON and nobody else's; its readers are Python.

use std::fmt;

use super::{Record, Scan};
use crate::output::python_json_text;

/// Who wrote a file of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This program.
    LaserScan,
    /// Spectrum: a record for each module.
    Spectrum,
    /// Spectrum: the ratios alone, sorted within each type.
    SpectrumSorted,
    /// laserRMT, or the seed's notebook.
    LaserRmt,
}

/// A module's name, type and ratio: all that Spectrum's results hold of it.
pub(crate) type Rated<'a> = (&'a str, &'a str, f64);

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LaserScan => "laser-scan",
            Self::Spectrum => "Spectrum",
            Self::SpectrumSorted => "Spectrum, sorted",
            Self::LaserRmt => "laserRMT",
        })
    }
}

impl Scan {
    /// The names, types and ratios of the measured modules.
    pub(crate) fn rated(&self) -> Vec<Rated<'_>> {
        fn rated(record: &Record) -> Option<Rated<'_>> {
            Some((&record.info.name, &record.info.kind, record.snr()?))
        }
        self.records.iter().filter_map(rated).collect()
    }
}

/// `{name: {"snr": …, "type": …}}`, as Spectrum writes it: four spaces, types one after the other.
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

/// The results by type, in the order in which the types appear.
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

/// A value as JSON on one line.
fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    python_json_text(value).trim_end().to_owned()
}

/// A ratio as Python writes it.
fn ratio(snr: f64) -> String {
    if snr.is_infinite() { "Infinity".to_owned() } else { json(&snr) }
}
