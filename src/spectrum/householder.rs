//! Reflections that turn a vector into a multiple of the first unit vector.
//!
//! H = I - τ·v·vᵀ with v₁ = 1 (Golub and Van Loan, Matrix Computations, 4th edition, §5.1).

use faer::linalg::matmul::matmul;
use faer::prelude::*;
use faer::{Accum, ColMut, Mat, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

use super::tiles::SIDE;
use super::vectors::{add, dot};

/// Below this squared norm a vector counts as zero: its squares are near the end of float64's range, and a reflection
/// computed from them would not be orthogonal. The matrices are scaled so that their largest element is about 1.
const NEGLIGIBLE: f64 = 1e-260;

/// The columns of a panel that are reduced one by one before the rest is updated by matrix products.
const INNER: usize = 12;

/// Turns `x` into the vector v of the reflection that maps it onto a multiple of the first unit vector, and returns
/// that multiple and τ.
#[inline(always)]
pub fn reflect<S: Simd>(simd: S, x: &mut [f64]) -> (f64, f64) {
    let Some((head, tail)) = x.split_first_mut() else { return (0.0, 0.0) };
    let squared = dot(simd, tail, tail);
    let alpha = std::mem::replace(head, 1.0);
    if squared < NEGLIGIBLE {
        tail.fill(0.0);
        return (alpha, 0.0);
    }
    let beta = -f64::copysign((alpha * alpha + squared).sqrt(), alpha);
    let scale = 1.0 / (alpha - beta);
    for value in tail {
        *value *= scale;
    }
    (beta, (beta - alpha) / beta)
}

/// The QR factorisation of a panel, with Q = I - V·T·Vᵀ (Schreiber and Van Loan, 1989).
pub struct Panel {
    /// V, of the panel's shape: ones on the diagonal, zeros above.
    pub v: Mat<f64>,
    /// Upper triangular.
    pub t: Mat<f64>,
}

impl Panel {
    /// Factorises `panel` and leaves R on and above its diagonal.
    pub fn factorise(arch: Arch, mut panel: MatMut<'_, f64>) -> Self {
        let (rows, columns) = panel.shape();
        let mut v = Mat::<f64>::zeros(rows, columns);
        let mut taus = vec![0.0; columns];
        let count = rows.min(columns);
        for first in (0..count).step_by(INNER) {
            let next = count.min(first + INNER);
            arch.dispatch(Inner { panel: panel.rb_mut(), v: v.as_mut(), taus: &mut taus[first..next], first });
            if next < columns {
                let v = v.as_ref().submatrix(first, first, rows - first, next - first);
                let t = block_factor(v, &taus[first..next]);
                let rest = panel.rb_mut().submatrix_mut(first, next, rows - first, columns - next);
                apply_transposed(v, t.as_ref(), rest);
            }
        }
        let t = block_factor(v.as_ref(), &taus);
        Self { v, t }
    }
}

/// Computes the reflections of the columns from `first` on, one for each of `taus`, and applies them to those columns
/// alone.
struct Inner<'a> {
    panel: MatMut<'a, f64>,
    v: MatMut<'a, f64>,
    taus: &'a mut [f64],
    first: usize,
}

impl WithSimd for Inner<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut panel, mut v, taus, first } = self;
        let next = first + taus.len();
        for (column, tau) in (first..).zip(taus) {
            let v = &mut numbers(v.rb_mut().col_mut(column))[column..];
            let x = &mut numbers(panel.rb_mut().col_mut(column))[column..];
            v.copy_from_slice(x);
            let head;
            (head, *tau) = reflect(simd, v);
            x.fill(0.0);
            x[0] = head;
            for other in column + 1..next {
                let x = &mut numbers(panel.rb_mut().col_mut(other))[column..];
                let along = dot(simd, v, x);
                add(simd, -*tau * along, v, x);
            }
        }
    }
}

/// The numbers of a column of a column-major matrix.
#[inline(always)]
fn numbers(column: ColMut<'_, f64>) -> &mut [f64] {
    column.try_as_col_major_mut().map_or(&mut [], |column| column.as_slice_mut())
}

/// Aᵀ·B, of matrices with many rows. It is summed over runs of rows, so that no run is longer than in a product of
/// tiles, and rounding errors stay small even where they all have the same sign.
pub fn inner_products(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut products = Mat::<f64>::zeros(a.ncols(), b.ncols());
    for first in (0..a.nrows()).step_by(SIDE) {
        let rows = SIDE.min(a.nrows() - first);
        let (a, b) = (a.subrows(first, rows), b.subrows(first, rows));
        matmul(products.as_mut(), Accum::Add, a.transpose(), b, 1.0, Par::Seq);
    }
    products
}

/// T of the reflections with the vectors `v` and these τ: their product, first to last, is I - V·T·Vᵀ.
fn block_factor(v: MatRef<'_, f64>, taus: &[f64]) -> Mat<f64> {
    let columns = v.ncols();
    let products = inner_products(v, v);
    let mut t = Mat::<f64>::zeros(columns, columns);
    for column in 0..columns {
        t[(column, column)] = taus[column];
        for row in 0..column {
            let sum: f64 = (row..column).map(|k| t[(row, k)] * products[(k, column)]).sum();
            t[(row, column)] = -taus[column] * sum;
        }
    }
    t
}

/// C := (I - V·T·Vᵀ)ᵀ·C.
fn apply_transposed(v: MatRef<'_, f64>, t: MatRef<'_, f64>, mut c: MatMut<'_, f64>) {
    let along = inner_products(v, c.rb());
    let mut scaled = Mat::<f64>::zeros(v.ncols(), c.ncols());
    matmul(scaled.as_mut(), Accum::Replace, t.transpose(), along.as_ref(), 1.0, Par::Seq);
    matmul(c.rb_mut(), Accum::Add, v, scaled.as_ref(), -1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(rows: usize, columns: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| ((i * 31 + j * 17) % 29) as f64 / 7.0 - 2.0)
    }

    #[test]
    fn a_panel_is_q_times_r() {
        for (rows, columns) in [(1, 1), (5, 3), (3, 5), (24, 24), (200, 24), (13, 12), (150, 40)] {
            let given = panel(rows, columns);
            let mut r = given.clone();
            let Panel { v, t } = Panel::factorise(Arch::new(), r.as_mut());
            let q = Mat::<f64>::identity(rows, rows) - &v * &t * v.transpose();
            assert!((q.transpose() * &q - Mat::<f64>::identity(rows, rows)).norm_max() < 1e-14, "{rows} x {columns}");
            assert!((&q * &r - &given).norm_max() < 1e-13, "{rows} x {columns}");
            for j in 0..columns {
                assert!((j + 1..rows).all(|i| r[(i, j)] == 0.0));
            }
        }
    }

    #[test]
    fn what_is_zero_already_stays() {
        for tiny in [0.0, 1e-200] {
            let mut panel = Mat::from_fn(4, 2, |i, j| if i == j { 2.0 } else { tiny });
            let Panel { t, .. } = Panel::factorise(Arch::new(), panel.as_mut());
            assert_eq!((panel[(0, 0)], panel[(1, 1)], t.norm_max()), (2.0, 2.0, 0.0));
        }
    }
}
