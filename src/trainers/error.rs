//! Why a choice cannot be exported.

use super::Trainer;

/// Why a choice cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A parameter holds several modules, of which some are chosen.
    #[error(
        "'{name}' is one parameter in memory for {held} modules, of which the choice has {chosen}: rank them as one with \
         --pool-experts mean (or max)"
    )]
    Together {
        /// The parameter.
        name: String,
        /// How many are chosen.
        chosen: usize,
        /// How many there are.
        held: usize,
    },
    /// The same, where all ranks are handed out.
    #[error(
        "'{name}' is one parameter in memory for {held} modules, and {trainer} ranks what is in memory: rank them as one with \
         --pool-experts mean (or max)"
    )]
    Apart {
        /// The trainer.
        trainer: Trainer,
        /// The parameter.
        name: String,
        /// How many modules there are.
        held: usize,
    },
    /// Modules of several components are chosen.
    #[error(
        "the choice has modules of '{0}' and of '{1}', which are models of their own: choose one with --types '{0}.*'"
    )]
    Components(String, String),
    /// A name hits nothing.
    #[error("{trainer} would find nothing under the name '{name}': leave it out with --types or --layers")]
    HitsNothing {
        /// The trainer.
        trainer: Trainer,
        /// The name.
        name: String,
    },
    /// A name hits what is not chosen.
    #[error(
        "{trainer} would find under the name '{name}' also {what}, which is not chosen: leave it out with --types or --layers"
    )]
    HitsMore {
        /// The trainer.
        trainer: Trainer,
        /// The name.
        name: String,
        /// What it hits.
        what: String,
    },
    /// A chosen module is not hit.
    #[error("{trainer} would not train '{name}', which is chosen: leave it out with --types or --layers")]
    Missed {
        /// The trainer.
        trainer: Trainer,
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
        trainer: Trainer,
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
        trainer: Trainer,
        /// The name.
        name: String,
    },
    /// A shape is needed that is not known.
    #[error(
        "--match-rank needs the shape of every module, and this scan does not give them all: give the model with --model"
    )]
    NoShapes,
    /// There is nothing to compare a rank by.
    #[error("--match-rank compares linear modules beside the head, and none is scanned and chosen: give --rank")]
    Incomparable,
    /// The trainer cannot do it.
    #[error("{trainer} {what}")]
    Unsupported {
        /// The trainer.
        trainer: Trainer,
        /// What it cannot do, and the way out.
        what: String,
    },
    /// Nothing is chosen.
    #[error("nothing is chosen: the scan has no linear module with a ratio that may be trained")]
    Nothing,
}
