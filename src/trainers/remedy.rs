//! What a person can do if a choice cannot be exported as it is, or not as they may want it.

/// What to do. The program that asks knows how, by which option or button; the library does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Rank all experts of a layer as one.
    PoolExperts,
    /// Choose only modules of this component.
    OneComponent(String),
    /// Keep a module out of the choice, by its type or its layer.
    LeaveOut,
    /// Keep the types of some modules out of the choice.
    LeaveTypesOut,
    OtherTypes,
    OtherTypesOrTrainer,
    OtherTrainer,
    /// Choose a module as well, or let the head be trained.
    AddModule,
    /// Give the model that was scanned.
    GiveModel,
    GiveRank,
    GiveAlpha,
    /// Let alpha grow with the rank, or divide it by the rank's root.
    ScaleAlpha,
    /// Let alpha grow with the rank.
    LetAlphaGrow,
    /// Choose everything that belongs together, or nothing of it, or rank it as one.
    PoolFused,
    NoHeadRank,
    /// Leave out rsLoRA.
    NoRslora,
    NoHead,
    /// Leave out the head, and with it the input embedding.
    NoHeadNorEmbedding,
    /// Print the configuration instead of setting it in a file.
    PrintInstead,
}
