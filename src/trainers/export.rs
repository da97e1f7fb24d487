//! From a choice to a trainer's configuration: the part that is the same for every trainer.

use super::choice::components;
use super::diffusion;
use super::document::{Export, Remark};
use super::prepared::Prepared;
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
    let guessed = vouched(request.selection)?;
    let mut components = components(request);
    // The component that most trainers take comes first.
    components.sort_by_key(|component| !diffusion::is_denoiser(component));
    let mut export = match *components {
        [] => export_model(trainer, request, None),
        [component] => export_model(trainer, request, Some(component)),
        ref several => trainer.export_components(request, several),
    }?;
    export.warnings.extend(guessed);
    Ok(export)
}

/// The configuration for what is chosen of the model, or of one `component` of a pipeline.
fn export_model(trainer: &dyn Trainer, request: &Request<'_>, component: Option<&str>) -> Result<Export, ExportError> {
    let Prepared { choice, notes, warnings } = Prepared::new(trainer, request, component)?;
    let export = trainer.export(&choice)?;
    let within = component.map(|component| format!("the names are those within the component '{component}'").into());
    let is_foreign = diffusion::is_of_diffusion(request.selection.scan) && !trainer.profile().takes_diffusion;
    let foreign = is_foreign.then(|| {
        let text = format!("{} trains language models, and this is a diffusion model", trainer.profile().name);
        Remark::new(text, Remedy::OtherTrainer)
    });
    Ok(Export {
        notes: notes.into_iter().chain(export.notes).chain(within).collect(),
        warnings: export.warnings.into_iter().chain(foreign).chain(warnings).collect(),
        ..export
    })
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

        let takes_several =
            |trainer: &dyn Trainer| ["diffusers", "lycoris", "ai-toolkit"].contains(&trainer.profile().key);
        for trainer in ALL.iter().filter(|trainer| !takes_several(**trainer)) {
            let error = export(*trainer, &request).expect_err(trainer.profile().key);
            assert_eq!(error.remedy(), Some(Remedy::OneComponent("unet".into())), "{error}");
        }
    }
}
