//! The eigenvalues of a symmetric tridiagonal matrix, where both routes end.
//!
//! Bisection with Sturm counts (Givens 1954; Barth, Martin and Wilkinson 1967): the number of negative pivots in the
//! factorisation of T - x·I is the number of eigenvalues below x. Each eigenvalue comes out to within a few units of
//! roundoff of ‖T‖, whatever the dimension, and there are no iterations that could fail to converge (Kahan 1966;
//! Demmel, Dhillon and Ren 1995, who show that the counts are monotone in floating point). faer's own values-only
//! solver, an implicit QR iteration, was seen to be off by 5e-13·‖T‖ at n = 1024: enough to cost small singular values
//! their ninth digit.

use std::ops::Range;

/// Shifts counted at once. The pivots of one shift depend on each other through a division; those of different shifts
/// do not, and fill the vector units while a division is under way.
const LANES: usize = 32;

/// The eigenvalues of a symmetric tridiagonal matrix with the given `diagonal` (n numbers) and `off_diagonal` (n - 1)
/// whose places in ascending order, counted from zero, are `places`; in ascending order.
pub fn eigenvalues(diagonal: &[f64], off_diagonal: &[f64], places: Range<usize>) -> Vec<f64> {
    let bisection = Bisection::new(diagonal, off_diagonal);
    let arch = pulp::Arch::new();
    let mut values = Vec::with_capacity(places.len());
    for first in places.clone().step_by(LANES) {
        let group = bisection.group(arch, first);
        values.extend_from_slice(&group[..LANES.min(places.end - first)]);
    }
    values
}

/// A tridiagonal matrix, made ready for counting.
struct Bisection<'a> {
    diagonal: &'a [f64],
    /// Squares of the off-diagonal entries, after a leading zero: one for each pivot.
    squares: Vec<f64>,
    /// Stands in for a pivot that is smaller, so that no division overflows.
    smallest_pivot: f64,
    /// An interval that holds all eigenvalues.
    bounds: (f64, f64),
}

impl<'a> Bisection<'a> {
    fn new(diagonal: &'a [f64], off_diagonal: &[f64]) -> Self {
        let n = diagonal.len();
        let beside = |i: usize| off_diagonal.get(i).map_or(0.0, |value| value.abs());
        let radius = |i: usize| beside(i) + if i > 0 { beside(i - 1) } else { 0.0 };
        // Gershgorin's discs.
        let low = (0..n).map(|i| diagonal[i] - radius(i)).fold(f64::INFINITY, f64::min);
        let high = (0..n).map(|i| diagonal[i] + radius(i)).fold(f64::NEG_INFINITY, f64::max);
        let margin = 4.0 * f64::EPSILON * low.abs().max(high.abs()) + f64::MIN_POSITIVE;
        let squares: Vec<f64> = std::iter::once(0.0).chain(off_diagonal.iter().map(|e| e * e)).collect();
        let largest_square = squares.iter().copied().fold(1.0, f64::max);
        Self {
            diagonal,
            squares,
            smallest_pivot: f64::MIN_POSITIVE * largest_square,
            bounds: (low - margin, high + margin),
        }
    }

    /// Eigenvalues `first`, `first + 1`, … of ascending order, one a lane; lanes past the last repeat it.
    fn group(&self, arch: pulp::Arch, first: usize) -> [f64; LANES] {
        let last = self.diagonal.len() - 1;
        let places: [usize; LANES] = std::array::from_fn(|lane| (first + lane).min(last));
        let (mut low, mut high) = ([self.bounds.0; LANES], [self.bounds.1; LANES]);
        let resolution = f64::EPSILON / 2.0 * self.bounds.0.abs().max(self.bounds.1.abs());
        loop {
            let middle: [f64; LANES] = std::array::from_fn(|lane| low[lane] + (high[lane] - low[lane]) / 2.0);
            let open = |lane: usize| {
                high[lane] - low[lane] > resolution && low[lane] < middle[lane] && middle[lane] < high[lane]
            };
            if !(0..LANES).any(open) {
                return middle;
            }
            let below = self.counts(arch, &middle);
            for lane in 0..LANES {
                if below[lane] > places[lane] as i64 {
                    high[lane] = middle[lane];
                } else {
                    low[lane] = middle[lane];
                }
            }
        }
    }

    /// For each shift, how many eigenvalues lie below it.
    fn counts(&self, arch: pulp::Arch, shifts: &[f64; LANES]) -> [i64; LANES] {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut negative = [0i64; LANES];
                let mut pivot = [1f64; LANES];
                for (&entry, &square) in self.diagonal.iter().zip(&self.squares) {
                    for lane in 0..LANES {
                        let next = (entry - shifts[lane]) - square / pivot[lane];
                        let next = if next.abs() < self.smallest_pivot { -self.smallest_pivot } else { next };
                        negative[lane] += i64::from(next < 0.0);
                        pivot[lane] = next;
                    }
                }
                negative
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_difference_matrix_has_its_textbook_eigenvalues() {
        // 2 - 2 cos(kπ/(n+1)), k = 1 … n.
        for n in [1, 2, 3, 50, 301, 1000] {
            let values = eigenvalues(&vec![2.0; n], &vec![-1.0; n - 1], 0..n);
            for (k, value) in values.iter().enumerate() {
                let exact = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
                assert!((value - exact).abs() < 8.0 * f64::EPSILON, "n = {n}, k = {k}: {value} for {exact}");
            }
        }
    }

    #[test]
    fn part_of_the_spectrum_is_that_part() {
        let diagonal: Vec<f64> = (0..70).map(|i| f64::from(i * 37 % 23)).collect();
        let off_diagonal: Vec<f64> = (0..69).map(|i| f64::from(i * 29 % 13) - 6.0).collect();
        let all = eigenvalues(&diagonal, &off_diagonal, 0..70);
        assert!(all.is_sorted());
        let sum: f64 = all.iter().sum();
        assert!((sum - diagonal.iter().sum::<f64>()).abs() < 1e-12);
        assert_eq!(eigenvalues(&diagonal, &off_diagonal, 35..70), all[35..]);
    }

    #[test]
    fn zero_and_repeated_eigenvalues_are_found() {
        let zeros = eigenvalues(&[0.0; 3], &[0.0; 2], 0..3);
        assert!(zeros.iter().all(|value| value.abs() < 1e-300), "{zeros:?}");
        let repeated = eigenvalues(&[5.0; 40], &[0.0; 39], 0..40);
        assert!(repeated.iter().all(|value| (value - 5.0).abs() <= 4.0 * f64::EPSILON * 5.0), "{repeated:?}");
    }
}
