//! Singular values of a product of two small factors, as LoRA adds it to a weight.
//!
//! With the QR factorisations up = Q·R and downᵀ = P·S, the product up·down is Q·(R·Sᵀ)·Pᵀ, whose singular values other than zero are
//! those of the small matrix R·Sᵀ. All others are exactly zero, which no computation on the whole product could tell.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use pulp::Arch;

use super::householder::Panel;
use super::widen::{Weight, power_of_two_near};
use super::{RANGE, Spectrum, SpectrumError, UNIT_ROUNDOFF, direct, values};

/// The factors of a product scale · up · down, in row-major order.
#[derive(Clone, Debug)]
pub struct Product {
    pub up: Vec<f64>,
    pub down: Vec<f64>,
    /// The number of columns of `up`, and of rows of `down`.
    pub rank: usize,
    pub scale: f64,
}

/// The singular values of `product`, which changes a matrix of `shape`, computed on the CPU. The matrix may be stored transposed.
///
/// # Errors
///
/// Fails if a number is not finite, if the values are out of range, or if the factors cancel so far that rounding errors of the
/// product are larger than [`Spectrum::enclosure`] allows for.
pub fn singular_values_of_product(product: &Product, shape: [usize; 2]) -> Result<Spectrum, SpectrumError> {
    let Product { up, down, rank, scale } = product;
    let is_finite = up.iter().chain(down).chain([scale]).all(|number| number.is_finite());
    if !is_finite {
        return Err(SpectrumError::NotFinite);
    }
    let kept = kept(up, down, *rank);
    let (largest_up, largest_down) = (largest(up), largest(down));
    let mut spectrum = Spectrum::of_zeros(shape);
    if kept.is_empty() || *scale == 0.0 {
        return Ok(spectrum);
    }
    let [unit_up, unit_down] = [largest_up, largest_down].map(power_of_two_near);
    let (rows, columns) = (up.len() / rank, down.len() / rank);
    let tall = Mat::from_fn(rows, kept.len(), |row, column| up[row * rank + kept[column]] / unit_up);
    let wide = Mat::from_fn(columns, kept.len(), |row, column| down[kept[column] * columns + row] / unit_down);
    let (left, right) = (triangle(tall), triangle(wide));
    let core = times_transposed(left.as_ref(), right.as_ref());
    let elements: Vec<f64> =
        (0..core.nrows()).flat_map(|i| (0..core.ncols()).map(move |j| (i, j))).map(|at| core[at]).collect();
    let weight = Weight::new(&elements, core.nrows(), core.ncols());
    let inner = core.nrows().min(core.ncols());
    let found = values::<SpectrumError>(weight.survey(), inner, |unit| Ok(direct::singular_values(&weight, unit)))?;
    let largest = found[0];
    if largest > 0.0 && cancellation(&left, &right) / largest > tolerated(shape, kept.len()) {
        return Err(SpectrumError::Failed("the two factors of its change nearly cancel each other".to_owned()));
    }
    for (value, found) in spectrum.values.iter_mut().zip(found) {
        *value = found * unit_up * unit_down * scale.abs();
    }
    let largest = spectrum.values[0];
    if largest != 0.0 && !RANGE.contains(&largest) {
        return Err(SpectrumError::OutOfRange(largest));
    }
    Ok(spectrum)
}

/// The indices along the rank that contribute: neither the column of `up` nor the row of `down` is zero.
fn kept(up: &[f64], down: &[f64], rank: usize) -> Vec<usize> {
    let columns = down.len() / rank.max(1);
    let has_column = |at: usize| up.iter().skip(at).step_by(rank).any(|number| *number != 0.0);
    let has_row = |at: usize| down[at * columns..(at + 1) * columns].iter().any(|number| *number != 0.0);
    (0..rank).filter(|at| has_column(*at) && has_row(*at)).collect()
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest, number| number.abs().max(largest))
}

/// The upper triangle R of the QR factorisation of a tall matrix; a wide matrix stays as it is.
fn triangle(mut matrix: Mat<f64>) -> Mat<f64> {
    let (rows, columns) = matrix.shape();
    if rows <= columns {
        return matrix;
    }
    let _ = Panel::factorise(Arch::new(), matrix.as_mut());
    Mat::from_fn(columns, columns, |row, column| if row <= column { matrix[(row, column)] } else { 0.0 })
}

fn times_transposed(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(left.nrows(), right.nrows());
    matmul(product.as_mut(), Accum::Replace, left, right.transpose(), 1.0, Par::Seq);
    product
}

