//! A symmetric matrix in square tiles.
//!
//! Only the tiles of the lower triangle are kept, which halves the memory, and the arithmetic too where both triangles
//! would be computed. Each tile is contiguous, so that work on it is not slowed down by page boundaries or by the
//! cache's limited associativity, whatever the matrix's size.

use super::buffer::Buffer;

/// The rows and columns of a tile: three operands of this side fit into a second-level cache.
pub const SIDE: usize = 96;

/// The numbers of a tile.
pub const AREA: usize = SIDE * SIDE;

/// A symmetric matrix as the tiles on and below its diagonal, one row of tiles after the other. Tiles are column-major,
/// and those on the diagonal are complete. What lies beyond the matrix's last row or column means nothing.
pub struct SymmetricTiles {
    n: usize,
    data: Buffer,
}

impl SymmetricTiles {
    pub fn zeros(n: usize) -> Self {
        Self { n, data: Buffer::zeros(numbers(n)) }
    }

    /// The matrix's number of rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The number of rows of tiles.
    pub fn count(&self) -> usize {
        self.n.div_ceil(SIDE)
    }

    /// The tile in row `row` and column `column` of tiles, with `column` at most `row`.
    pub fn tile(&self, row: usize, column: usize) -> &[f64] {
        &self.data[place(row, column) * AREA..][..AREA]
    }

    /// The element in row `i` and column `j`, with `j` at most `i`.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.tile(i / SIDE, j / SIDE)[j % SIDE * SIDE + i % SIDE]
    }

    /// All tiles, row after row.
    pub fn tiles_mut(&mut self) -> &mut [f64] {
        &mut self.data
    }

    /// The rows of tiles between successive `bounds`, as one slice for each pair of bounds.
    pub fn strips_mut(&mut self, bounds: &[usize]) -> Vec<&mut [f64]> {
        let mut rest = &mut self.data[place(bounds[0], 0) * AREA..];
        let mut strips = Vec::with_capacity(bounds.len() - 1);
        for pair in bounds.windows(2) {
            let (strip, after) = rest.split_at_mut((place(pair[1], 0) - place(pair[0], 0)) * AREA);
            strips.push(strip);
            rest = after;
        }
        strips
    }
}

/// The numbers that the tiles of an n x n matrix hold.
pub fn numbers(n: usize) -> usize {
    place(n.div_ceil(SIDE), 0) * AREA
}

/// How many rows or columns of the matrix lie in the tiles of row or column `tile`.
pub fn extent(n: usize, tile: usize) -> usize {
    SIDE.min(n - tile * SIDE)
}

/// How many tiles come before the one in `row` and `column`.
pub fn place(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

/// The row and column of each tile of a matrix with `count` rows of tiles, in order.
pub fn places(count: usize) -> Vec<(usize, usize)> {
    (0..count).flat_map(|row| (0..=row).map(move |column| (row, column))).collect()
}

/// The side of the blocks in which a tile is transposed: rows of one fill a cache line.
const BLOCK: usize = 8;

/// Writes the transpose of a tile.
pub fn transpose(tile: &[f64], transposed: &mut [f64]) {
    for left in (0..SIDE).step_by(BLOCK) {
        for top in (0..SIDE).step_by(BLOCK) {
            for column in left..left + BLOCK {
                for row in top..top + BLOCK {
                    transposed[row * SIDE + column] = tile[column * SIDE + row];
                }
            }
        }
    }
}

/// Copies what is below a tile's diagonal to above it.
pub fn mirror(tile: &mut [f64]) {
    for left in (0..SIDE).step_by(BLOCK) {
        for top in (left..SIDE).step_by(BLOCK) {
            for column in left..left + BLOCK {
                for row in top.max(column + 1)..top + BLOCK {
                    tile[row * SIDE + column] = tile[column * SIDE + row];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_row_after_row() {
        assert_eq!(places(3), [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]);
        for (at, (row, column)) in places(7).into_iter().enumerate() {
            assert_eq!(place(row, column), at);
        }
        assert_eq!(numbers(SIDE), AREA);
        assert_eq!(numbers(SIDE + 1), 3 * AREA);
        assert_eq!((extent(SIDE + 5, 0), extent(SIDE + 5, 1)), (SIDE, 5));
    }

    #[test]
    fn a_mirrored_tile_is_its_own_transpose() {
        let mut tile: Vec<f64> = (0..AREA).map(|at| at as f64).collect();
        let mut transposed = vec![0.0; AREA];
        transpose(&tile, &mut transposed);
        assert!((0..AREA).all(|at| transposed[at] == (at % SIDE * SIDE + at / SIDE) as f64));
        mirror(&mut tile);
        transpose(&tile, &mut transposed);
        assert_eq!(tile, transposed);
        assert_eq!(tile[5], 5.0);
    }

    #[test]
    fn strips_are_the_rows_between_bounds() {
        let mut matrix = SymmetricTiles::zeros(5 * SIDE);
        for (at, number) in matrix.tiles_mut().iter_mut().enumerate() {
            *number = (at / AREA) as f64;
        }
        let strips = matrix.strips_mut(&[1, 2, 5]);
        assert_eq!(strips.iter().map(|strip| strip.len() / AREA).collect::<Vec<_>>(), [2, 12]);
        assert_eq!((strips[0][0], strips[1][0]), (1.0, 3.0));
        assert_eq!(matrix.at(2 * SIDE, SIDE), 4.0);
    }
}
