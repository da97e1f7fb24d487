//! Converts stored bit patterns to the numbers that they represent.

use half::{bf16, f16};
use safetensors::Dtype;

use crate::checkpoint::selection::Axis;

/// The values of the 4-bit float with two exponent bits and one mantissa bit (OCP Microscaling, 2023).
pub const E2M1: [f64; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// The values of a signed integer of four bits in two's complement.
pub const INT4: [f64; 16] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];

/// The place of each of the eight 4-bit codes in a word of AWQ's kernels.
const AWQ_ORDER: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// The 256 values of an 8-bit type; `None` for any other type.
pub fn table(dtype: Dtype) -> Option<[f64; 256]> {
    let value: fn(u8) -> f64 = match dtype {
        Dtype::F8_E4M3 => |code| float8(code, 3, 7, Special::OnlyNan),
        Dtype::F8_E5M2 => |code| float8(code, 2, 15, Special::Ieee),
        Dtype::F8_E4M3FNUZ => |code| float8(code, 3, 8, Special::NegativeZeroIsNan),
        Dtype::F8_E5M2FNUZ => |code| float8(code, 2, 16, Special::NegativeZeroIsNan),
        Dtype::F8_E8M0 => power,
        Dtype::I8 => |code| f64::from(code as i8),
        Dtype::U8 => f64::from,
        _ => return None,
    };
    Some(std::array::from_fn(|code| value(code as u8)))
}

/// The value of an E8M0 code, which is a biased exponent; all ones is NaN.
pub fn power(code: u8) -> f64 {
    if code == u8::MAX { f64::NAN } else { 2f64.powi(i32::from(code) - 127) }
}

/// Which codes of an 8-bit float are infinite or NaN.
enum Special {
    /// Infinities and NaNs, as in IEEE 754.
    Ieee,
    /// All ones is NaN, and there are no infinities.
    OnlyNan,
    /// The code of negative zero is the only NaN, and there are no infinities.
    NegativeZeroIsNan,
}

fn float8(code: u8, mantissa_bits: u32, bias: i32, special: Special) -> f64 {
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((code & 0x7f) >> mantissa_bits);
    let mantissa = f64::from(u32::from(code) & ((1 << mantissa_bits) - 1));
    let steps = f64::from(1u32 << mantissa_bits);
    match special {
        Special::Ieee if code & 0x7f == 0x7c => return sign * f64::INFINITY,
        Special::Ieee if code & 0x7f > 0x7c => return f64::NAN,
        Special::OnlyNan if code & 0x7f == 0x7f => return f64::NAN,
        Special::NegativeZeroIsNan if code == 0x80 => return f64::NAN,
        _ => {}
    }
    if exponent == 0 {
        sign * mantissa / steps * 2f64.powi(1 - bias)
    } else {
        sign * (1.0 + mantissa / steps) * 2f64.powi(exponent - bias)
    }
}

/// Converts `bytes` to numbers; `None` if the type is not supported or bytes are left over.
pub fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
        let (elements, rest) = bytes.as_chunks::<N>();
        rest.is_empty().then(|| elements.iter().map(|element| value(*element)).collect())
    }
    match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        Dtype::F16 => each(bytes, |bytes| f16::from_le_bytes(bytes).into()),
        Dtype::BF16 => each(bytes, |bytes| bf16::from_le_bytes(bytes).into()),
        Dtype::I64 => each(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        Dtype::I32 => each(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        Dtype::I16 => each(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        _ => {
            let table = table(dtype)?;
            Some(bytes.iter().map(|code| table[usize::from(*code)]).collect())
        }
    }
}

/// Converts `bytes` to little-endian words.
pub fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the low bits up; a code may continue in the next word.
    Sequential,
    /// As AWQ's kernels need them.
    Awq,
}

/// The number of words for `count` codes of `bits` bits.
pub fn word_count(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(32)
}

/// The code at `row` and `column` of a matrix with so many `columns`, whose codes share words along `axis`.
pub fn packed(words: &[u32], columns: usize, [row, column]: [usize; 2], bits: u32, axis: Axis, order: Order) -> u32 {
    match axis {
        Axis::Rows => field(words, column, columns, row, bits, order),
        Axis::Columns => field(words, row * word_count(columns, bits), 1, column, bits, order),
    }
}

/// The code with index `at` in a sequence of words that begins at `start`, with `stride` from each word to the next.
fn field(words: &[u32], start: usize, stride: usize, at: usize, bits: u32, order: Order) -> u32 {
    let mask = u32::MAX >> (32 - bits);
    match order {
        Order::Awq => {
            let fields = (32 / bits) as usize;
            (words[start + at / fields * stride] >> (AWQ_ORDER[at % fields] * bits)) & mask
        }
        Order::Sequential => {
            let bit = at * bits as usize;
            let (word, shift) = (bit / 32, (bit % 32) as u32);
            let low = words[start + word * stride] >> shift;
            let high = if shift + bits > 32 { words[start + (word + 1) * stride] << (32 - shift) } else { 0 };
            (low | high) & mask
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats_are_what_their_formats_say() {
        let value = |dtype, code: u8| table(dtype).expect("a type of numbers")[usize::from(code)];
        assert_eq!(value(Dtype::F8_E4M3, 0x7e), 448.0);
        assert_eq!(value(Dtype::F8_E4M3, 0x01), 2f64.powi(-9));
        assert_eq!(value(Dtype::F8_E4M3, 0xb8), -1.0);
        assert!(value(Dtype::F8_E4M3, 0xff).is_nan());
        assert_eq!(value(Dtype::F8_E5M2, 0x7b), 57344.0);
        assert_eq!(value(Dtype::F8_E5M2, 0xfc), f64::NEG_INFINITY);
        assert!(value(Dtype::F8_E5M2, 0x7d).is_nan());
        assert_eq!(value(Dtype::F8_E4M3FNUZ, 0x7f), 240.0);
        assert!(value(Dtype::F8_E4M3FNUZ, 0x80).is_nan());
        assert_eq!(value(Dtype::F8_E5M2FNUZ, 0x7f), 57344.0);
        assert_eq!(value(Dtype::F8_E8M0, 127), 1.0);
        assert_eq!(value(Dtype::F8_E8M0, 0), 2f64.powi(-127));
        assert_eq!(value(Dtype::I8, 0xff), -1.0);
    }

    #[test]
    fn fields_may_cross_words() {
        // 3-bit fields 0, 1, 2, … 7, 0, 1, 2: the eleventh begins at bit 30 and ends in the second word.
        let fields: Vec<u32> = (0..11).map(|at| at % 8).collect();
        let bits = fields.iter().enumerate().fold(0u64, |bits, (at, field)| bits | u64::from(*field) << (3 * at));
        let words = [bits as u32, (bits >> 32) as u32];
        let read: Vec<u32> = (0..11).map(|at| field(&words, 0, 1, at, 3, Order::Sequential)).collect();
        assert_eq!(read, fields);
    }

    #[test]
    fn awq_interleaves() {
        let word = 0x7654_3210;
        let read: Vec<u32> = (0..8).map(|at| field(&[word], 0, 1, at, 4, Order::Awq)).collect();
        assert_eq!(read, [0, 4, 1, 5, 2, 6, 3, 7]);
    }
}
