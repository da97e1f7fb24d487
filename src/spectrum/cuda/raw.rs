//! The calls for which cudarc has no safe function. Each is wrapped in one that checks its arguments and the returned
//! status.
//!
//! Device memory is not memory of this process: a call with a wrong size can ruin a result or the GPU's context, which
//! the checks here prevent, but it cannot touch a Rust object. The host's memory must not be freed or changed while the
//! device still reads or writes it, so `solve` and `download` wait for the device, and so does `staging`.
//!
//! Matrices are column-major here, as in BLAS and LAPACK: a row-major matrix is its transpose.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_schar, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use candle_core::Error;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{self, Asum, AsumConfig, CudaBlas};
use candle_core::cuda_backend::cudarc::cusolver::{self, DnHandle, DnParams, sys::cusolverStatus_t};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr, PinnedHostSlice, result, sys,
};

type Result<T> = candle_core::Result<T>;

/// The type of all matrices and values that are passed to cuSOLVER.
const F64: cusolver::sys::cudaDataType = cusolver::sys::cudaDataType::CUDA_R_64F;

/// A number that is valid whatever its bits are.
pub trait Number: DeviceRepr + Copy {}

impl Number for f64 {}
impl Number for f32 {}
impl Number for half::f16 {}
impl Number for half::bf16 {}
impl Number for u8 {}
impl Number for i32 {}

/// Uninitialised device memory for `length` numbers.
pub fn allocate<T: Number>(stream: &Arc<CudaStream>, length: usize) -> Result<CudaSlice<T>> {
    // SAFETY: the memory is uninitialised, but a `Number` is valid whatever its bits are.
    unsafe { stream.alloc(length) }.w()
}

/// Device memory as bytes.
pub fn bytes_mut<T: Number>(memory: &mut CudaSlice<T>) -> CudaViewMut<'_, u8> {
    let length = memory.num_bytes();
    // SAFETY: a byte needs no alignment, and a `Number` is valid whatever bytes are written to it. The view has exactly
    // the bytes of `memory`, which stays borrowed.
    let bytes = unsafe { memory.transmute_mut(length) };
    bytes.expect("as many bytes as there are")
}

/// `length` bytes of the system's memory that are never swapped out, so that the device can read them by itself.
pub fn page_locked(context: &Arc<CudaContext>, length: usize) -> Result<PinnedHostSlice<u8>> {
    // SAFETY: the memory is uninitialised at first, and zeroed before anyone can read it.
    let mut memory = unsafe { context.alloc_pinned::<u8>(length) }.w()?;
    let start = memory.as_mut_ptr().w()?;
    // SAFETY: the allocation has `length` bytes from `start` on, and nothing else uses it yet.
    unsafe { start.write_bytes(0, length) };
    Ok(memory)
}

/// Lets the driver keep freed device memory for the next allocations instead of mapping memory anew, and forbids it to
/// give one stream memory that another stream still uses, because the first would have to wait for the other.
pub fn keep_freed_memory(context: &CudaContext) -> Result<()> {
    let (mut kept, mut depends) = (u64::MAX, 0 as c_int);
    let keep = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let depend = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
    context.bind_to_thread().w()?;
    // SAFETY: the device belongs to a live context, its pool lives as long as it does, and the attributes are a 64-bit
    // number and an int, which are read before the calls return.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).w()?;
        result::mem_pool::set_attribute(pool, keep, (&raw mut kept).cast()).w()?;
        result::mem_pool::set_attribute(pool, depend, (&raw mut depends).cast()).w()
    }
}

/// A product of a matrix with its transpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// A·Aᵀ of an n x k matrix.
    OfRows,
    /// Aᵀ·A of a k x n matrix.
    OfColumns,
}

/// Adds the product of `panel`, which has n·k numbers, to the lower triangle of the n x n matrix `gram`; the `first`
/// product replaces what is there.
pub fn syrk(
    blas: &CudaBlas,
    stream: &CudaStream,
    product: Product,
    (n, k): (usize, usize),
    panel: &CudaSlice<f64>,
    first: bool,
    gram: &mut CudaSlice<f64>,
) -> Result<()> {
    assert!(n * k <= panel.len() && n * n <= gram.len());
    let (operation, lead) = match product {
        Product::OfRows => (cublas::sys::cublasOperation_t::CUBLAS_OP_N, n),
        Product::OfColumns => (cublas::sys::cublasOperation_t::CUBLAS_OP_T, k),
    };
    let lower = cublas::sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;
    let (one, beta) = (1.0, if first { 0.0 } else { 1.0 });
    let (panel, _read) = panel.device_ptr(stream);
    let (gram, _written) = gram.device_ptr_mut(stream);
    // SAFETY: the handle is live and works on `stream`. In its default pointer mode the two factors are read from the
    // host before the call returns. Both matrices were checked to have the numbers that are read and written.
    #[rustfmt::skip]
    let status = unsafe {
        cublas::sys::cublasDsyrk_v2_64(
            *blas.handle(), lower, operation, n as i64, k as i64,
            &raw const one, panel as *const f64, lead as i64,
            &raw const beta, gram as *mut f64, n as i64,
        )
    };
    status.result().w()
}

/// The norm of `count` numbers of `vector`, of which every `stride`-th is taken. Waits for the device.
pub fn norm(blas: &CudaBlas, stream: &CudaStream, vector: &CudaSlice<f64>, count: usize, stride: usize) -> Result<f64> {
    assert!(count > 0 && (count - 1) * stride < vector.len());
    let mut norm = 0.0;
    let (vector, _read) = vector.device_ptr(stream);
    // SAFETY: the handle is live. In its default pointer mode the result is written to the host before the call
    // returns. The last number that is read was checked to exist.
    let status = unsafe {
        let vector = vector as *const f64;
        cublas::sys::cublasDnrm2_v2_64(*blas.handle(), count as i64, vector, stride as i64, &raw mut norm)
    };
    status.result().w()?;
    Ok(norm)
}

