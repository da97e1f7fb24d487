//! What a missing module would be, judged by its counterparts in other layers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::missing::Cause;
use super::model::{Matrix, is_expert, without_expert};
use super::name::Place;
use super::places::Places;

/// The most missing modules that are listed. A malicious file could otherwise cause more than fit into memory.
pub const MOST_MODULES: usize = 1 << 18;

/// A place of a linear module, or of a whole layer, where there is no matrix.
pub struct Gap<'a> {
    /// The tensor that is there instead, or the module or layer that is missing.
    pub name: String,
    /// The tensor's index among those that are left out.
    pub left: Option<usize>,
    /// The missing modules, with the names that they would have.
    pub matrices: Vec<Matrix<'a>>,
    /// Whether the matrices have the shapes that the modules would have.
    pub is_shaped: bool,
    pub cause: Cause,
}

/// The matrices that are measured, by their place within a layer.
pub struct Siblings<'a, 'b> {
    places: &'b Places<'a>,
    by_key: HashMap<String, Counterparts<'a, 'b>>,
    /// How many more missing modules may be listed.
    budget: AtomicUsize,
}

/// The matrices at one place within their layers.
struct Counterparts<'a, 'b> {
    /// Those of the first layer: a single one, or one for each expert.
    first: Vec<&'b Matrix<'a>>,
    /// Whether the matrices of all layers have the same shape.
    is_uniform: bool,
}

impl<'a, 'b> Siblings<'a, 'b> {
    pub fn new(found: &'b [Matrix<'a>], places: &'b Places<'a>) -> Self {
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
        Self { places, by_key, budget: AtomicUsize::new(MOST_MODULES) }
    }

    /// Whether the module called `name` has a counterpart that is measured.
    pub fn has(&self, name: &str) -> bool {
        self.counterparts(&self.places.place(name)).is_some()
    }

    fn counterparts(&self, place: &Place) -> Option<&Counterparts<'a, 'b>> {
        self.by_key.get(&key(place)?)
    }

    /// The matrices that the module or stack called `name` would have, judged by its counterpart, and whether they
    /// would have the same shape.
    pub fn like(&self, name: &str) -> Option<(Vec<Matrix<'a>>, bool)> {
        let place = self.places.place(name);
        let Counterparts { first, is_uniform } = self.counterparts(&place)?;
        let is_stack = first[0].stack.is_some() && !is_expert(name);
        let count = if is_stack { first.len() } else { 1 };
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |budget| budget.checked_sub(count)).ok()?;
        let matrices = match place.layer {
            Some(layer) if is_stack => first.iter().filter_map(|sibling| in_layer(sibling, layer)).collect(),
            _ => vec![Matrix { place, stack: None, ..first[0].clone() }],
        };
        Some((matrices, *is_uniform))
    }
}

/// A module's name without the numbers of its layer and its expert.
fn key(place: &Place) -> Option<String> {
    let name = place.in_layer("*")?;
    Some(without_expert(&name).unwrap_or(name))
}

/// The counterpart of a matrix in another layer.
pub fn in_layer<'a>(matrix: &Matrix<'a>, layer: usize) -> Option<Matrix<'a>> {
    let stack = match &matrix.stack {
        Some(stack) => Some(matrix.place.beside(stack, layer)?),
        None => None,
    };
    let place = matrix.place.moved(layer)?;
    Some(Matrix { place, stack, ..matrix.clone() })
}

/// The gap of a module of which nothing is stored although its counterparts are.
pub fn without_anything<'a>(module: &str, siblings: &Siblings<'a, '_>) -> Gap<'a> {
    let (matrices, is_shaped) = siblings.like(module).unwrap_or_default();
    Gap { name: module.to_owned(), left: None, matrices, is_shaped, cause: Cause::Nothing }
}
