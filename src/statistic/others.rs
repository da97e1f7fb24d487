//! All statistics of one spectrum beside that of laser-QLoRA.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::bounds::Bounds;
use super::{Doubt, MpEdge, Statistic, entropy, hill};
use crate::spectrum::Spectrum;

/// Why a statistic has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Undefined {
    #[error("all singular values are zero")]
    Zero,
    #[error("half of the singular values or more are zero")]
    HalfZero,
    #[error("the singular values from the median up are equal")]
    NoTail,
    #[error("it cannot be vouched for: {0}")]
    Doubtful(#[from] Doubt),
    /// The reason is quoted from a scan's file.
    #[error("{0}")]
    Told(String),
}

/// The statistics of one spectrum beside that of laser-QLoRA.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    pub mp: Result<MpEdge, Undefined>,
    /// The effective rank over the number of singular values.
    pub effective_rank: Result<f64, Undefined>,
    pub alpha: Result<f64, Undefined>,
    /// The smallest singular value over the threshold of laser-QLoRA, where its ratio is infinite. It is at least 1, or 0 if the
    /// singular values below the threshold are zero.
    pub margin: Option<f64>,
}

impl Statistics {
    /// The statistics of a weight with this `spectrum`. `laser` is that of laser-QLoRA, if it is known.
    pub fn of(spectrum: &Spectrum, laser: Option<&Statistic>) -> Self {
        let (lower, upper) = spectrum.enclosure();
        let bounds = Bounds { lower: &lower, upper: &upper };
        let values = &spectrum.values;
        if values[0] == 0.0 {
            let (mp, effective_rank, alpha) = (Err(Undefined::Zero), Err(Undefined::Zero), Err(Undefined::Zero));
            return Self { mp, effective_rank, alpha, margin: None };
        }
        let smallest = values.last().copied().unwrap_or(0.0);
        Self {
            mp: MpEdge::of(spectrum, bounds),
            effective_rank: entropy::effective_rank(values, bounds).map_err(Undefined::from),
            alpha: hill::alpha(values, bounds),
            margin: laser.filter(|laser| laser.noise == 0.0).map(|laser| margin(smallest, laser.threshold)),
        }
    }
}

/// The smallest singular value over the threshold. Both may be zero.
fn margin(smallest: f64, threshold: f64) -> f64 {
    if smallest == 0.0 { 0.0 } else { smallest / threshold }
}

