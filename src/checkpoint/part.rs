//! A stored tensor, which is a weight or a part of one.

use super::header::TensorInfo;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The index of its shard among the checkpoint's shards.
    pub shard: usize,
    pub tensor: TensorInfo,
}
