//! The rules of a selection, and why they may leave nothing.

use globset::GlobMatcher;

use super::{Budget, Layers};
use crate::modules::{self, FilterError};

/// How modules are chosen.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many of each type.
    pub count: Count,
    /// Whether all types together count as one.
    pub global: bool,
    /// How many parameters may be trained; filled from what the other rules leave, highest ratio first whatever the
    /// type. What does not fit is passed over.
    pub budget: Option<Budget>,
    /// The types that may be chosen; all if there are none.
    pub types: Types,
    /// The layers that may be chosen.
    pub layers: Option<Layers>,
}

/// How many modules are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// All.
    All,
    /// At most so many.
    Top(usize),
    /// So many of a hundred, rounded up, and at least one.
    Percent(f64),
}

/// Patterns over types. `*` matches any run of characters, dots too.
#[derive(Clone, Debug, Default)]
pub struct Types(Vec<GlobMatcher>);

/// Why nothing can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A pattern is malformed.
    #[error(transparent)]
    Pattern(#[from] FilterError),
    /// A pattern matches no type.
    #[error("'{pattern}' matches none of the types: {types}{}", .meant.as_ref().map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default())]
    NoType {
        /// The pattern.
        pattern: String,
        /// The types that there are.
        types: String,
        /// The pattern that was meant, if one comes near.
        meant: Option<String>,
    },
    /// A range matches no layer.
    #[error("{range} matches none of the layers: the layers are {first} to {last}")]
    NoLayer {
        /// The range.
        range: String,
        /// The first layer that there is.
        first: usize,
        /// The last.
        last: usize,
    },
    /// The model has no layers.
    #[error("{0} matches nothing: none of the modules is in a layer")]
    Layerless(Layers),
    /// The layers have no module of the types.
    #[error("{0} has no module of the types that may be chosen")]
    NotInLayers(Layers),
    /// The budget cannot be counted.
    #[error("a budget needs the shape of every module, and that of '{0}' is not known")]
    NoShape(String),
    /// Nothing fits into the budget.
    #[error("nothing fits into a budget of {budget}: the smallest module, '{name}', takes {cost} parameters")]
    TooSmall {
        /// The budget.
        budget: u64,
        /// The module that takes the least.
        name: String,
        /// What it takes.
        cost: u64,
    },
}

impl Types {
    /// The types that match one of `patterns`.
    ///
    /// # Errors
    ///
    /// Fails if a pattern is malformed.
    pub fn new(patterns: &[String]) -> Result<Self, SelectError> {
        Ok(Self(modules::compile(patterns)?))
    }

    /// Whether they include `kind`.
    pub fn keep(&self, kind: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.is_match(kind))
    }

    /// The first pattern that matches none of `kinds`.
    pub fn unmatched(&self, kinds: &[(&str, usize)]) -> Option<&str> {
        let is_idle = |pattern: &&GlobMatcher| !kinds.iter().any(|(kind, _)| pattern.is_match(kind));
        self.0.iter().find(is_idle).map(|pattern| pattern.glob().glob())
    }
}

impl Count {
    /// How many of `number` it is.
    pub fn of(self, number: usize) -> usize {
        match self {
            Self::All => number,
            Self::Top(count) => count.min(number),
            // What is a whole number but for the rounding of a product is not rounded up.
            Self::Percent(percent) => {
                ((number as f64 * percent / 100.0 - 1e-9).ceil() as usize).clamp(1, number.max(1))
            }
        }
    }
}
