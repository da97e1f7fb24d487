//! What a fine-tuned model makes of a base's matrices.

use std::sync::Arc;

use crate::checkpoint::{LowRank, Selection, Weight};

/// How a matrix of a fine-tuned model differs from the base's.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is another matrix: `selection` of `weight`.
    To { weight: Arc<Weight>, selection: Selection },
    /// A product of two small factors is added to it.
    Plus(Box<LowRank>),
    /// It is the same, because an adapter does not touch it.
    Nothing,
}

impl Change {
    /// The stored matrices that are read for it, beside the base's.
    pub fn matrices(&self) -> Vec<(&Weight, &Selection)> {
        match self {
            Self::To { weight, selection } => vec![(weight, selection)],
            Self::Plus(product) => vec![(&product.up, &product.rows), (&product.down, &product.columns)],
            Self::Nothing => Vec::new(),
        }
    }

    /// By what the product is multiplied, if it is one.
    pub fn scale(&self) -> Option<f64> {
        match self {
            Self::Plus(product) => Some(product.scale),
            Self::To { .. } | Self::Nothing => None,
        }
    }

    /// What is read for it and how, in words that differ for different changes.
    pub fn description(&self) -> String {
        let stored = |(weight, selection): (&Weight, &Selection)| {
            format!("{} {} {:?} {selection:?}", weight.name, weight.description(), weight.shape)
        };
        let read: Vec<String> = self.matrices().into_iter().map(stored).collect();
        let scale = self.scale().map_or_else(String::new, |scale| format!(" times {scale:e}"));
        format!("changed by {}{scale}", read.join(" and "))
    }
}
