//! The devices that singular values are computed on, and the lanes by which weights reach them.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::{DType, Error, Shape, Tensor, bail};
use candle_nn::var_builder::{Backend, VarBuilderArgs};

#[cfg(feature = "cuda")]
use super::cuda;
use super::op::SingularValues;
use super::{DeviceError, DeviceRequest, Fault, Method, SpectrumError, direct, gram};
use crate::checkpoint::{Elements, Matrix};

/// What a device computes with. Only the CPU's results are the same to the last bit in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// This program's own arithmetic.
    Cpu,
    /// NVIDIA's libraries.
    Cuda,
}

/// A library of a device's maker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Library {
    pub file: String,
    /// `None` if the library does not tell.
    pub version: Option<String>,
}

impl Fault {
    /// The device's fault that an error of candle stands for, if it is one.
    fn of(error: &Error) -> Option<Self> {
        #[cfg(feature = "cuda")]
        return cuda::fault(error);
        #[cfg(not(feature = "cuda"))]
        {
            // Without CUDA there is only the CPU, whose errors are about the weight.
            let _ = error;
            None
        }
    }
}

/// One device: the CPU, or a GPU.
#[derive(Clone, Debug)]
pub struct Device(DeviceKind);

#[derive(Clone, Debug)]
enum DeviceKind {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Arc<cuda::Gpu>),
}

/// The devices that were opened for a request.
#[derive(Debug)]
pub struct Opened {
    /// At least one.
    pub devices: Vec<Device>,
    /// Why a GPU of this machine was not used although the request allowed any device.
    pub passed_over: Option<DeviceError>,
}

impl Device {
    pub const CPU: Self = Self(DeviceKind::Cpu);

    /// Opens what `request` asks for.
    /// Fails if a GPU that was asked for cannot be used. [`DeviceRequest::Auto`] never fails.
    pub fn open(request: &DeviceRequest) -> Result<Opened, DeviceError> {
        let cpu = || Opened { devices: vec![Self::CPU], passed_over: None };
        match request {
            DeviceRequest::Cpu => Ok(cpu()),
            DeviceRequest::Cuda(ordinals) => {
                let devices: Result<_, _> = ordinals.iter().map(|ordinal| Self::gpu(*ordinal)).collect();
                Ok(Opened { devices: devices?, passed_over: None })
            }
            DeviceRequest::Auto => Ok(match Self::gpu(0) {
                Ok(device) => Opened { devices: vec![device], passed_over: None },
                Err(error @ DeviceError::Unusable { .. }) => Opened { passed_over: Some(error), ..cpu() },
                Err(_) => cpu(),
            }),
        }
    }

    #[cfg(feature = "cuda")]
    fn gpu(ordinal: usize) -> Result<Self, DeviceError> {
        cuda::Gpu::open(ordinal).map(|gpu| Self(DeviceKind::Cuda(Arc::new(gpu))))
    }

    #[cfg(not(feature = "cuda"))]
    fn gpu(_ordinal: usize) -> Result<Self, DeviceError> {
        Err(DeviceError::NoCuda)
    }

    /// The name that `--device` and the manifest use, such as `cuda:0`.
    pub fn name(&self) -> String {
        match &self.0 {
            DeviceKind::Cpu => "cpu".into(),
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => format!("cuda:{}", gpu.ordinal()),
        }
    }

    /// The maker's name for it, if it is a GPU.
    pub fn model(&self) -> Option<&str> {
        match &self.0 {
            DeviceKind::Cpu => None,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => Some(gpu.model()),
        }
    }

    /// The libraries of its maker that it computes with; none for the CPU.
    pub fn libraries(&self) -> &[Library] {
        match &self.0 {
            DeviceKind::Cpu => &[],
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => gpu.libraries(),
        }
    }

    pub fn processor(&self) -> Processor {
        match &self.0 {
            DeviceKind::Cpu => Processor::Cpu,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(_) => Processor::Cuda,
        }
    }

    /// The most weights that it works on at once, if `threads` threads compute on the CPU.
    pub fn lanes(&self, threads: usize) -> usize {
        match &self.0 {
            DeviceKind::Cpu => threads,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(_) => cuda::LANES,
        }
    }

    /// The bytes of its memory that a weight of `shape`, stored in `stored` bytes, takes while its singular values are
    /// computed.
    pub(crate) fn bytes(&self, stored: u64, shape: [usize; 2], method: Method) -> u64 {
        stored
            + match &self.0 {
                DeviceKind::Cpu => workspace(shape, method),
                #[cfg(feature = "cuda")]
                DeviceKind::Cuda(_) => cuda::workspace(shape, method),
            }
    }