/// Undefined statistics are `null`, and `reason` says why.
impl Serialize for Statistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { mp, effective_rank, alpha, margin } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mp", &mp.as_ref().ok())?;
        map.serialize_entry("effective_rank", &effective_rank.as_ref().ok())?;
        map.serialize_entry("alpha", &alpha.as_ref().ok())?;
        if let Some(margin) = margin {
            map.serialize_entry("margin", &Some(*margin).filter(|margin| margin.is_finite()))?;
        }
        let reasons = [
            ("mp", mp.as_ref().err()),
            ("effective_rank", effective_rank.as_ref().err()),
            ("alpha", alpha.as_ref().err()),
        ];
        let reasons: serde_json::Map<String, serde_json::Value> = reasons
            .into_iter()
            .filter_map(|(key, reason)| Some((key.to_owned(), reason?.to_string().into())))
            .collect();
        if !reasons.is_empty() {
            map.serialize_entry("reason", &reasons)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::{Method, Processor};

    const VALUES: [f64; 9] = [9.0, 5.0, 3.0, 2.0, 1.5, 1.25, 1.0, 0.75, 0.5];

    fn spectrum(values: &[f64], shape: [usize; 2]) -> Spectrum {
        Spectrum { values: values.to_vec(), method: Method::Direct, processor: Processor::Cpu, shape }
    }

    fn statistics(values: &[f64], shape: [usize; 2]) -> Statistics {
        Statistics::of(&spectrum(values, shape), Some(&Statistic::new(values, shape)))
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} is not {expected}");
    }

    /// From mpmath.
    #[test]
    fn statistics_are_those_of_an_independent_computation() {
        let cases = [
            ([9, 36], [0.261210906797847, 2.35089816118062, 17.0, 7.0, 2.42857142857143, 0.922768304914744], 3),
            ([9, 9], [0.618853618116771, 3.71312170870063, 14.0, 10.0, 1.4, 0.850551654964895], 2),
        ];
        for (shape, [sigma, threshold, signal, noise, value, share], count) in cases {
            let Statistics { mp, effective_rank, alpha, margin } = statistics(&VALUES, shape);
            let mp = mp.expect("defined");
            // The references have 15 digits.
            let pairs = [
                (mp.sigma, sigma),
                (mp.threshold, threshold),
                (mp.signal, signal),
                (mp.noise, noise),
                (mp.share, share),
                (mp.value * mp.noise / mp.signal, 1.0),
            ];
            pairs.into_iter().for_each(|(found, expected)| assert_near(found, expected));
            assert!((mp.value - value).abs() < 1e-14);
            assert_eq!((mp.signal_count, mp.noise_count), (count, 9 - count));
            assert_near(effective_rank.expect("defined") * 9.0, 6.1115061554803);
            assert_near(alpha.expect("defined"), 1.62868384741404);
            assert_eq!(margin, None);
        }
        let flat = statistics(&[4.0, 1.75, 1.5, 1.375, 1.25, 1.125, 1.0, 0.875], [128, 8]);
        let mp = flat.mp.expect("defined");
        let found = [mp.threshold, mp.signal, mp.noise, mp.value, mp.share];
        let expected = [1.65801982102411, 5.75, 7.125, 0.807017543859649, 0.685778527262507];
        found.into_iter().zip(expected).for_each(|(found, expected)| assert_near(found, expected));
        assert_near(flat.effective_rank.expect("defined") * 8.0, 6.98943903694606);
        assert_near(flat.alpha.expect("defined"), 2.43265032341053);
        assert_near(flat.margin.expect("an infinite ratio"), 2.01450666666667);
    }

    #[test]
    fn what_is_not_defined_says_why() {
        let shape = [4, 9];
        let zeros = statistics(&[3.0, 0.0, 0.0, 0.0], shape);
        assert_eq!((zeros.mp, zeros.alpha), (Err(Undefined::HalfZero), Err(Undefined::HalfZero)));
        assert_eq!(zeros.effective_rank, Ok(0.25));
        let half = statistics(&[3.0, 2.0, 0.0, 0.0], shape);
        assert_eq!(half.mp, Err(Undefined::HalfZero), "what is above the median is signal, and the noise is zero");
        let equal = statistics(&[2.0; 4], shape);
        assert_eq!(equal.mp.expect("all is noise").value, 0.0);
        assert_eq!(equal.alpha, Err(Undefined::NoTail));
        assert_near(equal.effective_rank.expect("defined"), 1.0);
        let one = statistics(&[2.0], [1, 9]);
        assert_eq!((one.mp.expect("all is noise").value, one.effective_rank), (0.0, Ok(1.0)));
    }

    #[test]
    fn what_rounding_leaves_open_is_not_told() {
        let gram = |values: &[f64]| {
            let spectrum = Spectrum { method: Method::Gram, ..spectrum(values, [4, 4000]) };
            Statistics::of(&spectrum, Some(&Statistic::new(values, [4, 4000])))
        };
        let tiny = gram(&[9.0, 5.0, 1e-8, 1e-8]);
        let is_doubtful = |result: &Result<f64, Undefined>| matches!(result, Err(Undefined::Doubtful(_)));
        assert!(matches!(tiny.mp, Err(Undefined::Doubtful(_))), "{:?}", tiny.mp);
        assert!(is_doubtful(&tiny.effective_rank), "{:?}", tiny.effective_rank);
        let sound = gram(&[9.0, 5.0, 2.0, 1.0]);
        assert!(sound.mp.is_ok() && sound.effective_rank.is_ok() && sound.alpha.is_ok(), "{sound:?}");
    }

    #[test]
    fn a_rescaled_weight_has_the_same_statistics() {
        let [one, other] = [1.0, 1024.0].map(|factor| statistics(&VALUES.map(|value| value * factor), [9, 36]));
        assert_eq!(one.mp.expect("defined").value, other.mp.expect("defined").value);
        assert_eq!((one.effective_rank, one.alpha), (other.effective_rank, other.alpha));
    }

    #[test]
    fn json_has_null_and_a_reason() {
        let json = |values: &[f64]| serde_json::to_value(statistics(values, [4, 9])).expect("JSON");
        let zeros = json(&[3.0, 0.0, 0.0, 0.0]);
        assert_eq!((&zeros["mp"], &zeros["alpha"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!(zeros["reason"]["alpha"], "half of the singular values or more are zero");
        assert_eq!(json(&[4.0, 3.0, 2.0, 1.0]).get("reason"), None);
    }
}
