//! Tensors that are not measured, and why.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Class;

/// A tensor that is not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The tensor's name.
    pub tensor: String,
    /// Why it is not measured.
    pub reason: Reason,
}

/// Why a tensor is not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its name is not that of a module's weight.
    NoWeight,
    /// It holds experts, but the configuration does not say under this key how many.
    ExpertsUncounted(&'static str),
    /// It has no elements.
    Empty,
    /// It has one row or one column.
    Vector,
    /// It is a convolution's, and convolutions are not asked for.
    Convolution,
    /// It is a convolution's that takes each channel by itself.
    Depthwise,
    /// It has this many dimensions.
    Dimensions(usize),
    /// Its elements are of this type.
    Dtype(String),
    /// It is the weight of a module of this class.
    Class(Class),
    /// It is a head's that shares the embedding's weight.
    TiedHead,
    /// It is a part of a quantised weight.
    Companion,
    /// It is a factor of an adapter that is stored beside the model's weights.
    Factor,
    /// It is not in the index.
    Unlisted,
    /// It is stored in a way that is not read.
    Unreadable,
    /// No `--include` matches it.
    NotIncluded,
    /// An `--exclude` matches it.
    Excluded,
}

impl Reason {
    /// Whether what is left out is a linear module with a weight of its own.
    pub fn is_linear(&self) -> bool {
        match self {
            Self::Class(class) => class.is_linear(),
            Self::NotIncluded | Self::Excluded => true,
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWeight => formatter.write_str("no module's weight"),
            Self::ExpertsUncounted(key) => {
                write!(formatter, "experts, whose number config.json does not give ('{key}')")
            }
            Self::Empty => formatter.write_str("no elements"),
            Self::Vector => formatter.write_str("a vector, not a matrix"),
            Self::Convolution => formatter.write_str("a convolution"),
            Self::Depthwise => formatter.write_str("a depthwise convolution"),
            Self::Dimensions(count) => write!(formatter, "{count} dimensions, not two"),
            Self::Dtype(dtype) => write!(formatter, "dtype {dtype} is not supported"),
            Self::Class(class) => class.fmt(formatter),
            Self::TiedHead => formatter.write_str("a head that shares the embedding's weight"),
            Self::Companion => formatter.write_str("part of a quantised weight"),
            Self::Factor => formatter.write_str("a factor of an adapter"),
            Self::Unreadable => formatter.write_str("stored in a way that is not read"),
            Self::Unlisted => formatter.write_str("not in the index"),
            Self::NotIncluded => formatter.write_str("not matched by --include"),
            Self::Excluded => formatter.write_str("matched by --exclude"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
