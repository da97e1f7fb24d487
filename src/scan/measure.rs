//! One module's weight -> its measurement.

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::checkpoint::{CheckpointError, MappedShard};
use crate::modules::Module;
use crate::snr::{self, Doubt, Statistic};
use crate::spectrum::{self, Method, SpectrumError};

/// What is known of a module once it is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The seed's statistic.
    pub statistic: Statistic,
    /// The route by which its singular values were computed.
    pub method: Method,
}

/// How an attempt by one method ended.
pub enum Attempt {
    /// The module has its outcome.
    Done(Outcome),
    /// The Gram route cannot vouch for the result: the direct route must be taken.
    Inaccurate,
}

/// Measures `module` by `method`.
///
/// # Errors
///
/// Fails if the shard cannot be read; what is wrong with the module's weight alone is part of its outcome.
pub fn attempt(shard: &MappedShard, module: &Module, method: Method) -> Result<Attempt, CheckpointError> {
    let weight = shard.tensor(&module.tensor)?;
    let spectrum = match spectrum::singular_values(&weight, method) {
        Ok(spectrum) => spectrum,
        Err(SpectrumError::Failed(_)) if method == Method::Gram => return Ok(Attempt::Inaccurate),
        Err(error) => return Ok(Attempt::Done(Err(error.to_string()))),
    };
    let statistic = Statistic::new(&spectrum.values, module.shape);
    let (lower, upper) = spectrum.enclosure();
    Ok(match snr::vouch(&statistic, &lower, &upper, module.shape) {
        Ok(()) => Attempt::Done(Ok(Measurement { statistic, method })),
        Err(Doubt::Zero) => Attempt::Done(Err("every weight is zero, so that there is no ratio".into())),
        Err(_) if method == Method::Gram => Attempt::Inaccurate,
        Err(doubt) => Attempt::Done(Err(format!("its ratio cannot be vouched for: {doubt}"))),
    })
}
