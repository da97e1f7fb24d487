//! Why a choice cannot be exported.

use super::remedy::Remedy;

/// Why a choice cannot be exported. Trainers are given by the names that people call them.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A parameter holds several modules, of which some are chosen.
    #[error("'{name}' is one parameter in memory for {held} modules, of which the choice has {chosen}")]
    Together {
        /// The parameter.
        name: String,
        /// How many are chosen.
        chosen: usize,
        /// How many there are.
        held: usize,
    },
    /// The same, where all ranks are handed out.
    #[error("'{name}' is one parameter in memory for {held} modules, and {trainer} ranks what is in memory")]
    Apart {
        /// The trainer.
        trainer: &'static str,
        /// The parameter.
        name: String,
        /// How many modules there are.
        held: usize,
    },
    /// Modules of several components are chosen.
    #[error("the choice has modules of '{0}' and of '{1}', which are models of their own")]
    Components(String, String),
    /// A name hits nothing.
    #[error("{trainer} would find nothing under the name '{name}'")]
    HitsNothing {
        /// The trainer.
        trainer: &'static str,
        /// The name.
        name: String,
    },
    /// A name hits what is not chosen.
    #[error("{trainer} would find under the name '{name}' also {what}, which is not chosen")]
    HitsMore {
        /// The trainer.
        trainer: &'static str,
        /// The name.
        name: String,
        /// What it hits.
        what: String,
    },
    /// A chosen module is not hit.
    #[error("{trainer} would not train '{name}', which is chosen")]
    Missed {
        /// The trainer.
        trainer: &'static str,
        /// The module.
        name: String,
    },
    /// A name would be an option of the trainer's command line.
    #[error(
        "{trainer} would take '{name}' on a command line for an option, so that no configuration is written: leave that module \
         out of the choice"
    )]
    Option {
        /// The trainer.
        trainer: &'static str,
        /// The name.
        name: String,
    },
    /// A name has characters that a person who pastes a command line would not see.
    #[error(
        "'{name}' has characters that cannot be seen on a command line, so that no configuration for {trainer} is written: leave \
         that module out of the choice"
    )]
    Invisible {
        /// The trainer.
        trainer: &'static str,
        /// The name.
        name: String,
    },
    /// A shape is needed that is not known.
    #[error("a rank is matched by the shapes of all modules, and this scan does not give them all")]
    NoShapes,
    /// There is nothing to compare a rank by.
    #[error("a rank is matched by linear modules beside the head, and none is scanned and chosen")]
    Incomparable,
    /// The trainer fails with an adapter beside a module.
    #[error("{trainer} cannot adapt '{name}': {why}")]
    Unadaptable {
        /// The trainer.
        trainer: &'static str,
        /// The module.
        name: String,
        /// Why it fails.
        why: &'static str,
    },
    /// The trainer cannot do it.
    #[error("{trainer} {what}")]
    Unsupported {
        /// The trainer.
        trainer: &'static str,
        /// What it cannot do.
        what: String,
        /// The way out, if `what` does not say it.
        remedy: Option<Remedy>,
    },
    /// Nothing is chosen.
    #[error("nothing is chosen: the scan has no linear module with a ratio that may be trained")]
    Nothing,
}

impl ExportError {
    /// What a person can do about it, unless the error itself says so.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Together { .. } | Self::Apart { .. } => Some(Remedy::PoolExperts),
            Self::Components(component, _) => Some(Remedy::OneComponent(component.clone())),
            Self::HitsNothing { .. } | Self::HitsMore { .. } | Self::Missed { .. } => Some(Remedy::LeaveOut),
            Self::NoShapes => Some(Remedy::GiveModel),
            Self::Incomparable => Some(Remedy::GiveRank),
            Self::Unadaptable { .. } => Some(Remedy::OtherTypes),
            Self::Unsupported { remedy, .. } => remedy.clone(),
            Self::Option { .. } | Self::Invisible { .. } | Self::Nothing => None,
        }
    }
}
