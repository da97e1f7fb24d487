//! The exponent of the spectrum's tail, as Hill estimates it above the median.
//!
//! ```text
//! lambda = S^2, smallest first, counted from 0;  i = floor(p/2)
//! alpha  = 1 + (p - i) / sum over j >= i of ln(lambda_j / lambda_i)
//! ```
//!
//! Heavy tails have a low alpha. TempBalance (arXiv 2312.00359) and AlphaLoRA (arXiv 2410.10054) give more to modules with a high
//! one. Noise itself has an alpha that depends on the shape, so that only modules of one type can be compared.

use super::Undefined;
use super::bounds::{Bounds, Interval};

/// The exponent for a weight with these singular values.
pub fn alpha(values: &[f64], bounds: Bounds<'_>) -> Result<f64, Undefined> {
    let count = values.len() - values.len() / 2;
    let start = values[count - 1];
    if start == 0.0 {
        return Err(Undefined::HalfZero);
    }
    if values[0] == start {
        return Err(Undefined::NoTail);
    }
    let of = |logarithms: f64| 1.0 + count as f64 / logarithms;
    let alpha = of(logarithms(&values[..count], start));
    let [least, most] = [
        logarithms(&bounds.lower[..count], bounds.upper[count - 1]),
        logarithms(&bounds.upper[..count], bounds.lower[count - 1]),
    ];
    let high = if least > 0.0 { of(least) } else { f64::INFINITY };
    Interval { low: of(most), high }.vouch(alpha)?;
    Ok(alpha)
}

/// The sum of ln(lambda / lambda_i).
fn logarithms(values: &[f64], start: f64) -> f64 {
    values.iter().map(|value| 2.0 * (value / start).ln()).sum()
}
