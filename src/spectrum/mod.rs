//! A matrix -> its singular values, in float64.
//!
//! Singular values are one candle operation (`op`), which computes on the device where the weight lies. A [`Lane`]
//! brings a weight to its [`Device`]. Two routes lead from there to the singular values:
//!
//! - [`Method::Gram`]: the Gram matrix of the short side, its eigenvalues, square roots. Least arithmetic and least
//!   memory, but an error of about the unit roundoff in an eigenvalue becomes up to its square root in a small singular
//!   value.
//! - [`Method::Direct`]: bidiagonalisation of the weight itself, a few times slower, with an error of about the unit
//!   roundoff in every singular value.
//!
//! On the CPU the Gram route is a pipeline of its own: `gram` forms the matrix in `tiles`, `band` reduces it to a band
//! matrix, `chase` reduces that to a tridiagonal matrix, and `tridiagonal` finds its eigenvalues. They are built on
//! `kernel` (matrix products), `householder` and `vectors`. The matrix's size alone decides how work is divided over
//! the threads of the current rayon pool, so that every bit of the result is the same for any number of threads. On a
//! GPU both routes use NVIDIA's libraries (`cuda`), and their results agree with the CPU's to about the unit roundoff.
//!
//! [`Spectrum::enclosure`] gives an interval around each value. From these intervals `vouch` of the room of statistics
//! decides in O(n) whether a route was accurate enough.

mod band;
mod buffer;
mod chase;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod direct;
mod gram;
mod householder;
mod kernel;
mod lane;
mod low_rank;
mod op;
mod request;
mod tiles;
mod tridiagonal;
mod vectors;
mod widen;

#[cfg(feature = "cuda")]
pub use cuda::{Eigensolver, Problem};
pub use device::{Device, Library, Opened, Processor};
pub use lane::Lane;
pub use low_rank::{Product, singular_values_of_product};
pub use request::{DeviceError, DeviceRequest, Fault};

use crate::checkpoint::Matrix;
use widen::Survey;

/// Names the version of the arithmetic. Every change that can move a result of the CPU in any digit changes this name, so that no
/// resumed scan mixes results of two versions. Results of GPUs, whose libraries differ, agree to nine digits only.
pub(crate) const ALGORITHM: &str = "gram-f64/2";

/// Half the distance from 1 to the next float64: the largest relative error of one rounding.
const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// How far rounding errors that all have the same sign may scale a Gram matrix: much more than what can add up in the
/// runs of a few hundred additions in which it is summed.
const COHERENT: f64 = 1e-12;

/// How many additions the CPU does in a row. Their rounding errors may all have the same sign.
const RUN: f64 = tiles::SIDE as f64;

/// The same on a GPU. How its libraries divide their sums is not documented, so more is allowed for.
const RUN_ON_GPU: f64 = 512.0;

/// Largest singular values outside this range are refused: their sums or reciprocals could leave float64's normal
/// range.
const RANGE: std::ops::RangeInclusive<f64> = 1e-280..=1e280;

/// How singular values are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Square roots of the eigenvalues of the short side's Gram matrix.
    Gram,
    /// Bidiagonalisation of the weight.
    Direct,
}

/// Why a weight has no singular values here.
#[derive(Debug, thiserror::Error)]
pub enum SpectrumError {
    #[error("the weight holds a NaN or an infinity")]
    NotFinite,
    #[error("its largest singular value, {0:e}, is out of the range that can be measured in float64")]
    OutOfRange(f64),
    /// The device failed; another one can be tried.
    #[error("{0}")]
    Device(#[from] Fault),
    /// The arithmetic gave no result, or one that contradicts itself.
    #[error("{0}")]
    Failed(String),
}

/// The singular values do not reproduce the sums that they must.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Contradiction(&'static str);

/// The singular values of a weight, with what is known of their errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// All min(rows, columns) singular values, largest first, in the unit of the weights. A value of 0.0 is exactly
    /// zero.
    pub values: Vec<f64>,
    pub method: Method,
    pub processor: Processor,
    /// The shape of the weight.
    pub shape: [usize; 2],
}

impl Spectrum {
    /// The spectrum of a matrix of zeros.
    pub(crate) fn of_zeros(shape: [usize; 2]) -> Self {
        let values = vec![0.0; shape[0].min(shape[1])];
        Self { values, method: Method::Direct, processor: Processor::Cpu, shape }
    }

