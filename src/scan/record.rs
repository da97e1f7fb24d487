//! A module of a scan: what it is, and its numbers or why it has none.

use crate::modules::{Cause, Info};
use crate::spectrum::{Spectrum, SpectrumError};
use crate::statistic::{Criterion, Delta, Doubt, Ranking, Score, Statistic, Statistics, Ties};

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub info: Info,
    pub result: Result<Numbers, Unmeasured>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// The signal-to-noise ratio divided by the largest singular value; infinite if there is no noise. `None` for a change whose
    /// spectrum leaves it in doubt.
    pub snr: Option<f64>,
    /// Why there is no ratio.
    pub doubt: Option<String>,
    /// `None` if the ratio comes from another program's file.
    pub statistic: Option<Statistic>,
    /// The other statistics, if they were asked for.
    pub statistics: Option<Box<Statistics>>,
    /// How large the change is, if the numbers are of what a fine-tuned model changed.
    pub delta: Option<Delta>,
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
        self.result.as_ref().ok()?.snr
    }

    /// Whether its numbers are those of a change that is none.
    pub fn is_unchanged(&self) -> bool {
        let delta = self.result.as_ref().ok().and_then(|numbers| numbers.delta);
        delta.is_some_and(|delta| delta.norm == 0.0)
    }

    /// What the module is ranked by; `None` if it was not measured, or if the statistic is not defined for it or not known.
    pub fn score(&self, ranking: Ranking) -> Option<Score> {
        let numbers = self.result.as_ref().ok()?;
        let others = numbers.statistics.as_deref();
        let value = match ranking.criterion {
            Criterion::Laser => numbers.snr?,
            Criterion::Mp => others?.mp.as_ref().ok()?.value,
            Criterion::EffectiveRank => *others?.effective_rank.as_ref().ok()?,
            Criterion::Alpha => *others?.alpha.as_ref().ok()?,
            Criterion::RelativeNorm => numbers.delta?.relative_norm(),
        };
        let margin = if ranking.ties == Ties::Margin { others?.margin } else { None };
        Some(Score { value, margin: margin.unwrap_or(1.0) })
    }
}

impl Numbers {
    pub fn ratio(snr: f64) -> Self {
        Self { snr: Some(snr), doubt: None, statistic: None, statistics: None, delta: None }
    }

    /// The numbers of a change whose `spectrum` leaves its ratio in doubt.
    pub fn doubtful(spectrum: &Spectrum) -> Self {
        let doubt = Statistic::of(spectrum).err().map(|doubt| doubt.to_string());
        Self { snr: None, doubt, statistic: None, statistics: None, delta: None }
    }
}

impl From<Statistic> for Numbers {
    fn from(statistic: Statistic) -> Self {
        Self { statistic: Some(statistic.clone()), ..Self::ratio(statistic.snr()) }
    }
}

impl From<SpectrumError> for Unmeasured {
    fn from(error: SpectrumError) -> Self {
        Self::NoSpectrum(error.to_string())
    }
}
