//! A measurement as the journal has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Measurement;
use crate::spectrum::{Method, Processor, Spectrum};
use crate::statistic::Statistic;

#[derive(Serialize, Deserialize)]
pub struct Note {
    statistic: Option<Statistic>,
    method: Method,
    processor: Processor,
    shape: [usize; 2],
    /// The singular values as little-endian float64 in base64, which is half as long as their digits.
    values: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_norm: Option<f64>,
}

impl Note {
    pub fn of(measurement: &Measurement) -> Self {
        let Measurement { statistic, spectrum, base_norm } = measurement;
        let Spectrum { values, method, processor, shape } = spectrum;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (statistic, values) = (statistic.clone(), STANDARD.encode(bytes));
        Self { statistic, method: *method, processor: *processor, shape: *shape, values, base_norm: *base_norm }
    }

    /// The measurement; `None` if the note is damaged.
    pub fn measurement(self) -> Option<Measurement> {
        let Self { statistic, method, processor, shape, values, base_norm } = self;
        let bytes = STANDARD.decode(values).ok()?;
        let (chunks, rest) = bytes.as_chunks::<8>();
        let values = chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let spectrum = Spectrum::kept(values, method, processor, shape).filter(|_| rest.is_empty())?;
        Some(Measurement { statistic, spectrum, base_norm })
    }
}
