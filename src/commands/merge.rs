//! `laser-scan merge`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use laser_scan::scan::{Options, Outputs, Part, PartScan, Provenance, Scan};
use laser_scan::source::Model;
use laser_scan::source::is_address;
use rayon::prelude::*;

use super::advice::Advise;
use super::publish::{publish_whole, status};
use super::ranked::usual;
use super::remote::Remote;
use super::task::MergeTask;
use super::{emit, prepare};
use crate::terminal::Terminal;

pub fn run(task: &MergeTask, terminal: &Terminal) -> Result<ExitCode> {
    let mut task = task.clone();
    let _parts = bring(&mut task, terminal)?;
    let remote = Remote::of(&mut task.publication, None, terminal)?;
    let status = merge(&task, terminal)?;
    if let Some(remote) = remote {
        remote.send(&task.publication.stores, terminal)?;
    }
    Ok(status)
}

/// Brings the parts that are in object stores. They are in the folders that are returned, as long as these are kept.
fn bring(task: &mut MergeTask, terminal: &Terminal) -> Result<Vec<Remote>> {
    let mut brought = Vec::new();
    for named in &mut task.parts {
        let Some(address) = named.to_str().filter(|name| is_address(name)) else { continue };
        let is_of_part = |file: &str| file.contains("_part-");
        let remote = Remote::bring(address, &task.publication.stores, is_of_part, terminal)?;
        *named = remote.path().to_owned();
        brought.push(remote);
    }
    Ok(brought)
}

fn merge(task: &MergeTask, terminal: &Terminal) -> Result<ExitCode> {
    let begun = Instant::now();
    let paths = paths(&task.parts)?;
    let parts: Vec<PartScan> = paths.par_iter().map(|path| PartScan::read(path)).collect::<Result<_, _>>()?;
    let name = parts.first().map_or_else(String::new, |part| part.name().to_owned());
    let count = parts.len();
    let mut scan = Scan::merged(parts, task.is_partial)?;
    let ranking = task.publication.ranking.unwrap_or_else(|| usual(&scan));
    let mut publication = task.publication.clone();
    let Some(provenance) = &mut scan.provenance else { bail!("the parts do not say how they were made") };
    publication.ranking = Some(ranking);
    publication.all_statistics |= provenance.base.is_some();
    provenance.options = chosen(&task.options, &provenance.options);
    (provenance.options.statistic, provenance.options.ties) = (ranking.criterion, ranking.ties);
    let absent = provenance.merged.as_ref().map_or_else(Vec::new, |merged| merged.missing.clone());
    let of = count + absent.len();
    let outputs = Outputs::new(&name, &publication.destination);
    let kept: Vec<PathBuf> = paths.iter().flat_map(|path| laser_scan::scan::files_of(path)).collect();
    prepare::claim(&outputs, &kept, false)?;
    if !publication.overwrite {
        let (model, base) = models(provenance, &name);
        outputs.replace_only_those_of(&model, base.as_ref(), || scan.names()).map_err(Advise::with_advice)?;
    }
    let model = scan.surroundings.as_ref().map_or("", |around| around.model.as_str());
    emit::check(&publication, model, &prepare::protected(&publication, &outputs))?;
    let lost = scan.records().iter().filter(|record| record.result.is_err()).count().max(scan.failures.len());
    if scan.spectra.is_none() && publication.has_spectra {
        terminal.note("some parts have no spectra beside them, so that the whole has none");
    }
    terminal.note(&format!("merging {count} of {of} parts"));
    publish_whole(&publication, terminal, scan, &outputs, || {}, lost, begun)?;
    Ok(status(lost == 0 && absent.is_empty()))
}

/// The files of the parts that the user named, by themselves or by the folder that they are in.
fn paths(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for path in named {
        if !path.is_dir() {
            paths.push(path.clone());
            continue;
        }
        let before = paths.len();
        let entries = fs::read_dir(path).with_context(|| format!("cannot read '{}'", path.display()))?;
        paths.extend(entries.flatten().map(|entry| entry.path()).filter(|path| is_part(path)));
        if paths.len() == before {
            bail!("'{}' holds no part of a scan, which is called laser_scan_<model>_part-K-of-N.json", path.display());
        }
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// Whether a file is called as a part is.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbers = name.strip_suffix(".json").and_then(|name| name.rsplit_once("_part-")).map(|(_, numbers)| numbers);
    numbers.is_some_and(|numbers| numbers.replacen("-of-", "/", 1).parse::<Part>().is_ok())
}

/// The options of the parts, but for those of the choice.
fn chosen(choice: &Options, measured: &Options) -> Options {
    let Options {
        revision, base_revision, include, exclude, all_linear, include_conv, split_fused, transformers, ..
    } = measured.clone();
    let (threads, memory, stream) = (measured.threads, measured.memory, measured.stream);
    Options {
        revision,
        base_revision,
        include,
        exclude,
        all_linear,
        include_conv,
        split_fused,
        transformers,
        threads,
        memory,
        stream,
        ..choice.clone()
    }
}

/// The scanned model, and the base whose changes were measured, if they were.
fn models(provenance: &Provenance, name: &str) -> (Model, Option<Model>) {
    let of = |spelling: &str, origin: &str, commit: &Option<String>| Model {
        spelling: spelling.to_owned(),
        name: name.to_owned(),
        origin: origin.to_owned(),
        commit: commit.clone(),
    };
    let base = provenance.base.as_ref().map(|base| of(&base.model, &base.origin, &base.commit));
    (of(&provenance.model, &provenance.origin, &provenance.commit), base)
}
