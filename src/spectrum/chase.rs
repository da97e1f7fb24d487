//! A band matrix -> a tridiagonal matrix with the same eigenvalues.
//!
//! The second of the two stages: bulge chasing (Schwarz 1968; Lang 1993). Sweep s reflects column s to one subdiagonal.
//! That fills a bulge below the band. The bulge's first column is reflected in turn, and so on down to the last row;
//! the rest of each bulge is left for the next sweep. A step is one reflection, applied to the columns in which it
//! stands and to no others, so that step k of a sweep can be taken once the sweep before has taken its step k + 1.
//!
//! The steps are taken in tiles of [`SWEEPS`] sweeps by as many steps, each sweep one step behind the one before, so
//! that a tile's columns stay in the cache for all its sweeps. The tiles of a wave work on different columns, so that
//! all of them can be taken at once. Every number is computed in the same way, whatever the order.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::band::{Band, WIDTH};
use super::householder::reflect;
use super::vectors::{add, add_and_dot, add_two, dot};

/// The sweeps of a tile, and the steps of each sweep in it.
const SWEEPS: usize = 8;

/// The diagonal and the subdiagonal of a tridiagonal matrix with the eigenvalues of `band`, which is used up.
pub fn tridiagonalise(mut band: Band) -> (Vec<f64>, Vec<f64>) {
    let arch = Arch::new();
    let n = band.n;
    // Sweep s finishes column s. The last two columns have nothing below the subdiagonal.
    let sweeps = n.saturating_sub(2);
    let groups = sweeps.div_ceil(SWEEPS);
    let mut reflections: Vec<[Reflection; SWEEPS]> = vec![[Reflection::NONE; SWEEPS]; groups];
    // The most tiles that a group has, whose last sweep is SWEEPS - 1 steps behind its first.
    let tiles = (n.div_ceil(WIDTH) + SWEEPS).div_ceil(SWEEPS);
    for wave in 0..(tiles + 2 * groups) {
        // Group g is in its tile wave - 2g.
        let newest = groups.min(wave / 2 + 1);
        let oldest = (wave + 1).saturating_sub(tiles).div_ceil(2).min(newest);
        // Later groups stand further left: each tile gets the columns from its first up to the tile before it.
        let mut rest = &mut band.columns[..];
        let mut work = Vec::new();
        for (group, reflections) in (oldest..newest).zip(&mut reflections[oldest..newest]) {
            let tile = Tile { group, at: wave - 2 * group, n };
            let (before, columns) = rest.split_at_mut(tile.first_column() * Band::STRIDE);
            rest = before;
            work.push((tile, columns, reflections));
        }
        work.into_par_iter().for_each(|(tile, columns, reflections)| {
            arch.dispatch(Steps { tile, columns, reflections });
        });
    }
    let columns = band.columns.chunks_exact(Band::STRIDE);
    let diagonal = columns.clone().map(|column| column[0]).collect();
    let beside = columns.take(n.saturating_sub(1)).map(|column| column[1]).collect();
    (diagonal, beside)
}

/// The last reflection of a sweep.
#[derive(Clone, Copy)]
struct Reflection {
    v: [f64; WIDTH],
    tau: f64,
}

impl Reflection {
    const NONE: Self = Self { v: [0.0; WIDTH], tau: 0.0 };
}

/// Tile number `at` of a group of sweeps.
#[derive(Clone, Copy)]
struct Tile {
    group: usize,
    at: usize,
    n: usize,
}

impl Tile {
    /// The steps that sweep number `sweep` of the group takes in this tile: it is `sweep` steps behind the group's
    /// first.
    fn steps(&self, sweep: usize) -> std::ops::Range<usize> {
        let first = (self.at * SWEEPS).saturating_sub(sweep);
        first..((self.at + 1) * SWEEPS).saturating_sub(sweep)
    }

    /// The leftmost column that the tile's steps touch.
    fn first_column(&self) -> usize {
        let first = self.group * SWEEPS;
        // The last sweep is furthest behind. A sweep's first step touches the column before, too.
        (0..SWEEPS)
            .map(|sweep| {
                let steps = self.steps(sweep);
                first + sweep + steps.start * WIDTH + usize::from(steps.start > 0)
            })
            .min()
            .unwrap_or(first)
            .min(self.n)
    }
}

/// The steps of a tile, on the columns from its first on.
struct Steps<'a> {
    tile: Tile,
    columns: &'a mut [f64],
    reflections: &'a mut [Reflection; SWEEPS],
}

impl WithSimd for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tile, columns, reflections } = self;
        let origin = tile.first_column();
        let n = tile.n;
        for (at, reflection) in reflections.iter_mut().enumerate() {
            let sweep = tile.group * SWEEPS + at;
            for step in tile.steps(at) {
                // The first row that the step's reflection changes.
                let row = sweep + 1 + step * WIDTH;
                if row + 1 >= n {
                    break;
                }
                if step == 0 {
                    let column = &mut columns[(sweep - origin) * Band::STRIDE..][1..=WIDTH.min(n - row)];
                    *reflection = eliminate(simd, column);
                }
                let columns = &mut columns[(row - origin) * Band::STRIDE..];
                *reflection = self::step(simd, columns, n - row, reflection);
            }
        }
    }
}

