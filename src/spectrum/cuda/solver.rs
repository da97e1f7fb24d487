//! cuSOLVER's functions, each wrapped in one that checks its arguments and the returned status, as `raw` does it for the rest.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_schar, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use candle_core::Error;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cusolver::{self, DnHandle, DnParams, sys::cusolverStatus_t};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtrMut};

use super::raw::{allocate, download, forget_if_broken};

type Result<T> = candle_core::Result<T>;

/// The type of all matrices and values that are passed to cuSOLVER.
const F64: cusolver::sys::cudaDataType = cusolver::sys::cudaDataType::CUDA_R_64F;

/// No vectors are asked for.
const NO_VECTORS: cusolver::sys::cusolverEigMode_t = cusolver::sys::cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR;

/// The triangle in which symmetric matrices are.
const LOWER: cusolver::sys::cublasFillMode_t = cusolver::sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;

/// Functions that are newer than the oldest toolkit that this program can be built with, as cusolverDn.h of CUDA 13.2 declares them.
mod newer {
    use super::*;
    use candle_core::cuda_backend::cudarc::cusolver::sys::{
        cublasFillMode_t, cudaDataType, cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t,
    };

    unsafe extern "C" {
        pub fn cusolverDnSetDeterministicMode(handle: cusolverDnHandle_t, mode: c_int) -> cusolverStatus_t;

        /// The enumerations that it takes have grown.
        #[link_name = "cusolverDnSetAdvOptions"]
        pub fn set_algorithm(parameters: cusolverDnParams_t, function: c_int, algorithm: c_int) -> cusolverStatus_t;

        pub fn cusolverDnXsyevBatched_bufferSize(
            handle: cusolverDnHandle_t,
            parameters: cusolverDnParams_t,
            vectors: cusolverEigMode_t,
            triangle: cublasFillMode_t,
            n: i64,
            type_of_matrices: cudaDataType,
            matrices: *const c_void,
            lead: i64,
            type_of_values: cudaDataType,
            values: *const c_void,
            type_of_work: cudaDataType,
            bytes_on_device: *mut usize,
            bytes_on_host: *mut usize,
            count: i64,
        ) -> cusolverStatus_t;

        pub fn cusolverDnXsyevBatched(
            handle: cusolverDnHandle_t,
            parameters: cusolverDnParams_t,
            vectors: cusolverEigMode_t,
            triangle: cublasFillMode_t,
            n: i64,
            type_of_matrices: cudaDataType,
            matrices: *mut c_void,
            lead: i64,
            type_of_values: cudaDataType,
            values: *mut c_void,
            type_of_work: cudaDataType,
            on_device: *mut c_void,
            bytes_on_device: usize,
            on_host: *mut c_void,
            bytes_on_host: usize,
            outcomes: *mut c_int,
            count: i64,
        ) -> cusolverStatus_t;
    }
}

/// A handle of cuSOLVER, and how its functions are to compute.
pub struct Solver {
    handle: DnHandle,
    /// As the library chooses.
    parameters: DnParams,
    /// In two stages, where the library knows how.
    two_stages: DnParams,
}

// SAFETY: the parameters are structures of the library's in this process's memory. They belong to no thread, and nobody
// else has their addresses.
unsafe impl Send for Solver {}

impl Solver {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        const ALLOW_NON_DETERMINISTIC_RESULTS: c_int = 2;
        let handle = DnHandle::new(stream.clone()).map_err(failed)?;
        // cuSOLVER wants a function to be named. It keeps its default algorithm, like all others.
        let parameters = || {
            let function = cusolver::sys::cusolverDnFunction_t::CUSOLVERDN_GETRF;
            DnParams::new(function, cusolver::sys::cusolverAlgMode_t::CUSOLVER_ALG_0).map_err(failed)
        };
        let (parameters, two_stages) = match (parameters(), parameters()) {
            (Ok(parameters), Ok(two_stages)) => (parameters, two_stages),
            (Err(error), other) | (other, Err(error)) => {
                return Err(forget_if_broken(stream, (handle, other.ok()), error));
            }
        };
        // Older libraries know neither of the two, and go on as they did.
        let _ = ask_for_two_stages(&two_stages);
        // SAFETY: the handle is live; an unknown number is refused.
        unsafe {
            // NVIDIA says that reproducible bits cost time in the functions that are called here. This program promises them
            // for the CPU only.
            let _ = newer::cusolverDnSetDeterministicMode(handle.cu(), ALLOW_NON_DETERMINISTIC_RESULTS);
        }
        Ok(Self { handle, parameters, two_stages })
    }
}

/// Whether cuSOLVER takes the request to reduce in two stages.
pub fn has_two_stages() -> bool {
    let function = cusolver::sys::cusolverDnFunction_t::CUSOLVERDN_GETRF;
    let parameters = DnParams::new(function, cusolver::sys::cusolverAlgMode_t::CUSOLVER_ALG_0);
    parameters.is_ok_and(|parameters| ask_for_two_stages(&parameters).is_ok())
}

