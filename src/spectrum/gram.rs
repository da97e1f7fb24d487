//! Singular values from the Gram matrix of the short side.
//!
//! For a weight W with short side n and long side K, the n x n matrix W·Wᵀ (or Wᵀ·W) has the squared singular values as
//! its eigenvalues. Products of BF16, F16 and F32 numbers are exact in float64, so the Gram matrix has little error
//! beyond the rounding of its sums. It is summed over panels of the long side, each widened once from the stored
//! precision, so that the whole weight never exists in float64. Its eigenvalues are found in two stages, by way of a
//! band matrix.

use pulp::Arch;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::kernel::{HEIGHT, Right, Sign, Slices, Target, product, symmetric_product};
use super::tiles::{self, AREA, SIDE, SymmetricTiles};
use super::widen::{Weight, Widen};
use super::{Contradiction, Invariants, band, chase, square_roots, tridiagonal};

/// The extent of a block of the weight along the long side: a slice of it stays in the first-level cache.
const DEPTH: usize = 96;

/// The blocks that are widened before each pass over the Gram matrix. A pass reads and writes the whole matrix, so with
/// few blocks memory is the limit; with many the panel leaves the caches.
const BLOCKS: usize = 2;

/// The extent of a panel along the long side.
const PANEL: usize = DEPTH * BLOCKS;

/// The numbers of a block: a tile's lines of the short side by [`DEPTH`] of the long one.
const BLOCK: usize = SIDE * DEPTH;

/// The singular values of `weight` divided by the power of two `scale`, in no particular order.
pub fn singular_values<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> Result<Vec<f64>, Contradiction> {
    let gram = gram(weight, scale);
    let invariants = invariants(&gram);
    let (diagonal, off_diagonal) = chase::tridiagonalise(band::reduce(gram));
    let eigenvalues = tridiagonal::eigenvalues(&diagonal, &off_diagonal, 0..diagonal.len());
    invariants.check(&eigenvalues)?;
    Ok(square_roots(eigenvalues))
}

/// The most float64 numbers that [`singular_values`] holds at once, except for O(n).
pub fn workspace(rows: usize, columns: usize) -> usize {
    let n = rows.min(columns);
    tiles::numbers(n) + panel_numbers(n).max(band::workspace(n))
}

/// The float64 numbers of a panel.
fn panel_numbers(n: usize) -> usize {
    n.div_ceil(SIDE) * BLOCK * BLOCKS
}

/// The Gram matrix of the short side of `weight` divided by the power of two `scale`.
fn gram<T: Widen>(weight: &Weight<'_, T>, scale: f64) -> SymmetricTiles {
    let arch = Arch::new();
    let n = weight.rows.min(weight.columns);
    let long = weight.rows.max(weight.columns);
    let mut gram = SymmetricTiles::zeros(n);
    let places = tiles::places(gram.count());
    let mut panel = Buffer::zeros(panel_numbers(n));
    for start in (0..long).step_by(PANEL) {
        let depths = depths(long - start);
        panel.par_chunks_exact_mut(BLOCK * BLOCKS).enumerate().for_each(|(tile, blocks)| {
            for (block, depth) in depths.clone() {
                let lines = tile * SIDE..tile * SIDE + tiles::extent(n, tile);
                pack(weight, lines, start + block * DEPTH, depth, scale, &mut blocks[block * BLOCK..]);
            }
        });
        gram.tiles_mut().par_chunks_exact_mut(AREA).zip(&places).for_each(|(tile, &(row, column))| {
            for (block, depth) in depths.clone() {
                let slices = |line: usize| Slices { data: &panel[(line * BLOCKS + block) * BLOCK..][..BLOCK], depth };
                let (rows, columns) = (tiles::extent(n, row), tiles::extent(n, column));
                let target = Target { data: tile, stride: SIDE, rows, columns };
                if row == column {
                    symmetric_product(arch, target, Sign::Plus, slices(row), slices(column));
                } else {
                    product(arch, target, Sign::Plus, slices(row), Right::Transposed(slices(column)));
                }
            }
        });
    }
    for (tile, (row, column)) in gram.tiles_mut().chunks_exact_mut(AREA).zip(places) {
        if row == column {
            tiles::mirror(tile);
        }
    }
    gram
}

