//! A component's tensors, sorted into those that a scan measures and the others.

use std::sync::Arc;

use super::left_out::Reason;
use super::model::{Matrix, Model};
use super::name::module_name;
use crate::checkpoint::{Other, Weight};

pub struct Sorted<'a> {
    /// The matrices that are measured.
    pub found: Vec<Matrix<'a>>,
    /// The matrices of linear modules that are not measured.
    pub others: Vec<Matrix<'a>>,
    /// The tensors that are not measured, including those of `others`.
    pub left: Vec<Left<'a>>,
}

/// A tensor that is not measured.
pub struct Left<'a> {
    /// Its name within the component.
    pub name: &'a str,
    /// Its name in the file, if training tools have left something in it.
    pub stored: Option<&'a str>,
    /// `None` if not even its shape is known.
    pub weight: Option<&'a Arc<Weight>>,
    pub reason: Reason,
}

impl<'a> Sorted<'a> {
    pub fn new(model: &Model<'a>) -> Self {
        let component = model.component;
        let mut sorted = Self { found: Vec::new(), others: Vec::new(), left: Vec::new() };
        for weight in &component.weights {
            let reason = match model.matrices(weight) {
                Ok(_) if !weight.is_floating() => Reason::Dtype(weight.dtype()),
                Ok(matrices) => {
                    match model.reason_against(module_name(&weight.name), matrices.first().map(|one| one.shape()[0])) {
                        None => {
                            sorted.found.extend(matrices);
                            continue;
                        }
                        Some(reason) if reason.is_linear() => {
                            sorted.others.extend(matrices);
                            reason
                        }
                        Some(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            sorted.left.push(Left { name: &weight.name, stored: weight.stored_name(), weight: Some(weight), reason });
        }
        sorted.left.extend(component.others.iter().map(|other| {
            let reason = match other.why {
                Other::Unlisted => Reason::Unlisted,
                Other::Companion => Reason::Companion,
                Other::Factor => Reason::Factor,
                Other::Replaced => Reason::Replaced,
                Other::Unreadable => Reason::Unreadable,
            };
            Left { name: &other.name, stored: other.stored.as_deref(), weight: None, reason }
        }));
        sorted
    }
}