fn ask_for_two_stages(parameters: &DnParams) -> Result<()> {
    const SYEVD: c_int = 4;
    const TWO_STAGES: c_int = 2;
    // SAFETY: the parameters are live; an unknown number is refused.
    accept(unsafe { newer::set_algorithm(parameters.cu(), SYEVD, TWO_STAGES) })
}

/// How cuSOLVER finds all eigenvalues by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    AsItComes,
    Two,
}

/// The eigenvalues, smallest first, of the symmetric n x n matrix whose lower triangle is in `matrix`, which is used up.
pub fn eigenvalues(solver: &Solver, stages: Stages, matrix: &mut CudaSlice<f64>, n: usize) -> Result<Vec<f64>> {
    assert!(n > 0 && n * n <= matrix.len());
    let Solver { handle, parameters, two_stages } = solver;
    let parameters = if stages == Stages::Two { two_stages } else { parameters };
    let order = n as i64;
    let (matrix, _spent) = matrix.device_ptr_mut(handle.stream());
    let matrix = matrix as *mut c_void;
    #[rustfmt::skip]
    let ask = |values: *mut c_void, on_device: &mut usize, on_host: &mut usize| {
        // SAFETY: handle and parameters are live; the call only says how much memory the next one takes.
        unsafe {
            cusolver::sys::cusolverDnXsyevd_bufferSize(
                handle.cu(), parameters.cu(), NO_VECTORS, LOWER, order, F64, matrix, order, F64, values, F64,
                on_device, on_host,
            )
        }
    };
    #[rustfmt::skip]
    let call = |values: *mut c_void, work: &Work| {
        // SAFETY: the matrix has n·n numbers, and there is room for n values and as much to work in as was asked for.
        unsafe {
            cusolver::sys::cusolverDnXsyevd(
                handle.cu(), parameters.cu(), NO_VECTORS, LOWER, order, F64, matrix, order, F64, values, F64,
                work.on_device, work.device_bytes, work.on_host, work.host_bytes, work.outcome,
            )
        }
    };
    solve(handle.stream(), n, 1, ask, call)
}

/// The same of `count` matrices, which lie one after the other, and so do their eigenvalues.
pub fn eigenvalues_of_many(
    Solver { handle, parameters, .. }: &Solver,
    matrices: &mut CudaSlice<f64>,
    n: usize,
    count: usize,
) -> Result<Vec<f64>> {
    assert!(n > 0 && count > 0 && n * n * count <= matrices.len());
    let (order, many) = (n as i64, count as i64);
    let (matrices, _spent) = matrices.device_ptr_mut(handle.stream());
    let matrices = matrices as *mut c_void;
    #[rustfmt::skip]
    let ask = |values: *mut c_void, on_device: &mut usize, on_host: &mut usize| {
        // SAFETY: handle and parameters are live; the call only says how much memory the next one takes.
        unsafe {
            newer::cusolverDnXsyevBatched_bufferSize(
                handle.cu(), parameters.cu(), NO_VECTORS, LOWER, order, F64, matrices, order, F64, values, F64,
                on_device, on_host, many,
            )
        }
    };
    #[rustfmt::skip]
    let call = |values: *mut c_void, work: &Work| {
        // SAFETY: there are `count` matrices of n·n numbers, and room for n values and an outcome of each and for as much to
        // work in as was asked for.
        unsafe {
            newer::cusolverDnXsyevBatched(
                handle.cu(), parameters.cu(), NO_VECTORS, LOWER, order, F64, matrices, order, F64, values, F64,
                work.on_device, work.device_bytes, work.on_host, work.host_bytes, work.outcome, many,
            )
        }
    };
    solve(handle.stream(), n * count, count, ask, call)
}

/// The diagonal and the off-diagonal of a tridiagonal matrix that has the eigenvalues of the symmetric n x n matrix whose lower
/// triangle is in `matrix`, which is used up.
pub fn tridiagonal(solver: &Solver, matrix: &mut CudaSlice<f64>, n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    assert!(n > 0 && n * n <= matrix.len());
    let Ok(order) = c_int::try_from(n) else { candle_core::bail!("a matrix of {n} rows is too large for cuSOLVER") };
    let handle = &solver.handle;
    let stream = handle.stream();
    let [mut diagonal, mut off_diagonal, mut factors] =
        [allocate::<f64>(stream, n)?, allocate::<f64>(stream, n)?, allocate::<f64>(stream, n)?];
    let mut outcome = stream.alloc_zeros::<i32>(1).w()?;
    {
        let (matrix, _spent) = matrix.device_ptr_mut(stream);
        let (d, _written) = diagonal.device_ptr_mut(stream);
        let (e, _written) = off_diagonal.device_ptr_mut(stream);
        let (tau, _written) = factors.device_ptr_mut(stream);
        let [matrix, d, e, tau] = [matrix, d, e, tau].map(|place| place as *mut f64);
        let mut length = 0;
        // SAFETY: the handle is live; the call only says how much memory the next one takes.
        accept(unsafe {
            cusolver::sys::cusolverDnDsytrd_bufferSize(handle.cu(), LOWER, order, matrix, order, d, e, tau, &mut length)
        })?;
        let mut work = allocate::<f64>(stream, usize::try_from(length).unwrap_or(0).max(1))?;
        let (work, _written) = work.device_ptr_mut(stream);
        let (info, _written) = outcome.device_ptr_mut(stream);
        // SAFETY: the matrix has n·n numbers, and there is room for n numbers of the diagonal, off the diagonal and of factors
        // each, and for as much to work in as was asked for. All of it is the device's memory, which is freed in the stream's
        // order.
        accept(unsafe {
            cusolver::sys::cusolverDnDsytrd(
                handle.cu(),
                LOWER,
                order,
                matrix,
                order,
                d,
                e,
                tau,
                work as *mut f64,
                length,
                info as *mut c_int,
            )
        })?;
    }
    match download(stream, &outcome)?[0] {
        0 => {
            let (diagonal, mut off_diagonal) = (download(stream, &diagonal)?, download(stream, &off_diagonal)?);
            off_diagonal.truncate(n - 1);
            Ok((diagonal, off_diagonal))
        }
        code => candle_core::bail!("cuSOLVER came to no result: it returned {code}"),
    }
}

