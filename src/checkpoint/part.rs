//! One stored tensor in one of the shards.

use super::header::TensorInfo;

/// A stored tensor, which is a weight or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The index of its shard among the checkpoint's shards.
    pub shard: usize,
    /// The tensor under the model's own name.
    pub tensor: TensorInfo,
    /// Its name in the file, if training tools have left something in it.
    pub stored: Option<String>,
}

impl Part {
    /// A tensor that is stored under the model's own name.
    pub fn new(shard: usize, tensor: TensorInfo) -> Self {
        Self { shard, tensor, stored: None }
    }

    /// Its name in the file.
    pub fn stored_name(&self) -> &str {
        self.stored.as_deref().unwrap_or(&self.tensor.name)
    }
}
