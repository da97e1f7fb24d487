//! From a choice to a trainer's configuration: the part that is the same for every trainer.

use super::bypassed::bypassed;
use super::choice::{Choice, components};
use super::diffusion;
use super::document::{Export, Remark};
use super::lora::{self, Lora};
use super::remedy::Remedy;
use super::vouched::vouched;
use super::{ExportError, Request, Trainer};

/// The configuration with which `trainer` trains exactly what is chosen, if it can.
pub fn export(trainer: &dyn Trainer, request: &Request<'_>) -> Result<Export, ExportError> {
    if request.adapter.rslora && trainer.profile().rslora.is_none() {
        let (trainer, what) = (trainer.profile().name, "has no rsLoRA".to_owned());
        return Err(ExportError::Unsupported { trainer, what, remedy: Some(Remedy::NoRslora) });
    }
    if request.adapter.head_rank.is_some() && !trainer.profile().has_rank_pattern {
        let what = "knows one rank for all modules".to_owned();
        return Err(ExportError::Unsupported {
            trainer: trainer.profile().name,
            what,
            remedy: Some(Remedy::NoHeadRank),
        });
    }
    let mut components = components(request);
    // The component that most trainers take comes first.
    components.sort_by_key(|component| !diffusion::is_denoiser(component));
    match *components {
        [] => export_model(trainer, request, None),
        [component] => export_model(trainer, request, Some(component)),
        ref several => trainer.export_components(request, several),
    }
}

/// The configuration for what is chosen of the model, or of one `component` of a pipeline.
fn export_model(trainer: &dyn Trainer, request: &Request<'_>, component: Option<&str>) -> Result<Export, ExportError> {
    let prepared = Prepared::new(trainer, request, component)?;
    let export = trainer.export(&prepared.choice)?;
    let within = component.map(|component| format!("the names are those within the component '{component}'").into());
    Ok(Export {
        notes: prepared.notes.into_iter().chain(export.notes).chain(within).collect(),
        warnings: export.warnings.into_iter().chain(prepared.warnings).collect(),
        ..export
    })
}

/// A choice that is ready to be written, and what is said of it in whatever form it is written.
pub struct Prepared<'a> {
    pub choice: Choice<'a>,
    notes: Vec<Remark>,
    warnings: Vec<Remark>,
}

impl<'a> Prepared<'a> {
    /// What `request` chooses of the model, or of one `component` of a pipeline, with the rank that it gets.
    pub fn new(trainer: &dyn Trainer, request: &Request<'a>, component: Option<&str>) -> Result<Self, ExportError> {
        let guessed = vouched(request.selection)?;
        let mut choice = Choice::new(trainer, request, component)?;
        let trained = trainer.trains(&choice);
        let is_adapted = trainer.profile().has_adapters;
        let numbers = if is_adapted {
            choice.lora = Lora::new(
                choice.adapter,
                (trainer.profile(), trainer.takes_alpha(request.selection.scan)),
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
        if diffusion::is_of_diffusion(request.selection.scan) && !trainer.profile().takes_diffusion {
            let text = format!("{} trains language models, and this is a diffusion model", trainer.profile().name);
            warnings.push(Remark::new(text, Remedy::OtherTrainer));
        }
        if is_adapted {
            warnings.extend(choice.lora.warnings(choice.adapter, trainer.profile(), &choice.targets, &trained));
        }
        warnings.extend(choice.warning().into_iter().chain(guessed));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::{InMemory, Info};
    use crate::scan::{Numbers, Record, Scan, Surroundings};
    use crate::select::{Count, Rules, Selection, Types};
    use crate::trainers::{ALL, Adapter, Alpha, Rank};

    fn record(component: &str) -> Record {
        let (name, kind) = (format!("{component}.layers.0.up"), format!("{component}.up"));
        let memory = InMemory::Modules(vec!["layers.0.up".into()]);
        let info = Info { layer: None, shape: Some([8, 8]), memory, ..Info::of_name(&name, kind) };
        Record { info, result: Ok(Numbers::ratio(1.0)) }
    }

    #[test]
    fn a_choice_within_two_components_is_refused_by_who_takes_one() {
        let components = ["unet", "text_encoder"];
        let names = components.map(str::to_owned).to_vec();
        let mut scan = Scan::new(components.map(record).to_vec(), crate::scan::Format::LaserScan);
        scan.surroundings = Some(Surroundings { model: "sd".into(), components: names, ..Surroundings::default() });
        let all = Rules { count: Count::All, global: false, budget: None, types: Types::default(), layers: None };
        let selection = Selection::new(&scan, &all).expect("all");
        let adapter =
            Adapter { rank: Rank::Fixed(8), alpha: Alpha::Stays(16.0), rslora: false, head: true, head_rank: None };
        let request = Request { selection: &selection, adapter };

        let takes_several = |trainer: &dyn Trainer| ["diffusers", "lycoris"].contains(&trainer.profile().key);
        for trainer in ALL.iter().filter(|trainer| !takes_several(**trainer)) {
            let error = export(*trainer, &request).expect_err(trainer.profile().key);
            assert_eq!(error.remedy(), Some(Remedy::OneComponent("unet".into())), "{error}");
        }
    }
}
