//! From a request to a choice that a trainer can write.

use super::bypassed::bypassed;
use super::choice::Choice;
use super::document::{Export, Remark};
use super::lora::{self, Lora};
use super::{ExportError, Request, Trainer};

/// A choice that is ready to be written, and what is said of it in whatever form it is written.
pub struct Prepared<'a> {
    pub choice: Choice<'a>,
    pub notes: Vec<Remark>,
    pub warnings: Vec<Remark>,
}

impl<'a> Prepared<'a> {
    /// What `request` chooses of the model, or of one `component` of a pipeline, with the rank that it gets.
    pub fn new(trainer: &dyn Trainer, request: &Request<'a>, component: Option<&str>) -> Result<Self, ExportError> {
        let mut choice = Choice::new(trainer, request, component)?;
        let trained = trainer.trains(&choice);
        let is_adapted = trainer.profile().has_adapters;
        let numbers = if is_adapted {
            choice.lora = Lora::new(
                choice.adapter,
                trainer.profile(),
                trainer.takes_alpha(request.selection.scan),
                &choice.targets,
                &trained,
            )?;
            choice.lora.note(choice.adapter, &choice.targets, &trained)
        } else {
            lora::weights(&choice.targets, &trained)
        };
        let head = choice.note(if is_adapted {
            choice.lora.of_heads(&choice.targets, &trained)
        } else {
            lora::weights_of_heads(&choice.targets, &trained)
        });
        let mut warnings = Vec::new();
        if is_adapted {
            warnings.extend(choice.lora.warnings(choice.adapter, trainer.profile(), &choice.targets, &trained));
        }
        warnings.extend(choice.warning());
        warnings.extend(is_adapted.then(|| bypassed(&choice)).flatten().map(Remark::from));
        Ok(Self { choice, notes: numbers.map(Remark::from).into_iter().chain(head).collect(), warnings })
    }

    /// Says in an export for several components what is to be said of this one, with the `notes` on its names.
    pub fn tell(self, export: &mut Export, notes: Vec<Remark>) {
        let component = self.choice.component.unwrap_or_default();
        let of_component = |remark: Remark| Remark { text: format!("{component}: {}", remark.text), ..remark };
        export.notes.extend(self.notes.into_iter().chain(notes).map(of_component));
        export.warnings.extend(self.warnings.into_iter().map(of_component));
    }
}
