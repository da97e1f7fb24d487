//! How fast singular values are computed, against the machine's own rate of matrix products.
//!
//! `cargo bench` measures the shapes below, `cargo bench -- 8192x28672 …` others. Each row has
//!
//! - seconds, and billions of floating-point operations a second, where n is the short and K the long side and a matrix
//!   counts as n²K + 4/3 n³ operations;
//! - the share of the floor, which is the time that these operations would take at the rate of faer's product of two
//!   matrices of 1024 x 1024 on as many cores, measured before each repetition.
//!
//! Once on one core; once with all cores on one matrix, as at the end of a scan; and once with a matrix on each core,
//! as within a scan. Numbers are medians of up to five repetitions, of as many as begin within half a minute.

// A benchmark prints its table.
#![allow(clippy::print_stdout)]

mod weights;

use std::time::{Duration, Instant};

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use laser_scan::spectrum::{Lane, Method, flops, singular_values};
use rayon::prelude::*;

/// Rows and columns: squares for the curve, then the shapes of Qwen3-MoE's experts, of Mistral-7B and of Llama-70B's keys.
const SHAPES: [[usize; 2]; 14] = [
    [64, 64],
    [128, 128],
    [256, 256],
    [512, 512],
    [1024, 1024],
    [2048, 2048],
    [4096, 4096],
    [8192, 8192],
    [2048, 768],
    [1024, 4096],
    [4096, 14336],
    [14336, 4096],
    [1024, 8192],
    [4096, 8192],
];

/// Repetitions, of which the median counts.
const REPETITIONS: usize = 5;

/// After so long no further repetition begins.
const PATIENCE: Duration = Duration::from_secs(30);

/// The side of the matrices whose product is the yardstick.
const YARDSTICK: usize = 1024;

/// The least work that is timed as one, in floating-point operations: small matrices are measured many times over.
const LEAST: f64 = 1e8;

fn main() {
    let shapes: Vec<[usize; 2]> = std::env::args().skip(1).filter_map(|word| weights::shape(&word)).collect();
    let shapes = if shapes.is_empty() { SHAPES.to_vec() } else { shapes };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, {}, BF16 weights", std::env::consts::ARCH);
    println!("                ------- one core --------  --- all on one ---  -- one on each ---");
    println!("       shape    seconds    GF/s  of floor   seconds  of floor     GF/s  of floor");
    let mut alone = Vec::new();
    for shape in shapes {
        let weight = weights::bytes(shape);
        let one = measure(1, || repeat(&weight, shape));
        let all = measure(cores, || repeat(&weight, shape));
        let each = measure(cores, || (0..cores).into_par_iter().map(|_| repeat(&weight, shape)).sum());
        println!(
            "{:>12}  {:>9.4}  {:>6.1}  {:>8.2}  {:>8.4}  {:>8.2}  {:>7.1}  {:>8.2}",
            format!("{}x{}", shape[0], shape[1]),
            flops(shape) / one.rate,
            one.rate / 1e9,
            one.share,
            flops(shape) / all.rate,
            all.share,
            each.rate / 1e9,
            each.share,
        );
        alone.push((shape, flops(shape) / one.rate));
    }
    // A weight twice as long has the same eigenvalue stage after a Gram product of twice the work.
    for (square, seconds) in alone.iter().filter(|(shape, _)| shape[0] == shape[1]) {
        if let Some((_, longer)) = alone.iter().find(|(shape, _)| *shape == [square[0], 2 * square[0]]) {
            println!("eigenvalue stage at n = {}: {:.2} s on one core", square[0], 2.0 * seconds - longer);
        }
    }
}

/// What came of the repetitions.
struct Measured {
    /// Floating-point operations a second.
    rate: f64,
    /// The share of the rate of matrix products.
    share: f64,
}

/// Measures `work`, which returns how many floating-point operations it took, on so many threads.
fn measure(threads: usize, work: impl Fn() -> f64 + Sync) -> Measured {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while rates.len() < REPETITIONS && (rates.is_empty() || begun.elapsed() < PATIENCE) {
        let yardstick = pool.install(|| yardstick(threads));
        let begun = Instant::now();
        let rate = pool.install(&work) / begun.elapsed().as_secs_f64();
        rates.push(rate);
        shares.push(rate / yardstick);
    }
    Measured { rate: median(rates), share: median(shares) }
}

/// The rate of matrix products, one on each thread, in floating-point operations a second.
fn yardstick(threads: usize) -> f64 {
    let factor = Mat::from_fn(YARDSTICK, YARDSTICK, |i, j| (i * 7 + j) as f64 / 1e4);
    let mut products: Vec<Mat<f64>> = (0..threads).map(|_| Mat::zeros(YARDSTICK, YARDSTICK)).collect();
    let begun = Instant::now();
    products.par_iter_mut().for_each(|product| {
        matmul(product.as_mut(), Accum::Replace, factor.as_ref(), factor.as_ref(), 1.0, Par::Seq);
    });
    threads as f64 * 2.0 * (YARDSTICK as f64).powi(3) / begun.elapsed().as_secs_f64()
}

/// Computes the singular values once, or as often as makes up the least work; returns the operations.
fn repeat(bytes: &[u8], shape: [usize; 2]) -> f64 {
    let times = (LEAST / flops(shape)).ceil().max(1.0);
    for _ in 0..times as usize {
        let weight = weights::stored(bytes, shape);
        std::hint::black_box(singular_values(weight, Method::Gram, &Lane::CPU).expect("singular values"));
    }
    times * flops(shape)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
