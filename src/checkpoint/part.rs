//! A tensor as it is stored, which is a weight or a part of one.

use super::header::TensorInfo;

/// A stored tensor and where it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which shard holds it, by its place among the checkpoint's shards.
    pub shard: usize,
    /// The tensor.
    pub tensor: TensorInfo,
}
