//! A component's tensors, sorted by what they are to a scan.

use std::sync::Arc;

use super::left_out::Reason;
use super::model::{Matrix, Model};
use super::name::module_name;
use crate::checkpoint::{Other, Weight};

/// A component's tensors, sorted by what they are to a scan.
pub struct Sorted<'a> {
    /// The matrices that are measured.
    pub found: Vec<Matrix<'a>>,
    /// The other matrices of linear modules.
    pub others: Vec<Matrix<'a>>,
    /// The tensors that are left out, those of the other matrices too.
    pub left: Vec<Left<'a>>,
}

/// A tensor that is left out.
pub struct Left<'a> {
    /// Its name, as the component knows it.
    pub name: &'a str,
    /// The tensor, where its shape is known.
    pub weight: Option<&'a Arc<Weight>>,
    /// Why it is left out.
    pub reason: Reason,
}

impl<'a> Sorted<'a> {
    /// The tensors of the `model`, in their order.
    pub fn new(model: &Model<'a>) -> Self {
        let component = model.component;
        let mut sorted = Self { found: Vec::new(), others: Vec::new(), left: Vec::new() };
        for weight in &component.weights {
            let reason = match model.matrices(weight) {
                Ok(_) if !weight.is_floating() => Reason::Dtype(weight.dtype()),
                Ok(matrices) => match model.reason_against(module_name(&weight.name)) {
                    None => {
                        sorted.found.extend(matrices);
                        continue;
                    }
                    Some(reason) if reason.is_linear() => {
                        sorted.others.extend(matrices);
                        reason
                    }
                    Some(reason) => reason,
                },
                Err(reason) => reason,
            };
            sorted.left.push(Left { name: &weight.name, weight: Some(weight), reason });
        }
        sorted.left.extend(component.others.iter().map(|(name, other)| {
            let reason = match other {
                Other::Unlisted => Reason::Unlisted,
                Other::Companion => Reason::Companion,
                Other::Factor => Reason::Factor,
                Other::Unreadable => Reason::Unreadable,
            };
            Left { name, weight: None, reason }
        }));
        sorted
    }
}
