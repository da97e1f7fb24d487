//! The rules of a selection, and why they may leave nothing.

use globset::GlobMatcher;

use super::{Budget, Layers};
use crate::modules::{self, FilterError};

#[derive(Clone, Debug)]
pub struct Rules {
    /// How many of each type.
    pub count: Count,
    /// Whether `count` is of all types together.
    pub global: bool,
    /// The most parameters that may be trained. It is filled with what the other rules choose, the highest ratios first.
    pub budget: Option<Budget>,
    pub types: Types,
    /// The layers that may be chosen; all if `None`.
    pub layers: Option<Layers>,
}

/// How many modules are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    All,
    Top(usize),
    /// So many of a hundred, rounded up, and at least one.
    Percent(f64),
}

/// The types that may be chosen, as patterns; all if there are none. `*` matches any run of characters, dots too.
#[derive(Clone, Debug, Default)]
pub struct Types(Vec<GlobMatcher>);

/// Why nothing can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    #[error(transparent)]
    Pattern(#[from] FilterError),
    /// `types` lists those of the scan, and `meant` is a similar pattern that matches one.
    #[error("'{pattern}' matches none of the types: {types}{}", .meant.as_ref().map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default())]
    NoType { pattern: String, types: String, meant: Option<String> },
    #[error("{range} matches none of the layers: the layers are {first} to {last}")]
    NoLayer { range: String, first: usize, last: usize },
    #[error("{0} matches nothing: none of the modules is in a layer")]
    Layerless(Layers),
    #[error("{0} has no module of the types that may be chosen")]
    NotInLayers(Layers),
    /// The types that the pattern matches are all in other layers, or in none.
    #[error("{0} has no module of the types that '{1}' matches")]
    TypeNotInLayers(Layers, String),
    #[error("a budget needs the shape of every module, and that of '{0}' is not known")]
    NoShape(String),
    /// `name` is the module that takes the fewest parameters.
    #[error("nothing fits into a budget of {budget}: the smallest module, '{name}', takes {cost} parameters")]
    TooSmall { budget: u64, name: String, cost: u64 },
}

impl Types {
    pub fn new(patterns: &[String]) -> Result<Self, SelectError> {
        Ok(Self(modules::compile(patterns)?))
    }

    pub fn keep(&self, kind: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.is_match(kind))
    }

    /// The first pattern that matches none of `kinds`.
    pub fn unmatched<'k, K: Iterator<Item = &'k str>>(&self, kinds: impl Fn() -> K) -> Option<&str> {
        let is_idle = |pattern: &&GlobMatcher| !kinds().any(|kind| pattern.is_match(kind));
        self.0.iter().find(is_idle).map(|pattern| pattern.glob().glob())
    }
}

impl Count {
    /// How many of `number` modules are chosen.
    pub fn of(self, number: usize) -> usize {
        match self {
            Self::All => number,
            Self::Top(count) => count.min(number),
            // A product that is a whole number except for its rounding error is not rounded up.
            Self::Percent(percent) => {
                ((number as f64 * percent / 100.0 - 1e-9).ceil() as usize).clamp(1, number.max(1))
            }
        }
    }
}
