//! The lanes by which weights reach devices, by way of candle.

use candle_core::{DType, Error, Shape, Tensor, bail};
use candle_nn::var_builder::{Backend, VarBuilderArgs};

#[cfg(feature = "cuda")]
use super::cuda;
use super::op::SingularValues;
use super::{Method, Processor, SpectrumError};
use crate::checkpoint::{Elements, Matrix};

/// The means to bring one weight at a time to a device and to compute there: on a GPU a stream, with the libraries'
/// handles and the memory from which weights are copied.
#[derive(Debug)]
pub struct Lane(LaneKind);

#[derive(Debug)]
enum LaneKind {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::Stream>),
}

impl Lane {
    pub const CPU: Self = Self(LaneKind::Cpu);

    #[cfg(feature = "cuda")]
    pub(super) fn to_gpu(stream: cuda::Stream) -> Self {
        Self(LaneKind::Cuda(Box::new(stream)))
    }

    pub fn processor(&self) -> Processor {
        match &self.0 {
            LaneKind::Cpu => Processor::Cpu,
            #[cfg(feature = "cuda")]
            LaneKind::Cuda(_) => Processor::Cuda,
        }
    }

    /// Copies `matrix` to the device and does nothing else, so that benchmarks can measure how long copying takes.
    /// Fails if the device does, or if the matrix's bytes do not fit its shape.
    pub fn bring(&self, matrix: Matrix<'_>) -> Result<(), SpectrumError> {
        let bring = || self.weights(vec![matrix])?.device().synchronize();
        bring().map_err(|error| self.explain(error))
    }

    /// Puts `count` symmetric matrices of order `n` on a GPU, so that benchmarks can compare ways to their eigenvalues. Fails if the
    /// device does, or if it is the CPU.
    #[cfg(feature = "cuda")]
    pub fn problem(&self, n: usize, count: usize) -> Result<cuda::Problem, SpectrumError> {
        self.on_gpu()?.problem(n, count).map_err(|error| self.explain(error))
    }

    /// Solves a problem in one way and does nothing else. Fails if the device does, or if its libraries do not have this way.
    #[cfg(feature = "cuda")]
    pub fn solve(&self, problem: &cuda::Problem, way: cuda::Eigensolver) -> Result<(), SpectrumError> {
        self.on_gpu()?.solve_problem(problem, way).map_err(|error| self.explain(error))
    }

    /// Reduces the matrix of a problem to a tridiagonal one, which is the first step of some ways. Fails if the device does.
    #[cfg(feature = "cuda")]
    pub fn reduce(&self, problem: &cuda::Problem) -> Result<(), SpectrumError> {
        self.on_gpu()?.reduce_problem(problem).map_err(|error| self.explain(error))
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self) -> Result<&cuda::Stream, SpectrumError> {
        self.stream().ok_or_else(|| SpectrumError::Failed("the CPU has one way to eigenvalues".into()))
    }

    /// The singular values of each of `matrices`, largest first; all NaN if one of its elements is not finite.
    pub(super) fn singular_values(
        &self,
        matrices: Vec<Matrix<'_>>,
        method: Method,
    ) -> Result<Vec<Vec<f64>>, SpectrumError> {
        let operation = SingularValues { method, lane: self };
        let compute = || self.weights(matrices)?.apply_op1_no_bwd(&operation)?.to_vec2();
        compute().map_err(|error| self.explain(error))
    }

    /// What an error of candle means that has occurred on this lane. Errors on the CPU are about the weight.
    fn explain(&self, error: Error) -> SpectrumError {
        #[cfg(feature = "cuda")]
        if let Some(fault) = self.stream().and_then(|stream| stream.fault(&error)) {
            return SpectrumError::Device(fault);
        }
        SpectrumError::Failed(sentence(error))
    }

    /// `matrices` on the device, one behind the other, by way of candle's `VarBuilder`.
    fn weights(&self, matrices: Vec<Matrix<'_>>) -> candle_core::Result<Tensor> {
        let [rows, columns] = matrices.first().map_or([0, 0], |matrix| matrix.shape);
        // candle asks for a type here, which is not used: every matrix keeps its own.
        let builder = VarBuilderArgs::new_with_args(MatrixBackend(self), DType::F64, self.candle());
        builder.get_with_hints((matrices.len(), rows, columns), "weight", matrices)
    }

    fn candle(&self) -> &candle_core::Device {
        match &self.0 {
            LaneKind::Cpu => &candle_core::Device::Cpu,
            #[cfg(feature = "cuda")]
            LaneKind::Cuda(stream) => stream.candle(),
        }
    }

    fn upload(&self, matrices: Vec<Matrix<'_>>) -> candle_core::Result<Tensor> {
        match &self.0 {
            LaneKind::Cpu => {
                let each = matrices.into_iter().map(on_cpu).collect::<candle_core::Result<Vec<Tensor>>>()?;
                // A single one is not copied.
                if let [one] = &each[..] { one.unsqueeze(0) } else { Tensor::stack(&each, 0) }
            }
            #[cfg(feature = "cuda")]
            LaneKind::Cuda(stream) => stream.tensor(&matrices),
        }
    }

    /// The stream, if the device is a GPU.
    #[cfg(feature = "cuda")]
    pub(super) fn stream(&self) -> Option<&cuda::Stream> {
        match &self.0 {
            LaneKind::Cpu => None,
            LaneKind::Cuda(stream) => Some(stream),
        }
    }

    /// Leaves the lane of a broken device as it is until the process ends: its handles cannot be destroyed any more,
    /// and cudarc's destructors panic when destroying fails.
    pub(crate) fn abandon(self) {
        let _ = std::mem::ManuallyDrop::new(self);
    }
}

fn on_cpu(matrix: Matrix<'_>) -> candle_core::Result<Tensor> {
    let [rows, columns] = matrix.shape;
    match matrix.elements {
        Elements::Coded(coded) => Tensor::from_vec(coded.numbers(), (rows, columns), &candle_core::Device::Cpu),
        Elements::Decoded(numbers) => Tensor::from_vec(numbers, (rows, columns), &candle_core::Device::Cpu),
        Elements::Stored(dtype, bytes) => {
            let dtype = DType::try_from(dtype)?;
            if bytes.len() != rows * columns * dtype.size_in_bytes() {
                bail!("{} bytes are no matrix of {rows} x {columns} numbers in {dtype:?}", bytes.len());
            }
            Tensor::from_raw_buffer(&bytes, dtype, &matrix.shape, &candle_core::Device::Cpu)
        }
    }
}

/// A backend of candle-nn's `VarBuilder` that is given the matrices as its hint, and uploads them to the lane's device.
struct MatrixBackend<'a>(&'a Lane);

impl<'a> Backend for MatrixBackend<'a> {
    type Hints = Vec<Matrix<'a>>;

    fn get(
        &self,
        shape: Shape,
        name: &str,
        matrices: Vec<Matrix<'a>>,
        _dtype: DType,
        _device: &candle_core::Device,
    ) -> candle_core::Result<Tensor> {
        let matrices = self.0.upload(matrices)?;
        if matrices.shape() == &shape { Ok(matrices) } else { bail!("the {name} is {:?}", matrices.shape()) }
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &candle_core::Device) -> candle_core::Result<Tensor> {
        bail!("the {name} comes with a hint only")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}

/// The message of an error, without the backtrace that candle adds if RUST_BACKTRACE is set.
fn sentence(error: Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => sentence(*inner),
        error => error.to_string(),
    }
}
