//! The matrix product in which most of the arithmetic is done: C += A·B or C -= A·B with operands that are packed once.
//!
//! A library's product packs its operands in every call. Here each block of an operand is multiplied with many others:
//! a panel of a weight with all other panels, a block of reflectors with a whole row and a whole column of the matrix.
//! So operands are packed once, in slices, and what is left is this loop over a block of C that stays in registers
//! (Goto and van de Geijn, Anatomy of high-performance matrix multiplication, 2008).
//!
//! The same code serves every instruction set, the portable one too: pulp compiles it for each and picks the widest at
//! run time. An element of C is summed in the same order by all of them.

use pulp::{Arch, Simd, WithSimd};

/// The rows of a slice: a multiple of the block's height for vectors of 1, 2, 4 and 8 numbers.
pub const HEIGHT: usize = 24;

/// The vectors in a column of the block of C that registers hold.
const VECTORS: usize = 3;

/// The most columns in that block.
const MAX_GROUP: usize = 8;

/// A matrix in slices of [`HEIGHT`] rows, each stored column after column. The last slice is filled up.
#[derive(Clone, Copy)]
pub struct Slices<'a> {
    pub data: &'a [f64],
    /// The matrix's columns.
    pub depth: usize,
}

impl<'a> Slices<'a> {
    /// The slices from row `row` on, a multiple of [`HEIGHT`].
    pub fn below(self, row: usize) -> Self {
        Self { data: &self.data[row * self.depth..], depth: self.depth }
    }
}

/// The right operand of a product: it has as many rows as the left one has columns.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// The transpose of a matrix in slices.
    Transposed(Slices<'a>),
    /// A row-major matrix, and the distance between its rows.
    Rows(&'a [f64], usize),
}

/// Whether a product is added or subtracted.
#[derive(Clone, Copy, PartialEq)]
pub enum Sign {
    Plus,
    Minus,
}

/// The matrix C, column-major. Like the operands it is filled up to whole blocks: there must be room for [`HEIGHT`]
/// more rows and for up to seven more columns, whose content means nothing.
pub struct Target<'a> {
    pub data: &'a mut [f64],
    /// The distance between columns.
    pub stride: usize,
    pub rows: usize,
    pub columns: usize,
}

pub fn product(arch: Arch, target: Target<'_>, sign: Sign, left: Slices<'_>, right: Right<'_>) {
    arch.dispatch(Product { target, sign, left, right, skipped: 0 });
}

/// As [`product`], but without the first `skipped` columns of A and rows of B, one of which is known to be zero.
pub fn product_beyond(arch: Arch, target: Target<'_>, sign: Sign, left: Slices<'_>, right: Right<'_>, skipped: usize) {
    arch.dispatch(Product { target, sign, left, right, skipped });
}

/// As [`product`] of a matrix in slices with the transpose of another, where the result is symmetric: only elements on
/// and below the diagonal, and some above, are computed.
pub fn symmetric_product(arch: Arch, target: Target<'_>, sign: Sign, left: Slices<'_>, right: Slices<'_>) {
    let Target { data, stride, rows, .. } = target;
    for first in (0..rows).step_by(HEIGHT) {
        let (rows, columns) = (rows - first, HEIGHT.min(rows - first));
        let target = Target { data: &mut data[first * stride + first..], stride, rows, columns };
        product(arch, target, sign, left.below(first), Right::Transposed(right.below(first)));
    }
}

struct Product<'a> {
    target: Target<'a>,
    sign: Sign,
    left: Slices<'a>,
    right: Right<'a>,
    skipped: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The block of C, a column of A and an element of B fill 16 registers, or most of 32.
        if S::REGISTER_COUNT >= 32 { self.run::<S, MAX_GROUP>(simd) } else { self.run::<S, 4>(simd) }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const GROUP: usize>(self, simd: S) {
        let Self { target, sign, left, right, skipped } = self;
        let depth = left.depth;
        // A strip of B stays in the first-level cache while it is multiplied with all slices of A.
        for strip in (0..target.columns).step_by(HEIGHT) {
            for top in (0..target.rows).step_by(VECTORS * S::F64_LANES) {
                let slice = &left.data[top / HEIGHT * HEIGHT * depth..][skipped * HEIGHT..HEIGHT * depth];
                let part = top % HEIGHT / S::F64_LANES;
                for first in (strip..target.columns.min(strip + HEIGHT)).step_by(GROUP) {
                    let c = &mut target.data[first * target.stride + top..];
                    let (rows, stride) = match right {
                        Right::Transposed(Slices { data, depth }) => (&data[strip * depth + first - strip..], HEIGHT),
                        Right::Rows(data, stride) => (&data[first..], stride),
                    };
                    block::<S, GROUP>(simd, slice, part, rows.chunks(stride).skip(skipped), c, target.stride, sign);
                }
            }
        }
    }
}

