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
    match *components(request) {
        [] => export_model(trainer, request, None),
        [component] => export_model(trainer, request, Some(component)),
        ref several => trainer.export_components(request, several),
    }
}

/// The configuration for what is chosen of the model, or of one `component` of a pipeline.
pub fn export_model(
    trainer: &dyn Trainer,
    request: &Request<'_>,
    component: Option<&str>,
) -> Result<Export, ExportError> {
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
    let mut export = trainer.export(&choice)?;
    let head = choice.note(if is_adapted {
        choice.lora.of_heads(&choice.targets, &trained)
    } else {
        lora::weights_of_heads(&choice.targets, &trained)
    });
    if let Some(component) = component {
        export.notes.push(format!("the names are those within the component '{component}'").into());
    }
    if diffusion::is_of_diffusion(request.selection.scan) && !trainer.profile().takes_diffusion {
        let text = format!("{} trains language models, and this is a diffusion model", trainer.profile().name);
        export.warnings.push(Remark::new(text, Remedy::OtherTrainer));
    }
    export.notes.splice(0..0, numbers.map(Remark::from).into_iter().chain(head));
    if is_adapted {
        export.warnings.extend(choice.lora.warnings(choice.adapter, trainer.profile(), &choice.targets, &trained));
    }
    export.warnings.extend(choice.warning().into_iter().chain(guessed));
    export.warnings.extend(is_adapted.then(|| bypassed(&choice)).flatten().map(Remark::from));
    Ok(export)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::{InMemory, Info};
    use crate::scan::{Numbers, Record, Scan, Surroundings};
    use crate::select::{Count, Rules, Selection, Types};
    use crate::trainers::{ALL, Adapter, Alpha, Document, Format, Profile, Rank};

    /// A trainer that takes all components of a pipeline at once.
    #[derive(Debug)]
    struct Pipelines;

    impl Trainer for Pipelines {
        fn profile(&self) -> &'static Profile {
            &Profile { key: "pipelines", name: "Pipelines", formats: &[Format::Args], ..Profile::USUAL }
        }

        fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
            let names: Vec<&str> = choice.trained().map(|place| choice.target(place).name.as_str()).collect();
            let documents = vec![self.document(choice, Format::Args, names.join(" "))];
            Ok(Export { documents, ..Export::default() })
        }

        fn export_components(&self, request: &Request<'_>, components: &[&str]) -> Result<Export, ExportError> {
            let mut all = Export::default();
            for component in components {
                let Export { documents, .. } = export_model(self, request, Some(component))?;
                let named =
                    |document: Document| Document { file: format!("{component}_{}", document.file), ..document };
                all.documents.extend(documents.into_iter().map(named));
            }
            Ok(all)
        }
    }

    fn record(component: &str) -> Record {
        let (name, kind) = (format!("{component}.layers.0.up"), format!("{component}.up"));
        let memory = InMemory::Modules(vec!["layers.0.up".into()]);
        let info = Info { layer: None, shape: Some([8, 8]), memory, ..Info::of_name(&name, kind) };
        Record { info, result: Ok(Numbers::ratio(1.0)) }
    }

    #[test]
    fn a_choice_within_two_components_goes_to_who_takes_both() {
        let components = ["unet", "text_encoder"];
        let names = components.map(str::to_owned).to_vec();
        let mut scan = Scan::new(components.map(record).to_vec(), crate::scan::Format::LaserScan);
        scan.surroundings = Some(Surroundings { model: "sd".into(), components: names, ..Surroundings::default() });
        let all = Rules { count: Count::All, global: false, budget: None, types: Types::default(), layers: None };
        let selection = Selection::new(&scan, &all).expect("all");
        let adapter =
            Adapter { rank: Rank::Fixed(8), alpha: Alpha::Stays(16.0), rslora: false, head: true, head_rank: None };
        let request = Request { selection: &selection, adapter };

        let documents = export(&Pipelines, &request).expect("both").documents;
        let written: Vec<(&str, &str)> =
            documents.iter().map(|document| (document.file.as_str(), document.text.as_str())).collect();
        let expected = [
            ("unet_laser_scan_sd_pipelines.args", "layers.0.up"),
            ("text_encoder_laser_scan_sd_pipelines.args", "layers.0.up"),
        ];
        assert_eq!(written, expected);
        for trainer in ALL {
            let error = export(*trainer, &request).expect_err(trainer.profile().key);
            assert_eq!(error.remedy(), Some(Remedy::OneComponent("unet".into())), "{error}");
        }
    }
}
