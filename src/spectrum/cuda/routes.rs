//! The two routes to singular values, on a GPU: what each step launches, and what checks it.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::CudaBlas;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaViewMut};

use super::depth;
use super::eigensolver::{Eigensolver, choose};
use super::kernels::{self, Element, Lines, Matrix};
use super::raw::{self, Product};
use super::solver::{self, Solver, Stages};
use super::stream::{Handles, Stream};
use crate::spectrum::tridiagonal::Scaled;
use crate::spectrum::widen::{Survey, power_of_two_near};
use crate::spectrum::{COHERENT, Invariants, UNIT_ROUNDOFF, square_roots, values};

type Result<T> = candle_core::Result<T>;

impl Stream {
    fn survey<T: Element>(&self, weight: &Matrix<'_, T>) -> Result<Option<Survey>> {
        let mut rows = self.stream.alloc_zeros(weight.rows).w()?;
        let mut columns = self.stream.alloc_zeros(weight.columns).w()?;
        kernels::row_maxima(&self.stream, &self.kernel_for::<T>("row_maxima")?, weight, &mut rows)?;
        kernels::column_maxima(&self.stream, &self.kernel_for::<T>("column_maxima")?, weight, &mut columns)?;
        let numbers = |bits: Vec<u64>| bits.into_iter().map(f64::from_bits).collect::<Vec<_>>();
        let rows = numbers(raw::download(&self.stream, &rows)?);
        let columns = numbers(raw::download(&self.stream, &columns)?);
        Ok(Survey::of_maxima(&rows, &columns))
    }

