//! A component's tensors, sorted into those that a scan measures and the others.

use std::sync::Arc;

use rayon::prelude::*;

use super::Role;
use super::left_out::Reason;
use super::model::{Matrix, Model};
use super::name::{Place, module_name};
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
    /// Sorts the tensors of a `model` whose weights belong to modules in these `places`, with these `roles`.
    pub fn new(model: &Model<'a>, places: Vec<Place>, roles: &[Role]) -> Self {
        let component = model.component;
        let mut sorted = Self { found: Vec::new(), others: Vec::new(), left: Vec::new() };
        let weights = component.weights.par_iter().zip(places).zip(roles);
        let judged: Vec<_> =
            weights.map(|((weight, place), role)| (weight, judge(model, weight, place, *role))).collect();
        for (weight, (matrices, reason)) in judged {
            let Some(reason) = reason else {
                sorted.found.extend(matrices);
                continue;
            };
            if reason.is_linear() {
                sorted.others.extend(matrices);
            }
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

/// The matrices in the `weight` of the module at this `place`, and why they are not measured, if there is a reason.
fn judge<'a>(
    model: &Model<'a>,
    weight: &'a Arc<Weight>,
    place: Place,
    role: Role,
) -> (Vec<Matrix<'a>>, Option<Reason>) {
    let matrices = match model.matrices(weight, place) {
        Err(reason) => return (Vec::new(), Some(reason)),
        Ok(_) if !weight.is_floating() => return (Vec::new(), Some(Reason::Dtype(weight.dtype()))),
        Ok(matrices) => matrices,
    };
    let reason = match matrices.first().filter(|one| one.stack.is_some()) {
        // The rows of a stack are not those of a matrix in it.
        Some(one) => model.reason_against(module_name(&weight.name), Some(one.shape()[0])),
        None => model.reason_for(module_name(&weight.name), model.known().kind_of_stored(&weight.name), role),
    };
    (matrices, reason)
}