    /// The free bytes of a GPU's memory, if the GPU can tell; `None` for the CPU, which uses the system's memory.
    pub fn free_memory(&self) -> Result<Option<u64>, Fault> {
        match &self.0 {
            DeviceKind::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => gpu.free_memory().map(Some),
        }
    }

    /// Opens a lane to the device. Fails if a GPU has no memory for it or does not work.
    pub fn lane(&self) -> Result<Lane, Fault> {
        match &self.0 {
            DeviceKind::Cpu => Ok(Lane::CPU),
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => gpu.stream().map(|stream| Lane(LaneKind::Cuda(Box::new(stream)))),
        }
    }
}

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
        Ok(self.weight(matrix)?.device().synchronize()?)
    }

    /// The singular values of `matrix`, largest first; all NaN if one of its elements is not finite.
    pub(super) fn singular_values(&self, matrix: Matrix<'_>, method: Method) -> Result<Vec<f64>, SpectrumError> {
        let operation = SingularValues { method, lane: self };
        Ok(self.weight(matrix)?.apply_op1_no_bwd(&operation)?.to_vec1()?)
    }

    /// `matrix` on the device, by way of candle's `VarBuilder`.
    fn weight(&self, matrix: Matrix<'_>) -> candle_core::Result<Tensor> {
        let [rows, columns] = matrix.shape;
        // candle asks for a type here, which is not used: every matrix keeps its own.
        let builder = VarBuilderArgs::new_with_args(MatrixBackend(self), DType::F64, self.candle());
        builder.get_with_hints((rows, columns), "weight", matrix)
    }

    fn candle(&self) -> &candle_core::Device {
        match &self.0 {
            LaneKind::Cpu => &candle_core::Device::Cpu,
            #[cfg(feature = "cuda")]
            LaneKind::Cuda(stream) => stream.candle(),
        }
    }

    fn upload(&self, matrix: Matrix<'_>) -> candle_core::Result<Tensor> {
        let [rows, columns] = matrix.shape;
        let (dtype, bytes) = match matrix.elements {
            Elements::Decoded(numbers) => return Tensor::from_vec(numbers, (rows, columns), self.candle()),
            Elements::Stored(dtype, bytes) => (DType::try_from(dtype)?, bytes),
        };
        if bytes.len() != rows * columns * dtype.size_in_bytes() {
            bail!("{} bytes are no matrix of {rows} x {columns} numbers in {dtype:?}", bytes.len());
        }
        match &self.0 {
            LaneKind::Cpu => Tensor::from_raw_buffer(&bytes, dtype, &matrix.shape, &candle_core::Device::Cpu),
            #[cfg(feature = "cuda")]
            LaneKind::Cuda(stream) => stream.tensor(&bytes, dtype, matrix.shape),
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

/// A backend of candle-nn's `VarBuilder` that is given each matrix as its hint, and uploads it to the lane's device.
struct MatrixBackend<'a>(&'a Lane);

impl<'a> Backend for MatrixBackend<'a> {
    type Hints = Matrix<'a>;

    fn get(
        &self,
        shape: Shape,
        name: &str,
        matrix: Matrix<'a>,
        _dtype: DType,
        _device: &candle_core::Device,
    ) -> candle_core::Result<Tensor> {
        let matrix = self.0.upload(matrix)?;
        if matrix.shape() == &shape { Ok(matrix) } else { bail!("the {name} is {:?}", matrix.shape()) }
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &candle_core::Device) -> candle_core::Result<Tensor> {
        bail!("the {name} comes with a hint only")
    }

    fn contains_tensor(&self, _name: &str) -> bool {
        true
    }
}

impl From<Error> for SpectrumError {
    fn from(error: Error) -> Self {
        Fault::of(&error).map_or_else(|| Self::Failed(sentence(error)), Self::Device)
    }
}

/// The message of an error, without the backtrace that candle adds if RUST_BACKTRACE is set.
fn sentence(error: Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => sentence(*inner),
        error => error.to_string(),
    }
}

/// The bytes that computing singular values on the CPU takes for a weight of `shape`, not counting the weight itself.
fn workspace([rows, columns]: [usize; 2], method: Method) -> u64 {
    let elements = match method {
        Method::Gram => gram::workspace(rows, columns),
        Method::Direct => direct::workspace(rows, columns),
    };
    8 * elements as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_device() {
        let opened = Device::open(&DeviceRequest::Auto).expect("a device");
        assert_eq!(opened.devices.len(), 1);
        let cpu = Device::open(&DeviceRequest::Cpu).expect("a device");
        assert_eq!((cpu.devices[0].name(), cpu.devices[0].lanes(3)), ("cpu".to_owned(), 3));
    }
}
