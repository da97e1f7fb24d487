//! Singular values on NVIDIA's GPUs.
//!
//! A weight is copied to the GPU in its stored precision (`staging`) and surveyed and widened there by our own
//! `kernels`. Then cuBLAS and cuSOLVER multiply and reduce it in float64; their calls are in `raw`. Each [`Stream`]
//! does so for one weight at a time. Several streams keep the GPU and the bus busy at once, and fill the GPU where
//! matrices are small.
//!
//! A weight is widened panel by panel along its long side, so that, except on the direct route, it never lies on the
//! GPU as a whole in float64. Only the singular values are copied back.

mod fault;
mod gpu;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod installed;
mod kernels;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod libraries;
mod raw;
mod staging;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cublas::CudaBlas;
use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Shape, Storage, Tensor};

pub use fault::fault;
pub use gpu::Gpu;
use kernels::{Element, Kernel, Lines, Matrix};
use raw::{Product, Solver};
use staging::Staging;

use super::widen::Survey;
use super::{COHERENT, Invariants, Method, UNIT_ROUNDOFF, square_roots, values};

/// The streams of a GPU: enough to overlap the copies, products and reductions of several large matrices, and for small
/// matrices, whose reductions leave most of a GPU idle.
pub const LANES: usize = 8;

/// The approximate number of float64 numbers in a panel.
const PANEL: usize = 8 << 20;

/// The longest panel. It limits the length of the sums in a product, and so their rounding errors.
const LONGEST: usize = 4096;

/// The bytes that computing singular values on a GPU takes for a weight of `shape`, not counting the weight itself.
pub fn workspace([rows, columns]: [usize; 2], method: Method) -> u64 {
    let n = rows.min(columns);
    let matrix = match method {
        Method::Gram => n * n + n * depth(n),
        Method::Direct => rows * columns,
    };
    // cuSOLVER tells how much it takes only when it is called. As much as the Gram matrix takes is planned for.
    8 * (matrix + n * n) as u64
}

/// The extent along the long side of a panel of matrices with the short side `n`.
fn depth(n: usize) -> usize {
    (PANEL / n.max(1)).clamp(64, LONGEST)
}

/// A stream of work on a GPU, with all that measuring one weight at a time needs.
pub struct Stream {
    device: Device,
    cuda: CudaDevice,
    stream: Arc<CudaStream>,
    /// Only one thread at a time may use the libraries' handles.
    handles: Mutex<Handles>,
    staging: Mutex<Staging>,
}

struct Handles {
    blas: Arc<CudaBlas>,
    solver: Solver,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stream").field(&self.cuda).finish()
    }
}

impl Stream {
    fn new(ordinal: usize) -> candle_core::Result<Self> {
        // This is not the thread's default stream, because Xsyevd has had a defect with that.
        let cuda = CudaDevice::new_with_stream(ordinal)?;
        let stream = cuda.cuda_stream();
        let solver = Solver::new(&stream)?;
        let staging = Mutex::new(Staging::new(&stream)?);
        let handles = Mutex::new(Handles { blas: cuda.cublas_handle(), solver });
        Ok(Self { device: Device::Cuda(cuda.clone()), cuda, stream, handles, staging })
    }

    pub fn candle(&self) -> &Device {
        &self.device
    }

    /// Copies a matrix of `shape` to the GPU; `bytes` are little-endian numbers of type `dtype`.
    pub fn tensor(&self, bytes: &[u8], dtype: DType, shape: [usize; 2]) -> candle_core::Result<Tensor> {
        match dtype {
            DType::F64 => self.upload::<f64>(bytes, shape),
            DType::F32 => self.upload::<f32>(bytes, shape),
            DType::F16 => self.upload::<half::f16>(bytes, shape),
            DType::BF16 => self.upload::<half::bf16>(bytes, shape),
            _ => Tensor::from_raw_buffer(bytes, dtype, &shape, &self.device),
        }
    }

