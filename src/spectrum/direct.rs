//! Singular values from the weight itself, for weights whose Gram matrix loses too much.
//!
//! Householder bidiagonalisation, then the eigenvalues of the Golub–Kahan form of the bidiagonal matrix: the symmetric
//! tridiagonal matrix with a zero diagonal and the bidiagonal's entries, interleaved, beside it, whose eigenvalues are
//! ±σᵢ (Golub and Kahan, 1965).
//!
//! A QR factorisation first would save arithmetic on tall matrices. But faer's drops columns below a relative threshold
//! far above the unit roundoff, and small singular values are what this route is for.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::linalg::svd::bidiag::{bidiag_in_place, bidiag_in_place_scratch};
use faer::{Mat, Par};

use super::tridiagonal;
use super::widen::{Weight, Widen};

/// The singular values of `weight` divided by the power of two `scale`, in no particular order.
pub fn singular_values<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> Vec<f64> {
    let mut tall = widen_tall(weight, scale);
    let (long, n) = (tall.nrows(), tall.ncols());
    let block = recommended_block_size::<f64>(long, n);
    let mut left = Mat::zeros(block, n);
    let mut right = Mat::zeros(block, n - 1);
    let mut memory = MemBuffer::new(bidiag_in_place_scratch::<f64>(long, n, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    bidiag_in_place(tall.as_mut(), left.as_mut(), right.as_mut(), Par::Seq, stack, Default::default());

    let mut off_diagonal = Vec::with_capacity(2 * n - 1);
    for i in 0..n {
        off_diagonal.push(tall[(i, i)]);
        if i + 1 < n {
            off_diagonal.push(tall[(i, i + 1)]);
        }
    }
    let upper_half = tridiagonal::eigenvalues(&vec![0.0; 2 * n], &off_diagonal, n..2 * n);
    // Rounding may make a zero singular value negative.
    upper_half.into_iter().map(|sigma| sigma.max(0.0)).collect()
}

/// The most float64 numbers that [`singular_values`] holds at once, except for O(n).
pub fn workspace(rows: usize, columns: usize) -> usize {
    rows * columns + 2 * rows.min(columns) * recommended_block_size::<f64>(rows.max(columns), rows.min(columns))
}

/// The weight in float64, transposed where it is wide.
fn widen_tall<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> Mat<f64> {
    let (rows, columns) = (weight.rows, weight.columns);
    let mut tall = Mat::zeros(rows.max(columns), rows.min(columns));
    let mut buffer = vec![0.0; columns];
    for row in 0..rows {
        weight.row(row, 0..columns, scale, &mut buffer);
        for (column, &value) in buffer.iter().enumerate() {
            let at = if rows >= columns { (row, column) } else { (column, row) };
            tall[at] = value;
        }
    }
    tall
}
