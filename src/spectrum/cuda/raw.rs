//! The calls of the driver and of cuBLAS for which cudarc has no safe function. Each is wrapped in one that checks its
//! arguments and the returned status; those of cuSOLVER are in `solver`.
//!
//! Device memory is not memory of this process: a call with a wrong size can ruin a result or the GPU's context, which
//! the checks here prevent, but it cannot touch a Rust object. The host's memory must not be freed or changed while the
//! device still reads or writes it, so `download` and the solver wait for the device, and so does `staging`.
//!
//! Matrices are column-major here, as in BLAS and LAPACK: a row-major matrix is its transpose.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use candle_core::Error;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{self, Asum, AsumConfig, CudaBlas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr, result, sys,
};

type Result<T> = candle_core::Result<T>;

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
pub fn bytes_mut<'a, T: Number>(memory: &'a mut CudaViewMut<'_, T>) -> CudaViewMut<'a, u8> {
    let length = memory.len() * size_of::<T>();
    // SAFETY: a byte needs no alignment, and a `Number` is valid whatever bytes are written to it. The view has exactly
    // the bytes of `memory`, which stays borrowed.
    let bytes = unsafe { memory.transmute_mut(length) };
    bytes.expect("as many bytes as there are")
}

/// Device memory for numbers in float64, if that is what it is for.
pub fn as_f64_mut<'a, T: Number>(memory: &'a mut CudaViewMut<'_, T>) -> Result<CudaViewMut<'a, f64>> {
    let length = memory.len();
    if size_of::<T>() != size_of::<f64>() {
        candle_core::bail!("numbers of {} bytes are not in float64", size_of::<T>());
    }
    // SAFETY: both types have the same size, device memory is aligned for any, and both are valid whatever their bits are. The view
    // has exactly the bytes of `memory`, which stays borrowed.
    let numbers = unsafe { memory.transmute_mut(length) };
    numbers.ok_or_else(|| Error::Msg("there are fewer numbers than there is memory for".into()))
}

/// Bytes of the system's memory that are never swapped out, so that the device can read them by itself.
pub struct PageLocked {
    start: NonNull<u8>,
    length: usize,
    context: Arc<CudaContext>,
}

// SAFETY: this owns the memory, which belongs to no thread.
unsafe impl Send for PageLocked {}

impl PageLocked {
    /// `length` bytes that are zero. The processor caches them like all others, which it does not where memory is asked to be
    /// write-combined.
    pub fn new(context: &Arc<CudaContext>, length: usize) -> Result<Self> {
        context.bind_to_thread().w()?;
        // SAFETY: the context is bound to this thread, and 0 stands for no flags.
        let start = unsafe { result::malloc_host(length, 0) }.w()?.cast::<u8>();
        let Some(start) = NonNull::new(start) else { candle_core::bail!("the driver has allocated nothing") };
        // SAFETY: the allocation has `length` bytes from `start` on, and nothing else uses it yet.
        unsafe { start.write_bytes(0, length) };
        Ok(Self { start, length, context: Arc::clone(context) })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the `length` bytes from `start` on are initialised and live as long as `self`. The device only reads them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and nobody else in this process has a reference to them. That the device has read what was
        // there before is up to the caller; if it has not, it reads other numbers, but this process is not harmed.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for PageLocked {
    fn drop(&mut self) {
        let bound = self.context.bind_to_thread();
        // SAFETY: the memory comes from `malloc_host` and is freed once. Where the context cannot be bound, the device is
        // broken, and so is what depends on it.
        let freed = bound.and_then(|()| unsafe { result::free_host(self.start.as_ptr().cast()) });
        // A broken device keeps it until the process ends.
        let _ = freed;
    }
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
    gram: &mut CudaViewMut<'_, f64>,
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
pub fn norm(
    blas: &CudaBlas,
    stream: &CudaStream,
    vector: &impl DevicePtr<f64>,
    count: usize,
    stride: usize,
) -> Result<f64> {
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
pub fn trace(blas: &CudaBlas, gram: &impl DevicePtr<f64>, n: usize) -> Result<f64> {
    assert!(n > 0 && n * n <= gram.len());
    let (Ok(count), Ok(stride)) = (c_int::try_from(n), c_int::try_from(n + 1)) else {
        candle_core::bail!("a matrix of {n} rows is too large for cuBLAS")
    };
    let mut trace = 0.0;
    // SAFETY: n numbers of the n·n are read, every (n + 1)-th, and the result is written before the call returns.
    unsafe { blas.asum(AsumConfig { n: count, incx: stride }, gram, &mut trace) }.w()?;
    Ok(trace)
}

/// Returns the `error` after which `handles` are not needed. On a device that is broken they cannot be destroyed any more, and
/// cudarc's destructors panic when destroying fails, so that they are left as they are until the process ends.
pub fn forget_if_broken<T>(stream: &CudaStream, handles: T, error: Error) -> Error {
    if stream.context().synchronize().is_err() {
        std::mem::forget(handles);
    }
    error
}

/// The numbers in `memory`, once all earlier work in the stream is done.
pub fn download<T: DeviceRepr + Default + Clone>(stream: &Arc<CudaStream>, memory: &CudaSlice<T>) -> Result<Vec<T>> {
    let mut numbers = vec![T::default(); memory.len()];
    let copied = stream.memcpy_dtoh(memory, &mut numbers);
    // The copy may still be going on; until it is done, the numbers must not be freed.
    stream.synchronize().and(copied).w()?;
    Ok(numbers)
}
