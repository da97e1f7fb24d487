//! Tensors that are not measured, and why.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Role;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The tensor's name in the file.
    pub tensor: String,
    /// The model's own name for it, if training tools have left something in the other.
    #[serde(skip)]
    own: Option<String>,
    pub reason: Reason,
}

impl LeftOut {
    /// A tensor that the model calls `own`, and that is called `stored` in the file if this differs.
    pub fn new(own: String, stored: Option<String>, reason: Reason) -> Self {
        match stored {
            Some(stored) => Self { tensor: stored, own: Some(own), reason },
            None => Self { tensor: own, own: None, reason },
        }
    }

    /// The model's own name for the tensor.
    pub fn own_name(&self) -> &str {
        self.own.as_deref().unwrap_or(&self.tensor)
    }
}

/// Why a tensor is not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    NoWeight,
    /// It is the direction or the length of a weight, which `torch.nn.utils.weight_norm` multiplies.
    Normalized,
    /// It holds experts, but the configuration does not have their number under this key.
    ExpertsUncounted(&'static str),
    Empty,
    /// It has only one row or one column.
    Vector,
    Convolution,
    /// It is a convolution's that works on each channel separately.
    Depthwise,
    /// It is a transposed convolution's.
    Transposed,
    /// It is a convolution's that works on several groups of channels separately.
    Grouped,
    Dimensions(usize),
    /// Its elements have this type.
    Dtype(String),
    /// It is the weight of a module with this role.
    Role(Role),
    TiedHead,
    Companion,
    /// It belongs to an adapter that is stored beside the model's weights.
    Factor,
    /// It belongs to a module of which a trained copy is stored beside it.
    Replaced,
    Unlisted,
    Unreadable,
    NotIncluded,
    Excluded,
}

impl Reason {
    /// Whether what is left out is a linear module with a weight of its own.
    pub fn is_linear(&self) -> bool {
        match self {
            Self::Role(role) => role.is_linear(),
            Self::NotIncluded | Self::Excluded => true,
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWeight => formatter.write_str("no module's weight"),
            Self::Normalized => formatter.write_str("part of a weight that weight_norm holds as length and direction"),
            Self::ExpertsUncounted(key) => {
                write!(formatter, "experts, whose number config.json does not give ('{key}')")
            }
            Self::Empty => formatter.write_str("no elements"),
            Self::Vector => formatter.write_str("a vector, not a matrix"),
            Self::Convolution => formatter.write_str("a convolution"),
            Self::Depthwise => formatter.write_str("a depthwise convolution"),
            Self::Transposed => formatter.write_str("a transposed convolution"),
            Self::Grouped => formatter.write_str("a convolution in groups"),
            Self::Dimensions(count) => write!(formatter, "{count} dimensions, not two"),
            Self::Dtype(dtype) => write!(formatter, "dtype {dtype} is not supported"),
            Self::Role(role) => role.fmt(formatter),
            Self::TiedHead => formatter.write_str("a head that shares the embedding's weight"),
            Self::Companion => formatter.write_str("part of a quantised weight"),
            Self::Factor => formatter.write_str("a factor of an adapter"),
            Self::Replaced => formatter.write_str("the original of a module that was trained whole (modules_to_save)"),
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
