//! A dense symmetric matrix -> a band matrix with the same eigenvalues.
//!
//! The first of the two stages of tridiagonalisation (Bischof, Lang and Sun, 2000): panel by panel, the columns below
//! the band are made upper triangular by reflections, I - V·T·Vᵀ, which are applied to the rest from both sides as one
//! update of rank 2b,
//!
//! ```text
//! X = A·V·T,   W = X - ½·V·(Tᵀ·Vᵀ·X),   A := A - V·Wᵀ - W·Vᵀ
//! ```
//!
//! so that nearly all arithmetic is in matrix products. The one-stage reduction would spend half of it in products of a
//! matrix with a vector, which run at the speed of the memory. The update of one panel and the product A·V of the next
//! are done in one pass over the tiles, before which the next panel's columns are updated.

use faer::linalg::matmul::matmul;
use faer::prelude::*;
use faer::{Accum, Mat, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::householder::{Panel, inner_products};
use super::kernel::{HEIGHT, Right, Sign, Slices, Target, product, product_beyond, symmetric_product};
use super::tiles::{self, AREA, SIDE, SymmetricTiles};

/// The bandwidth: how many subdiagonals are left. A wider band makes the products faster, but the panels and the second
/// stage slower. This is a tenth faster than 48 up to n = 2048, and no slower at 4096. It equals the height of a slice.
pub const WIDTH: usize = 24;

/// The most strips into which the rows of tiles are divided. Each strip sums its own part of A·V. The division depends
/// on the matrix's size alone, so that the sums are the same for any number of threads.
const MAX_STRIPS: usize = 16;

/// The rows of tiles of a strip, if there are fewer than [`MAX_STRIPS`] strips.
const ROWS_A_STRIP: usize = 4;

/// A symmetric band matrix, as the columns of its lower triangle.
pub struct Band {
    pub n: usize,
    /// Column after column, [`Band::STRIDE`] numbers each: the diagonal, the [`WIDTH`] subdiagonals, and room for
    /// [`WIDTH`] - 1 more, which the second stage fills and clears.
    pub columns: Buffer,
}

impl Band {
    pub const STRIDE: usize = 2 * WIDTH;

    pub fn zeros(n: usize) -> Self {
        Self { n, columns: Buffer::zeros(n * Self::STRIDE) }
    }

    /// Element (i, j), with i from j to j + [`WIDTH`].
    fn at(&mut self, i: usize, j: usize) -> &mut f64 {
        &mut self.columns[j * Self::STRIDE + i - j]
    }
}

/// The float64 numbers that [`reduce`] holds beside the matrix.
pub fn workspace(n: usize) -> usize {
    let count = n.div_ceil(SIDE);
    // There are two updates of five operands, A·V in each strip, and the panel, V, X and W in columns.
    n * Band::STRIDE + count * OPERAND * (2 * 5 + strips(count) + 4)
}

/// A band matrix with the eigenvalues of `a`, which is used up.
pub fn reduce(mut a: SymmetricTiles) -> Band {
    let arch = Arch::new();
    let n = a.n();
    let mut band = Band::zeros(n);
    let mut update = Update::new(a.count());
    let mut following = Update::new(a.count());
    let mut along = Buffer::zeros(strips(a.count()) * a.count() * OPERAND);
    for first in (0..n).step_by(WIDTH) {
        let width = WIDTH.min(n - first);
        let next = first + width;
        let mut columns = updated_columns(arch, &a, &update, first, width);
        for j in 0..width {
            for i in j..width {
                *band.at(first + i, first + j) = columns[(i, j)];
            }
        }
        if next == n {
            break;
        }
        let mut panel = columns.as_mut().submatrix_mut(width, 0, n - next, width);
        let reflections = Panel::factorise(arch, panel.rb_mut());
        for j in 0..width {
            for i in 0..=j.min(n - next - 1) {
                *band.at(next + i, first + j) = panel[(i, j)];
            }
        }
        following.set_v(next, reflections.v.as_ref());
        Pass { arch, n, next, update: &update, following: &following }.run(&mut a, &mut along);
        let along = MatRef::from_row_major_slice(&along[next * WIDTH..n * WIDTH], n - next, WIDTH);
        following.set_w(next, other_factor(&reflections, along).as_ref());
        std::mem::swap(&mut update, &mut following);
    }
    band
}

/// The numbers of a tile's lines in V or W.
const OPERAND: usize = SIDE * WIDTH;

/// The packed operands of an update of rank 2b, tile by tile. They are all zero before the first update.
struct Update {
    /// The slices of Vᵀ.
    v: Buffer,
    /// The slices of [V W].
    left: Buffer,
    /// The slices of [W V].
    right: Buffer,
}

impl Update {
    fn new(count: usize) -> Self {
        let zeros = |operands| Buffer::zeros(operands * count * OPERAND);
        Self { v: zeros(1), left: zeros(2), right: zeros(2) }
    }

    /// Vᵀ of the lines of a tile.
    fn v(&self, tile: usize) -> Slices<'_> {
        Slices { data: &self.v[tile * OPERAND..][..OPERAND], depth: SIDE }
    }

    /// [V W] of the lines of a tile.
    fn left(&self, tile: usize) -> Slices<'_> {
        Slices { data: &self.left[2 * tile * OPERAND..][..2 * OPERAND], depth: 2 * WIDTH }
    }

    /// [W V] of the lines of a tile.
    fn right(&self, tile: usize) -> Slices<'_> {
        Slices { data: &self.right[2 * tile * OPERAND..][..2 * OPERAND], depth: 2 * WIDTH }
    }

    /// Packs V, whose first row belongs to the matrix's row `next`. Above that row V is zero.
    fn set_v(&mut self, next: usize, v: MatRef<'_, f64>) {
        for tile in next / SIDE..(next + v.nrows()).div_ceil(SIDE) {
            let slices = &mut self.v[tile * OPERAND..][..OPERAND];
            slices.fill(0.0);
            for (line, row) in lines(tile, next, v.nrows()) {
                for column in 0..WIDTH {
                    slices[(column / HEIGHT * SIDE + line) * HEIGHT + column % HEIGHT] = v[(row, column)];
                }
            }
        }
        pack(&mut self.left, next, v, 0);
        pack(&mut self.right, next, v, WIDTH);
    }

    /// Packs W, as [`Update::set_v`] does V.
    fn set_w(&mut self, next: usize, w: MatRef<'_, f64>) {
        pack(&mut self.left, next, w, WIDTH);
        pack(&mut self.right, next, w, 0);
    }
}

