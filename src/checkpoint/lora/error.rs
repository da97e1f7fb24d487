/// What to do instead of reading an adapter.
const MERGE: &str = "merge it into its base, as PEFT's merge_and_unload does, and name the result";

/// Why an adapter is not read.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    #[error("is {0}, which is no product of two factors added to a weight: {MERGE}")]
    OtherKind(&'static str),
    #[error("is a DoRA adapter, which scales whole rows too: {MERGE}")]
    Dora,
    #[error("began with '{0}', which changes the base's weights too: {MERGE}")]
    ChangesBase(String),
    #[error("changes single parameters, such as '{0}', and not modules: {MERGE}")]
    Parameters(String),
    #[error("does more than add products to weights ('{0}' of its adapter_config.json): {MERGE}")]
    Variant(&'static str),
    #[error("has the tensor '{0}', which is no factor that is known: {MERGE}")]
    UnknownFactor(String),
    #[error("has only one factor of two for '{0}': download or copy it again")]
    Unpaired(String),
    #[error("has several factors of '{0}' in one place, such as those of several adapters: {MERGE}")]
    Twice(String),
    #[error("has factors of '{0}' that do not fit together: {MERGE}")]
    Unfit(String),
    #[error("stores '{tensor}' as {dtype}, not as floating-point numbers: {MERGE}")]
    Dtype { tensor: String, dtype: String },
    #[error("has an alpha of '{0}' that is no number: download or copy it again")]
    Alpha(String),
    #[error(
        "has no adapter_model.safetensors, in which its factors should be: name the folder or the file that holds them"
    )]
    NoFile,
    #[error("has no adapter_config.json, without which its scale is not known: name the folder that has it")]
    NoScale,
    #[error("does not give a valid '{0}' in its configuration: download or copy it again")]
    Incomplete(&'static str),
}