/// The trace of the n x n matrix `gram`, whose diagonal is not negative because it holds sums of squares. Waits for the
/// device.
pub fn trace(blas: &CudaBlas, gram: &CudaSlice<f64>, n: usize) -> Result<f64> {
    assert!(n > 0 && n * n <= gram.len());
    let (Ok(count), Ok(stride)) = (c_int::try_from(n), c_int::try_from(n + 1)) else {
        candle_core::bail!("a matrix of {n} rows is too large for cuBLAS")
    };
    let mut trace = 0.0;
    // SAFETY: n numbers of the n·n are read, every (n + 1)-th, and the result is written before the call returns.
    unsafe { blas.asum(AsumConfig { n: count, incx: stride }, gram, &mut trace) }.w()?;
    Ok(trace)
}

pub struct Solver {
    handle: DnHandle,
    parameters: DnParams,
}

// SAFETY: the parameters are a structure of the library's in this process's memory. It belongs to no thread, and nobody
// else has its address.
unsafe impl Send for Solver {}

impl Solver {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle = DnHandle::new(stream.clone()).map_err(failed)?;
        // cuSOLVER wants a function to be named. It keeps its default algorithm, like all others.
        let function = cusolver::sys::cusolverDnFunction_t::CUSOLVERDN_GETRF;
        let parameters = DnParams::new(function, cusolver::sys::cusolverAlgMode_t::CUSOLVER_ALG_0).map_err(failed)?;
        Ok(Self { handle, parameters })
    }
}

/// The eigenvalues, smallest first, of the symmetric n x n matrix whose lower triangle is in `matrix`, which is used
/// up. cuSOLVER's default algorithm finds them; in recent versions it reduces the matrix in two stages.
pub fn eigenvalues(Solver { handle, parameters }: &Solver, matrix: &mut CudaSlice<f64>, n: usize) -> Result<Vec<f64>> {
    assert!(n > 0 && n * n <= matrix.len());
    let order = n as i64;
    let vectors = cusolver::sys::cusolverEigMode_t::CUSOLVER_EIG_MODE_NOVECTOR;
    let lower = cusolver::sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER;
    let (matrix, _spent) = matrix.device_ptr_mut(handle.stream());
    let matrix = matrix as *mut c_void;
    #[rustfmt::skip]
    let ask = |values: *mut c_void, on_device: &mut usize, on_host: &mut usize| {
        // SAFETY: handle and parameters are live; the call only says how much memory the next one takes.
        unsafe {
            cusolver::sys::cusolverDnXsyevd_bufferSize(
                handle.cu(), parameters.cu(), vectors, lower, order, F64, matrix, order, F64, values, F64,
                on_device, on_host,
            )
        }
    };
    #[rustfmt::skip]
    let call = |values: *mut c_void, work: &Work| {
        // SAFETY: the matrix has n·n numbers, and there is room for n values and as much to work in as was asked for.
        unsafe {
            cusolver::sys::cusolverDnXsyevd(
                handle.cu(), parameters.cu(), vectors, lower, order, F64, matrix, order, F64, values, F64,
                work.on_device, work.device_bytes, work.on_host, work.host_bytes, work.outcome,
            )
        }
    };
    solve(handle.stream(), n, ask, call)
}

/// The singular values, largest first, of the m x n matrix `matrix`, with m at least n, which is used up.
pub fn singular_values(
    Solver { handle, parameters }: &Solver,
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
    solve(handle.stream(), n, ask, call)
}

/// The memory that a call of cuSOLVER works in, and the place where it says whether it converged.
struct Work {
    on_device: *mut c_void,
    device_bytes: usize,
    on_host: *mut c_void,
    host_bytes: usize,
    outcome: *mut c_int,
}

/// The `n` values that cuSOLVER computes in `call`, with as much memory on the device and on the host as `ask` says.
fn solve(
    stream: &Arc<CudaStream>,
    n: usize,
    ask: impl FnOnce(*mut c_void, &mut usize, &mut usize) -> cusolverStatus_t,
    call: impl FnOnce(*mut c_void, &Work) -> cusolverStatus_t,
) -> Result<Vec<f64>> {
    let mut values = allocate::<f64>(stream, n)?;
    let mut outcome = stream.alloc_zeros::<i32>(1).w()?;
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
        outcome: outcome.device_ptr_mut(stream).0 as *mut c_int,
    };
    let status = call(place, &work);
    // The device may still be working when the call returns; until it is done, the host's memory must not be freed.
    let done = stream.synchronize().w();
    accept(status).and(done)?;
    match download(stream, &outcome)?[0] {
        0 => download(stream, &values),
        code => candle_core::bail!("cuSOLVER came to no result: it returned {code}"),
    }
}

fn accept(status: cusolverStatus_t) -> Result<()> {
    status.result().map_err(failed)
}

fn failed(error: cusolver::result::CusolverError) -> Error {
    Error::Cuda(Box::new(error))
}

/// The numbers in `memory`, once all earlier work in the stream is done.
pub fn download<T: DeviceRepr + Default + Clone>(stream: &Arc<CudaStream>, memory: &CudaSlice<T>) -> Result<Vec<T>> {
    let mut numbers = vec![T::default(); memory.len()];
    let copied = stream.memcpy_dtoh(memory, &mut numbers);
    // The copy may still be going on; until it is done, the numbers must not be freed.
    stream.synchronize().and(copied).w()?;
    Ok(numbers)
}