    fn upload<T: Element>(&self, bytes: &[u8], shape: [usize; 2]) -> candle_core::Result<Tensor> {
        let count = shape[0] * shape[1];
        if bytes.len() != count * size_of::<T>() {
            candle_core::bail!("{} bytes are no matrix of {} x {} numbers", bytes.len(), shape[0], shape[1]);
        }
        let mut numbers = raw::allocate::<T>(&self.stream, count)?;
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.upload(&self.stream, bytes, &mut raw::bytes_mut(&mut numbers))?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(numbers, self.cuda.clone()));
        Ok(Tensor::from_storage(storage, (shape[0], shape[1]), BackpropOp::none(), false))
    }

    /// Does on the GPU what the operation `SingularValues` does. The weight in `storage` must have come by this stream.
    pub fn singular_values(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
        method: Method,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("singular values need a contiguous matrix");
        };
        if storage.device().id() != self.cuda.id() {
            candle_core::bail!("the weight came by another lane");
        }
        let values = match &storage.slice {
            CudaStorageSlice::F64(data) => self.compute(Matrix { data: data.slice(start..end), rows, columns }, method),
            CudaStorageSlice::F32(data) => self.compute(Matrix { data: data.slice(start..end), rows, columns }, method),
            CudaStorageSlice::F16(data) => self.compute(Matrix { data: data.slice(start..end), rows, columns }, method),
            CudaStorageSlice::BF16(data) => {
                self.compute(Matrix { data: data.slice(start..end), rows, columns }, method)
            }
            _ => candle_core::bail!("singular values are taken of F64, F32, F16 or BF16"),
        };
        let is_well = || self.stream.context().synchronize().is_ok();
        let values = match values {
            Err(error) if fault::is_vague(&error) && is_well() => return Err(fault::out_of_memory()),
            values => values?,
        };
        let on_device = self.stream.clone_htod(&values).w()?;
        // The numbers must not be freed before they are copied.
        self.stream.synchronize().w()?;
        Ok((CudaStorage::wrap_cuda_slice(on_device, self.cuda.clone()), Shape::from(values.len())))
    }

    fn compute<T: Element>(&self, weight: Matrix<'_, T>, method: Method) -> candle_core::Result<Vec<f64>> {
        let count = weight.rows.min(weight.columns);
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        values(self.survey(&weight)?, count, |scale| match method {
            Method::Gram => self.by_gram_matrix(&handles, &weight, scale),
            Method::Direct => self.by_bidiagonalisation(&handles, &weight, scale),
        })
    }

    fn survey<T: Element>(&self, weight: &Matrix<'_, T>) -> candle_core::Result<Option<Survey>> {
        let mut rows = self.stream.alloc_zeros(weight.rows).w()?;
        let mut columns = self.stream.alloc_zeros(weight.columns).w()?;
        kernels::row_maxima(&self.stream, &self.kernel::<T>("row_maxima")?, weight, &mut rows)?;
        kernels::column_maxima(&self.stream, &self.kernel::<T>("column_maxima")?, weight, &mut columns)?;
        let numbers = |bits: Vec<u64>| bits.into_iter().map(f64::from_bits).collect::<Vec<_>>();
        let rows = numbers(raw::download(&self.stream, &rows)?);
        let columns = numbers(raw::download(&self.stream, &columns)?);
        Ok(Survey::of_maxima(&rows, &columns))
    }

    /// The singular values of `weight` divided by the power of two `scale`, as square roots of the eigenvalues of the
    /// short side's Gram matrix.
    fn by_gram_matrix<T: Element>(
        &self,
        Handles { blas, solver }: &Handles,
        weight: &Matrix<'_, T>,
        scale: f64,
    ) -> candle_core::Result<Vec<f64>> {
        let (rows, columns) = (weight.rows, weight.columns);
        let (n, long) = (rows.min(columns), rows.max(columns));
        let depth = depth(n).min(long);
        let kernel = self.kernel::<T>("widen")?;
        // The matrix must be zero above the diagonal, where nothing is written.
        let mut gram = self.stream.alloc_zeros::<f64>(n * n).w()?;
        let mut panel = raw::allocate::<f64>(&self.stream, n * depth)?;
        for start in (0..long).step_by(depth) {
            let k = depth.min(long - start);
            // BLAS takes the weight's rows for columns, because it expects column-major matrices.
            let (lines, product) = if rows <= columns {
                let lines = Lines { start, count: rows, length: k, line_stride: columns, stride: 1 };
                (lines, Product::OfColumns)
            } else {
                // These are whole rows, which are contiguous.
                let start = start * columns;
                let lines = Lines { start, count: 1, length: k * columns, line_stride: 0, stride: 1 };
                (lines, Product::OfRows)
            };
            kernels::widen(&self.stream, &kernel, &weight.data, lines, 1.0 / scale, &mut panel)?;
            raw::syrk(blas, &self.stream, product, (n, k), &panel, start == 0, &mut gram)?;
        }
        drop(panel);
        let trace = raw::trace(blas, &gram, n)?;
        let diagonal = raw::norm(blas, &self.stream, &gram, n, n + 1)?;
        let triangle = raw::norm(blas, &self.stream, &gram, n * n, 1)?;
        let squared_norm = 2.0 * triangle * triangle - diagonal * diagonal;
        let eigenvalues = raw::eigenvalues(solver, &mut gram, n)?;
        Invariants { trace, squared_norm, error: COHERENT }.check(&eigenvalues)?;
        Ok(square_roots(eigenvalues))
    }

    /// The singular values of `weight` divided by the power of two `scale`, by bidiagonalisation.
    fn by_bidiagonalisation<T: Element>(
        &self,
        Handles { blas, solver }: &Handles,
        weight: &Matrix<'_, T>,
        scale: f64,
    ) -> candle_core::Result<Vec<f64>> {
        let (rows, columns) = (weight.rows, weight.columns);
        let (n, long) = (rows.min(columns), rows.max(columns));
        // Lines run along the long side, because cuSOLVER takes no matrix with more columns than rows.
        let (line_stride, stride) = if rows <= columns { (columns, 1) } else { (1, columns) };
        let lines = Lines { start: 0, count: n, length: long, line_stride, stride };
        let mut matrix = raw::allocate::<f64>(&self.stream, n * long)?;
        kernels::widen(&self.stream, &self.kernel::<T>("widen")?, &weight.data, lines, 1.0 / scale, &mut matrix)?;
        let norm = raw::norm(blas, &self.stream, &matrix, n * long, 1)?;
        let values = raw::singular_values(solver, &mut matrix, long, n)?;
        // ‖W‖²_F = Σ σᵢ²
        let (sum, exact) = (values.iter().map(|value| value * value).sum::<f64>(), norm * norm);
        if (sum - exact).abs() <= (8.0 * n as f64 * UNIT_ROUNDOFF + COHERENT) * exact {
            Ok(values)
        } else {
            candle_core::bail!("the singular values do not add up to the weight's norm")
        }
    }

    fn kernel<T: Element>(&self, name: &str) -> candle_core::Result<Kernel> {
        let name = format!("{name}_{}", T::NAME);
        Ok(self.cuda.get_or_load_custom_func(&name, "laser-scan", kernels::COMPILED)?.into_cuda_function())
    }
}
