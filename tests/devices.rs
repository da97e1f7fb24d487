//! Weights reach every device as they are stored, whatever they are stored in.

mod lanes;

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use lanes::lanes;
use laser_scan::spectrum::{Lane, Method, SpectrumError, singular_values};

const METHODS: [Method; 2] = [Method::Gram, Method::Direct];

/// Numbers that every type holds exactly.
fn numbers(count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(|at| ((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as f64 - 31.0) / 16.0)
}

/// The bytes of `numbers` in `dtype`, as a file has them.
fn stored(numbers: impl Iterator<Item = f64>, dtype: DType) -> Vec<u8> {
    let bytes = |number: f64| match dtype {
        DType::F64 => number.to_le_bytes().to_vec(),
        DType::F32 => (number as f32).to_le_bytes().to_vec(),
        DType::F16 => f16::from_f64(number).to_le_bytes().to_vec(),
        _ => bf16::from_f64(number).to_le_bytes().to_vec(),
    };
    numbers.flat_map(bytes).collect()
}

fn values(weight: &Tensor, method: Method, lane: &Lane) -> Vec<f64> {
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
        let exact = Tensor::from_slice(&numbers, (shape[0], shape[1]), Lane::CPU.candle()).expect("a tensor");
        let exact = values(&exact, Method::Direct, &Lane::CPU);
        for (lane, dtype) in
            lanes().iter().flat_map(|lane| [DType::F64, DType::F32, DType::F16, DType::BF16].map(|dtype| (lane, dtype)))
        {
            let weight = lane.tensor(&stored(numbers.iter().copied(), dtype), dtype, shape).expect("a tensor");
            for method in METHODS {
                assert_close(&values(&weight, method, lane), &exact);
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
            let weight = lane.tensor(&bytes, DType::F16, [n, n]).expect("a tensor");
            let mut exact: Vec<f64> = part.iter().map(|number| number.to_f64()).collect();
            exact.reverse();
            assert_close(&values(&weight, Method::Gram, lane), &exact);
        }
    }
}

#[test]
fn a_weight_of_many_pieces_arrives_whole() {
    // 18 MB, more than a lane has memory for at a time, and more than one panel.
    let bytes = stored(numbers(9_000_000), DType::BF16);
    let mut first = None;
    for lane in lanes() {
        // Twice, so that the memory is used again.
        for _ in 0..2 {
            let weight = lane.tensor(&bytes, DType::BF16, [3, 3_000_000]).expect("a tensor");
            let ours = values(&weight, Method::Gram, lane);
            assert_close(&ours, first.get_or_insert_with(|| ours.clone()));
        }
    }
}

#[test]
fn a_part_of_a_tensor_is_a_matrix() {
    let bytes = stored(numbers(40 * 60), DType::F32);
    for lane in lanes() {
        let whole = lane.tensor(&bytes, DType::F32, [40, 60]).expect("a tensor");
        let rows = whole.narrow(0, 7, 20).expect("rows");
        let columns = whole.narrow(1, 11, 30).expect("columns");
        for part in [rows, columns, whole.t().expect("its transpose")] {
            let copy = part.to_device(Lane::CPU.candle()).and_then(|copy| copy.force_contiguous()).expect("a copy");
            for method in METHODS {
                assert_close(&values(&part, method, lane), &values(&copy, method, &Lane::CPU));
            }
        }
    }
}

#[test]
fn what_has_no_singular_values_is_refused() {
    for lane in lanes() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
                let bytes = stored(numbers(6 * 9 - 1).chain([bad]), dtype);
                let weight = lane.tensor(&bytes, dtype, [6, 9]).expect("a tensor");
                let refused = singular_values(&weight, Method::Gram, lane);
                assert!(matches!(refused, Err(SpectrumError::NotFinite)), "{bad} in {dtype:?}");
            }
        }
        assert!(lane.tensor(&[0; 11], DType::F32, [1, 3]).is_err());
        let zero = lane.tensor(&[0; 48], DType::F32, [3, 4]).expect("a tensor");
        assert_eq!(values(&zero, Method::Direct, lane), [0.0; 3]);
    }
}

#[test]
fn rows_and_columns_of_zeros_give_exact_zeros() {
    let element = |at: usize, number: f64| if at / 50 < 9 && at % 50 > 20 { number } else { 0.0 };
    let bytes = stored(numbers(30 * 50).enumerate().map(|(at, number)| element(at, number)), DType::F32);
    for lane in lanes() {
        let weight = lane.tensor(&bytes, DType::F32, [30, 50]).expect("a tensor");
        for method in METHODS {
            let values = values(&weight, method, lane);
            assert_eq!(values[9..], [0.0; 21]);
            assert!(values[8] > 0.0);
        }
    }
}
