//! From a choice to a trainer's configuration: what is the same whoever trains.

use super::bypassed::bypassed;
use super::choice::{Choice, components};
use super::document::{Export, Remark};
use super::lora::{self, Lora};
use super::remedy::Remedy;
use super::{ExportError, Request, Trainer};
use crate::select::Counted;

/// Writes the choice for `trainer`.
///
/// # Errors
///
/// Fails if the trainer cannot train exactly what is chosen.
pub fn export(trainer: &dyn Trainer, request: &Request<'_>) -> Result<Export, ExportError> {
    if request.adapter.head_rank.is_some() && !trainer.has_rank_pattern() {
        let what = "knows one rank for all modules".to_owned();
        return Err(ExportError::Unsupported { trainer: trainer.name(), what, remedy: Some(Remedy::NoHeadRank) });
    }
    match *components(request) {
        [] => export_model(trainer, request, None),
        [component] => export_model(trainer, request, Some(component)),
        ref several => trainer.export_components(request, several),
    }
}

/// Writes what is chosen of one model, which is one `component` if there are several.
///
/// # Errors
///
/// Fails if the trainer cannot train exactly that.
pub fn export_model(
    trainer: &dyn Trainer,
    request: &Request<'_>,
    component: Option<&str>,
) -> Result<Export, ExportError> {
    let mut choice = Choice::new(trainer.name(), trainer.takes_head(), request, component)?;
    let trained = trainer.trains(&choice);
    let is_adapted = matches!(trainer.counted(0), Counted::Lora { .. });
    let numbers = if is_adapted {
        choice.lora = Lora::new(choice.adapter, &choice.targets, &trained)?;
        choice.lora.note(choice.adapter, &choice.targets, &trained)
    } else {
        lora::weights(&choice.targets, &trained)
    };
    let mut export = trainer.export(&choice)?;
    export.notes.splice(0..0, numbers.map(Remark::from).into_iter().chain(choice.note()));
    export.warnings.extend(choice.warning());
    export.warnings.extend(is_adapted.then(|| bypassed(&choice)).flatten().map(Remark::from));
    Ok(export)
}
