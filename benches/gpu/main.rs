//! How fast a GPU computes singular values, copies and all.
//!
//! `cargo bench --features cuda --bench gpu` measures the shapes of a 7B and of a 70B model and all modules of a 7B;
//! `… --bench gpu -- 4096x14336 7b` what it is told:
//!
//! - a shape, such as 4096x14336, and `7b`, all modules of a Mistral-7B;
//! - `solvers`: each way to eigenvalues by itself, with the time of the processor that the calling thread takes;
//! - `lanes`: a 7B's modules, and its smallest ones, on 1 to 12 lanes;
//! - `copies`: how fast weights go over, on one lane and on all.
//!
//! Weights are BF16 and go over from the system's memory as in a scan. Each row of a shape has
//!
//! - one module after the other: seconds a module, billions of floating-point operations a second (n²K + 4/3 n³ a module, with
//!   n the short and K the long side), and the share of the seconds in which the weight goes over;
//! - as many modules at once as a scan has in work: seconds a module, which is what a scan comes to, and the rate.
//!
//! Numbers are medians of five repetitions, after one that counts not. `benches/gpu_beside_torch.py` sets them against PyTorch's.

// A benchmark prints its table.
#![allow(clippy::print_stdout)]

mod model;
mod solvers;
#[path = "../weights/mod.rs"]
mod weights;

use std::collections::HashMap;
use std::time::Instant;

use laser_scan::spectrum::{Device, DeviceRequest, Lane, Method, flops, singular_values};

/// Rows and columns: squares and Mistral-7B's, then Llama-70B's.
const SHAPES: [[usize; 2]; 11] = [
    [1024, 1024],
    [2048, 768],
    [1024, 4096],
    [4096, 4096],
    [4096, 8192],
    [14336, 4096],
    [4096, 14336],
    [1024, 8192],
    [8192, 8192],
    [28672, 8192],
    [8192, 28672],
];

/// Repetitions, of which the median counts.
const REPETITIONS: usize = 5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let shapes: Vec<[usize; 2]> = words.iter().filter_map(|word| weights::shape(word)).collect();
    let shapes = if words.is_empty() { SHAPES.to_vec() } else { shapes };
    let opened = Device::open(&DeviceRequest::Cuda(vec![0]));
    let device = match opened {
        Ok(opened) => opened.devices[0].clone(),
        Err(error) => return println!("{error}"),
    };
    let lanes: Vec<Lane> = (0..device.lanes(1)).map(|_| device.lane().expect("a lane")).collect();
    println!("{}, {} lanes, BF16 weights", device.model().unwrap_or("a GPU"), lanes.len());
    if !shapes.is_empty() {
        compare(&lanes, &shapes);
    }
    if has("solvers") {
        solvers::compare(&device, &lanes[0]);
    }
    if has("copies") {
        model::copies(&lanes);
    }
    if has("lanes") {
        model::lanes(&device);
    }
    if words.is_empty() || has("7b") {
        model::whole(&device, &lanes);
    }
}

/// Prints a row for each shape.
fn compare(lanes: &[Lane], shapes: &[[usize; 2]]) {
    println!("              ------ one after the other ------  --- at once ---");
    println!("       shape     seconds      GF/s  of it copying     seconds      GF/s");
    let mut seconds_alone = HashMap::new();
    for &shape in shapes {
        let weight = Weights::from([(shape, weights::bytes(shape))]);
        let (alone, copying) = alone(&lanes[0], shape, &weight[&shape]);
        // Two rounds of the lanes, as long as that is no more than two seconds.
        let count = ((2.0 / alone) as usize).clamp(2, 2 * lanes.len());
        let together = median(|| model::at_once(lanes, &vec![shape; count], &weight)) / count as f64;
        println!(
            "{:>12}  {alone:>10.5}  {:>8.1}  {:>13.2}  {together:>10.5}  {:>8.1}",
            format!("{}x{}", shape[0], shape[1]),
            flops(shape) / alone / 1e9,
            copying / alone,
            flops(shape) / together / 1e9,
        );
        seconds_alone.insert(shape, alone);
    }
    // A weight twice as long has the same eigenvalue stage after twice the copy, survey and Gram product.
    for ([n, _], square) in seconds_alone.iter().filter(|([rows, columns], _)| rows == columns) {
        if let Some(longer) = seconds_alone.get(&[*n, 2 * n]) {
            println!("eigenvalue stage at n = {n}: {:.5} s", 2.0 * square - longer);
        }
    }
}

/// The bytes of weights by their shapes.
type Weights = HashMap<[usize; 2], Vec<u8>>;

/// Seconds of a module by itself, and those of them in which the weight goes over.
fn alone(lane: &Lane, shape: [usize; 2], bytes: &[u8]) -> (f64, f64) {
    let whole = median(|| seconds(|| measure(lane, shape, bytes)));
    let copying = median(|| seconds(|| lane.bring(weights::stored(bytes, shape)).expect("there")));
    (whole, copying)
}

fn measure(lane: &Lane, shape: [usize; 2], bytes: &[u8]) {
    std::hint::black_box(singular_values(weights::stored(bytes, shape), Method::Gram, lane).expect("singular values"));
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

fn median(measure: impl Fn() -> f64) -> f64 {
    measure();
    let mut numbers: Vec<f64> = (0..REPETITIONS).map(|_| measure()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers[REPETITIONS / 2]
}
