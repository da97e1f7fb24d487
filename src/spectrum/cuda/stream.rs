//! A stream of work on a GPU, with all that measuring one weight at a time, or a batch of small ones, needs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cublas::CudaBlas;
use candle_core::cuda_backend::cudarc::driver::{CudaModule, CudaSlice, CudaStream, CudaView, CudaViewMut};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Shape, Storage, Tensor};

use super::eigensolver::{Abilities, Eigensolver};
use super::fault;
use super::kernels::{self, Element, Kernel};
use super::raw::{self, Number};
use super::solver::{self, Solver};
use super::staging::Staging;
use crate::checkpoint::{Axis, Coded, Elements, Groups, Layout as CodeLayout, Matrix, Order};
use crate::spectrum::{Fault, Method};

pub struct Stream {
    device: Device,
    cuda: CudaDevice,
    pub(super) stream: Arc<CudaStream>,
    kernels: Arc<CudaModule>,
    pub(super) abilities: Abilities,
    /// Only one thread at a time may use the libraries' handles.
    handles: Mutex<Handles>,
    staging: Mutex<Staging>,
}

/// Symmetric matrices on a GPU, whose eigenvalues are to be found.
#[derive(Debug)]
pub struct Problem {
    matrices: CudaSlice<f64>,
    n: usize,
    count: usize,
}

pub(super) struct Handles {
    pub blas: Arc<CudaBlas>,
    pub solver: Solver,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stream").field(&self.cuda).finish()
    }
}

impl Stream {
    /// Opens a stream, and computes with it once: only then have the libraries taken all of their memory.
    pub(super) fn new(ordinal: usize, abilities: Abilities) -> candle_core::Result<Self> {
        // This is not the thread's default stream, because Xsyevd has had a defect with that.
        let cuda = CudaDevice::new_with_stream(ordinal)?;
        let stream = cuda.cuda_stream();
        let kept = cuda.clone();
        let opened =
            Self::with(cuda, abilities).and_then(|opened| match opened.of_numbers(&[1.0, 2.0, 3.0, 4.0], [2, 2]) {
                Ok(_) => Ok(opened),
                Err(error) => Err(raw::forget_if_broken(&stream, opened, error)),
            });
        opened.map_err(|error| raw::forget_if_broken(&stream, kept, error))
    }

    fn with(cuda: CudaDevice, abilities: Abilities) -> candle_core::Result<Self> {
        let stream = cuda.cuda_stream();
        let kernels = kernels::load(stream.context())?;
        let staging = Mutex::new(Staging::new(stream.context())?);
        let solver = Solver::new(&stream)?;
        let handles = Mutex::new(Handles { blas: cuda.cublas_handle(), solver });
        Ok(Self { device: Device::Cuda(cuda.clone()), cuda, stream, kernels, abilities, handles, staging })
    }

    /// The singular values of a matrix of `shape` in float64, largest first, by the Gram route.
    pub(super) fn of_numbers(&self, numbers: &[f64], [rows, columns]: [usize; 2]) -> candle_core::Result<Vec<f64>> {
        let on_device = self.stream.clone_htod(numbers).w()?;
        self.values(&on_device.slice(..), [1, rows, columns], Method::Gram)
    }

    /// The GPU's fault, if `error`, which has occurred on this stream, is one of CUDA's.
    pub fn fault(&self, error: &candle_core::Error) -> Option<Fault> {
        fault::fault(error, || self.stream.context().synchronize().is_ok())
    }

    pub fn candle(&self) -> &Device {
        &self.device
    }

