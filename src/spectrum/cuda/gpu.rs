//! A GPU of this machine.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice_attribute, CUresult};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError};

use super::eigensolver::{self, Abilities, Eigensolver, Version};
use super::fault::{fault, in_words, sentence};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use super::libraries::{self, Missing};
use super::{BATCH, Stream, emulation, kernels, raw, solver};
use crate::spectrum::{DeviceError, Fault, Library};

#[derive(Debug)]
pub struct Gpu {
    ordinal: usize,
    model: String,
    context: Arc<CudaContext>,
    libraries: &'static [Library],
    emulation: Option<String>,
    abilities: Abilities,
}

impl Gpu {
    /// How many GPUs there are, at least one.
    pub fn count() -> Result<usize, DeviceError> {
        libraries(0)?;
        let count = match CudaContext::device_count() {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if is_absent(error) => return Err(DeviceError::NoGpu(sentence(&error))),
            Err(error) => return Err(unusable(0)(&error)),
        };
        if count == 0 { Err(DeviceError::NoGpu("the driver lists none".into())) } else { Ok(count) }
    }

    /// Opens the GPU with this `ordinal`, if there is such a GPU and it works.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        let unusable = unusable(ordinal);
        let libraries = libraries(ordinal)?;
        let count = Self::count()?;
        if ordinal >= count {
            return Err(DeviceError::NoSuchGpu { ordinal, last: count - 1 });
        }
        let context = CudaContext::new(ordinal).map_err(|error| unusable(&error))?;
        let model = context.name().map_err(|error| unusable(&error))?;
        // Waiting threads leave the cores to others, such as those that measure on the CPU. If this fails, they spin.
        let _ = context.set_blocking_synchronize();
        // This fails if none of the kernels is for the GPU.
        kernels::load(&context).map_err(|error| DeviceError::Unusable { ordinal, reason: in_words(&error) })?;
        if context.has_async_alloc() {
            raw::keep_freed_memory(&context).map_err(|error| unusable(&error))?;
        }
        let abilities = Abilities { version: solver_version(libraries), has_two_stages: solver::has_two_stages() };
        let gpu = Self { ordinal, model, context, libraries, emulation: emulation::asked_for(), abilities };
        match gpu.emulation {
            Some(_) => gpu.check_emulation().map(|()| gpu),
            None => Ok(gpu),
        }
    }

    /// Fails if emulated products are less exact than those in float64.
    fn check_emulation(&self) -> Result<(), DeviceError> {
        let Self { ordinal, .. } = *self;
        let unusable = |reason: String| DeviceError::Unusable { ordinal, reason };
        let stream = self.stream().map_err(|fault| unusable(fault.to_string()))?;
        let checked = catch_unwind(AssertUnwindSafe(|| emulation::check(&stream)));
        let checked = checked.unwrap_or_else(|_| Err("it failed while products were measured".into()));
        if checked.is_err() && self.context.synchronize().is_err() {
            // Its handles cannot be destroyed any more.
            std::mem::forget(stream);
        }
        checked.map_err(unusable)
    }

    /// How many times slower than float32 it does float64, if it tells.
    pub fn float64_ratio(&self) -> Option<u32> {
        let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO;
        self.context.attribute(attribute).ok().and_then(|ratio| ratio.try_into().ok())
    }

    /// The setting of the environment by which it makes products of integers and not in float64, if there is one.
    pub fn emulation(&self) -> Option<&str> {
        self.emulation.as_deref()
    }

    /// Its number among the GPUs that `CUDA_VISIBLE_DEVICES` makes visible.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    /// NVIDIA's libraries that were taken, of which there is one each for all GPUs. Empty where they are linked with.
    pub fn libraries(&self) -> &'static [Library] {
        self.libraries
    }

    /// How the eigenvalues of the Gram matrix of a weight of `shape` are found on it.
    pub fn eigensolver(&self, [rows, columns]: [usize; 2]) -> Eigensolver {
        eigensolver::choose(rows.min(columns), self.abilities)
    }

    /// How many weights of `shape` are computed faster together than one after the other.
    pub fn together(&self, shape: [usize; 2]) -> usize {
        if self.eigensolver(shape) == Eigensolver::Batched { BATCH } else { 1 }
    }

    /// The free bytes of its memory.
    pub fn free_memory(&self) -> Result<u64, Fault> {
        let (free, _total) = self.context.mem_get_info().w().map_err(|error| self.fault(&error))?;
        Ok(free as u64)
    }

    /// Opens a new stream.
    pub fn stream(&self) -> Result<Stream, Fault> {
        // If the GPU fails half-way, the handles that were opened before panic when they are dropped.
        let stream = catch_unwind(|| Stream::new(self.ordinal, self.abilities));
        let stream = stream.map_err(|_| Fault::Broken("it failed while it was opened".into()))?;
        stream.map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &candle_core::Error) -> Fault {
        let fault = fault(error, || self.context.synchronize().is_ok());
        fault.unwrap_or_else(|| Fault::Broken(in_words(error)))
    }
}

/// The version of cuSOLVER, if it tells.
fn solver_version(libraries: &[Library]) -> Option<Version> {
    let version = libraries.last()?.version.as_ref()?;
    let numbers: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

fn unusable(ordinal: usize) -> impl Fn(&(dyn Error + 'static)) -> DeviceError {
    move |error| DeviceError::Unusable { ordinal, reason: sentence(error) }
}

/// NVIDIA's libraries, which all GPUs have in common; those that are missing are said of this one.
fn libraries(ordinal: usize) -> Result<&'static [Library], DeviceError> {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    return libraries::load().map_err(|missing| match missing {
        Missing::Driver => DeviceError::NoGpu(missing.to_string()),
        _ => unusable(ordinal)(&missing),
    });
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        let _ = ordinal;
        Ok(&[])
    }
}

/// Whether the error means that the driver finds no GPU, or that it is not installed: NVIDIA's toolkit has a stub of
/// it.
fn is_absent(error: DriverError) -> bool {
    matches!(error.0, CUresult::CUDA_ERROR_NO_DEVICE | CUresult::CUDA_ERROR_STUB_LIBRARY)
}
