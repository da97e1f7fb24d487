//! Parts of a scan, measured by several machines -> the whole scan.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{
    Failure, ManifestError, Merged, Methods, OpenError, Options, PartRun, Portion, Processors, Provenance, Record,
    Scan, Seconds, Spectra, WeightFile,
};
use crate::source;
use crate::spectrum::Library;

/// A part with the path of its file.
#[derive(Debug)]
pub struct PartScan {
    pub path: PathBuf,
    scan: Scan,
    portion: Portion,
    provenance: Provenance,
}

/// Why parts cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Unreadable(#[from] OpenError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("'{0}' is a whole scan and no part of one: give the files that '--part K/N' wrote")]
    Whole(PathBuf),
    #[error("'{first}' is one of {one} parts and '{second}' one of {other}: all must be of one division")]
    OtherDivision { first: PathBuf, second: PathBuf, one: usize, other: usize },
    #[error("'{first}' and '{second}' are both part {number}: give each once")]
    Twice { first: PathBuf, second: PathBuf, number: usize },
    #[error("'{first}' and '{second}' are not parts of one scan: {what}")]
    Different { first: PathBuf, second: PathBuf, what: String },
    #[error("'{first}' and '{second}' both have the module '{module}': they are not parts of one scan")]
    Overlap { first: PathBuf, second: PathBuf, module: String },
    #[error("{}: measure what is missing, or merge what is there with --partial", absence(.missing, *.of))]
    Missing { missing: Vec<usize>, of: usize },
    #[error("the parts do not have all of the scan's {total} modules, but {found}: measure them anew")]
    Incomplete { total: usize, found: usize },
}

/// How many missing parts a message lists.
const NAMED: usize = 10;

/// Says which parts are missing.
pub fn absence(numbers: &[usize], of: usize) -> String {
    let named: Vec<String> = numbers.iter().take(NAMED).map(usize::to_string).collect();
    let more = if numbers.len() > NAMED { ", …" } else { "" };
    match numbers {
        [only] => format!("part {only} of {of} is missing"),
        _ => format!("{} of {of} parts are missing ({}{more})", numbers.len(), named.join(", ")),
    }
}

impl PartScan {
    /// Reads the part whose file of all numbers is at `path`, with its manifest and, if they are there, its spectra.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, or if it is no part.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        let mut scan = Scan::read_part(path)?;
        scan.read_manifest(path)?;
        let whole = || MergeError::Whole(path.to_owned());
        let portion = scan.part.clone().ok_or_else(whole)?;
        let provenance = scan.provenance.clone().ok_or_else(whole)?;
        // Without spectra the merged scan has none.
        let _ = scan.read_spectra(path);
        Ok(Self { path: path.to_owned(), scan, portion, provenance })
    }

    /// What the output files of the whole scan are called after.
    pub fn name(&self) -> &str {
        &self.portion.name
    }

    /// Checks that `other` can be of the same scan.
    fn check_alike(&self, other: &Self) -> Result<(), MergeError> {
        let (first, second) = (self.path.clone(), other.path.clone());
        let (one, of_other) = (&self.provenance, &other.provenance);
        let what = if self.portion.name != other.portion.name || one.base != of_other.base {
            "they are of different models".to_owned()
        } else if one.commit != of_other.commit {
            "they are of different commits of the model".to_owned()
        } else if let Some(file) = other_file(&one.files, &of_other.files) {
            format!(
                "the weights differ ('{file}'); all machines need the same files, whose dates 'cp -p' and 'rsync -t' keep"
            )
        } else if one.algorithm != of_other.algorithm {
            "they were measured by different versions of the arithmetic".to_owned()
        } else if one.options.transformers != of_other.options.transformers {
            "they have the names of different lines of transformers".to_owned()
        } else if what_to_scan(&one.options) != what_to_scan(&of_other.options) {
            "they were made with different options of what to scan".to_owned()
        } else if self.portion.part.of != other.portion.part.of {
            let (one, other) = (self.portion.part.of, other.portion.part.of);
            return Err(MergeError::OtherDivision { first, second, one, other });
        } else if self.portion.total != other.portion.total || self.scan.surroundings != other.scan.surroundings {
            "they have different modules".to_owned()
        } else {
            return Ok(());
        };
        Err(MergeError::Different { first, second, what })
    }
}

/// The first file that is not the same in both lists.
fn other_file<'a>(one: &'a [WeightFile], other: &'a [WeightFile]) -> Option<&'a str> {
    let is_same = |a: &WeightFile, b: &WeightFile| {
        let modified = |file: &WeightFile| file.identity.as_deref().and_then(source::modified).map(str::to_owned);
        a.file == b.file && a.size == b.size && a.etag == b.etag && modified(a) == modified(b)
    };
    let differing = one.iter().zip(other).find(|(a, b)| !is_same(a, b)).map(|(file, _)| file);
    differing.or_else(|| one.iter().chain(other).nth(2 * one.len().min(other.len()))).map(|file| file.file.as_str())
}

/// The options that decide what is measured.
fn what_to_scan(options: &Options) -> (&[String], &[String], [bool; 3]) {
    let Options { include, exclude, all_linear, include_conv, split_fused, .. } = options;
    (include, exclude, [*all_linear, *include_conv, *split_fused])
}

