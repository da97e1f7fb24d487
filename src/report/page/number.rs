//! Numbers with few digits, which keep the data short.

use serde_json::{Value, json};

/// A number with few digits; `null` if it is not finite.
pub fn rounded(number: f64, digits: usize) -> Value {
    let text = format!("{number:.*e}", digits - 1);
    let rounded: f64 = text.parse().unwrap_or(number);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { json!(rounded as i64) } else { json!(rounded) }
}