    /// The spectrum that was kept of a weight of this `shape`; `None` unless `values` can be all of its singular values.
    pub(crate) fn kept(values: Vec<f64>, method: Method, processor: Processor, shape: [usize; 2]) -> Option<Self> {
        let (largest, smallest) = (*values.first()?, *values.last()?);
        let is_whole = values.len() == shape[0].min(shape[1]);
        let is_sound = values.is_sorted_by(|one, next| one >= next) && largest.is_finite() && smallest >= 0.0;
        (is_whole && is_sound).then_some(Self { values, method, processor, shape })
    }

    /// Lower and upper bounds of the exact singular values, each largest first.
    ///
    /// The Gram matrix and its reduction are backward stable, so by Weyl's inequality every eigenvalue θ is off by at
    /// most η = c·u·σ₁², with u the unit roundoff, and σ lies between √(θ-η) and √(θ+η). The direct route is backward
    /// stable in σ itself: each value is off by at most c·u·σ₁ (Golub and Van Loan, Matrix Computations, 4th edition,
    /// §8.6.2).
    ///
    /// The factor c grows like the square root of the dimension, as rounding errors add up like a random walk (Higham
    /// and Mary, 2019). Along the long side that holds for the panels of the Gram product, not for its elements,
    /// because a panel is summed in many short runs. Where all elements are nearly equal, the errors are not random but
    /// all have the same sign: those of the Gram matrix then scale it, which the term relative to θ covers, and those
    /// of the reduction add up over each run. On a GPU runs may be longer, in the direct route too. `tests/numerics`
    /// checks that the errors observed on the Gram route stay below half of the bound.
    pub fn enclosure(&self) -> (Vec<f64>, Vec<f64>) {
        let largest = self.values[0];
        let short = self.shape[0].min(self.shape[1]) as f64;
        let long = self.shape[0].max(self.shape[1]) as f64;
        let (run, direct_run) = match self.processor {
            Processor::Cpu => (RUN, 0.0),
            Processor::Cuda => (RUN_ON_GPU, RUN_ON_GPU),
        };
        let bounds = |&value: &f64| {
            if value == 0.0 {
                return (0.0, 0.0);
            }
            // Values are taken relative to the largest, so that no square leaves the range of float64.
            let relative = value / largest;
            match self.method {
                Method::Gram => {
                    let theta = relative * relative;
                    let roundings = 4.0 * (short + long / 64.0 + 16.0).sqrt() + run;
                    let eta = roundings * UNIT_ROUNDOFF + COHERENT * theta;
                    (largest * (theta - eta).max(0.0).sqrt(), largest * (theta + eta).sqrt())
                }
                Method::Direct => {
                    let radius = (4.0 * (short + long + 16.0).sqrt() + direct_run) * UNIT_ROUNDOFF;
                    (largest * (relative - radius).max(0.0), largest * (relative + radius))
                }
            }
        };
        self.values.iter().map(bounds).unzip()
    }
}

/// The singular values of `matrix`, computed by `method` on the device of `lane`.
///
/// # Errors
///
/// Fails if the matrix is not finite or out of range, if the device fails, or if the arithmetic gives no result.
pub fn singular_values(matrix: Matrix<'_>, method: Method, lane: &Lane) -> Result<Spectrum, SpectrumError> {
    let mut spectra = singular_values_of_many(vec![matrix], method, lane)?;
    spectra.pop().unwrap_or_else(|| Err(SpectrumError::Failed("the device has returned nothing".into())))
}

/// The singular values of each of `matrices`, which have one shape and one type, as [`singular_values`]. Where
/// [`Device::together`] says so, that is faster than one after the other.
///
/// # Errors
///
/// Fails as a whole if the device fails, or if the arithmetic gives no result for one of them.
pub fn singular_values_of_many(
    matrices: Vec<Matrix<'_>>,
    method: Method,
    lane: &Lane,
) -> Result<Vec<Result<Spectrum, SpectrumError>>, SpectrumError> {
    let Some(shape) = matrices.first().map(|matrix| matrix.shape) else { return Ok(Vec::new()) };
    let all = lane.singular_values(matrices, method)?;
    let spectrum = |values: Vec<f64>| match values.first() {
        Some(largest) if largest.is_nan() => Err(SpectrumError::NotFinite),
        Some(&largest) if largest != 0.0 && !RANGE.contains(&largest) => Err(SpectrumError::OutOfRange(largest)),
        _ => Ok(Spectrum { values, method, processor: lane.processor(), shape }),
    };
    Ok(all.into_iter().map(spectrum).collect())
}

