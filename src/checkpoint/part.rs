//! One stored tensor in one of the shards.

use super::header::TensorInfo;

/// A stored tensor, which is a weight or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The index of its shard among the checkpoint's shards.
    pub shard: usize,
    pub tensor: TensorInfo,
}
