//! A module of a scan: what it is, and its numbers or why it has none.

use crate::modules::{Cause, Info};
use crate::spectrum::SpectrumError;
use crate::statistic::{Doubt, Ranking, Score, Statistic, Statistics};

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub info: Info,
    pub result: Result<Numbers, Unmeasured>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The signal-to-noise ratio divided by the largest singular value; infinite if there is no noise.
    pub snr: f64,
    /// `None` if the ratio comes from another program's file.
    pub statistic: Option<Statistic>,
    /// The other statistics, if they were asked for.
    pub statistics: Option<Box<Statistics>>,
}

/// Why a module has no numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unmeasured {
    #[error("it is not measured yet")]
    Pending,
    #[error("it was not reached")]
    NotReached,
    #[error("{0}")]
    Missing(Cause),
    #[error("{0}")]
    Unreadable(String),
    #[error("{0}")]
    NoSpectrum(String),
    #[error("every weight is zero, so that there is no ratio")]
    Zero,
    #[error("its ratio cannot be vouched for: {0}")]
    Doubtful(Doubt),
    #[error("laser-scan has a defect; please report it")]
    Defect,
    /// Another program's file has no ratio for the module.
    #[error("its file has no ratio of it")]
    NoRatio,
    /// The reason is quoted from the scan's manifest.
    #[error("{0}")]
    Told(String),
}

impl Record {
    /// The ratio, if the module was measured.
    pub fn snr(&self) -> Option<f64> {
        self.result.as_ref().ok().map(|numbers| numbers.snr)
    }

    /// What the module is ranked by; `None` if it was not measured, or if the statistic is not defined for it or not known.
    pub fn score(&self, ranking: Ranking) -> Option<Score> {
        let numbers = self.result.as_ref().ok()?;
        match (&numbers.statistic, &numbers.statistics) {
            _ if !ranking.needs_spectra() => Some(Score::plain(numbers.snr)),
            (Some(laser), Some(others)) => ranking.score(laser, others).ok(),
            _ => None,
        }
    }
}

impl Numbers {
    pub fn ratio(snr: f64) -> Self {
        Self { snr, statistic: None, statistics: None }
    }
}

impl From<Statistic> for Numbers {
    fn from(statistic: Statistic) -> Self {
        Self { snr: statistic.snr(), statistic: Some(statistic), statistics: None }
    }
}

impl From<SpectrumError> for Unmeasured {
    fn from(error: SpectrumError) -> Self {
        Self::NoSpectrum(error.to_string())
    }
}
