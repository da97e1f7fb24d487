//! The catalogue: what laser-scan makes of a small checkpoint of every family and of every format, against what the
//! libraries that wrote it make of it. The checkpoints and the expected numbers are in `tests/catalogue`, with the scripts that
//! wrote them.

mod damaged;
pub mod families;
mod formats;
mod pickles;
mod quantized;

use std::fs;
use std::path::PathBuf;

use laser_scan::checkpoint::{Checkpoint, Matrices};
use laser_scan::source::Source;
use serde_json::Value;

use crate::support::program::{self, in_project};

/// The catalogue's folder of this name.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(in_project("tests/catalogue")).join(name)
}

/// The names of the entries of a folder of the catalogue, without their extensions.
fn entries(name: &str) -> Vec<String> {
    program::entries(&format!("tests/catalogue/{name}"))
}

/// The formats of quantised weights that are measured.
fn formats() -> Vec<String> {
    entries("quantized").into_iter().filter(|name| name != "refused").collect()
}

/// The matrices of a model that is on this machine.
fn matrices(source: &dyn Source, checkpoint: &Checkpoint) -> anyhow::Result<Matrices> {
    let matrices = Matrices::new(&checkpoint.shards);
    for (at, shard) in checkpoint.shards.iter().enumerate() {
        source.fetch(&shard.file, matrices.blob(at), &|_| {})?;
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