/// The blocks of a panel if `left` numbers of the long side are left: the number and the extent of each.
fn depths(left: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..BLOCKS).map_while(move |block| (block * DEPTH < left).then(|| (block, DEPTH.min(left - block * DEPTH))))
}

/// Writes the part of `lines` of the short side that lies between `start` and `start + depth` of the long side to
/// `slices`.
fn pack<T: Widen>(
    weight: &Weight<'_, T>,
    lines: std::ops::Range<usize>,
    start: usize,
    depth: usize,
    scale: f64,
    slices: &mut [f64],
) {
    let mut wide = [0.0; DEPTH];
    if weight.rows <= weight.columns {
        for (at, row) in lines.enumerate() {
            let wide = &mut wide[..depth];
            weight.row(row, start..start + depth, scale, wide);
            let slice = &mut slices[at / HEIGHT * HEIGHT * depth..][..HEIGHT * depth];
            for (column, &value) in slice.chunks_exact_mut(HEIGHT).zip(&*wide) {
                column[at % HEIGHT] = value;
            }
        }
    } else {
        let wide = &mut wide[..lines.len()];
        for row in 0..depth {
            weight.row(start + row, lines.clone(), scale, wide);
            for (slice, part) in wide.chunks(HEIGHT).enumerate() {
                slices[(slice * depth + row) * HEIGHT..][..part.len()].copy_from_slice(part);
            }
        }
    }
}

fn invariants(gram: &SymmetricTiles) -> Invariants {
    let n = gram.n();
    let mut squared_norm = 0.0;
    for (row, column) in tiles::places(gram.count()) {
        let lines = gram.tile(row, column).chunks_exact(SIDE).take(tiles::extent(n, column));
        let squares: f64 = lines.map(|line| line[..tiles::extent(n, row)].iter().map(|x| x * x).sum::<f64>()).sum();
        squared_norm += if row == column { squares } else { 2.0 * squares };
    }
    let trace = (0..n).fold(0.0, |sum, i| sum + gram.at(i, i));
    // These are sums over tiles, and over the columns within them: no run of additions is long.
    Invariants { trace, squared_norm, error: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gram_matrix_is_that_of_the_short_side() {
        // More than one panel with a ragged last one, more than one tile with a ragged last one, in both orientations.
        for (n, long) in [(1, 1), (5, PANEL + 3), (SIDE + 31, 2 * PANEL + DEPTH + 7)] {
            let element = |i: usize, k: usize| ((i * 7 + k * 3) % 11) as f64 - 5.0;
            let wide: Vec<f64> = (0..n * long).map(|at| element(at / long, at % long)).collect();
            let tall: Vec<f64> = (0..n * long).map(|at| element(at % n, at / n)).collect();
            let from_wide = gram(&Weight::new(&wide, n, long), 0.5);
            let from_tall = gram(&Weight::new(&tall, long, n), 0.5);
            for i in 0..n {
                for j in 0..=i {
                    let exact: f64 = (0..long).map(|k| 4.0 * element(i, k) * element(j, k)).sum();
                    assert_eq!(from_wide.at(i, j), exact);
                    assert_eq!(from_tall.at(i, j), exact);
                }
            }
        }
    }

    #[test]
    fn invariants_are_the_trace_and_the_squared_norm() {
        let invariants = invariants(&gram(&Weight::new(&[1.0, 1.0, 0.0, 2.0], 2, 2), 1.0));
        assert_eq!((invariants.trace, invariants.squared_norm), (6.0, 28.0));
    }
}
