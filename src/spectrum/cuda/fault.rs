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

/// The GPU's fault, if `error` is one of CUDA's. `is_well` tells whether the GPU still works.
pub fn fault(error: &candle_core::Error, is_well: impl FnOnce() -> bool) -> Option<Fault> {
    let error = of_cuda(error)?;
    let cause = cause(error);
    Some(match cause {
        Cause::Full => Fault::OutOfMemory,
        _ if !is_well() => Fault::Broken(sentence(error)),
        Cause::Vague => Fault::Unclear(sentence(error)),
        Cause::Other => Fault::Refused(sentence(error)),
    })
}

/// What an error of candle says: CUDA's words if it is one of CUDA's.
pub fn in_words(error: &candle_core::Error) -> String {
    of_cuda(error).map_or_else(|| error.to_string(), sentence)
}

/// What a CUDA error says, in the driver's words if it has some.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    if let Some(DriverError(code)) = of_driver(error) {
        let words = DriverError(code).error_string().ok().map(|words| words.to_string_lossy().into_owned());
        return words.map_or_else(|| format!("{code:?}"), |words| format!("{words}, {code:?}"));
    }
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(CudaError::Cublas(CublasError(code))), _) => format!("{code:?}"),
        (_, Some(CusolverError(code))) => format!("{code:?}"),
        _ => error.to_string(),
    }
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
        ];
        assert!(full.iter().all(|error| fault(error, || true) == Some(Fault::OutOfMemory)));
        let vague = [
            of(CudaError::Cublas(CublasError(Cublas::CUBLAS_STATUS_NOT_INITIALIZED))),
            of(CusolverError(Cusolver::CUSOLVER_STATUS_INTERNAL_ERROR)),
        ];
        assert!(vague.iter().all(|error| matches!(fault(error, || true), Some(Fault::Unclear(_)))));
        let refused = [
            of(CudaError::Cuda(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE))),
            of(CudaError::Cublas(CublasError(Cublas::CUBLAS_STATUS_NOT_SUPPORTED))),
            of(CusolverError(Cusolver::CUSOLVER_STATUS_INVALID_VALUE)),
        ];
        assert!(refused.iter().all(|error| matches!(fault(error, || true), Some(Fault::Refused(_)))));
        // The same errors of a GPU that does not answer any more.
        let all = vague.iter().chain(&refused);
        assert!(all.clone().all(|error| matches!(fault(error, || false), Some(Fault::Broken(_)))));
        let words = fault(&refused[2], || true).map(|fault| fault.to_string());
        assert_eq!(words.as_deref(), Some("CUSOLVER_STATUS_INVALID_VALUE"));
        assert_eq!(fault(&candle_core::Error::Msg("no convergence".into()), || true), None);
    }
}
