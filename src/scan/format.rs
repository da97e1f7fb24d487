//! Which program wrote a file of results. The file's records tell this, not its name.

use std::fmt;

use super::ReadError;
use crate::output::json::Json;

/// Every `config.json` has at least one of these keys.
const CONFIG_KEYS: [&str; 3] = ["model_type", "architectures", "_class_name"];

/// The program that wrote a file of results, and the form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    LaserScan,
    /// Spectrum's file with a record for each module.
    Spectrum,
    /// Spectrum's file with only the ratios, sorted within each type.
    SpectrumSorted,
    /// The file of laserRMT or of the laser-QLoRA notebook.
    LaserRmt,
}

impl Format {
    /// The format of a file, if it is a scan.
    pub(super) fn of(file: &Json) -> Result<Self, ReadError> {
        let Json::Object(pairs) = file else { return Err(ReadError::NoObject(file.what())) };
        let any_has = |key: &str| pairs.iter().any(|(_, value)| value.get(key).is_some());
        let all = |is: fn(&Json) -> bool| pairs.iter().all(|(_, value)| is(value));
        if pairs.is_empty() {
            Err(ReadError::Empty)
        } else if let Some(error) = another_file(file) {
            Err(error)
        } else if any_has("snr") || (all(is_object) && (any_has("type") || any_has("module"))) {
            Ok(format_of_records(pairs))
        } else if all(is_object)
            && pairs.iter().flat_map(|(_, ratios)| ratios.pairs()).any(|(_, ratio)| is_ratio(ratio))
        {
            Ok(Self::SpectrumSorted)
        } else {
            Err(ReadError::NoScan)
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LaserScan => "laser-scan",
            Self::Spectrum => "Spectrum",
            Self::SpectrumSorted => "Spectrum, sorted",
            Self::LaserRmt => "laserRMT",
        })
    }
}

/// The error for a file that usually lies beside a scan or a model.
fn another_file(file: &Json) -> Option<ReadError> {
    let is_names = |value: &Json| matches!(value, Json::List(items) if items.iter().all(|item| item.text().is_some()));
    if file.get("tool").and_then(Json::text) == Some("laser-scan") {
        Some(ReadError::Manifest)
    } else if file.get("weight_map").is_some() {
        Some(ReadError::Index)
    } else if CONFIG_KEYS.iter().any(|key| file.get(key).is_some_and(|value| !is_object(value))) {
        Some(ReadError::Config)
    } else if file.pairs().iter().all(|(_, value)| is_names(value)) {
        Some(ReadError::TopOnly)
    } else {
        None
    }
}

/// The format of records. The notebook writes the key `module`, Spectrum writes `type`, and this program writes both.
fn format_of_records(pairs: &[(String, Json)]) -> Format {
    let has = |record: &Json, key: &str| record.get(key).is_some();
    if pairs.iter().any(|(_, record)| has(record, "type") && has(record, "module")) {
        Format::LaserScan
    } else if pairs.iter().any(|(_, record)| has(record, "type")) {
        Format::Spectrum
    } else {
        Format::LaserRmt
    }
}

fn is_object(value: &Json) -> bool {
    matches!(value, Json::Object(_))
}

fn is_ratio(value: &Json) -> bool {
    matches!(value, Json::Number(_) | Json::Null)
}
