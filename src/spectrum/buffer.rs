//! Numbers that begin at a cache line.

use std::ops::{Deref, DerefMut};

/// The bytes of a cache line.
const LINE: usize = 64;

/// Float64 numbers that begin at a cache line, so that no SIMD vector straddles two: where half of the vectors do, the
/// products run at two thirds of their rate.
pub struct Buffer {
    numbers: Vec<f64>,
    first: usize,
    length: usize,
}

impl Buffer {
    pub fn zeros(length: usize) -> Self {
        let spare = LINE / size_of::<f64>();
        // Zeroed memory comes from the system page by page, as it is first used.
        let numbers = vec![0.0; length + spare];
        let first = numbers.as_ptr().align_offset(LINE).min(spare);
        Self { numbers, first, length }
    }
}

impl Deref for Buffer {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.numbers[self.first..][..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.numbers[self.first..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_cache_line() {
        for length in [0, 1, 7, 8, 1000] {
            let mut buffer = Buffer::zeros(length);
            assert_eq!(buffer.len(), length);
            assert!(buffer.as_ptr().addr().is_multiple_of(LINE));
            buffer.fill(1.0);
            assert_eq!(buffer.iter().sum::<f64>(), length as f64);
        }
    }
}
