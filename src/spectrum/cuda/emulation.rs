//! Products that cuBLAS makes of integers instead of in float64, where the environment asks for it.
//!
//! GPUs whose float64 is slow are much faster with them. How exact they are depends on the library's settings and on the
//! numbers, and [`crate::spectrum::Spectrum::enclosure`] is about float64. So a GPU is used with them only if it is measured
//! that they are as exact, on a matrix whose elements differ in magnitude as much as such products bear worst.

use super::Stream;
use crate::spectrum::gram;
use crate::spectrum::widen::Weight;
use crate::spectrum::{Method, Processor, Spectrum, values};

/// The variable by which cuBLAS is asked for emulated products, since CUDA 13.0.
const VARIABLE: &str = "CUBLAS_EMULATE_DOUBLE_PRECISION";

/// The shape of the matrix on which emulated products are measured: no less work than where most time goes, because cuBLAS may make
/// small products as ever, and not one of those that are solved by the batch.
const PROBE: [usize; 2] = [1280, 4096];

/// How many powers of two the probe's elements are apart.
const SPREAD: u32 = 40;

/// The setting by which the environment asks for emulated products, if it does.
pub fn asked_for() -> Option<String> {
    let value = std::env::var(VARIABLE).ok()?;
    (!value.is_empty() && value != "0").then(|| format!("{VARIABLE}={value}"))
}

/// Fails, with the reason, if singular values by emulated products are off by more than those in float64 may be.
pub fn check(stream: &Stream) -> Result<(), String> {
    let [rows, columns] = PROBE;
    let numbers = probe(rows * columns);
    let ours = stream.of_numbers(&numbers, PROBE).map_err(|error| error.to_string())?;
    let weight = Weight::new(&numbers, rows, columns);
    let exact = values(weight.survey(), rows.min(columns), |scale| gram::singular_values(&weight, scale))
        .map_err(|error| error.to_string())?;
    let ours = Spectrum { values: ours, method: Method::Gram, processor: Processor::Cuda, shape: PROBE };
    let (lower, upper) = ours.enclosure();
    // The CPU's own values may be off by as much.
    let is_within = |at: usize| (lower[at]..=upper[at]).contains(&exact[at]);
    match (0..exact.len()).filter(|at| !is_within(*at)).count() {
        0 => Ok(()),
        count => Err(format!(
            "{VARIABLE} is set, and with the products that cuBLAS then makes of integers {count} of {} singular values of a matrix \
             are further off than its products in float64 could be: unset it",
            exact.len()
        )),
    }
}

/// Numbers of both signs, whose magnitudes are spread evenly over powers of two.
fn probe(count: usize) -> Vec<f64> {
    let mut state = 1u64;
    let mut next = move || {
        // The generator of Knuth's MMIX.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 32
    };
    let number = |_| {
        let fraction = next() as f64 / f64::from(u32::MAX) - 0.5;
        let exponent = (next() % u64::from(SPREAD)) as i32;
        fraction * f64::from(-exponent).exp2()
    };
    (0..count).map(number).collect()
}
