//! What a person can do where a choice cannot be exported as it is, or not as they may want it.

/// A way out. How it is taken, by which option or button, is known to the program that asks, not to the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Rank all experts of a layer as one.
    PoolExperts,
    /// Choose modules of this component alone.
    OneComponent(String),
    /// Keep a module out of the choice, by its type or its layer.
    LeaveOut,
    /// Keep the types of some modules out of the choice.
    LeaveTypesOut,
    /// Choose modules of other types.
    OtherTypes,
    /// Choose modules of other types, or take another trainer.
    OtherTypesOrTrainer,
    /// Choose a module as well, or let the head be trained.
    AddModule,
    /// Give the model that was scanned.
    GiveModel,
    /// Give a rank.
    GiveRank,
    /// Give an alpha.
    GiveAlpha,
    /// Give the head the same rank as all else.
    NoHeadRank,
    /// Leave out the head.
    NoHead,
    /// Leave out the head, and with it the input embedding.
    NoHeadNorEmbedding,
    /// Have the configuration printed instead of set in a file.
    PrintInstead,
}
