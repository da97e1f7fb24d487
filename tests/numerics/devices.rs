//! Weights reach every device as they are stored, whatever they are stored in.

use half::{bf16, f16};
use laser_scan::checkpoint::{Dtype, Elements, Matrix};
use laser_scan::spectrum::{Lane, Method, SpectrumError, singular_values};

use crate::lanes::{lanes, matrix};

const METHODS: [Method; 2] = [Method::Gram, Method::Direct];

/// Numbers that every type holds exactly.
fn numbers(count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(|at| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as f64 - 31.0) / 16.0)
}

/// A matrix of which a file has these bytes.
fn stored(bytes: &[u8], dtype: Dtype, shape: [usize; 2]) -> Matrix<'_> {
    Matrix { shape, elements: Elements::Stored(dtype, bytes.into()) }
}

/// The bytes of `numbers` in `dtype`, as a file has them.
fn bytes(numbers: impl Iterator<Item = f64>, dtype: Dtype) -> Vec<u8> {
    let number = |number: f64| match dtype {
        Dtype::F64 => number.to_le_bytes().to_vec(),
        Dtype::F32 => (number as f32).to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f64(number).to_le_bytes().to_vec(),
        _ => bf16::from_f64(number).to_le_bytes().to_vec(),
    };
    numbers.flat_map(number).collect()
}

fn values(weight: Matrix<'_>, method: Method, lane: &Lane) -> Vec<f64> {
    singular_values(weight, method, lane).expect("singular values").values
}

#[track_caller]
fn assert_close(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, exact) in ours.iter().zip(theirs) {
        // The Gram matrix has squares.
        let off = (ours * ours - exact * exact).abs();
        assert!(off <= 1e-13 * theirs[0] * theirs[0], "{ours:e} for {exact:e}");
    }
}

#[test]
fn every_type_is_widened_to_the_same_numbers() {
    for shape in [[37, 70], [70, 37]] {
        let numbers: Vec<f64> = numbers(37 * 70).collect();
        let exact = values(matrix(&numbers, shape), Method::Direct, &Lane::CPU);
        for (lane, dtype) in
            lanes().iter().flat_map(|lane| [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16].map(|dtype| (lane, dtype)))
        {
            let bytes = bytes(numbers.iter().copied(), dtype);
            for method in METHODS {
                assert_close(&values(stored(&bytes, dtype, shape), method, lane), &exact);
            }
        }
    }
}

#[test]
fn every_number_of_half_precision_is_widened() {
    // The singular values of a matrix with one element in each row and column are the elements.
    let all: Vec<f16> = (0..0x7c00).map(f16::from_bits).collect();
    for lane in lanes() {
        for part in all.chunks(100) {
            let n = part.len();
            let mut bytes = vec![0; 2 * n * n];
            for (at, number) in part.iter().enumerate() {
                bytes[2 * at * (n + 1)..][..2].copy_from_slice(&number.to_le_bytes());
            }
            let mut exact: Vec<f64> = part.iter().map(|number| number.to_f64()).collect();
            exact.reverse();
            assert_close(&values(stored(&bytes, Dtype::F16, [n, n]), Method::Gram, lane), &exact);
        }
    }
}

#[test]
fn a_weight_of_many_pieces_arrives_whole() {
    // 18 MB, more than a lane has memory for at a time, and more than one panel.
    let bytes = bytes(numbers(9_000_000), Dtype::BF16);
    let mut first = None;
    for lane in lanes() {
        // Twice, so that the memory is used again.
        for _ in 0..2 {
            let ours = values(stored(&bytes, Dtype::BF16, [3, 3_000_000]), Method::Gram, lane);
            assert_close(&ours, first.get_or_insert_with(|| ours.clone()));
        }
    }
}

#[test]
fn what_has_no_singular_values_is_refused() {
    for lane in lanes() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16] {
                let bytes = bytes(numbers(6 * 9 - 1).chain([bad]), dtype);
                let refused = singular_values(stored(&bytes, dtype, [6, 9]), Method::Gram, lane);
                assert!(matches!(refused, Err(SpectrumError::NotFinite)), "{bad} in {dtype:?}");
            }
        }
        for (length, dtype) in [(11, Dtype::F32), (13, Dtype::F32), (3, Dtype::U8), (3, Dtype::BOOL)] {
            let refused = singular_values(stored(&vec![0; length], dtype, [1, 3]), Method::Gram, lane);
            assert!(matches!(refused, Err(SpectrumError::Failed(_))), "{length} bytes in {dtype:?}");
        }
        assert_eq!(values(stored(&[0; 48], Dtype::F32, [3, 4]), Method::Direct, lane), [0.0; 3]);
    }
}

#[test]
fn rows_and_columns_of_zeros_give_exact_zeros() {
    let element = |at: usize, number: f64| if at / 50 < 9 && at % 50 > 20 { number } else { 0.0 };
    let bytes = bytes(numbers(30 * 50).enumerate().map(|(at, number)| element(at, number)), Dtype::F32);
    for lane in lanes() {
        for method in METHODS {
            let values = values(stored(&bytes, Dtype::F32, [30, 50]), method, lane);
            assert_eq!(values[9..], [0.0; 21]);
            assert!(values[8] > 0.0);
        }
    }
}