/// Computes the block of C that is the product of `part` of a slice with the first columns of `rows`.
#[inline(always)]
fn block<'a, S: Simd, const GROUP: usize>(
    simd: S,
    slice: &[f64],
    part: usize,
    rows: impl Iterator<Item = &'a [f64]>,
    c: &mut [f64],
    stride: usize,
    sign: Sign,
) {
    let mut sums = [[simd.splat_f64s(0.0); VECTORS]; GROUP];
    let columns = S::as_simd_f64s(slice).0.chunks_exact(HEIGHT / S::F64_LANES);
    let rows = rows.map_while(|row| row.first_chunk::<GROUP>());
    for (a, b) in columns.zip(rows) {
        let a = &a[part..part + VECTORS];
        for (sums, &b) in sums.iter_mut().zip(b) {
            let b = simd.splat_f64s(b);
            for (sum, &a) in sums.iter_mut().zip(a) {
                *sum = simd.mul_add_e_f64s(a, b, *sum);
            }
        }
    }
    for (column, sums) in sums.iter().enumerate() {
        let c = S::as_mut_simd_f64s(&mut c[column * stride..][..VECTORS * S::F64_LANES]).0;
        for (c, &sum) in c.iter_mut().zip(sums) {
            *c = if sign == Sign::Plus { simd.add_f64s(*c, sum) } else { simd.sub_f64s(*c, sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;

    /// Numbers whose products and sums of a few hundred are exact.
    fn numbers(count: usize, seed: usize) -> Vec<f64> {
        (0..count).map(|at| ((at * 37 + seed * 11) % 23) as f64 - 11.0).collect()
    }

    /// A matrix in slices, and the element at a row and a column of it.
    fn slices(rows: usize, depth: usize, seed: usize) -> (Vec<f64>, impl Fn(usize, usize) -> f64) {
        let data = numbers(rows.div_ceil(HEIGHT) * HEIGHT * depth, seed);
        let copy = data.clone();
        (data, move |row, column| copy[(row / HEIGHT * depth + column) * HEIGHT + row % HEIGHT])
    }

    #[test]
    fn every_instruction_set_multiplies_as_three_loops_do() {
        for (rows, columns, depth) in [(1, 1, 1), (24, 24, 96), (7, 30, 5), (96, 96, 50), (50, 1, 300), (13, 47, 2)] {
            let (left, a) = slices(rows, depth, 1);
            let (transposed, b) = slices(columns, depth, 2);
            let stride = columns + MAX_GROUP;
            let by_rows: Vec<f64> = (0..depth * stride)
                .map(|at| if at % stride < columns { b(at % stride, at / stride) } else { 0.0 })
                .collect();
            let rights = [Right::Transposed(Slices { data: &transposed, depth }), Right::Rows(&by_rows, stride)];
            for (right, sign) in rights.into_iter().zip([Sign::Plus, Sign::Minus]) {
                let begin = numbers((columns + HEIGHT) * (rows + HEIGHT), 3);
                let target = |data| Target { data, stride: rows + HEIGHT, rows, columns };
                let left = Slices { data: &left, depth };
                let (mut widest, mut portable) = (begin.clone(), begin.clone());
                product(Arch::new(), target(&mut widest), sign, left, right);
                Product { target: target(&mut portable), sign, left, right, skipped: 0 }.with_simd(Scalar::new());
                for column in 0..columns {
                    for row in 0..rows {
                        let at = column * (rows + HEIGHT) + row;
                        let sum: f64 = (0..depth).map(|k| a(row, k) * b(column, k)).sum();
                        let exact = if sign == Sign::Plus { begin[at] + sum } else { begin[at] - sum };
                        assert_eq!(widest[at], exact, "{rows} {columns} {depth}: {row} {column}");
                        assert_eq!(portable[at], exact, "{rows} {columns} {depth}: {row} {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_symmetric_product_is_right_below_the_diagonal() {
        for rows in [1, 24, 30, 96] {
            let (depth, stride) = (7, rows + HEIGHT);
            let (left, a) = slices(rows, depth, 4);
            let left = Slices { data: &left, depth };
            let mut data = vec![0.0; stride * stride];
            let target = Target { data: &mut data, stride, rows, columns: rows };
            symmetric_product(Arch::new(), target, Sign::Plus, left, left);
            for column in 0..rows {
                for row in column..rows {
                    let exact: f64 = (0..depth).map(|k| a(row, k) * a(column, k)).sum();
                    assert_eq!(data[column * stride + row], exact, "{rows}: {row} {column}");
                }
            }
        }
    }

    #[test]
    fn what_is_skipped_does_not_count() {
        let (depth, skipped) = (10, 6);
        let (left, a) = slices(HEIGHT, depth, 5);
        let rows = numbers(depth * MAX_GROUP, 6);
        let mut data = vec![0.0; HEIGHT * MAX_GROUP];
        let target = Target { data: &mut data, stride: HEIGHT, rows: HEIGHT, columns: MAX_GROUP };
        let (left, right) = (Slices { data: &left, depth }, Right::Rows(&rows, MAX_GROUP));
        product_beyond(Arch::new(), target, Sign::Plus, left, right, skipped);
        for (at, value) in data.iter().enumerate() {
            let exact: f64 = (skipped..depth).map(|k| a(at % HEIGHT, k) * rows[k * MAX_GROUP + at / HEIGHT]).sum();
            assert_eq!(*value, exact);
        }
    }
}
