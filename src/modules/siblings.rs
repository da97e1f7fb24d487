//! What a module would be that is missing, by its counterparts in other layers.

use std::cell::Cell;
use std::collections::HashMap;

use super::missing::Cause;
use super::model::{Matrix, without_expert};
use super::name::Place;

/// The most missing modules whose names are told: files may be made such that there would be too many for any memory.
pub const MOST_MODULES: usize = 1 << 18;

/// A place of a linear module, or of a layer of them, where there is no matrix.
pub struct Gap<'a> {
    /// The tensor that is there, or the module or the layer that is not.
    pub name: String,
    /// The tensor, by its place among those that are left out.
    pub left: Option<usize>,
    /// The modules that are missing, under the names that they would have.
    pub matrices: Vec<Matrix<'a>>,
    /// Whether the matrices have the shape that the modules would have.
    pub is_shaped: bool,
    /// What is there instead.
    pub cause: Cause,
}

/// The matrices that are measured, to be asked for by their place within a layer.
pub struct Siblings<'a, 'b> {
    by_key: HashMap<String, Counterparts<'a, 'b>>,
    /// How many modules may yet be told of.
    budget: Cell<usize>,
}

/// The matrices at one place within their layers.
struct Counterparts<'a, 'b> {
    /// Those of the first layer: one, or one for each expert.
    first: Vec<&'b Matrix<'a>>,
    /// Whether those of all layers have the same shape.
    is_uniform: bool,
}

impl<'a, 'b> Siblings<'a, 'b> {
    /// All that are in layers.
    pub fn new(found: &'b [Matrix<'a>]) -> Self {
        let mut by_key: HashMap<String, Counterparts<'a, 'b>> = HashMap::new();
        for matrix in found {
            let Some(key) = key(&matrix.place) else { continue };
            let counterparts =
                by_key.entry(key).or_insert_with(|| Counterparts { first: vec![matrix], is_uniform: true });
            let first = counterparts.first[0];
            counterparts.is_uniform &= matrix.shape() == first.shape();
            if matrix.place.layer == first.place.layer && matrix.place != first.place {
                counterparts.first.push(matrix);
            }
        }
        Self { by_key, budget: Cell::new(MOST_MODULES) }
    }

    /// Whether the module called `name` has a counterpart in a layer that is measured.
    pub fn has(&self, name: &str) -> bool {
        self.counterparts(&Place::of(name)).is_some()
    }

    fn counterparts(&self, place: &Place) -> Option<&Counterparts<'a, 'b>> {
        self.by_key.get(&key(place)?)
    }

    /// The matrices that the module called `name` would have, by its counterpart: one, or those of a stack; and whether
    /// they would have the same shape.
    pub fn like(&self, name: &str) -> Option<(Vec<Matrix<'a>>, bool)> {
        let place = Place::of(name);
        let Counterparts { first, is_uniform } = self.counterparts(&place)?;
        let is_stack = first[0].stack.is_some() && without_expert(name).is_none();
        let count = if is_stack { first.len() } else { 1 };
        self.budget.set(self.budget.get().checked_sub(count)?);
        let matrices = match place.layer {
            Some(layer) if is_stack => first.iter().filter_map(|sibling| in_layer(sibling, layer)).collect(),
            _ => vec![Matrix { place, stack: None, ..first[0].clone() }],
        };
        Some((matrices, *is_uniform))
    }
}

/// A module's place within its layer, without an expert's number.
fn key(place: &Place) -> Option<String> {
    let name = place.in_layer("*")?;
    Some(without_expert(&name).unwrap_or(name))
}

/// What a matrix would be in another layer.
pub fn in_layer<'a>(matrix: &Matrix<'a>, layer: usize) -> Option<Matrix<'a>> {
    let layer = layer.to_string();
    let stack = matrix.stack.as_ref().map(|stack| Place::of(stack).in_layer(&layer));
    if stack.as_ref().is_some_and(Option::is_none) {
        return None;
    }
    let place = Place::of(&matrix.place.in_layer(&layer)?);
    Some(Matrix { place, stack: stack.flatten(), ..matrix.clone() })
}

/// The gap of a module of which nothing is stored, while its counterparts are.
pub fn without_anything<'a>(module: &str, siblings: &Siblings<'a, '_>) -> Gap<'a> {
    let (matrices, is_shaped) = siblings.like(module).unwrap_or_default();
    Gap { name: module.to_owned(), left: None, matrices, is_shaped, cause: Cause::Nothing }
}
