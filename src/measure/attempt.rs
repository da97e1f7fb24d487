//! One module's weight -> its measurement.

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::checkpoint::Matrices;
use crate::modules::Module;
use crate::scan::Unmeasured;
use crate::spectrum::{self, Fault, Lane, Method, Processor, SpectrumError};
use crate::statistic::{self, Doubt, Statistic};

/// What is known of a module once it is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The seed's statistic.
    pub statistic: Statistic,
    /// The route by which its singular values were computed.
    pub method: Method,
    /// What computed them.
    pub processor: Processor,
}

/// How an attempt on one device by one method ended.
pub enum Attempt {
    /// The module has its outcome.
    Done(Outcome),
    /// The result cannot be vouched for: a better way must be taken.
    Inaccurate,
    /// The device could not do it: another must.
    Faulted(Fault),
}

/// Measures `module`, whose weight is among `weights`, by `method` on the device that `lane` leads to. What is wrong with the
/// weight is part of the outcome.
pub fn attempt(weights: &Matrices, module: &Module, method: Method, lane: &Lane) -> Attempt {
    let processor = lane.processor();
    // Beyond the direct route on the CPU there is no better way.
    let is_last = (method, processor) == (Method::Direct, Processor::Cpu);
    let weight = match weights.matrix(&module.tensor, &module.selection) {
        Ok(weight) => weight,
        Err(error) => return Attempt::Done(Err(Unmeasured::Unreadable(error.to_string()))),
    };
    let spectrum = match spectrum::singular_values(weight, method, lane) {
        Ok(spectrum) => spectrum,
        Err(SpectrumError::Device(fault)) => return Attempt::Faulted(fault),
        Err(SpectrumError::Failed(_)) if !is_last => return Attempt::Inaccurate,
        Err(error) => return Attempt::Done(Err(error.into())),
    };
    let statistic = Statistic::new(&spectrum.values, module.shape());
    let (lower, upper) = spectrum.enclosure();
    match statistic::vouch(&statistic, &lower, &upper, module.shape()) {
        Ok(()) => Attempt::Done(Ok(Measurement { statistic, method, processor })),
        Err(Doubt::Zero) => Attempt::Done(Err(Unmeasured::Zero)),
        Err(_) if !is_last => Attempt::Inaccurate,
        Err(doubt) => Attempt::Done(Err(Unmeasured::Doubtful(doubt))),
    }
}
