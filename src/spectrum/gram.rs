//! Singular values by way of the Gram matrix of the short side.
//!
//! For a weight W with short side n and long side K, the n x n matrix W·Wᵀ (or Wᵀ·W) has the squared singular values as
//! its eigenvalues. Products of BF16, F16 and F32 numbers are exact in float64, so the Gram matrix carries little more
//! than the rounding of its sums. It is accumulated over panels of the long side: the weight never exists whole in
//! float64, and beside the weight one n x n matrix is all that a large module needs, as the reduction works in place.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Accum, Mat, MatRef, Par};

use super::UNIT_ROUNDOFF;
use super::tridiagonal;
use super::widen::{Weight, Widen};

/// The panel's extent along the long side. Each panel passes over the Gram matrix once, so a narrow one is bound by
/// memory; a wide one only costs space.
const PANEL: usize = 512;

/// The singular values of `weight` divided by the power of two `scale`, in no particular order.
pub fn singular_values<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> candle_core::Result<Vec<f64>> {
    let gram = lower_gram(weight, scale);
    let invariants = Invariants::of(&gram);
    let eigenvalues = eigenvalues(gram);
    invariants.check(&eigenvalues)?;
    // A tiny eigenvalue may come out below zero by rounding.
    Ok(eigenvalues.into_iter().map(|theta| theta.max(0.0).sqrt()).collect())
}

/// The float64 numbers that [`singular_values`] holds at its peak, but for O(n).
pub fn workspace(rows: usize, columns: usize) -> usize {
    let n = rows.min(columns);
    let panel = PANEL.min(rows.max(columns));
    n * n + (2 * n * panel).max(n * recommended_block_size::<f64>(n, n))
}

/// The lower triangle of the Gram matrix of the short side; what lies above the diagonal is undefined.
fn lower_gram<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> Mat<f64> {
    let n = weight.rows.min(weight.columns);
    let long = weight.rows.max(weight.columns);
    let mut gram = Mat::<f64>::zeros(n, n);
    let mut panel = vec![0.0; n * PANEL.min(long)];
    let mut transposed = vec![0.0; n * PANEL.min(long)];
    for start in (0..long).step_by(PANEL) {
        let width = PANEL.min(long - start);
        let (panel, transposed) = (&mut panel[..n * width], &mut transposed[..n * width]);
        // faer's product runs at half its rate on a transposed view, so both orientations are laid out in memory.
        let (lhs, rhs) = if weight.rows <= weight.columns {
            for (row, target) in panel.chunks_exact_mut(width).enumerate() {
                weight.row(row, start..start + width, scale, target);
            }
            transpose(panel, width, transposed);
            (&*transposed, &*panel)
        } else {
            for (offset, target) in panel.chunks_exact_mut(n).enumerate() {
                weight.row(start + offset, 0..n, scale, target);
            }
            transpose(panel, n, transposed);
            (&*panel, &*transposed)
        };
        triangular::matmul(
            gram.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            MatRef::from_column_major_slice(lhs, n, width),
            BlockStructure::Rectangular,
            MatRef::from_column_major_slice(rhs, width, n),
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
    }
    gram
}

/// Writes the transpose of `source`, row-major with rows of `width`, to `target`, block by block.
fn transpose(source: &[f64], width: usize, target: &mut [f64]) {
    const BLOCK: usize = 16;
    let height = source.len() / width;
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            for column in left..width.min(left + BLOCK) {
                for row in top..height.min(top + BLOCK) {
                    target[column * height + row] = source[row * width + column];
                }
            }
        }
    }
}

/// The eigenvalues of the symmetric matrix whose lower triangle is given; the matrix is used up.
fn eigenvalues(mut gram: Mat<f64>) -> Vec<f64> {
    let n = gram.nrows();
    if n > 1 {
        let mut householder = Mat::zeros(recommended_block_size::<f64>(n, n), n - 1);
        let mut memory = MemBuffer::new(tridiag_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
        let stack = MemStack::new(&mut memory);
        tridiag_in_place(gram.as_mut(), householder.as_mut(), Par::Seq, stack, Default::default());
    }
    let diagonal: Vec<f64> = (0..n).map(|i| gram[(i, i)]).collect();
    let off_diagonal: Vec<f64> = (1..n).map(|i| gram[(i, i - 1)]).collect();
    tridiagonal::eigenvalues(&diagonal, &off_diagonal, 0..n)
}

/// Sums over a symmetric matrix that its eigenvalues must reproduce: a check of the reduction that costs O(n²).
struct Invariants {
    /// Σ Gᵢᵢ = Σ θᵢ
    trace: f64,
    /// ‖G‖²_F = Σ θᵢ²
    squared_norm: f64,
}

impl Invariants {
    fn of(lower: &Mat<f64>) -> Self {
        let n = lower.nrows();
        let (mut trace, mut squared_norm) = (0.0, 0.0);
        for j in 0..n {
            trace += lower[(j, j)];
            let below: f64 = (j + 1..n).map(|i| lower[(i, j)] * lower[(i, j)]).sum();
            squared_norm += lower[(j, j)] * lower[(j, j)] + 2.0 * below;
        }
        Self { trace, squared_norm }
    }

    fn check(&self, eigenvalues: &[f64]) -> candle_core::Result<()> {
        let sum: f64 = eigenvalues.iter().sum();
        let sum_of_squares: f64 = eigenvalues.iter().map(|theta| theta * theta).sum();
        let tolerance = 8.0 * eigenvalues.len() as f64 * UNIT_ROUNDOFF;
        let agrees = |computed: f64, exact: f64| (computed - exact).abs() <= tolerance * exact;
        if !agrees(sum, self.trace) || !agrees(sum_of_squares, self.squared_norm) {
            candle_core::bail!("the eigenvalues do not add up to the Gram matrix's trace and norm");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gram_matrix_is_that_of_the_short_side() {
        // More than one panel, in both orientations.
        let (n, long) = (5, PANEL + 3);
        let element = |i: usize, k: usize| ((i * 7 + k * 3) % 11) as f64 - 5.0;
        let wide: Vec<f64> = (0..n * long).map(|at| element(at / long, at % long)).collect();
        let tall: Vec<f64> = (0..n * long).map(|at| element(at % n, at / n)).collect();
        let from_wide = lower_gram(&Weight::new(&wide, n, long), 1.0);
        let from_tall = lower_gram(&Weight::new(&tall, long, n), 1.0);
        for i in 0..n {
            for j in 0..=i {
                let exact: f64 = (0..long).map(|k| element(i, k) * element(j, k)).sum();
                assert_eq!(from_wide[(i, j)], exact);
                assert_eq!(from_tall[(i, j)], exact);
            }
        }
    }

    #[test]
    fn eigenvalues_that_do_not_add_up_are_refused() {
        let invariants = Invariants::of(&faer::mat![[2.0, 0.0], [1.0, 2.0]]);
        assert!(invariants.check(&[3.0, 1.0]).is_ok());
        assert!(invariants.check(&[3.0, 1.0 + 1e-12]).is_err());
    }
}
