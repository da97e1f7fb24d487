//! What is known of a configuration before anything is measured: from names and shapes alone.
//!
//! Which modules will be chosen depends on their ratios, but not which types they are of, as every type has its best. What
//! fails for everything that may be chosen, and has to do with types, fails for every choice.

use super::{ExportError, Request, Trainer, export};
use crate::select::Rules;

/// What an error has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The request, whatever is chosen.
    Request,
    /// The types that are chosen.
    Types,
    /// The modules that are chosen.
    Modules,
}

impl ExportError {
    fn cause(&self) -> Cause {
        match self {
            Self::Apart { .. } | Self::NoShapes | Self::Incomparable | Self::Nothing => Cause::Request,
            Self::Components(..) | Self::Unadaptable { .. } | Self::Unsupported { .. } => Cause::Types,
            Self::Together { .. }
            | Self::HitsNothing { .. }
            | Self::HitsMore { .. }
            | Self::Missed { .. }
            | Self::Option { .. }
            | Self::Invisible { .. } => Cause::Modules,
        }
    }
}

/// Makes sure that `trainer` can be given what `rules` will choose, as far as that is known. The request is of modules that all
/// have the same ratio, so that its choice has the first ones of each type.
///
/// # Errors
///
/// Fails if the trainer cannot train what will be chosen, whatever the ratios.
pub fn foresee(trainer: &dyn Trainer, request: &Request<'_>, rules: &Rules) -> Result<(), ExportError> {
    let all = request.selection.of_all_eligible();
    let every_type_is_chosen = !rules.global && rules.budget.is_none();
    let is_everything = request.selection.chosen().count() == all.chosen().count();
    let is_certain = |cause: Cause| match cause {
        Cause::Request => true,
        Cause::Types => every_type_is_chosen || is_everything,
        Cause::Modules => is_everything,
    };
    match export(trainer, &Request { selection: &all, ..*request }) {
        Err(error) if is_certain(error.cause()) => return Err(error),
        _ => {}
    }
    // Parameters are filled in the model's order: where the first modules of each type leave one half chosen, as many others do.
    match export(trainer, request) {
        Err(error @ ExportError::Together { .. }) if every_type_is_chosen => Err(error),
        _ => Ok(()),
    }
}
