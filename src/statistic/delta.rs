//! How large the change of a weight is.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// The size of what a fine-tuned model changed in one weight. The norms are Frobenius norms, in the unit of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delta {
    /// The norm of the change: the root of the sum of the squares of its singular values.
    pub norm: f64,
    /// The norm of the base's weight.
    pub base_norm: f64,
    /// By what an adapter multiplies the product of its factors; `None` if the change is not an adapter's.
    pub scale: Option<f64>,
}

impl Delta {
    /// The change with these singular values, of a weight with the norm `base_norm`.
    pub fn new(values: &[f64], base_norm: f64, scale: Option<f64>) -> Self {
        let largest = values.first().copied().unwrap_or(0.0);
        // Squares are taken relative to the largest value, so that none leaves the range of float64.
        let squares = |unit: f64| values.iter().map(|value| (value / unit).powi(2)).sum::<f64>();
        let norm = if largest > 0.0 { largest * squares(largest).sqrt() } else { 0.0 };
        Self { norm, base_norm, scale }
    }

    /// The norm of the change over that of the base's weight: 0 where nothing changed, and infinite where a weight of zeros did.
    pub fn relative_norm(&self) -> f64 {
        if self.norm == 0.0 { 0.0 } else { self.norm / self.base_norm }
    }
}

/// JSON has no infinity, so that an infinite relative norm is `null`.
impl Serialize for Delta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("norm", &self.norm)?;
        map.serialize_entry("base_norm", &self.base_norm)?;
        map.serialize_entry("relative_norm", &Some(self.relative_norm()).filter(|norm| norm.is_finite()))?;
        if let Some(scale) = self.scale {
            map.serialize_entry("scale", &scale)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_relative_to_what_was_changed() {
        let delta = Delta::new(&[4.0, 3.0, 0.0], 10.0, None);
        assert_eq!((delta.norm, delta.relative_norm()), (5.0, 0.5));
        assert_eq!(Delta::new(&[0.0; 3], 0.0, None).relative_norm(), 0.0);
        assert_eq!(Delta::new(&[1.0], 0.0, None).relative_norm(), f64::INFINITY);
        let far = Delta::new(&[4e200, 3e200], 5e200, Some(2.0)).relative_norm();
        assert!((far - 1.0).abs() < 1e-15, "{far}");
    }

    #[test]
    fn json_has_null_for_infinity() {
        let json = |delta: Delta| serde_json::to_string(&delta).expect("JSON");
        let expected = r#"{"norm":5.0,"base_norm":2.0,"relative_norm":2.5,"scale":0.5}"#;
        assert_eq!(json(Delta::new(&[4.0, 3.0], 2.0, Some(0.5))), expected);
        assert_eq!(json(Delta::new(&[1.0], 0.0, None)), r#"{"norm":1.0,"base_norm":0.0,"relative_norm":null}"#);
    }
}