/// The singular values, largest first, of the m x n matrix `matrix`, with m at least n, which is used up.
pub fn singular_values(
    Solver { handle, parameters, .. }: &Solver,
    matrix: &mut CudaSlice<f64>,
    m: usize,
    n: usize,
) -> Result<Vec<f64>> {
    assert!(n > 0 && m >= n && m * n <= matrix.len());
    let (none, rows, columns) = (b'N' as c_schar, m as i64, n as i64);
    let (matrix, _spent) = matrix.device_ptr_mut(handle.stream());
    let matrix = matrix as *mut c_void;
    #[rustfmt::skip]
    let ask = |values: *mut c_void, on_device: &mut usize, on_host: &mut usize| {
        // SAFETY: handle and parameters are live; the call only says how much memory the next one takes. No vectors are
        // asked for, so none are read or written.
        unsafe {
            cusolver::sys::cusolverDnXgesvd_bufferSize(
                handle.cu(), parameters.cu(), none, none, rows, columns, F64, matrix, rows, F64, values, F64,
                null(), rows, F64, null(), columns, F64,
                on_device, on_host,
            )
        }
    };
    #[rustfmt::skip]
    let call = |values: *mut c_void, work: &Work| {
        // SAFETY: the matrix has m·n numbers, and there is room for n values and as much to work in as was asked for.
        unsafe {
            cusolver::sys::cusolverDnXgesvd(
                handle.cu(), parameters.cu(), none, none, rows, columns, F64, matrix, rows, F64, values, F64,
                null_mut(), rows, F64, null_mut(), columns, F64,
                work.on_device, work.device_bytes, work.on_host, work.host_bytes, work.outcome,
            )
        }
    };
    solve(handle.stream(), n, 1, ask, call)
}

/// The memory that a call of cuSOLVER works in, and the place where it says whether it converged, for each matrix.
struct Work {
    on_device: *mut c_void,
    device_bytes: usize,
    on_host: *mut c_void,
    host_bytes: usize,
    outcome: *mut c_int,
}

/// The `n` values that cuSOLVER computes of `count` matrices in `call`, with as much memory on the device and on the host as
/// `ask` says.
fn solve(
    stream: &Arc<CudaStream>,
    n: usize,
    count: usize,
    ask: impl FnOnce(*mut c_void, &mut usize, &mut usize) -> cusolverStatus_t,
    call: impl FnOnce(*mut c_void, &Work) -> cusolverStatus_t,
) -> Result<Vec<f64>> {
    let mut values = allocate::<f64>(stream, n)?;
    let mut outcomes = stream.alloc_zeros::<i32>(count).w()?;
    let place = values.device_ptr_mut(stream).0 as *mut c_void;
    let (mut device_bytes, mut host_bytes) = (0, 0);
    accept(ask(place, &mut device_bytes, &mut host_bytes))?;
    // The driver refuses to allocate nothing.
    let mut on_device = allocate::<u8>(stream, device_bytes.max(1))?;
    let mut on_host = vec![0u8; host_bytes];
    let work = Work {
        on_device: on_device.device_ptr_mut(stream).0 as *mut c_void,
        device_bytes,
        on_host: on_host.as_mut_ptr().cast(),
        host_bytes,
        outcome: outcomes.device_ptr_mut(stream).0 as *mut c_int,
    };
    let status = call(place, &work);
    // The device may still be working when the call returns; until it is done, the host's memory must not be freed.
    let done = stream.synchronize().w();
    accept(status).and(done)?;
    match download(stream, &outcomes)?.into_iter().find(|code| *code != 0) {
        None => download(stream, &values),
        Some(code) => candle_core::bail!("cuSOLVER came to no result: it returned {code}"),
    }
}

fn accept(status: cusolverStatus_t) -> Result<()> {
    status.result().map_err(failed)
}

fn failed(error: cusolver::result::CusolverError) -> Error {
    Error::Cuda(Box::new(error))
}
