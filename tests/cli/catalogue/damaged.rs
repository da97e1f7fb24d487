//! Quantised checkpoints whose parts do not fit: whatever is missing, short or nonsense, the answer is an error and no panic.

use std::fs;
use std::path::Path;

use laser_scan::checkpoint::{Checkpoint, Look, Weight};
use laser_scan::modules::{self, Wanted};
use laser_scan::source::local::Local;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{folder, formats, matrices};

#[derive(Clone)]
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Reads every matrix of the model in `folder`, as a scan does. What cannot be read is an error, here too.
fn read(folder: &Path) -> Result<usize, String> {
    let source = Local::open(folder).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::open(&source).map_err(|error| error.to_string())?;
    let matrices = matrices(&source, &checkpoint).map_err(|error| error.to_string())?;
    let wanted = Wanted { all_linear: true, convolutions: true, parts: true, ..Wanted::default() };
    let is_alike = |one: &Weight, other: &Weight, look: Look| checkpoint.are_alike(&source, one, other, look);
    let discovery = modules::discover(&checkpoint.components, wanted, &is_alike);
    let modules = discovery.map_err(|error| error.to_string())?.modules;
    for module in &modules {
        let matrix = matrices.matrix(&module.weight, &module.selection).map_err(|error| error.to_string())?;
        assert_eq!(matrix.shape, module.shape(), "{}", module.info.name);
    }
    Ok(modules.len())
}

/// Ways to damage a tensor; `None` where there is nothing left of it.
fn damages(tensor: &Stored) -> Vec<Option<Stored>> {
    let with = |shape: Vec<usize>| {
        let bytes = shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
        let data = tensor.bytes.iter().copied().cycle().take(bytes).collect::<Vec<u8>>();
        (data.len() == bytes).then(|| Stored { shape, bytes: data, ..tensor.clone() })
    };
    let mut turned = tensor.shape.clone();
    turned.reverse();
    let mut halved = tensor.shape.clone();
    let mut longer = tensor.shape.clone();
    let mut empty = tensor.shape.clone();
    for (shape, change) in [(&mut halved, -1), (&mut longer, 1), (&mut empty, 0)] {
        if let Some(first) = shape.first_mut() {
            *first = match change {
                0 => 0,
                1 => *first + 1,
                _ => first.div_ceil(2),
            };
        }
    }
    let ones = Stored { bytes: vec![0xff; tensor.bytes.len()], ..tensor.clone() };
    let flat = with(vec![tensor.shape.iter().product()]);
    let deep = with([&[1], &tensor.shape[..]].concat());
    let changed = [with(turned), with(halved), with(longer), with(empty), with(vec![1]), flat, deep];
    changed.into_iter().flatten().map(Some).chain([Some(ones), None]).collect()
}

/// Damages the weights of a format in every way, and returns how often, and how often that was an error.
fn damage(format: &str) -> (usize, usize) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let (mut tried, mut refused) = (0, 0);
    let model = folder("quantized").join(format);
    let bytes = fs::read(model.join("model.safetensors")).expect("readable");
    let tensors = SafeTensors::deserialize(&bytes).expect("sound");
    let tensors: Vec<Stored> = tensors
        .iter()
        .map(|(name, view)| Stored {
            name: name.to_owned(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
        .collect();
    fs::copy(model.join("config.json"), place.path().join("config.json")).expect("copied");
    for at in 0..tensors.len() {
        for damaged in damages(&tensors[at]) {
            let mut tensors = tensors.clone();
            match damaged {
                Some(damaged) => tensors[at] = damaged,
                None => drop(tensors.remove(at)),
            }
            let views = tensors.iter().map(|tensor| {
                let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
                (tensor.name.clone(), view.expect("sound"))
            });
            safetensors::serialize_to_file(views, None, &place.path().join("model.safetensors")).expect("written");
            tried += 1;
            refused += usize::from(read(place.path()).is_err());
        }
    }
    (tried, refused)
}

/// Damaged weights of a format are errors and no panics.
pub fn damaged(format: &str) {
    let (tried, refused) = damage(format);
    assert!(tried > 60 && refused > 1, "{refused} of {tried} refused");
}

#[test]
fn damage_is_refused_as_often_as_it_can_be_seen() {
    let counts: Vec<(usize, usize)> = formats().iter().map(|format| damage(format)).collect();
    let tried: usize = counts.iter().map(|(tried, _)| tried).sum();
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    assert!(tried > 2000 && refused > tried / 4, "{refused} of {tried} refused");
}

#[test]
fn damaged_pickles_are_errors_and_no_panics() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let bytes = fs::read(folder("pickle/whole").join("pytorch_model.bin")).expect("readable");
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..600 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + random(4) {
            let at = random(2500.min(bytes.len()));
            damaged[at] = random(256) as u8;
        }
        if random(4) == 0 {
            damaged.truncate(random(bytes.len()));
        }
        fs::write(place.path().join("pytorch_model.bin"), damaged).expect("written");
        refused += usize::from(read(place.path()).is_err());
    }
    assert!(refused > 100, "{refused} refused");
}
