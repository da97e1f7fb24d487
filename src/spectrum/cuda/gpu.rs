//! A GPU of this machine.

use std::error::Error;
use std::panic::catch_unwind;
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, sys::CUresult};

use super::fault::{fault, sentence};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use super::libraries::{self, Missing};
use super::{Stream, kernels, raw};
use crate::spectrum::{DeviceError, Fault, Library};

#[derive(Debug)]
pub struct Gpu {
    ordinal: usize,
    model: String,
    context: Arc<CudaContext>,
    libraries: &'static [Library],
}

impl Gpu {
    /// Opens the GPU with this `ordinal`, if there is such a GPU and it works.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        let unusable = |error: &(dyn Error + 'static)| DeviceError::Unusable { ordinal, reason: sentence(error) };
        #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
        let libraries = libraries::load().map_err(|missing| match missing {
            Missing::Driver => DeviceError::NoGpu(missing.to_string()),
            _ => unusable(&missing),
        })?;
        #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
        let libraries = &[];
        let count = match CudaContext::device_count() {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if is_absent(error) => return Err(DeviceError::NoGpu(sentence(&error))),
            Err(error) => return Err(unusable(&error)),
        };
        if count == 0 {
            return Err(DeviceError::NoGpu("the driver lists none".into()));
        }
        if ordinal >= count {
            return Err(DeviceError::NoSuchGpu { ordinal, last: count - 1 });
        }
        let context = CudaContext::new(ordinal).map_err(|error| unusable(&error))?;
        let model = context.name().map_err(|error| unusable(&error))?;
        // Waiting threads leave the cores to others, such as those that measure on the CPU. If this fails, they spin.
        let _ = context.set_blocking_synchronize();
        // This fails if the kernels are too new for the GPU or its driver.
        context.load_module(kernels::COMPILED.into()).map_err(|error| unusable(&error))?;
        if context.has_async_alloc() {
            raw::keep_freed_memory(&context).map_err(|error| unusable(&error))?;
        }
        Ok(Self { ordinal, model, context, libraries })
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

    /// The free bytes of its memory.
    pub fn free_memory(&self) -> Result<u64, Fault> {
        let (free, _total) = self.context.mem_get_info().w().map_err(|error| or_broken(&error))?;
        Ok(free as u64)
    }

    /// Opens a new stream.
    pub fn stream(&self) -> Result<Stream, Fault> {
        // If the GPU fails half-way, the handles that were opened before panic when they are dropped.
        let stream = catch_unwind(|| Stream::new(self.ordinal));
        match stream.map_err(|_| Fault::Broken("it failed while it was opened".into()))? {
            Ok(stream) => Ok(stream),
            // Libraries that find no memory for a handle rarely say so.
            Err(_) if self.context.synchronize().is_ok() => Err(Fault::OutOfMemory),
            Err(error) => Err(or_broken(&error)),
        }
    }
}

fn or_broken(error: &candle_core::Error) -> Fault {
    fault(error).unwrap_or_else(|| Fault::Broken(error.to_string()))
}

/// Whether the error means that the driver finds no GPU, or that it is not installed: NVIDIA's toolkit has a stub of
/// it.
fn is_absent(error: DriverError) -> bool {
    matches!(error.0, CUresult::CUDA_ERROR_NO_DEVICE | CUresult::CUDA_ERROR_STUB_LIBRARY)
}
