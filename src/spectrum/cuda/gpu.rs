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
use crate::spectrum::{DeviceError, Fault};

/// A GPU that works.
#[derive(Debug)]
pub struct Gpu {
    ordinal: usize,
    model: String,
    context: Arc<CudaContext>,
}

impl Gpu {
    /// Opens the GPU with this `ordinal`.
    ///
    /// # Errors
    ///
    /// Fails if there is no such GPU or it does not work.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        let unusable = |error: &(dyn Error + 'static)| DeviceError::Unusable { ordinal, reason: sentence(error) };
        #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
        libraries::load().map_err(|missing| match missing {
            Missing::Driver => DeviceError::NoGpu(missing.to_string()),
            _ => unusable(&missing),
        })?;
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
        // Waiting threads leave the cores to others, such as those that measure on the CPU. Where that cannot be, they spin.
        let _ = context.set_blocking_synchronize();
        // A GPU or a driver for which the kernels are too new says so here.
        context.load_module(kernels::COMPILED.into()).map_err(|error| unusable(&error))?;
        if context.has_async_alloc() {
            raw::keep_freed_memory(&context).map_err(|error| unusable(&error))?;
        }
        Ok(Self { ordinal, model, context })
    }

    /// Its number among the machine's GPUs, as `CUDA_VISIBLE_DEVICES` leaves them.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// What it is called by its maker.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The bytes of its memory that nobody has.
    pub fn free_memory(&self) -> Result<u64, Fault> {
        let (free, _total) = self.context.mem_get_info().w().map_err(|error| or_broken(&error))?;
        Ok(free as u64)
    }

    /// A stream of its own.
    pub fn stream(&self) -> Result<Stream, Fault> {
        // Where a GPU fails half-way, the handles that there are already panic as they go.
        let stream = catch_unwind(|| Stream::new(self.ordinal));
        match stream.map_err(|_| Fault::Broken("it failed while it was opened".into()))? {
            Ok(stream) => Ok(stream),
            // Libraries that find no memory for a handle of theirs rarely say that it is that.
            Err(_) if self.context.synchronize().is_ok() => Err(Fault::OutOfMemory),
            Err(error) => Err(or_broken(&error)),
        }
    }
}

fn or_broken(error: &candle_core::Error) -> Fault {
    fault(error).unwrap_or_else(|| Fault::Broken(error.to_string()))
}

/// Whether the driver says by this that there is nothing for it to drive, or that it is not installed: NVIDIA's toolkit has a
/// stub of it to link with.
fn is_absent(error: DriverError) -> bool {
    matches!(error.0, CUresult::CUDA_ERROR_NO_DEVICE | CUresult::CUDA_ERROR_STUB_LIBRARY)
}
