//! One module's weight -> its measurement.

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::checkpoint::Mapped;
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

/// Measures `module`, whose weight is among `weights`, by `method`. What is wrong with the weight is part of the outcome.
pub fn attempt(weights: &Mapped, module: &Module, method: Method) -> Attempt {
    let weight = match weights.matrix(&module.tensor, &module.selection) {
        Ok(weight) => weight,
        Err(error) => return Attempt::Done(Err(error.to_string())),
    };
    let spectrum = match spectrum::singular_values(&weight, method) {
        Ok(spectrum) => spectrum,
        Err(SpectrumError::Failed(_)) if method == Method::Gram => return Attempt::Inaccurate,
        Err(error) => return Attempt::Done(Err(error.to_string())),
    };
    let statistic = Statistic::new(&spectrum.values, module.shape);
    let (lower, upper) = spectrum.enclosure();
    match snr::vouch(&statistic, &lower, &upper, module.shape) {
        Ok(()) => Attempt::Done(Ok(Measurement { statistic, method })),
        Err(Doubt::Zero) => Attempt::Done(Err("every weight is zero, so that there is no ratio".into())),
        Err(_) if method == Method::Gram => Attempt::Inaccurate,
        Err(doubt) => Attempt::Done(Err(format!("its ratio cannot be vouched for: {doubt}"))),
    }
}