    /// The singular values of `weights`, which have one shape, as square roots of the eigenvalues of the short sides'
    /// Gram matrices, one weight's after the other's.
    pub(super) fn by_gram_matrices<T: Element>(
        &self,
        Handles { blas, solver }: &Handles,
        weights: &[Matrix<'_, T>],
    ) -> Result<Vec<f64>> {
        let Some(first) = weights.first() else { return Ok(Vec::new()) };
        let n = first.rows.min(first.columns);
        let surveys: Vec<Option<Survey>> = weights.iter().map(|weight| self.survey(weight)).collect::<Result<_>>()?;
        // Above the diagonal nothing is written, and of weights without numbers nothing at all.
        let mut grams = self.stream.alloc_zeros::<f64>(weights.len() * n * n).w()?;
        let mut panel = raw::allocate::<f64>(&self.stream, n * depth(n).min(first.rows.max(first.columns)))?;
        let mut invariants = Vec::with_capacity(weights.len());
        for (at, (weight, survey)) in weights.iter().zip(&surveys).enumerate() {
            let mut gram = grams.slice_mut(at * n * n..(at + 1) * n * n);
            let scaled = survey.filter(|survey| survey.largest > 0.0);
            invariants.push(match scaled {
                Some(survey) => {
                    self.gram_matrix(blas, weight, power_of_two_near(survey.largest), &mut panel, &mut gram)?;
                    Some(self.invariants(blas, &gram, n)?)
                }
                None => None,
            });
        }
        drop(panel);
        let is_empty = invariants.iter().all(Option::is_none);
        let eigenvalues = if is_empty {
            vec![0.0; weights.len() * n]
        } else {
            self.eigenvalues(solver, &mut grams, n, weights.len())?
        };
        let mut all = Vec::with_capacity(eigenvalues.len());
        for ((survey, invariants), eigenvalues) in surveys.into_iter().zip(invariants).zip(eigenvalues.chunks(n)) {
            all.extend(values(survey, n, |_| {
                invariants.iter().try_for_each(|invariants| invariants.check(eigenvalues))?;
                candle_core::Result::Ok(square_roots(eigenvalues.to_vec()))
            })?);
        }
        Ok(all)
    }

    /// Writes the lower triangle of the Gram matrix of `weight` divided by the power of two `scale`, by way of `panel`.
    fn gram_matrix<T: Element>(
        &self,
        blas: &CudaBlas,
        weight: &Matrix<'_, T>,
        scale: f64,
        panel: &mut CudaSlice<f64>,
        gram: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let (rows, columns) = (weight.rows, weight.columns);
        let (n, long) = (rows.min(columns), rows.max(columns));
        let depth = depth(n).min(long);
        let kernel = self.kernel_for::<T>("widen")?;
        for start in (0..long).step_by(depth) {
            let k = depth.min(long - start);
            // BLAS takes the weight's rows for columns, because it expects column-major matrices.
            let (lines, product) = if rows <= columns {
                let lines = Lines { start, count: rows, length: k, line_stride: columns, stride: 1 };
                (lines, Product::OfColumns)
            } else {
                // These are whole rows, which are contiguous.
                let start = start * columns;
                let lines = Lines { start, count: 1, length: k * columns, line_stride: 0, stride: 1 };
                (lines, Product::OfRows)
            };
            kernels::widen(&self.stream, &kernel, &weight.data, lines, 1.0 / scale, panel)?;
            raw::syrk(blas, &self.stream, product, (n, k), panel, start == 0, gram)?;
        }
        Ok(())
    }

    fn invariants(&self, blas: &CudaBlas, gram: &CudaViewMut<'_, f64>, n: usize) -> Result<Invariants> {
        let trace = raw::trace(blas, gram, n)?;
        let diagonal = raw::norm(blas, &self.stream, gram, n, n + 1)?;
        let triangle = raw::norm(blas, &self.stream, gram, n * n, 1)?;
        let squared_norm = 2.0 * triangle * triangle - diagonal * diagonal;
        Ok(Invariants { trace, squared_norm, error: COHERENT })
    }

    /// The eigenvalues of `count` symmetric matrices of order `n` in the way that is chosen for them.
    fn eigenvalues(&self, solver: &Solver, matrices: &mut CudaSlice<f64>, n: usize, count: usize) -> Result<Vec<f64>> {
        self.solve(choose(n, self.abilities), solver, matrices, n, count)
    }

    /// The eigenvalues of `count` symmetric matrices of order `n` in one `way`, those of each smallest first.
    pub(super) fn solve(
        &self,
        way: Eigensolver,
        solver: &Solver,
        matrices: &mut CudaSlice<f64>,
        n: usize,
        count: usize,
    ) -> Result<Vec<f64>> {
        match way {
            Eigensolver::Batched => solver::eigenvalues_of_many(solver, matrices, n, count),
            _ if count != 1 => candle_core::bail!("{count} matrices of order {n} cannot be solved at once by {way}"),
            Eigensolver::TwoStage => solver::eigenvalues(solver, Stages::Two, matrices, n),
            Eigensolver::Default => solver::eigenvalues(solver, Stages::AsItComes, matrices, n),
            Eigensolver::Bisection => self.by_bisection(solver, matrices, n),
        }
    }

    /// The eigenvalues of a symmetric matrix of order `n`, smallest first, by way of a tridiagonal matrix.
    fn by_bisection(&self, solver: &Solver, matrix: &mut CudaSlice<f64>, n: usize) -> Result<Vec<f64>> {
        let (diagonal, off_diagonal) = solver::tridiagonal(solver, matrix, n)?;
        let Some(Scaled { scale, diagonal, squares, bound }) = Scaled::new(&diagonal, &off_diagonal) else {
            return Ok(vec![0.0; n]);
        };
        let [diagonal, squares] = [self.stream.clone_htod(&diagonal).w()?, self.stream.clone_htod(&squares).w()?];
        let mut values = raw::allocate::<f64>(&self.stream, n)?;
        kernels::bisect(&self.stream, &self.kernel("bisect")?, &diagonal, &squares, bound, &mut values)?;
        Ok(raw::download(&self.stream, &values)?.into_iter().map(|value| value * scale).collect())
    }

    /// The singular values of `weight`, largest first, by bidiagonalisation.
    pub(super) fn by_bidiagonalisation<T: Element>(
        &self,
        Handles { blas, solver }: &Handles,
        weight: &Matrix<'_, T>,
    ) -> Result<Vec<f64>> {
        let (rows, columns) = (weight.rows, weight.columns);
        let (n, long) = (rows.min(columns), rows.max(columns));
        values(self.survey(weight)?, n, |scale| {
            // Lines run along the long side, because cuSOLVER takes no matrix with more columns than rows.
            let (line_stride, stride) = if rows <= columns { (columns, 1) } else { (1, columns) };
            let lines = Lines { start: 0, count: n, length: long, line_stride, stride };
            let mut matrix = raw::allocate::<f64>(&self.stream, n * long)?;
            let kernel = self.kernel_for::<T>("widen")?;
            kernels::widen(&self.stream, &kernel, &weight.data, lines, 1.0 / scale, &mut matrix)?;
            let norm = raw::norm(blas, &self.stream, &matrix, n * long, 1)?;
            let values = solver::singular_values(solver, &mut matrix, long, n)?;
            // ‖W‖²_F = Σ σᵢ²
            let (sum, exact) = (values.iter().map(|value| value * value).sum::<f64>(), norm * norm);
            if (sum - exact).abs() <= (8.0 * n as f64 * UNIT_ROUNDOFF + COHERENT) * exact {
                Ok(values)
            } else {
                candle_core::bail!("the singular values do not add up to the weight's norm")
            }
        })
    }
}