/// The floating-point operations of the Gram route for a weight of `shape`: n²K for the product and 4/3 n³ for the
/// reduction, with n the short and K the long side.
pub fn flops([rows, columns]: [usize; 2]) -> f64 {
    let (n, k) = (rows.min(columns) as f64, rows.max(columns) as f64);
    n * n * k + 4.0 / 3.0 * n * n * n
}

/// The `count` singular values of a weight, largest first. `scaled` computes those of the weight divided by a power of
/// two, which is chosen by the `survey`; without a survey, which means that an element is not finite, all values are
/// NaN.
fn values<E>(
    survey: Option<Survey>,
    count: usize,
    scaled: impl FnOnce(f64) -> Result<Vec<f64>, E>,
) -> Result<Vec<f64>, E> {
    let Some(survey) = survey else { return Ok(vec![f64::NAN; count]) };
    if survey.largest == 0.0 {
        return Ok(vec![0.0; count]);
    }
    // Scaling by a power of two is exact in both directions, and near the largest element it keeps squares from
    // overflowing and underflowing.
    let scale = widen::power_of_two_near(survey.largest);
    let mut values = scaled(scale)?;
    for value in &mut values {
        *value = (*value * scale).max(f64::MIN_POSITIVE);
    }
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values[survey.rank..].fill(0.0);
    Ok(values)
}

/// Sums over a Gram matrix that its eigenvalues must reproduce. They check the reduction in O(n²).
struct Invariants {
    /// Σ Gᵢᵢ = Σ θᵢ
    trace: f64,
    /// ‖G‖²_F = Σ θᵢ²
    squared_norm: f64,
    /// The relative error that these sums themselves may have.
    error: f64,
}

impl Invariants {
    fn check(&self, eigenvalues: &[f64]) -> Result<(), Contradiction> {
        let sum: f64 = eigenvalues.iter().sum();
        let sum_of_squares: f64 = eigenvalues.iter().map(|theta| theta * theta).sum();
        let tolerance = 8.0 * eigenvalues.len() as f64 * UNIT_ROUNDOFF + self.error;
        let agrees = |computed: f64, exact: f64| (computed - exact).abs() <= tolerance * exact;
        if agrees(sum, self.trace) && agrees(sum_of_squares, self.squared_norm) {
            Ok(())
        } else {
            Err(Contradiction("the eigenvalues do not add up to the Gram matrix's trace and norm"))
        }
    }
}

/// The square roots of a Gram matrix's eigenvalues. A tiny eigenvalue may be negative because of rounding; its root is
/// zero.
fn square_roots(eigenvalues: Vec<f64>) -> Vec<f64> {
    eigenvalues.into_iter().map(|theta| theta.max(0.0).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_singular_values_of_a_weight_are_a_spectrum() {
        let is_kept =
            |values: &[f64], shape| Spectrum::kept(values.to_vec(), Method::Gram, Processor::Cpu, shape).is_some();
        assert!(is_kept(&[2.0, 1.0, 0.0], [3, 5]));
        for values in [&[2.0, 1.0][..], &[1.0, 2.0, 0.0], &[2.0, 1.0, -1.0], &[f64::INFINITY, 1.0, 0.0], &[f64::NAN; 3]]
        {
            assert!(!is_kept(values, [3, 5]), "{values:?}");
        }
        assert!(!is_kept(&[], [0, 5]));
    }

    #[test]
    fn eigenvalues_that_do_not_add_up_are_refused() {
        // [[2, 2], [2, 4]]: 3 ± √5.
        let invariants = Invariants { trace: 6.0, squared_norm: 28.0, error: 0.0 };
        let (middle, radius) = (3.0, 5f64.sqrt());
        assert!(invariants.check(&[middle + radius, middle - radius]).is_ok());
        assert!(invariants.check(&[middle + radius, middle - radius + 1e-12]).is_err());
    }
}
