//! The options that help where a trainer or a configuration cannot have what was chosen.

use std::fmt::Display;

use anyhow::{Error, anyhow};
use laser_scan::config::ConfigError;
use laser_scan::trainers::{ExportError, Remark, Remedy};

use super::advice::Advise;

impl Advise for ExportError {
    fn with_advice(self) -> Error {
        let Some(remedy) = self.remedy() else { return self.into() };
        if let Self::Within { component, error } = self {
            return anyhow!("{component}: {}", error.with_advice());
        }
        let text = match &self {
            Self::Unadaptable { .. } => return anyhow!("{self}; {}", options(&remedy)),
            // These two name the option that needs what is missing.
            Self::NoShapes => {
                "--match-rank needs the shape of every module, and this scan does not give them all".to_owned()
            }
            Self::Incomparable => {
                "--match-rank compares linear modules beside the head, and none is scanned and chosen".to_owned()
            }
            error => error.to_string(),
        };
        anyhow!(with_options(text, &remedy))
    }
}

impl Advise for ConfigError {
    fn with_advice(self) -> Error {
        match self.remedy() {
            Some(remedy) => anyhow!(with_options(&self, &remedy)),
            None => self.into(),
        }
    }
}

/// A remark with the options that help.
pub fn in_words(Remark { text, remedy }: &Remark) -> String {
    remedy.as_ref().map_or_else(|| text.clone(), |remedy| with_options(text, remedy))
}

fn with_options(text: impl Display, remedy: &Remedy) -> String {
    let is_sentence = matches!(
        remedy,
        Remedy::NoHead | Remedy::NoHeadNorEmbedding | Remedy::PrintInstead | Remedy::ScaleAlpha | Remedy::LetAlphaGrow
    );
    format!("{text}{} {}", if is_sentence { ';' } else { ':' }, options(remedy))
}

fn options(remedy: &Remedy) -> String {
    let text = match remedy {
        Remedy::OneComponent(component) => return format!("choose one with --types '{component}.*'"),
        Remedy::PoolExperts => "rank them as one with --pool-experts mean (or max)",
        Remedy::LeaveOut => "leave it out with --types or --layers",
        Remedy::LeaveTypesOut => "leave them out with --types then",
        Remedy::OtherTypes => "choose others with --types",
        Remedy::OtherTrainer => "take another trainer",
        Remedy::OtherTypesOrTrainer => "choose others with --types, or take another trainer",
        Remedy::AddModule => "choose one too, or do without --no-head",
        Remedy::GiveModel => "give the model with --model",
        Remedy::GiveRank => "give --rank",
        Remedy::GiveAlpha => "give --alpha",
        Remedy::LetAlphaGrow => "--scale-alpha lets it grow too",
        Remedy::PoolFused => {
            "rank them as one with export's --pool-fused mean (or max), or choose all of them or none, with --types and --layers"
        }
        Remedy::ScaleAlpha => "--scale-alpha lets it grow too, and --use-rslora divides it by the rank's root",
        Remedy::NoHeadRank => "leave out --head-rank",
        Remedy::NoRslora => "leave out --use-rslora",
        Remedy::NoHead => "--no-head leaves it out",
        Remedy::NoHeadNorEmbedding => "--no-head leaves it out with the head",
        Remedy::PrintInstead => "without --into their lines are printed",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests;