/// Writes `factor`, whose first row belongs to the matrix's row `next`, to columns `first..first + WIDTH` of `slices`.
fn pack(slices: &mut [f64], next: usize, factor: MatRef<'_, f64>, first: usize) {
    for tile in next / SIDE..(next + factor.nrows()).div_ceil(SIDE) {
        let slices = &mut slices[2 * tile * OPERAND..][..2 * OPERAND];
        for slice in slices.chunks_exact_mut(2 * WIDTH * HEIGHT) {
            slice[first * HEIGHT..][..WIDTH * HEIGHT].fill(0.0);
        }
        for column in 0..WIDTH {
            for (line, row) in lines(tile, next, factor.nrows()) {
                let slice = line / HEIGHT * 2 * WIDTH;
                slices[(slice + first + column) * HEIGHT + line % HEIGHT] = factor[(row, column)];
            }
        }
    }
}

/// The lines of a tile that a factor with `rows` rows covers if its first row belongs to the matrix's row `next`, each
/// with its row in the factor.
fn lines(tile: usize, next: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let range = (tile * SIDE).max(next)..((tile + 1) * SIDE).min(next + rows);
    range.map(move |row| (row - tile * SIDE, row - next))
}

/// Columns `first..first + width` of `a`, from the diagonal down, with `update` applied to them.
fn updated_columns(arch: Arch, a: &SymmetricTiles, update: &Update, first: usize, width: usize) -> Mat<f64> {
    let n = a.n();
    let (tile, within) = (first / SIDE, first % SIDE);
    let mut columns = Mat::zeros(n - first, width);
    let mut part = Buffer::zeros(OPERAND);
    let right = update.right(tile).below(within);
    for row in tile..a.count() {
        part.copy_from_slice(&a.tile(row, tile)[within * SIDE..][..OPERAND]);
        let target = Target { data: &mut part, stride: SIDE, rows: tiles::extent(n, row), columns: WIDTH };
        product(arch, target, Sign::Minus, update.left(row), Right::Transposed(right));
        for j in 0..width {
            for (line, i) in lines(row, first, n - first) {
                columns[(i, j)] = part[j * SIDE + line];
            }
        }
    }
    columns
}

/// The number of strips for a matrix with `count` rows of tiles.
fn strips(count: usize) -> usize {
    (count / ROWS_A_STRIP).clamp(1, MAX_STRIPS)
}

/// One pass over the tiles of a matrix from row and column `next` on.
struct Pass<'a> {
    arch: Arch,
    n: usize,
    next: usize,
    /// The update that is applied to them.
    update: &'a Update,
    /// The update whose V they are then multiplied with.
    following: &'a Update,
}

