//! What a reader of a ranking should know before relying on it.

use std::fmt;

use crate::output::{counted, digits};
use crate::scan::{Format, Part, Record, Scan, absence};
use crate::statistic::{Criterion, Statistic, Ties};

/// A ratio rests on few singular values if fewer than this are below the threshold, or fewer than a hundredth of all. In a tiny
/// matrix they may be no small part.
const FEW: usize = 8;

/// A module looks dead if its largest singular value is below this part of its type's median.
const DEAD: f64 = 1e-6;

/// A reason for caution, of a type or of the whole scan.
#[derive(Clone, Debug, PartialEq)]
pub enum Caution {
    /// Ratios are infinite, because no singular value lies below the threshold. `shape` is that of the first of them.
    Infinite { kind: String, count: usize, of: usize, shape: Option<[usize; 2]> },
    /// So many ratios rest on `least` to `most` singular values.
    Few { kind: String, count: usize, of: usize, least: usize, most: usize },
    /// Modules look dead; `first` is one of them.
    Dead { kind: String, count: usize, first: String },
    /// So many modules are not ranked, because the statistic is not defined for them; `reason` is that of the first.
    Undefined { kind: String, count: usize, of: usize, criterion: Criterion, reason: String },
    /// The scan is a part of one, so that ranks are among its own modules.
    OnePart(Part),
    /// Parts are missing in a scan that was merged of several.
    PartsMissing { missing: Vec<usize>, of: usize },
    /// So many modules did not change, of which a change was to be measured.
    Unchanged { count: usize, of: usize },
    /// Spectrum's results may hide infinite ratios.
    Hidden,
}

/// What to be careful about in a scan as it is ranked, type by type in the order in which the types appear.
pub fn cautions(scan: &Scan) -> Vec<Caution> {
    let mut kinds: Vec<(&str, Vec<&Record>)> = Vec::new();
    let whole = scan.records().iter().filter(|record| record.result.is_ok() && record.info.part_of.is_none());
    for record in whole {
        match kinds.iter_mut().find(|(kind, _)| *kind == record.info.kind) {
            Some((_, records)) => records.push(record),
            None => kinds.push((&record.info.kind, vec![record])),
        }
    }
    let ranking = scan.ranking();
    let mut found = Vec::new();
    // What did not change is told once, for all types.
    for (_, records) in &mut kinds {
        records.retain(|record| !record.is_unchanged());
    }
    kinds.retain(|(_, records)| !records.is_empty());
    for (kind, records) in &kinds {
        if ranking.criterion != Criterion::Laser {
            found.extend(undefined(kind, records, ranking.criterion));
            continue;
        }
        found.extend(infinite(kind, records).filter(|_| ranking.ties == Ties::Model));
        found.extend(few(kind, records));
        found.extend(dead(kind, records));
    }
    found.extend(unchanged(scan));
    found.extend(scan.part.as_ref().map(|portion| Caution::OnePart(portion.part)));
    let merged = scan.provenance.as_ref().and_then(|provenance| provenance.merged.as_ref());
    let merged = merged.filter(|merged| !merged.missing.is_empty());
    found.extend(merged.map(|merged| Caution::PartsMissing { missing: merged.missing.clone(), of: merged.of }));
    let is_of_spectrum = matches!(scan.format, Format::Spectrum | Format::SpectrumSorted);
    let has_infinite = kinds.iter().flat_map(|(_, records)| records).any(|record| record.snr() == Some(f64::INFINITY));
    found.extend((is_of_spectrum && !has_infinite).then_some(Caution::Hidden));
    found
}

fn infinite(kind: &str, records: &[&Record]) -> Option<Caution> {
    let mut infinite = records.iter().filter(|record| record.snr() == Some(f64::INFINITY));
    let first = infinite.next()?;
    let (count, of) = (infinite.count() + 1, records.len());
    Some(Caution::Infinite { kind: kind.to_owned(), count, of, shape: first.info.shape })
}

fn few(kind: &str, records: &[&Record]) -> Option<Caution> {
    let below = |statistic: &Statistic| {
        let all = statistic.signal_count + statistic.noise_count;
        let is_finite = statistic.snr().is_finite() && statistic.noise_count > 0;
        Some(statistic.noise_count).filter(|noise| is_finite && *noise < FEW.max(all / 100) && *noise < all / 4)
    };
    let counts: Vec<usize> = records.iter().filter_map(|record| below(laser(record)?)).collect();
    let (least, most) = (*counts.iter().min()?, *counts.iter().max()?);
    Some(Caution::Few { kind: kind.to_owned(), count: counts.len(), of: records.len(), least, most })
}

fn dead(kind: &str, records: &[&Record]) -> Option<Caution> {
    let mut largest: Vec<f64> = records.iter().filter_map(|record| Some(laser(record)?.sigma_max)).collect();
    largest.sort_unstable_by(f64::total_cmp);
    let median = *largest.get(largest.len() / 2)?;
    let is_dead = |record: &&&Record| laser(record).is_some_and(|laser| laser.sigma_max < DEAD * median);
    let mut dead = records.iter().filter(is_dead);
    let first = dead.next()?.info.name.clone();
    Some(Caution::Dead { kind: kind.to_owned(), count: dead.count() + 1, first })
}

