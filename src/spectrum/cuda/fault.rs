//! What a CUDA error says about the GPU.

use std::error::Error;

use candle_core::cuda_backend::CudaError;
use candle_core::cuda_backend::cudarc::cublas::{result::CublasError, sys::cublasStatus_t as Cublas};
use candle_core::cuda_backend::cudarc::cusolver::{result::CusolverError, sys::cusolverStatus_t as Cusolver};
use candle_core::cuda_backend::cudarc::driver::{DriverError, sys::CUresult};

use crate::spectrum::Fault;

#[derive(Debug, PartialEq, Eq)]
enum Cause {
    /// There is not enough memory.
    Full,
    /// A library failed internally or could not be initialised. It may report the same when it finds no memory.
    Vague,
    Other,
}

/// The GPU's fault, if `error` is one of CUDA's.
pub fn fault(error: &candle_core::Error) -> Option<Fault> {
    let error = of_cuda(error)?;
    Some(if cause(error) == Cause::Full { Fault::OutOfMemory } else { Fault::Broken(sentence(error)) })
}

/// Whether `error` may mean that a library found no memory, provided that the GPU still works.
pub fn is_vague(error: &candle_core::Error) -> bool {
    of_cuda(error).is_some_and(|error| cause(error) == Cause::Vague)
}

pub fn out_of_memory() -> candle_core::Error {
    candle_core::Error::Cuda(Box::new(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
}

/// What a CUDA error says, in the driver's words if it has some.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let Some(DriverError(code)) = of_driver(error) else { return error.to_string() };
    let words = DriverError(code).error_string().ok().map(|words| words.to_string_lossy().into_owned());
    words.map_or_else(|| format!("{code:?}"), |words| format!("{words}, {code:?}"))
}

/// The CUDA error in an error of candle's, if there is one.
fn of_cuda(error: &candle_core::Error) -> Option<&(dyn Error + 'static)> {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } | candle_core::Error::WithPath { inner, .. } => of_cuda(inner),
        candle_core::Error::Context { inner, .. } => of_cuda(inner),
        candle_core::Error::Cuda(error) => Some(error.as_ref()),
        _ => None,
    }
}

fn of_driver(error: &(dyn Error + 'static)) -> Option<DriverError> {
    match error.downcast_ref() {
        Some(CudaError::Cuda(error)) => Some(*error),
        _ => error.downcast_ref().copied(),
    }
}

fn cause(error: &(dyn Error + 'static)) -> Cause {
    if let Some(DriverError(code)) = of_driver(error) {
        return if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY { Cause::Full } else { Cause::Other };
    }
    if let Some(CudaError::Cublas(CublasError(code))) = error.downcast_ref() {
        return match code {
            Cublas::CUBLAS_STATUS_ALLOC_FAILED => Cause::Full,
            Cublas::CUBLAS_STATUS_NOT_INITIALIZED | Cublas::CUBLAS_STATUS_INTERNAL_ERROR => Cause::Vague,
            _ => Cause::Other,
        };
    }
    match error.downcast_ref() {
        Some(CusolverError(Cusolver::CUSOLVER_STATUS_ALLOC_FAILED)) => Cause::Full,
        Some(CusolverError(Cusolver::CUSOLVER_STATUS_NOT_INITIALIZED | Cusolver::CUSOLVER_STATUS_INTERNAL_ERROR)) => {
            Cause::Vague
        }
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> candle_core::Error {
        // As candle wraps it where RUST_BACKTRACE is set.
        candle_core::Error::Cuda(error.into()).bt().context("while computing")
    }

    #[test]
    fn memory_that_there_is_not_is_told_from_a_failure() {
        let full = [
            of(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY))),
            of(CudaError::Cublas(CublasError(Cublas::CUBLAS_STATUS_ALLOC_FAILED))),
            of(CusolverError(Cusolver::CUSOLVER_STATUS_ALLOC_FAILED)),
            out_of_memory(),
        ];
        assert!(full.iter().all(|error| fault(error) == Some(Fault::OutOfMemory) && !is_vague(error)));
        let vague = [
            of(CudaError::Cublas(CublasError(Cublas::CUBLAS_STATUS_NOT_INITIALIZED))),
            of(CusolverError(Cusolver::CUSOLVER_STATUS_INTERNAL_ERROR)),
        ];
        assert!(vague.iter().all(|error| matches!(fault(error), Some(Fault::Broken(_))) && is_vague(error)));
        let broken = [
            of(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS))),
            of(CudaError::Cublas(CublasError(Cublas::CUBLAS_STATUS_EXECUTION_FAILED))),
            of(CusolverError(Cusolver::CUSOLVER_STATUS_EXECUTION_FAILED)),
        ];
        assert!(broken.iter().all(|error| matches!(fault(error), Some(Fault::Broken(_))) && !is_vague(error)));
        assert_eq!(fault(&candle_core::Error::Msg("no convergence".into())), None);
    }
}
