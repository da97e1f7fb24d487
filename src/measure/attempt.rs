//! A module's weight -> its measurement.

use super::Outcome;
use super::change::{Changed, Content};
use crate::checkpoint::{Elements, Matrices, Matrix, Undecodable};
use crate::modules::{Change, Module};
use crate::scan::Unmeasured;
use crate::spectrum::{self, Fault, Lane, Method, Processor, Spectrum, SpectrumError};
use crate::statistic::{Delta, Doubt, Statistic};

/// A module's spectrum and its statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// `None` for a change whose ratio its spectrum leaves in doubt; its size is known all the same.
    pub statistic: Option<Statistic>,
    pub spectrum: Spectrum,
    /// The Frobenius norm of the base's matrix, if this is the measurement of a change.
    pub base_norm: Option<f64>,
}

impl Measurement {
    /// The size of the change, if it is a change's measurement. `scale` is that of an adapter.
    pub fn delta(&self, scale: Option<f64>) -> Option<Delta> {
        self.base_norm.map(|base_norm| Delta::new(&self.spectrum.values, base_norm, scale))
    }
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
    let measured = match &module.change {
        None => weight_of(weights, module, method, lane).map(|spectrum| (spectrum, None)),
        Some(change) => change_of(weights, module, change, method, lane),
    };
    judge(measured, is_last)
}

/// Measures `modules`, whose weights have one shape, together by the Gram route on the device of `lane`. `None` if they have to
/// be measured one after the other, because that shows what is wrong with which of them.
///
/// # Errors
///
/// Fails if the device does.
pub fn attempt_together(weights: &Matrices, modules: &[&Module], lane: &Lane) -> Result<Option<Vec<Attempt>>, Fault> {
    if modules.iter().any(|module| module.change.is_some()) {
        return Ok(None);
    }
    let read = |module: &&Module| weights.matrix(&module.weight, &module.selection).ok();
    let Some(matrices) = modules.iter().map(read).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let judged = |measured: Result<Spectrum, SpectrumError>| {
        judge(measured.map(|spectrum| (spectrum, None)).map_err(Trouble::Spectrum), false)
    };
    match spectrum::singular_values_of_many(matrices, Method::Gram, lane) {
        Ok(spectra) => Ok(Some(spectra.into_iter().map(judged).collect())),
        Err(SpectrumError::Device(fault)) => Err(fault),
        Err(_) => Ok(None),
    }
}

/// What comes of a spectrum and the norm of the base, if there is one. `is_last` says that nothing more accurate can be tried.
fn judge(measured: Result<(Spectrum, Option<f64>), Trouble>, is_last: bool) -> Attempt {
    let (spectrum, base_norm) = match measured {
        Ok(measured) => measured,
        Err(Trouble::Spectrum(SpectrumError::Device(fault))) => return Attempt::Faulted(fault),
        Err(Trouble::Spectrum(SpectrumError::Failed(_))) if !is_last => return Attempt::Inaccurate,
        Err(Trouble::Spectrum(error)) => return Attempt::Done(Err(error.into())),
        Err(Trouble::Weight(error)) => return Attempt::Done(Err(Unmeasured::Unreadable(error.to_string()))),
    };
    Attempt::Done(match Statistic::of(&spectrum) {
        Ok(statistic) => Ok(Measurement { statistic: Some(statistic), spectrum, base_norm }),
        // That a module did not change is a result.
        Err(Doubt::Zero) if base_norm.is_some() => {
            let statistic = Some(Statistic::new(&spectrum.values, spectrum.shape));
            Ok(Measurement { statistic, spectrum, base_norm })
        }
        Err(Doubt::Zero) => Err(Unmeasured::Zero),
        Err(_) if !is_last => return Attempt::Inaccurate,
        Err(_) if base_norm.is_some() => Ok(Measurement { statistic: None, spectrum, base_norm }),
        Err(doubt) => Err(Unmeasured::Doubtful(doubt)),
    })
}

/// Why a matrix has no spectrum.
enum Trouble {
    Weight(Undecodable),
    Spectrum(SpectrumError),
}

impl From<Undecodable> for Trouble {
    fn from(error: Undecodable) -> Self {
        Self::Weight(error)
    }
}

impl From<SpectrumError> for Trouble {
    fn from(error: SpectrumError) -> Self {
        Self::Spectrum(error)
    }
}

fn weight_of(weights: &Matrices, module: &Module, method: Method, lane: &Lane) -> Result<Spectrum, Trouble> {
    let weight = weights.matrix(&module.weight, &module.selection)?;
    Ok(spectrum::singular_values(weight, method, lane)?)
}

/// The spectrum of the `change` of a module, and the norm of its matrix before.
fn change_of(
    weights: &Matrices,
    module: &Module,
    change: &Change,
    method: Method,
    lane: &Lane,
) -> Result<(Spectrum, Option<f64>), Trouble> {
    let Changed { content, base_norm } = Changed::read(weights, module, change)?;
    let shape = module.shape();
    if !base_norm.is_finite() {
        return Err(SpectrumError::NotFinite.into());
    }
    let spectrum = match content {
        Content::Difference(difference) => {
            let matrix = Matrix { shape, elements: Elements::Decoded(difference) };
            spectrum::singular_values(matrix, method, lane)?
        }
        Content::Product(product) => spectrum::singular_values_of_product(&product, shape)?,
        Content::Nothing => Spectrum::of_zeros(shape),
    };
    Ok((spectrum, Some(base_norm)))
}
