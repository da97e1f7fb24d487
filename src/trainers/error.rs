use super::remedy::Remedy;

/// Why a choice cannot be exported. `trainer` is the trainer's name in messages.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("'{name}' is one parameter in memory for {held} modules, of which the choice has {chosen}")]
    Together { name: String, chosen: usize, held: usize },
    /// The same, for a trainer that has one module for all experts of a layer.
    #[error("{trainer} has one module for the {held} experts of '{name}', of which the choice has {chosen}")]
    Stacked { trainer: &'static str, name: String, chosen: usize, held: usize },
    #[error("what {trainer} calls '{name}' is not known")]
    Unnamed { trainer: &'static str, name: String },
    /// The same, where a library makes one module of several that are no experts.
    #[error("{trainer} has one module, '{name}', for {held} of the scan, of which the choice has {chosen}")]
    Merged { trainer: &'static str, name: String, chosen: usize, held: usize },
    /// The same, where not all of them were scanned.
    #[error(
        "{trainer} has one module, '{name}', for {held} of the model, of which the scan has {scanned}: scan the others too, or leave \
         it out of the choice"
    )]
    Unscanned { trainer: &'static str, name: String, scanned: usize, held: usize },
    /// The same, for a trainer that is given the ratios of all modules.
    #[error("'{name}' is one parameter in memory for {held} modules, and {trainer} ranks what is in memory")]
    Apart { trainer: &'static str, name: String, held: usize },
    #[error("the choice has modules of '{0}' and of '{1}', which are models of their own")]
    Components(String, String),
    #[error("{trainer} would find nothing under the name '{name}'")]
    HitsNothing { trainer: &'static str, name: String },
    #[error("{trainer} would find under the name '{name}' also {what}, which is not chosen")]
    HitsMore { trainer: &'static str, name: String, what: String },
    #[error("{trainer} would not train '{name}', which is chosen")]
    Missed { trainer: &'static str, name: String },
    #[error(
        "{trainer} would take '{name}' on a command line for an option, so that no configuration is written: leave that module \
         out of the choice"
    )]
    Option { trainer: &'static str, name: String },
    #[error(
        "'{name}' has characters that cannot be seen on a command line, so that no configuration for {trainer} is written: leave \
         that module out of the choice"
    )]
    Invisible { trainer: &'static str, name: String },
    #[error("a rank is matched by the shapes of all modules, and this scan does not give them all")]
    NoShapes,
    #[error("a rank is matched by linear modules beside the head, and none is scanned and chosen")]
    Incomparable,
    #[error("{trainer} cannot adapt '{name}': {why}")]
    Unadaptable { trainer: &'static str, name: String, why: &'static str },
    /// The remedy is `None` if `what` names one.
    #[error("{trainer} {what}")]
    Unsupported { trainer: &'static str, what: String, remedy: Option<Remedy> },
    #[error(
        "transformers has this architecture, but neither '{0}' nor any other module of the scan is in it, so that no names in memory \
         are known: scan the model that this configuration belongs to"
    )]
    NoFit(String),
    #[error(
        "'{0}' is a name that transformers changes when it loads other models, and nothing is known of this architecture, so that \
         its name in memory would be wrong: save the model again with the version that trains it, and scan that"
    )]
    Renamed(String),
    #[error("nothing is chosen: the scan has no linear module with a ratio that may be trained")]
    Nothing,
    /// An error about one of several components.
    #[error("{component}: {error}")]
    Within { component: String, error: Box<Self> },
}

impl ExportError {
    /// What a person can do about it, unless the message itself says so.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Within { error, .. } => error.remedy(),
            Self::Together { .. } | Self::Stacked { .. } | Self::Apart { .. } => Some(Remedy::PoolExperts),
            Self::Components(component, _) => Some(Remedy::OneComponent(component.clone())),
            Self::HitsNothing { .. } | Self::HitsMore { .. } | Self::Missed { .. } | Self::Unnamed { .. } => {
                Some(Remedy::LeaveOut)
            }
            Self::Merged { .. } => Some(Remedy::PoolFused),
            Self::NoShapes => Some(Remedy::GiveModel),
            Self::Incomparable => Some(Remedy::GiveRank),
            Self::Unadaptable { .. } => Some(Remedy::OtherTypes),
            Self::Unsupported { remedy, .. } => remedy.clone(),
            Self::Option { .. }
            | Self::Invisible { .. }
            | Self::Unscanned { .. }
            | Self::NoFit(_)
            | Self::Renamed(_)
            | Self::Nothing => None,
        }
    }

    /// The error as one about a `component`.
    pub(super) fn within(self, component: &str) -> Self {
        Self::Within { component: component.to_owned(), error: Box::new(self) }
    }

    /// What the error is about, in whichever component.
    pub(super) fn innermost(&self) -> &Self {
        match self {
            Self::Within { error, .. } => error.innermost(),
            error => error,
        }
    }
}