    /// Copies `matrices`, which have one shape and one type, to the GPU, one behind the other. Quantised ones are copied as they
    /// are stored, and decoded there.
    pub fn tensor(&self, matrices: &[Matrix<'_>]) -> candle_core::Result<Tensor> {
        let Some(first) = matrices.first() else { candle_core::bail!("there is no matrix") };
        let dtype = dtype(first)?;
        for matrix in matrices {
            if matrix.shape != first.shape || self::dtype(matrix)? != dtype {
                candle_core::bail!("matrices of several shapes or types do not go over together");
            }
        }
        match dtype {
            DType::F64 => self.upload::<f64>(matrices),
            DType::F32 => self.upload::<f32>(matrices),
            DType::F16 => self.upload::<half::f16>(matrices),
            DType::BF16 => self.upload::<half::bf16>(matrices),
            _ => candle_core::bail!("singular values are taken of F64, F32, F16 or BF16"),
        }
    }

    fn upload<T: Element>(&self, matrices: &[Matrix<'_>]) -> candle_core::Result<Tensor> {
        let [rows, columns] = matrices[0].shape;
        let size = rows * columns;
        let mut numbers = raw::allocate::<T>(&self.stream, matrices.len() * size)?;
        for (at, matrix) in matrices.iter().enumerate() {
            let mut target = numbers.slice_mut(at * size..(at + 1) * size);
            match &matrix.elements {
                Elements::Stored(_, bytes) => self.send(bytes.len(), &mut target, |at, part| bytes.copy(at, part))?,
                Elements::Decoded(numbers) => {
                    let bytes = pulp::bytemuck::cast_slice::<f64, u8>(numbers);
                    self.send(bytes.len(), &mut target, |at, part| part.copy_from_slice(&bytes[at..at + part.len()]))?;
                }
                Elements::Coded(coded) => {
                    let mut codes = raw::allocate::<u8>(&self.stream, coded.codes.len())?;
                    self.send(coded.codes.len(), &mut codes.slice_mut(..), |at, part| coded.codes.copy(at, part))?;
                    self.decode(coded, &codes, &mut raw::as_f64_mut(&mut target)?)?;
                }
            }
        }
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(numbers, self.cuda.clone()));
        Ok(Tensor::from_storage(storage, (matrices.len(), rows, columns), BackpropOp::none(), false))
    }

    /// Copies `length` bytes to `target`, which must have as many. `copy` writes those from a place on to page-locked memory.
    fn send<T: Number>(
        &self,
        length: usize,
        target: &mut CudaViewMut<'_, T>,
        copy: impl Fn(usize, &mut [u8]),
    ) -> candle_core::Result<()> {
        let mut target = raw::bytes_mut(target);
        if target.len() != length {
            candle_core::bail!("{length} bytes are no matrix that takes {}", target.len());
        }
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.upload(&self.stream, &mut target, copy)
    }

    /// Writes the numbers of a quantised matrix, whose `codes` have been copied, to `target`.
    fn decode(
        &self,
        coded: &Coded<'_>,
        codes: &CudaSlice<u8>,
        target: &mut CudaViewMut<'_, f64>,
    ) -> candle_core::Result<()> {
        if !coded.is_whole() {
            candle_core::bail!("codes or scales are missing");
        }
        // Nothing is never allocated.
        let on_device =
            |numbers: &[f64]| self.stream.clone_htod(if numbers.is_empty() { &[0.0][..] } else { numbers }).w();
        let lines = |groups: &[usize]| {
            let groups: Vec<u64> = groups.iter().map(|group| *group as u64).collect();
            self.stream.clone_htod(if groups.is_empty() { &[0][..] } else { &groups[..] }).w()
        };
        let (rows, columns, size) = match &coded.groups {
            Groups::OfLines { rows, columns } => (lines(rows)?, lines(columns)?, 0),
            Groups::OfElements(size) => (lines(&[])?, lines(&[])?, *size as u64),
        };
        // What is not page-locked the driver has read when a copy returns, so that all of this may be freed.
        let zeros = coded.zeros.as_deref();
        kernels::decode(
            &self.stream,
            &self.kernel("decode")?,
            &kernels::Decoding {
                codes,
                values: &on_device(&coded.values)?,
                scales: &on_device(&coded.scales)?,
                zeros: &on_device(zeros.unwrap_or_default())?,
                groups_of_rows: &rows,
                groups_of_columns: &columns,
                settings: &self.stream.clone_htod(&settings(coded, size)).w()?,
                stored: coded.stored,
            },
            target,
        )
    }

    /// Does on the GPU what the operation `SingularValues` does. The weights in `storage` must have come by this stream.
    pub fn singular_values(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
        method: Method,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (count, rows, columns) = layout.shape().dims3()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("singular values need contiguous matrices");
        };
        if storage.device().id() != self.cuda.id() {
            candle_core::bail!("the weight came by another lane");
        }
        let shape = [count, rows, columns];
        let values = match &storage.slice {
            CudaStorageSlice::F64(data) => self.values(&data.slice(start..end), shape, method),
            CudaStorageSlice::F32(data) => self.values(&data.slice(start..end), shape, method),
            CudaStorageSlice::F16(data) => self.values(&data.slice(start..end), shape, method),
            CudaStorageSlice::BF16(data) => self.values(&data.slice(start..end), shape, method),
            _ => candle_core::bail!("singular values are taken of F64, F32, F16 or BF16"),
        }?;
        let on_device = self.stream.clone_htod(&values).w()?;
        // The numbers must not be freed before they are copied.
        self.stream.synchronize().w()?;
        Ok((CudaStorage::wrap_cuda_slice(on_device, self.cuda.clone()), Shape::from((count, rows.min(columns)))))
    }

