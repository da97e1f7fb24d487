//! Tells before anything is measured, from names and shapes alone, whether a configuration can be written.
//!
//! Which modules will be chosen depends on their ratios, but their types do not, as some of every type are chosen. So an error
//! that is about types, and that arises if everything eligible is chosen, will arise for every choice.

use super::{ExportError, Request, Trainer, export};
use crate::select::Rules;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The request, whatever is chosen.
    Request,
    Types,
    Modules,
}

impl ExportError {
    fn cause(&self) -> Cause {
        match self {
            Self::Within { error, .. } => error.cause(),
            Self::Apart { .. } | Self::NoShapes | Self::Incomparable | Self::NoFit(_) | Self::Nothing => Cause::Request,
            Self::Components(..) | Self::Unadaptable { .. } | Self::Unsupported { .. } => Cause::Types,
            Self::Renamed(_)
            | Self::Together { .. }
            | Self::Stacked { .. }
            | Self::Merged { .. }
            | Self::Unscanned { .. }
            | Self::Unnamed { .. }
            | Self::HitsNothing { .. }
            | Self::HitsMore { .. }
            | Self::Missed { .. }
            | Self::Option { .. }
            | Self::Invisible { .. } => Cause::Modules,
        }
    }
}

/// Fails if `trainer` cannot train what `rules` will choose, whatever the ratios. In the request all modules have the same
/// ratio, so that it chooses the first of each type.
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
    // If the first modules of each type include only some of those in one parameter, so do as many others.
    let is_of_some = |error: &ExportError| {
        matches!(
            error.innermost(),
            ExportError::Together { .. } | ExportError::Stacked { .. } | ExportError::Merged { .. }
        )
    };
    match export(trainer, request) {
        Err(error) if every_type_is_chosen && is_of_some(&error) => Err(error),
        _ => Ok(()),
    }
}
