//! One module of a scan: what it is, and its numbers or why it has none.

use crate::modules::{Cause, Info};
use crate::spectrum::SpectrumError;
use crate::statistic::{Doubt, Statistic};

/// A module of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What the module is.
    pub info: Info,
    /// Its numbers, or why it has none.
    pub result: Result<Numbers, Unmeasured>,
}

/// What is known of a module's spectrum.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The signal-to-noise ratio over the largest singular value; infinite where there is no noise.
    pub snr: f64,
    /// What the ratio was computed from; files of other programs do not give it.
    pub statistic: Option<Statistic>,
}

/// Why a module has no numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unmeasured {
    /// The scan has only been planned.
    #[error("it is not measured yet")]
    Pending,
    /// The scan ended before it was the module's turn.
    #[error("it was not reached")]
    NotReached,
    /// The model's files do not hold its matrix.
    #[error("{0}")]
    Missing(Cause),
    /// Its weight cannot be read or decoded.
    #[error("{0}")]
    Unreadable(String),
    /// Its singular values cannot be computed.
    #[error("{0}")]
    NoSpectrum(String),
    /// There is nothing to divide by.
    #[error("every weight is zero, so that there is no ratio")]
    Zero,
    /// Rounding errors may be too large.
    #[error("its ratio cannot be vouched for: {0}")]
    Doubtful(Doubt),
    /// The program failed at it.
    #[error("laser-scan has a defect; please report it")]
    Defect,
    /// The file of another program gives no number for it.
    #[error("its file has no ratio of it")]
    NoRatio,
    /// The manifest of its scan says why.
    #[error("{0}")]
    Told(String),
}

impl Record {
    /// The ratio, where the module was measured.
    pub fn snr(&self) -> Option<f64> {
        self.result.as_ref().ok().map(|numbers| numbers.snr)
    }
}

impl Numbers {
    /// Numbers of which the ratio alone is known.
    pub fn ratio(snr: f64) -> Self {
        Self { snr, statistic: None }
    }
}

impl From<Statistic> for Numbers {
    fn from(statistic: Statistic) -> Self {
        Self { snr: statistic.snr(), statistic: Some(statistic) }
    }
}

impl From<SpectrumError> for Unmeasured {
    fn from(error: SpectrumError) -> Self {
        Self::NoSpectrum(error.to_string())
    }
}
