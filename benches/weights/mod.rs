//! The weights that are measured.

use laser_scan::checkpoint::{Dtype, Elements, Matrix};

/// The shape that a word such as 4096x14336 means: rows and columns.
pub fn shape(word: &str) -> Option<[usize; 2]> {
    let (rows, columns) = word.split_once('x')?;
    Some([rows.parse().ok()?, columns.parse().ok()?])
}

/// A weight in BF16 as a file has it, of nearly normal random numbers: each the sum of four from a linear congruential generator.
pub fn bytes([rows, columns]: [usize; 2]) -> Vec<u8> {
    let mut state = 1u64;
    let mut uniform = || {
        // Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut number = || half::bf16::from_f32(0.035 * (uniform() + uniform() + uniform() + uniform()));
    (0..rows * columns).flat_map(|_| number().to_le_bytes()).collect()
}

/// The weight of `shape` of which a file has these bytes.
pub fn stored(bytes: &[u8], shape: [usize; 2]) -> Matrix<'_> {
    Matrix { shape, elements: Elements::Stored(Dtype::BF16, bytes.into()) }
}
