//! A module's weight -> its measurement.

use super::Outcome;
use crate::checkpoint::Matrices;
use crate::modules::Module;
use crate::scan::Unmeasured;
use crate::spectrum::{self, Fault, Lane, Method, Processor, Spectrum, SpectrumError};
use crate::statistic::{Doubt, Statistic};

/// A module's spectrum and its statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub statistic: Statistic,
    pub spectrum: Spectrum,
}

/// How an attempt on one device by one method ended.
pub enum Attempt {
    Done(Outcome),
    /// The result may be too inaccurate: a more accurate method or device must be tried.
    Inaccurate,
    /// The device failed: another must be tried.
    Faulted(Fault),
}

/// Measures `module` by `method` on the device of `lane`. What is wrong with its weight is part of the outcome.
pub fn attempt(weights: &Matrices, module: &Module, method: Method, lane: &Lane) -> Attempt {
    let processor = lane.processor();
    // Nothing is more accurate than the direct route on the CPU.
    let is_last = (method, processor) == (Method::Direct, Processor::Cpu);
    let weight = match weights.matrix(&module.weight, &module.selection) {
        Ok(weight) => weight,
        Err(error) => return Attempt::Done(Err(Unmeasured::Unreadable(error.to_string()))),
    };
    let spectrum = match spectrum::singular_values(weight, method, lane) {
        Ok(spectrum) => spectrum,
        Err(SpectrumError::Device(fault)) => return Attempt::Faulted(fault),
        Err(SpectrumError::Failed(_)) if !is_last => return Attempt::Inaccurate,
        Err(error) => return Attempt::Done(Err(error.into())),
    };
    Attempt::Done(match Statistic::of(&spectrum) {
        Ok(statistic) => Ok(Measurement { statistic, spectrum }),
        Err(Doubt::Zero) => Err(Unmeasured::Zero),
        Err(_) if !is_last => return Attempt::Inaccurate,
        Err(doubt) => Err(Unmeasured::Doubtful(doubt)),
    })
}