    /// The singular values of `count` matrices that lie one behind the other, those of each largest first.
    fn values<T: Element>(
        &self,
        data: &CudaView<'_, T>,
        [count, rows, columns]: [usize; 3],
        method: Method,
    ) -> candle_core::Result<Vec<f64>> {
        let size = rows * columns;
        let matrix = |at: usize| kernels::Matrix { data: data.slice(at * size..(at + 1) * size), rows, columns };
        let weights: Vec<kernels::Matrix<'_, T>> = (0..count).map(matrix).collect();
        let handles = self.handles();
        match method {
            Method::Gram => self.by_gram_matrices(&handles, &weights),
            Method::Direct => {
                let each: candle_core::Result<Vec<_>> =
                    weights.iter().map(|weight| self.by_bidiagonalisation(&handles, weight)).collect();
                Ok(each?.concat())
            }
        }
    }

    /// A problem of `count` symmetric matrices of order `n`.
    pub fn problem(&self, n: usize, count: usize) -> candle_core::Result<Problem> {
        let element = |at: usize| {
            let (row, column) = (at / n % n, at % n);
            // It depends on the lesser and the greater index alone.
            let pair = (row.min(column) * n + row.max(column)) as u64;
            (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        let numbers: Vec<f64> = (0..count * n * n).map(element).collect();
        Ok(Problem { matrices: self.stream.clone_htod(&numbers).w()?, n, count })
    }

    /// Solves a problem in one `way`.
    pub fn solve_problem(&self, problem: &Problem, way: Eigensolver) -> candle_core::Result<()> {
        let mut matrices = self.stream.clone_dtod(&problem.matrices).w()?;
        self.solve(way, &self.handles().solver, &mut matrices, problem.n, problem.count).map(drop)
    }

    /// Reduces the first matrix of a problem to a tridiagonal one in one stage, and does nothing else.
    pub fn reduce_problem(&self, problem: &Problem) -> candle_core::Result<()> {
        let mut matrices = self.stream.clone_dtod(&problem.matrices).w()?;
        solver::tridiagonal(&self.handles().solver, &mut matrices, problem.n).map(drop)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel of this name for elements of type `T`.
    pub(super) fn kernel_for<T: Element>(&self, name: &str) -> candle_core::Result<Kernel> {
        self.kernel(&format!("{name}_{}", T::NAME))
    }

    pub(super) fn kernel(&self, name: &str) -> candle_core::Result<Kernel> {
        self.kernels.load_function(name).w()
    }
}

/// The type of the numbers that a matrix has on a GPU.
fn dtype(matrix: &Matrix<'_>) -> candle_core::Result<DType> {
    Ok(match &matrix.elements {
        Elements::Stored(dtype, _) => DType::try_from(*dtype)?,
        Elements::Coded(_) | Elements::Decoded(_) => DType::F64,
    })
}

/// The `Settings` of kernels.cu for `coded`, whose groups have so many elements if they are not of lines.
fn settings(coded: &Coded<'_>, elements_of_group: u64) -> [u64; 8] {
    let (layout, bits, is_awq) = match coded.layout {
        CodeLayout::Bytes => (0, 0, false),
        CodeLayout::Pairs(Axis::Columns) => (1, 0, false),
        CodeLayout::Pairs(Axis::Rows) => (2, 0, false),
        CodeLayout::HighFirst => (3, 0, false),
        CodeLayout::Packed { bits, axis: Axis::Columns, order } => (4, bits, order == Order::Awq),
        CodeLayout::Packed { bits, axis: Axis::Rows, order } => (5, bits, order == Order::Awq),
    };
    let [rows, columns] = coded.stored.map(|extent| extent as u64);
    let is_transposed = u64::from(coded.transposed);
    let zeros = match (&coded.zeros, coded.is_zero_added) {
        (None, _) => 0,
        (Some(_), false) => 1,
        (Some(_), true) => 2,
    };
    [layout, u64::from(bits), u64::from(is_awq), rows, columns, is_transposed, zeros, elements_of_group]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::DeviceError;
    use crate::spectrum::cuda::Gpu;

    /// A stream, where there is a GPU. With LASER_SCAN_NEEDS_GPU set it is an error that there is none.
    fn stream() -> Option<Stream> {
        match Gpu::open(0) {
            Ok(gpu) => Some(gpu.stream().expect("a stream")),
            Err(DeviceError::NoGpu(_)) if std::env::var_os("LASER_SCAN_NEEDS_GPU").is_none() => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Numbers below `end` that look like any.
    fn random(count: usize, end: u64) -> impl Iterator<Item = u64> {
        (0..count as u64).map(move |at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % end)
    }

    fn numbers(count: usize) -> Vec<f64> {
        random(count, 1000).map(|number| (number as f64 - 500.0) / 37.0).collect()
    }

    #[test]
    fn quantised_weights_have_the_same_numbers_as_on_the_cpu() {
        let Some(stream) = stream() else { return };
        let stored = [24usize, 60];
        let [rows, columns] = stored;
        let packed = |bits, axis, order| CodeLayout::Packed { bits, axis, order };
        let words = [2, 3, 4, 8].into_iter().flat_map(|bits| {
            [Axis::Rows, Axis::Columns].map(|axis| (packed(bits, axis, Order::Sequential), bits as usize))
        });
        let layouts = [
            (CodeLayout::Bytes, 8),
            (CodeLayout::Pairs(Axis::Rows), 4),
            (CodeLayout::Pairs(Axis::Columns), 4),
            (CodeLayout::HighFirst, 4),
            (packed(4, Axis::Columns, Order::Awq), 4),
        ];
        for (layout, bits) in layouts.into_iter().chain(words) {
            let values = match layout {
                CodeLayout::Packed { .. } => Vec::new(),
                CodeLayout::Bytes => numbers(256),
                CodeLayout::Pairs(_) | CodeLayout::HighFirst => numbers(16),
            };
            // Blocks of five rows and eight columns, rows in any order.
            let of_lines = Groups::OfLines {
                rows: random(rows, 5).map(|group| group as usize * 8).collect(),
                columns: (0..columns).map(|column| column / 8).collect(),
            };
            for (groups, count) in [(of_lines, 40), (Groups::OfElements(48), rows * columns / 48)] {
                for (zeros, is_zero_added) in
                    [(None, false), (Some(numbers(count)), false), (Some(numbers(count)), true)]
                {
                    for transposed in [false, true] {
                        let coded = Coded {
                            codes: random(rows * columns * bits / 4, 256)
                                .map(|byte| byte as u8)
                                .collect::<Vec<u8>>()
                                .into(),
                            layout,
                            values: values.clone(),
                            stored,
                            transposed,
                            groups: groups.clone(),
                            scales: numbers(count),
                            zeros: zeros.clone(),
                            is_zero_added,
                        };
                        let exact = coded.numbers();
                        let what = format!("{layout:?} {is_zero_added} {transposed}");
                        let shape = coded.shape();
                        let coded = Matrix { shape, elements: Elements::Coded(Box::new(coded)) };
                        let decoded = stream.tensor(&[coded.clone(), coded]).expect("there");
                        let decoded: Vec<f64> = decoded.flatten_all().and_then(|all| all.to_vec1()).expect("numbers");
                        assert_eq!(decoded, [&exact[..], &exact[..]].concat(), "{what}");
                    }
                }
            }
        }
    }
}
