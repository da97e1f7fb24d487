//! The options that help where a trainer or a configuration cannot have what was chosen.

use anyhow::{Error, anyhow};
use laser_scan::config::ConfigError;
use laser_scan::trainers::{ExportError, Remark, Remedy};

use super::way_out::WayOut;

impl WayOut for ExportError {
    fn with_way_out(self) -> Error {
        let Some(remedy) = self.remedy() else { return self.into() };
        let remedy = options(&remedy);
        match self {
            // These two are about an option itself.
            Self::NoShapes => {
                anyhow!("--match-rank needs the shape of every module, and this scan does not give them all: {remedy}")
            }
            Self::Incomparable => anyhow!(
                "--match-rank compares linear modules beside the head, and none is scanned and chosen: {remedy}"
            ),
            Self::Unadaptable { .. } => anyhow!("{self}; {remedy}"),
            error => anyhow!("{error}: {remedy}"),
        }
    }
}

impl WayOut for ConfigError {
    fn with_way_out(self) -> Error {
        match self.remedy() {
            Some(remedy @ Remedy::PrintInstead) => anyhow!("{self}; {}", options(&remedy)),
            Some(remedy) => anyhow!("{self}: {}", options(&remedy)),
            None => self.into(),
        }
    }
}

/// A remark, with the options that make it otherwise.
pub fn in_words(Remark { text, remedy }: &Remark) -> String {
    match remedy {
        None => text.clone(),
        Some(remedy @ (Remedy::NoHead | Remedy::NoHeadNorEmbedding)) => format!("{text}; {}", options(remedy)),
        Some(remedy) => format!("{text}: {}", options(remedy)),
    }
}

/// How a person takes a way out.
fn options(remedy: &Remedy) -> String {
    let text = match remedy {
        Remedy::PoolExperts => "rank them as one with --pool-experts mean (or max)",
        Remedy::OneComponent(component) => return format!("choose one with --types '{component}.*'"),
        Remedy::LeaveOut => "leave it out with --types or --layers",
        Remedy::LeaveTypesOut => "leave them out with --types then",
        Remedy::OtherTypes => "choose others with --types",
        Remedy::OtherTypesOrTrainer => "choose others with --types, or take another trainer",
        Remedy::AddModule => "choose one too, or do without --no-head",
        Remedy::GiveModel => "give the model with --model",
        Remedy::GiveRank => "give --rank",
        Remedy::GiveAlpha => "give --alpha",
        Remedy::NoHeadRank => "leave out --head-rank",
        Remedy::NoHead => "--no-head leaves it out",
        Remedy::NoHeadNorEmbedding => "--no-head leaves it out with the head",
        Remedy::PrintInstead => "without --into their lines are printed",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_remarks_name_the_options_that_help() {
        let (trainer, name) = ("PEFT", "a".to_owned());
        let missed = ExportError::HitsNothing { trainer, name: name.clone() };
        let refused = ExportError::Unadaptable { trainer, name, why: "it fails" };
        assert_eq!(
            [missed, refused, ExportError::NoShapes, ExportError::Nothing]
                .map(|error| error.with_way_out().to_string()),
            [
                "PEFT would find nothing under the name 'a': leave it out with --types or --layers",
                "PEFT cannot adapt 'a': it fails; choose others with --types",
                "--match-rank needs the shape of every module, and this scan does not give them all: give the model with --model",
                "nothing is chosen: the scan has no linear module with a ratio that may be trained",
            ]
        );
        let remark = |remedy| in_words(&Remark { text: "the head is trained".into(), remedy });
        assert_eq!(remark(None), "the head is trained");
        assert_eq!(remark(Some(Remedy::NoHead)), "the head is trained; --no-head leaves it out");
    }
}