/// The product of the factors' Frobenius norms, to which the rounding errors of their product are proportional.
fn cancellation(left: &Mat<f64>, right: &Mat<f64>) -> f64 {
    left.norm_l2() * right.norm_l2()
}

/// How large [`cancellation`] may be over the largest singular value. The errors of the entries of R·Sᵀ add up like a random walk to
/// a matrix of norm 2·u·‖R‖·‖S‖/√r; an eighth of the radius that [`Spectrum::enclosure`] takes for the direct route leaves room
/// for those of the factorisations.
fn tolerated(shape: [usize; 2], rank: usize) -> f64 {
    let radius = 4.0 * ((shape[0] + shape[1]) as f64 + 16.0).sqrt() * UNIT_ROUNDOFF;
    radius * (rank as f64).sqrt() / (8.0 * UNIT_ROUNDOFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Elements, Matrix};
    use crate::spectrum::{Lane, Method, singular_values};

    fn numbers(count: usize, seed: usize) -> Vec<f64> {
        (0..count).map(|at| ((at * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    fn product(shape: [usize; 2], rank: usize, scale: f64) -> Product {
        Product { up: numbers(shape[0] * rank, 1), down: numbers(rank * shape[1], 2), rank, scale }
    }

    /// The whole product.
    fn dense(Product { up, down, rank, scale }: &Product, [rows, columns]: [usize; 2]) -> Vec<f64> {
        let at = |i: usize, j: usize| (0..*rank).map(|k| up[i * rank + k] * down[k * columns + j]).sum::<f64>() * scale;
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
    }

    #[test]
    fn singular_values_are_those_of_the_whole_product() {
        for (shape, rank, scale) in
            [([40, 24], 3, 2.0), ([24, 40], 3, -0.3), ([8, 40], 12, 1e-3), ([9, 7], 7, 1e4), ([1, 5], 1, 1.0)]
        {
            let product = product(shape, rank, scale);
            let found = singular_values_of_product(&product, shape).expect("singular values").values;
            let matrix = Matrix { shape, elements: Elements::Decoded(dense(&product, shape)) };
            let expected = singular_values(matrix, Method::Direct, &Lane::CPU).expect("singular values").values;
            assert_eq!(found.len(), shape[0].min(shape[1]));
            let largest = expected[0];
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                if at >= rank {
                    assert_eq!(*found, 0.0, "{shape:?}: nothing is left beyond the rank");
                } else {
                    assert!((found - expected).abs() <= 1e-14 * largest, "{shape:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_contribute_is_exactly_zero() {
        let shape = [6, 5];
        let mut untrained = product(shape, 2, 1.0);
        untrained.up.fill(0.0);
        assert_eq!(singular_values_of_product(&untrained, shape).expect("zeros").values, [0.0; 5]);
        let mut pruned = product(shape, 3, 1.0);
        pruned.down[5..10].fill(0.0);
        let values = singular_values_of_product(&pruned, shape).expect("two values").values;
        assert!(values[1] > 0.0 && values[2..] == [0.0; 3], "{values:?}");
        assert_eq!(singular_values_of_product(&product(shape, 2, 0.0), shape).expect("zeros").values, [0.0; 5]);
    }

    #[test]
    fn what_cannot_be_known_is_refused() {
        let shape = [6, 5];
        let mut broken = product(shape, 2, 1.0);
        broken.up[3] = f64::NAN;
        assert!(matches!(singular_values_of_product(&broken, shape), Err(SpectrumError::NotFinite)));
        let mut cancelling = Product { up: vec![1.0; 12], down: vec![1.0; 10], rank: 2, scale: 1.0 };
        cancelling.down[5..].fill(-1.0 - 1e-13);
        assert!(matches!(singular_values_of_product(&cancelling, shape), Err(SpectrumError::Failed(_))));
    }

    #[test]
    fn extreme_factors_neither_overflow_nor_vanish() {
        let shape = [6, 5];
        let plain = product(shape, 2, 1.0);
        let scaled = |numbers: &[f64], by: f64| numbers.iter().map(|number| number * by).collect();
        let (up, down) = (scaled(&plain.up, 2f64.powi(900)), scaled(&plain.down, 2f64.powi(-890)));
        let extreme = Product { up, down, ..plain.clone() };
        let values = |product: &Product| singular_values_of_product(product, shape).expect("values").values;
        let expected: Vec<f64> = values(&plain).iter().map(|value| value * 1024.0).collect();
        assert_eq!(values(&extreme), expected);
    }
}