impl Pass<'_> {
    /// Passes over `a`, and leaves A·V in the first part of `along`, as a row-major matrix with as many rows as `a`.
    fn run(&self, a: &mut SymmetricTiles, along: &mut [f64]) {
        let (count, first) = (a.count(), self.next / SIDE);
        let whole = count * OPERAND;
        // Row r has r - first tiles to pass over, so strips of equal work end at square roots.
        let parts = strips(count - first);
        let bound =
            |part: usize| first + ((part as f64 / parts as f64).sqrt() * (count - first) as f64).round() as usize;
        let bounds: Vec<usize> = (0..=parts).map(bound).collect();
        let strips: Vec<_> = a.strips_mut(&bounds).into_iter().zip(along.chunks_exact_mut(whole)).collect();
        strips.into_par_iter().zip(bounds.par_windows(2)).for_each(|((tiles, along), bounds)| {
            along[first * OPERAND..bounds[1] * OPERAND].fill(0.0);
            let mut transposed = Buffer::zeros(AREA);
            for row in bounds[0]..bounds[1] {
                for column in first..=row {
                    let at = tiles::place(row, column) - tiles::place(bounds[0], 0);
                    let tile = &mut tiles[at * AREA..][..AREA];
                    self.update(tile, row, column);
                    self.multiply(tile, row, column, along, &mut transposed);
                }
            }
        });
        let (sum, others) = along.split_at_mut(whole);
        for (other, bounds) in others.chunks_exact(whole).zip(bounds.windows(2).skip(1)) {
            // A strip has nothing beyond its own rows, and the strips before it have nothing from its first row on.
            sum[bounds[0] * OPERAND..bounds[1] * OPERAND].fill(0.0);
            let range = first * OPERAND..bounds[1] * OPERAND;
            for (sum, other) in sum[range.clone()].iter_mut().zip(&other[range]) {
                *sum += other;
            }
        }
    }

    /// How many columns of a column of tiles lie left of `next`, and are thus already reduced.
    fn done(&self, column: usize) -> usize {
        self.next.saturating_sub(column * SIDE)
    }

    fn update(&self, tile: &mut [f64], row: usize, column: usize) {
        let done = self.done(column);
        let (rows, columns) = (tiles::extent(self.n, row), tiles::extent(self.n, column));
        let (left, right) = (self.update.left(row), self.update.right(column).below(done));
        let data = &mut tile[done * SIDE..];
        if row == column {
            let target = Target { data: &mut data[done..], stride: SIDE, rows: rows - done, columns: columns - done };
            symmetric_product(self.arch, target, Sign::Minus, left.below(done), right);
            tiles::mirror(tile);
        } else {
            let target = Target { data, stride: SIDE, rows, columns: columns - done };
            product(self.arch, target, Sign::Minus, left, Right::Transposed(right));
        }
    }

    /// Adds the tile's part of (A·V)ᵀ to `along`: for its rows and, unless it is on the diagonal, for its columns.
    fn multiply(&self, tile: &[f64], row: usize, column: usize, along: &mut [f64], transposed: &mut [f64]) {
        let done = self.done(column);
        let (rows, columns) = (tiles::extent(self.n, row), tiles::extent(self.n, column) - done);
        let target = Target { data: &mut along[row * OPERAND..], stride: WIDTH, rows: WIDTH, columns: rows };
        product_beyond(self.arch, target, Sign::Plus, self.following.v(column), Right::Rows(tile, SIDE), done);
        if row > column {
            tiles::transpose(tile, transposed);
            let data = &mut along[column * OPERAND + done * WIDTH..];
            let target = Target { data, stride: WIDTH, rows: WIDTH, columns };
            product(self.arch, target, Sign::Plus, self.following.v(row), Right::Rows(&transposed[done..], SIDE));
        }
    }
}

/// W = X - ½·V·(Tᵀ·Vᵀ·X), with X = A·V·T.
fn other_factor(reflections: &Panel, along: MatRef<'_, f64>) -> Mat<f64> {
    let Panel { v, t } = reflections;
    let multiply = |a: MatRef<'_, f64>, b: MatRef<'_, f64>| {
        let mut c = Mat::zeros(a.nrows(), b.ncols());
        matmul(c.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
        c
    };
    let mut x = multiply(along, t.as_ref());
    let across = multiply(t.transpose(), inner_products(v.as_ref(), x.as_ref()).as_ref());
    matmul(x.as_mut(), Accum::Add, v.as_ref(), across.as_ref(), -0.5, Par::Seq);
    x
}