/// Reflects `column` onto its first element, and returns the reflection.
#[inline(always)]
fn eliminate<S: Simd>(simd: S, column: &mut [f64]) -> Reflection {
    let mut next = Reflection::NONE;
    let v = &mut next.v[..column.len()];
    v.copy_from_slice(column);
    let (head, tau) = reflect(simd, v);
    column.fill(0.0);
    column[0] = head;
    next.tau = tau;
    next
}

/// Applies `reflection` to the first rows of a band matrix with `left` rows, from both sides. Then eliminates the first
/// column of the bulge that this makes, by a reflection from the left, and returns that reflection.
#[inline(always)]
fn step<S: Simd>(simd: S, columns: &mut [f64], left: usize, reflection: &Reflection) -> Reflection {
    let size = WIDTH.min(left);
    let v = &reflection.v[..size];
    let tau = reflection.tau;

    // D := H·D·H, with D the symmetric block on the diagonal: D - v·wᵀ - w·vᵀ, w = τ·(D·v - ½·τ·(vᵀ·D·v)·v).
    let mut w = [0.0; WIDTH];
    let w = &mut w[..size];
    for (j, column) in columns.chunks_exact(Band::STRIDE).take(size).enumerate() {
        let below = &column[1..size - j];
        w[j] += column[0] * v[j] + dot(simd, below, &v[j + 1..]);
        add(simd, v[j], below, &mut w[j + 1..]);
    }
    let half = 0.5 * tau * dot(simd, w, v);
    for (w, v) in w.iter_mut().zip(v) {
        *w = tau * (*w - half * v);
    }
    for (j, column) in columns.chunks_exact_mut(Band::STRIDE).take(size).enumerate() {
        add_two(simd, -w[j], &v[j..], -v[j], &w[j..], &mut column[..size - j]);
    }

    // B := B·H, with B the block below, which H fills to a bulge.
    let below = WIDTH.min(left - size);
    if below == 0 {
        return Reflection::NONE;
    }
    let mut along = [0.0; WIDTH];
    let along = &mut along[..below];
    for (j, column) in columns.chunks_exact(Band::STRIDE).take(size).enumerate() {
        add(simd, v[j], &column[size - j..][..below], along);
    }
    let mut parts = columns.chunks_exact_mut(Band::STRIDE).take(size).enumerate();
    let Some((_, column)) = parts.next() else { return Reflection::NONE };
    let column = &mut column[size..][..below];
    add(simd, -tau * v[0], along, column);
    // The first column of the bulge is eliminated here; the others are reflected with it.
    let next = eliminate(simd, column);
    let u = &next.v[..below];
    for (j, column) in parts {
        let column = &mut column[size - j..][..below];
        let onto = add_and_dot(simd, -tau * v[j], along, column, u);
        add(simd, -next.tau * onto, u, column);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::band;
    use crate::spectrum::tiles::{SIDE, SymmetricTiles};
    use crate::spectrum::tridiagonal::eigenvalues;

    /// The matrix with elements min(i, j) + 1, whose eigenvalues are known.
    fn minima(n: usize) -> SymmetricTiles {
        let mut matrix = SymmetricTiles::zeros(n);
        let places = crate::spectrum::tiles::places(matrix.count());
        for (tile, (row, column)) in matrix.tiles_mut().chunks_exact_mut(SIDE * SIDE).zip(places) {
            for (at, element) in tile.iter_mut().enumerate() {
                *element = ((row * SIDE + at % SIDE).min(column * SIDE + at / SIDE) + 1) as f64;
            }
        }
        matrix
    }

    #[test]
    fn both_stages_keep_the_eigenvalues() {
        // Sizes on both sides of the band's width, of a tile's side and of a group of sweeps, and some with several
        // strips.
        for n in [1, 2, 3, 8, 23, 24, 25, 26, 48, 49, 95, 96, 97, 150, 200, 289, 480, 800] {
            let (diagonal, off_diagonal) = tridiagonalise(band::reduce(minima(n)));
            let values = eigenvalues(&diagonal, &off_diagonal, 0..n);
            // 1 / (4 sin²((2k - 1)π / (4n + 2))): the inverse is a second difference matrix.
            let largest = values[n - 1];
            for (k, value) in values.iter().rev().enumerate() {
                let sine = ((2 * k + 1) as f64 * std::f64::consts::PI / (4 * n + 2) as f64).sin();
                let exact = 0.25 / (sine * sine);
                assert!((value - exact).abs() < 1e-14 * largest, "n = {n}, k = {k}: {value} for {exact}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let n = 800;
        let reduce = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| tridiagonalise(band::reduce(minima(n))))
        };
        let alone = reduce(1);
        for threads in [2, 3, 7] {
            assert!(reduce(threads) == alone, "{threads} threads");
        }
    }

    #[test]
    fn a_band_matrix_that_is_tridiagonal_stays() {
        let mut band = Band::zeros(130);
        for column in band.columns.chunks_exact_mut(Band::STRIDE) {
            (column[0], column[1]) = (3.0, 0.5);
        }
        let (diagonal, off_diagonal) = tridiagonalise(band);
        assert_eq!(diagonal, vec![3.0; 130]);
        assert!(off_diagonal.iter().all(|entry| entry.abs() == 0.5));
    }
}
