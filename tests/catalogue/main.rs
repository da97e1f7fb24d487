//! The catalogue: what laser-scan makes of a small checkpoint of every family and of every format, against what the
//! libraries that wrote it make of it. The checkpoints and the expected numbers were written by the scripts beside this file.

#[path = "../cli/program.rs"]
#[allow(dead_code)]
mod program;

mod bombs;
mod damaged;
mod families;
mod pickles;
mod quantized;
mod rows;

use std::fs;
use std::path::PathBuf;

use laser_scan::checkpoint::{Checkpoint, Matrices};
use laser_scan::source::Source;
use serde_json::Value;

/// The catalogue's folder of this name.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(program::in_project("tests/catalogue")).join(name)
}

/// The names of the entries of a folder of the catalogue, without their extensions.
fn entries(name: &str) -> Vec<String> {
    let entries = fs::read_dir(folder(name)).expect("the catalogue").flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

/// The matrices of a model that is on this machine.
fn matrices(source: &dyn Source, checkpoint: &Checkpoint) -> anyhow::Result<Matrices> {
    let matrices = Matrices::new(checkpoint);
    for (at, shard) in checkpoint.shards.iter().enumerate() {
        source.fetch(matrices.blob(at), &|_| {})?;
        matrices.open(at, shard)?;
    }
    Ok(matrices)
}

fn json(path: PathBuf) -> Value {
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks a ratio, which is `null` in our files where it is infinite and `"inf"` in the catalogue, to 1e-9.
#[track_caller]
fn same_ratio(ours: &Value, expected: &Value, what: &str) {
    match (ours.as_f64(), expected.as_f64()) {
        (Some(ours), Some(expected)) => {
            assert!((ours - expected).abs() <= 1e-9 * expected.abs(), "{what}: {ours:e}, not {expected:e}");
        }
        (None, None) => assert_eq!((ours, expected), (&Value::Null, &Value::from("inf")), "{what}"),
        _ => panic!("{what}: {ours}, not {expected}"),
    }
}