impl Scan {
    /// The whole scan of these parts, at least one, in any order. If `is_partial`, some may be missing; the scan then says so.
    ///
    /// # Errors
    ///
    /// Fails if they are not the parts of one scan, each once.
    pub fn merged(mut parts: Vec<PartScan>, is_partial: bool) -> Result<Self, MergeError> {
        parts.sort_by_key(|part| part.portion.part.number);
        let Some((first, others)) = parts.split_first() else {
            return Err(MergeError::Missing { missing: vec![1], of: 1 });
        };
        others.iter().try_for_each(|other| first.check_alike(other))?;
        if let Some([one, other]) = parts.array_windows().find(|[one, other]| one.portion.part == other.portion.part) {
            let (first, second, number) = (one.path.clone(), other.path.clone(), one.portion.part.number);
            return Err(MergeError::Twice { first, second, number });
        }
        let of = first.portion.part.of;
        let there: BTreeSet<usize> = parts.iter().map(|part| part.portion.part.number).collect();
        let missing: Vec<usize> = (1..=of).filter(|number| !there.contains(number)).collect();
        if !missing.is_empty() && !is_partial {
            return Err(MergeError::Missing { missing, of });
        }
        let (records, spectra) = joined(&mut parts, missing.is_empty())?;
        let mut scan = Self { records, spectra, part: None, ..parts[0].scan.clone() };
        scan.failures = failures(&parts);
        scan.provenance = Some(provenance(&parts, Merged { of, missing, runs: parts.iter().map(run).collect() }));
        Ok(scan)
    }
}

/// The records of all parts in the order of the whole scan, followed by those of modules that no part has, and the spectra if all
/// parts have theirs.
fn joined(parts: &mut [PartScan], is_whole: bool) -> Result<(Vec<Record>, Option<Spectra>), MergeError> {
    let total = parts[0].portion.total;
    let mut places: Vec<Option<(usize, Record)>> = vec![None; total];
    let mut outside: Vec<Record> = Vec::new();
    let mut spectra = Some(Spectra::default());
    for at in 0..parts.len() {
        let part = &mut parts[at];
        let measured = part.scan.records.iter().any(|record| record.result.is_ok());
        let own = part.scan.spectra.take().or_else(|| (!measured).then(Spectra::default));
        spectra = spectra.zip(own).map(|(all, own)| all.with(own));
        for record in std::mem::take(&mut part.scan.records) {
            match part.portion.places.get(&record.info.name).filter(|place| **place < total) {
                Some(&place) => {
                    if let Some((other, record)) = &places[place] {
                        let (first, second) = (parts[*other].path.clone(), parts[at].path.clone());
                        return Err(MergeError::Overlap { first, second, module: record.info.name.clone() });
                    }
                    places[place] = Some((at, record));
                }
                // What is missing in the model is told by every part.
                None if at == 0 => outside.push(record),
                None => {}
            }
        }
    }
    let known: usize = parts.iter().map(|part| part.portion.places.len()).sum();
    if is_whole && known != total {
        return Err(MergeError::Incomplete { total, found: known });
    }
    let records = places.into_iter().flatten().map(|(_, record)| record).chain(outside).collect();
    Ok((records, spectra))
}

/// The failures of all parts in the order of their modules, followed by those that are no part's, which every part tells.
fn failures(parts: &[PartScan]) -> Vec<Failure> {
    let places: HashMap<&str, usize> =
        parts.iter().flat_map(|part| part.portion.places.iter().map(|(name, place)| (name.as_str(), *place))).collect();
    let mut seen = HashSet::new();
    let all = parts.iter().flat_map(|part| &part.scan.failures);
    let mut failures: Vec<Failure> = all.filter(|failure| seen.insert(&failure.module)).cloned().collect();
    failures.sort_by_key(|failure| places.get(failure.module.as_str()).copied().unwrap_or(usize::MAX));
    failures
}

fn run(part: &PartScan) -> PartRun {
    let Provenance { version, date, host, device, seconds, .. } = part.provenance.clone();
    PartRun { number: part.portion.part.number, version, date, host, device, seconds: seconds.total }
}

/// How the whole was measured: where the parts differ, the first begin, all devices, and the sums of what they took.
fn provenance(parts: &[PartScan], merged: Merged) -> Provenance {
    let all = || parts.iter().map(|part| &part.provenance);
    let sum = |seconds: fn(&Seconds) -> f64| all().map(|provenance| seconds(&provenance.seconds)).sum();
    let count = |of: fn(&Provenance) -> usize| all().map(of).sum();
    let devices: BTreeSet<&str> = all().map(|provenance| provenance.device.as_str()).collect();
    let libraries: BTreeSet<&Library> = all().flat_map(|provenance| &provenance.libraries).collect();
    let settings: BTreeSet<&str> = all().filter_map(|provenance| provenance.emulation.as_deref()).collect();
    let eigensolvers: BTreeSet<&String> = all().flat_map(|provenance| &provenance.eigensolvers).collect();
    let date = all().map(|provenance| &provenance.date).min().cloned();
    Provenance {
        date: date.unwrap_or_default(),
        device: devices.into_iter().collect::<Vec<_>>().join(","),
        libraries: libraries.into_iter().cloned().collect(),
        eigensolvers: eigensolvers.into_iter().cloned().collect(),
        emulation: Some(settings.into_iter().collect::<Vec<_>>().join(", ")).filter(|settings| !settings.is_empty()),
        methods: Methods { gram: count(|all| all.methods.gram), direct: count(|all| all.methods.direct) },
        processors: Processors { cpu: count(|all| all.processors.cpu), cuda: count(|all| all.processors.cuda) },
        seconds: Seconds { plan: sum(|all| all.plan), scan: sum(|all| all.scan), total: sum(|all| all.total) },
        merged: Some(merged),
        ..parts[0].provenance.clone()
    }
}
