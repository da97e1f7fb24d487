//! What a fine-tuned model makes of a matrix -> the spectrum of the change, and the size of what was changed.

use crate::checkpoint::{LowRank, Matrices, Matrix, Undecodable};
use crate::modules::{Change, Module};
use crate::spectrum::Product;

/// A change before its spectrum is known, with the Frobenius norm of the base's matrix.
pub struct Changed {
    pub content: Content,
    pub base_norm: f64,
}

pub enum Content {
    /// All elements of the difference, in row-major order.
    Difference(Vec<f64>),
    Product(Product),
    Nothing,
}

impl Changed {
    /// Reads the `change` of the matrix of `module`, and the matrix itself.
    pub fn read(weights: &Matrices, module: &Module, change: &Change) -> Result<Self, Undecodable> {
        let base = weights.matrix(&module.weight, &module.selection)?.decoded();
        let undecodable = || Undecodable { tensor: module.tensor.clone(), reason: "has no numbers".to_owned() };
        let (content, squares) = match change {
            Change::To { weight, selection } => {
                let changed = weights.matrix(weight, selection)?.numbers().ok_or_else(undecodable)?;
                let (difference, squares) = subtract(changed, &base).ok_or_else(undecodable)?;
                (Content::Difference(difference), squares)
            }
            Change::Plus(product) => {
                let squares = sum_of_squares(&base).ok_or_else(undecodable)?;
                (Content::Product(read_product(weights, product)?), squares)
            }
            Change::Nothing => (Content::Nothing, sum_of_squares(&base).ok_or_else(undecodable)?),
        };
        Ok(Self { content, base_norm: squares.sqrt() })
    }
}

fn read_product(weights: &Matrices, product: &LowRank) -> Result<Product, Undecodable> {
    let numbers = |weight: &crate::checkpoint::Weight, selection| {
        let undecodable = || Undecodable { tensor: weight.name.clone(), reason: "has no numbers".to_owned() };
        weights.matrix(weight, selection)?.numbers().ok_or_else(undecodable)
    };
    let (up, down) = (numbers(&product.up, &product.rows)?, numbers(&product.down, &product.columns)?);
    Ok(Product { up, down, rank: product.rank(), scale: product.scale })
}

/// `changed` minus `base`, and the sum of the squares of `base`. The sum is taken row by row, so that rounding errors stay small.
fn subtract(mut changed: Vec<f64>, base: &Matrix<'_>) -> Option<(Vec<f64>, f64)> {
    let [rows, columns] = base.shape;
    let mut squares = 0.0;
    for row in 0..rows {
        let base = base.row(row)?;
        let changed = changed.get_mut(row * columns..(row + 1) * columns)?;
        changed.iter_mut().zip(base.iter()).for_each(|(changed, base)| *changed -= base);
        squares += squares_of(&base);
    }
    Some((changed, squares))
}

fn sum_of_squares(matrix: &Matrix<'_>) -> Option<f64> {
    let rows = (0..matrix.shape[0]).map(|row| matrix.row(row).map(|row| squares_of(&row)));
    rows.sum()
}

fn squares_of(numbers: &[f64]) -> f64 {
    numbers.iter().map(|number| number * number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, Elements};

    #[test]
    fn differences_are_exact() {
        let bytes: Vec<u8> = [0x3f80u16, 0x4000, 0xbf80, 0x3dcc].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let base = Matrix { shape: [2, 2], elements: Elements::Stored(Dtype::BF16, bytes.as_slice().into()) };
        let (difference, squares) = subtract(vec![1.5, 2.0, 0.0, 0.5], &base).expect("numbers");
        let small = f64::from(f32::from_bits(0x3dcc_0000));
        assert_eq!(difference, [0.5, 0.0, 1.0, 0.5 - small]);
        assert_eq!(squares, 5.0 + (1.0 + small * small));
        assert_eq!(sum_of_squares(&base), Some(squares));
    }
}