fn undefined(kind: &str, records: &[&Record], criterion: Criterion) -> Option<Caution> {
    let reason = |record: &&Record| {
        let others = record.result.as_ref().ok()?.statistics.as_ref()?;
        let why = match criterion {
            Criterion::Laser | Criterion::RelativeNorm => None,
            Criterion::Mp => others.mp.as_ref().err(),
            Criterion::EffectiveRank => others.effective_rank.as_ref().err(),
            Criterion::Alpha => others.alpha.as_ref().err(),
        };
        why.map(ToString::to_string)
    };
    let mut reasons = records.iter().filter_map(reason);
    let first = reasons.next()?;
    let (count, of) = (reasons.count() + 1, records.len());
    Some(Caution::Undefined { kind: kind.to_owned(), count, of, criterion, reason: first })
}

fn unchanged(scan: &Scan) -> Option<Caution> {
    let whole = scan.records().iter().filter(|record| record.info.part_of.is_none());
    let deltas = whole.filter_map(|record| record.result.as_ref().ok()?.delta);
    let norms: Vec<f64> = deltas.map(|delta| delta.norm).collect();
    let count = norms.iter().filter(|norm| **norm == 0.0).count();
    (count > 0).then_some(Caution::Unchanged { count, of: norms.len() })
}

fn laser<'a>(record: &&'a Record) -> Option<&'a Statistic> {
    record.result.as_ref().ok()?.statistic.as_ref()
}

impl fmt::Display for Caution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infinite { kind, count, of, shape } => {
                let shape = shape.map(|[rows, columns]| format!(" ({rows} x {columns})")).unwrap_or_default();
                write!(
                    formatter,
                    "{kind}: {count} of {of} ratios are infinite. No singular value lies below the threshold, as happens to \
                     flat spectra of narrow matrices{shape}; among them the order is the model's, not a ranking"
                )
            }
            Self::Few { kind, count, of, least, most } => {
                let values = if least == most { counted(*most, "singular value") } else { format!("{least} to {most} singular values") };
                write!(
                    formatter,
                    "{kind}: {count} of {of} ratios rest on {values} below the threshold; differences below a factor of two \
                     mean nothing there"
                )
            }
            Self::Dead { kind, count, first } => {
                let (modules, looks) = if *count == 1 { ("1 module".to_owned(), "looks") } else { (format!("{count} modules"), "look") };
                write!(
                    formatter,
                    "{kind}: {modules} {looks} dead ('{first}'): the largest singular value is below {} of the type's median, \
                     and the ratio is high because it is divided by it",
                    digits(DEAD, 1),
                )
            }
            Self::Undefined { kind, count, of, criterion, reason } => {
                write!(formatter, "{kind}: {count} of {of} have no {criterion} and are not ranked: {reason}")
            }
            Self::OnePart(Part { number, of }) => write!(
                formatter,
                "this is part {number} of {of} of a scan, so that modules are ranked only among those of this part"
            ),
            Self::PartsMissing { missing, of } => {
                write!(formatter, "{}, so that their modules are not ranked", absence(missing, *of))
            }
            Self::Unchanged { count, of } if count == of => {
                write!(formatter, "none of the {of} measured modules changed")
            }
            Self::Unchanged { count, of } => write!(formatter, "{count} of {of} modules did not change at all"),
            Self::Hidden => formatter.write_str(
                "results that Spectrum wrote since April 2025 may hide infinite ratios, because noise of zero is set to 1 there: \
                 such a ratio is of another unit than the others",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Info;
    use crate::scan::Numbers;

    fn scan(spectra: &[(&str, &[f64])]) -> Scan {
        let record = |(at, (kind, values)): (usize, &(&str, &[f64]))| {
            let shape = [values.len(), 4 * values.len()];
            let info =
                Info { shape: Some(shape), ..Info::of_name(&format!("m.layers.{at}.{kind}"), (*kind).to_owned()) };
            Record { info, result: Ok(Numbers::from(Statistic::new(values, shape))) }
        };
        Scan::new(spectra.iter().enumerate().map(record).collect(), Format::LaserScan)
    }

    #[test]
    fn each_type_is_told_once() {
        let flat: &[f64] = &[1.0, 0.99, 0.98, 0.97];
        let steep: Vec<f64> = (0..40).map(|at| 0.8f64.powi(at)).collect();
        let dead: Vec<f64> = steep.iter().map(|value| value * 1e-9).collect();
        let told = |spectra: &[(&str, &[f64])]| {
            cautions(&scan(spectra)).iter().map(ToString::to_string).collect::<Vec<String>>()
        };
        let infinite = told(&[("v", flat), ("v", flat), ("q", &steep), ("q", &steep)]);
        assert_eq!(infinite.len(), 1, "{infinite:?}");
        assert!(infinite[0].starts_with("v: 2 of 2 ratios are infinite.") && infinite[0].contains("(4 x 16)"));
        let dead = told(&[("q", &steep), ("q", &steep), ("q", &dead)]);
        assert!(dead.len() == 1 && dead[0].starts_with("q: 1 module looks dead ('m.layers.2.q')"), "{dead:?}");
        let hanging: Vec<f64> = (0..37).map(|at| 2.0 - f64::from(at) / 36.0).chain([0.1; 3]).collect();
        let few = told(&[("k", &hanging), ("q", &steep)]);
        assert!(few.len() == 1 && few[0].contains("1 of 1 ratios rest on 3 singular values"), "{few:?}");
        assert_eq!(told(&[("q", &steep)]), [""; 0]);
    }

    #[test]
    fn results_of_spectrum_may_hide_infinite_ratios() {
        let of = |text: &str| cautions(&Scan::from_bytes(text.as_bytes()).expect("a scan"));
        let finite = r#"{"m.layers.0.q": {"snr": 2.5, "type": "q"}}"#;
        assert_eq!(of(finite), [Caution::Hidden]);
        assert!(!of(r#"{"m.layers.0.q": {"snr": Infinity, "type": "q"}}"#).contains(&Caution::Hidden));
    }
}
