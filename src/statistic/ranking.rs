//! By which statistic modules are ranked.

use std::cmp::Ordering;
use std::fmt;

/// A statistic that modules can be ranked by, the highest value first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The ratio of laser-QLoRA.
    #[default]
    Laser,
    /// Signal over noise at the edge of Marchenko and Pastur.
    Mp,
    EffectiveRank,
    /// The exponent of the spectrum's tail: the least heavy-tailed first.
    Alpha,
    /// The Frobenius norm of a change over that of what was changed. Only the scan of a change has it.
    RelativeNorm,
}

/// In which order infinite ratios of laser-QLoRA come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// In the order of the model.
    #[default]
    Model,
    /// The smallest singular value over the threshold, the largest first.
    Margin,
}

/// By what modules are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    pub criterion: Criterion,
    pub ties: Ties,
}

/// What a module is ranked by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    pub value: f64,
    /// What decides among infinite values; 1 where nothing does.
    pub margin: f64,
}

impl Ranking {
    /// Whether statistics are needed that are computed from whole spectra.
    pub fn needs_spectra(self) -> bool {
        match self.criterion {
            Criterion::Laser => self.ties == Ties::Margin,
            Criterion::Mp | Criterion::EffectiveRank | Criterion::Alpha => true,
            Criterion::RelativeNorm => false,
        }
    }
}

impl Score {
    /// The score of a ratio without more.
    pub fn plain(value: f64) -> Self {
        Self { value, margin: 1.0 }
    }

    /// The order of the ranking: the highest value first, and among equal ones the largest margin.
    pub fn best_first(&self, other: &Self) -> Ordering {
        other.value.total_cmp(&self.value).then(other.margin.total_cmp(&self.margin))
    }
}

impl Criterion {
    pub const ALL: [Self; 5] = [Self::Laser, Self::Mp, Self::EffectiveRank, Self::Alpha, Self::RelativeNorm];

    pub fn key(self) -> &'static str {
        match self {
            Self::Laser => "laser",
            Self::Mp => "mp",
            Self::EffectiveRank => "effective-rank",
            Self::Alpha => "alpha",
            Self::RelativeNorm => "relative-norm",
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.key())
    }
}
