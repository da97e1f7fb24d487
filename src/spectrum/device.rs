//! The devices that singular values are computed on.

use std::str::FromStr;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::{DType, Error, Shape, Tensor, bail};
use candle_nn::var_builder::{Backend, VarBuilderArgs};

#[cfg(feature = "cuda")]
use super::cuda;
use super::op::SingularValues;
use super::{Method, SpectrumError, direct, gram};
use crate::checkpoint::{Elements, Matrix};

/// What a person asks for with `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The first GPU, or the CPU where there is none.
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA devices by their ordinals.
    Cuda(Vec<usize>),
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The word is not a device.
    #[error("'{0}' is no device: use auto, cpu, cuda, cuda:0 or cuda:0,1")]
    Unknown(String),
    /// CUDA was asked for, and this binary has none.
    #[error(
        "this build of laser-scan has no CUDA support: build it with 'cargo build --release --features cuda', as its README \
         says, or use --device cpu"
    )]
    NoCuda,
    /// The driver finds no GPU.
    #[error("no GPU is found ({0}): see whether 'nvidia-smi' lists one, or use --device cpu")]
    NoGpu(String),
    /// The machine has GPUs, but not this one.
    #[error("there is no cuda:{ordinal}: the last GPU here is cuda:{last}")]
    NoSuchGpu {
        /// The GPU that was asked for.
        ordinal: usize,
        /// The last that there is.
        last: usize,
    },
    /// There is such a GPU, but it does not work.
    #[error(
        "cuda:{ordinal} cannot be used ({reason}): the README says which driver and libraries it needs; or use --device cpu"
    )]
    Unusable {
        /// The GPU.
        ordinal: usize,
        /// What it or its driver says.
        reason: String,
    },
}

impl FromStr for DeviceRequest {
    type Err = DeviceError;

    fn from_str(word: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(word.to_owned());
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(vec![0])),
            _ => {
                let ordinals = word.strip_prefix("cuda:").ok_or_else(unknown)?;
                let ordinals: Result<Vec<usize>, _> = ordinals.split(',').map(str::parse).collect();
                let ordinals = ordinals.map_err(|_| unknown())?;
                let twice = (1..ordinals.len()).any(|at| ordinals[..at].contains(&ordinals[at]));
                if twice { Err(unknown()) } else { Ok(Self::Cuda(ordinals)) }
            }
        }
    }
}

/// What a device computes with. Only the CPU's results are the same to the last bit in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Processor {
    /// This program's own arithmetic.
    Cpu,
    /// NVIDIA's libraries.
    Cuda,
}

/// Why a device did not do what it was asked. It is no fault of the weight's: another device can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It has not that much memory now.
    #[error("out of memory")]
    OutOfMemory,
    /// It, its driver or one of its libraries failed; nothing more is to be had from it.
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    /// The device's fault in an error of candle's, if it is one.
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
pub struct Device(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Arc<cuda::Gpu>),
}

/// What there is of what was asked for.
#[derive(Debug)]
pub struct Opened {
    /// The devices, at least one.
    pub devices: Vec<Device>,
    /// Why the machine's GPU is not among them although any would do.
    pub passed_over: Option<DeviceError>,
}

impl Device {
    /// The CPU.
    pub const CPU: Self = Self(Kind::Cpu);

    /// Opens what `request` asks for.
    ///
    /// # Errors
    ///
    /// [`DeviceError`] says which GPU cannot be had, and what to do. [`DeviceRequest::Auto`] never fails.
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
        cuda::Gpu::open(ordinal).map(|gpu| Self(Kind::Cuda(Arc::new(gpu))))
    }

    #[cfg(not(feature = "cuda"))]
    fn gpu(_ordinal: usize) -> Result<Self, DeviceError> {
        Err(DeviceError::NoCuda)
    }

    /// The name by which `--device` and the manifest call it.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Cpu => "cpu".into(),
            #[cfg(feature = "cuda")]
            Kind::Cuda(gpu) => format!("cuda:{}", gpu.ordinal()),
        }
    }

    /// What it is called by its maker, if that is more than its name says.
    pub fn model(&self) -> Option<&str> {
        match &self.0 {
            Kind::Cpu => None,
            #[cfg(feature = "cuda")]
            Kind::Cuda(gpu) => Some(gpu.model()),
        }
    }

    /// What it computes with.
    pub fn processor(&self) -> Processor {
        match &self.0 {
            Kind::Cpu => Processor::Cpu,
            #[cfg(feature = "cuda")]
            Kind::Cuda(_) => Processor::Cuda,
        }
    }

    /// How many weights it works on at once at most, of `threads` that compute on the CPU.
    pub fn lanes(&self, threads: usize) -> usize {
        match &self.0 {
            Kind::Cpu => threads,
            #[cfg(feature = "cuda")]
            Kind::Cuda(_) => cuda::LANES,
        }
    }

    /// The bytes of its memory that computing singular values takes for a weight of `shape` that takes `stored` bytes.
    pub fn bytes(&self, stored: u64, shape: [usize; 2], method: Method) -> u64 {
        stored
            + match &self.0 {
                Kind::Cpu => workspace(shape, method),
                #[cfg(feature = "cuda")]
                Kind::Cuda(_) => cuda::workspace(shape, method),
            }
    }

    /// The bytes that are free of its own memory; nothing for the CPU, whose memory is the system's.
    ///
    /// # Errors
    ///
    /// Fails if a GPU does not say.
    pub fn free_memory(&self) -> Result<Option<u64>, Fault> {
        match &self.0 {
            Kind::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Kind::Cuda(gpu) => gpu.free_memory().map(Some),
        }
    }

    /// A lane of its own for one weight after the other.
    ///
    /// # Errors
    ///
    /// Fails if a GPU has no memory for it, or does not work.
    pub fn lane(&self) -> Result<Lane, Fault> {
        match &self.0 {
            Kind::Cpu => Ok(Lane::CPU),
            #[cfg(feature = "cuda")]
            Kind::Cuda(gpu) => gpu.stream().map(|stream| Lane(Track::Cuda(Box::new(stream)))),
        }
    }
}

/// A way to a device and through it, for one weight at a time: on a GPU a stream, with its libraries' handles and the
/// memory from which weights go over.
#[derive(Debug)]
pub struct Lane(Track);

#[derive(Debug)]
enum Track {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::Stream>),
}

impl Lane {
    /// The CPU's.
    pub const CPU: Self = Self(Track::Cpu);

    /// What its device computes with.
    pub fn processor(&self) -> Processor {
        match &self.0 {
            Track::Cpu => Processor::Cpu,
            #[cfg(feature = "cuda")]
            Track::Cuda(_) => Processor::Cuda,
        }
    }

    /// Brings `matrix` to the device, and does nothing with it there: what of the time that a matrix takes is copying.
    ///
    /// # Errors
    ///
    /// [`SpectrumError`] says why the device does not take it.
    pub fn bring(&self, matrix: Matrix<'_>) -> Result<(), SpectrumError> {
        Ok(self.weight(matrix)?.device().synchronize()?)
    }

    /// The singular values of `matrix`, largest first; all NaN if one of its elements is no number.
    pub(super) fn singular_values(&self, matrix: Matrix<'_>, method: Method) -> Result<Vec<f64>, SpectrumError> {
        let operation = SingularValues { method, lane: self };
        Ok(self.weight(matrix)?.apply_op1_no_bwd(&operation)?.to_vec1()?)
    }

    /// `matrix` as candle has it.
    fn weight(&self, matrix: Matrix<'_>) -> candle_core::Result<Tensor> {
        let [rows, columns] = matrix.shape;
        // The type is candle's to ask for; every matrix comes in its own.
        let builder = VarBuilderArgs::new_with_args(Door(self), DType::F64, self.candle());
        builder.get_with_hints((rows, columns), "weight", matrix)
    }

    /// Its device as candle knows it.
    fn candle(&self) -> &candle_core::Device {
        match &self.0 {
            Track::Cpu => &candle_core::Device::Cpu,
            #[cfg(feature = "cuda")]
            Track::Cuda(stream) => stream.candle(),
        }
    }

    /// `matrix` on the device.
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
            Track::Cpu => Tensor::from_raw_buffer(&bytes, dtype, &matrix.shape, &candle_core::Device::Cpu),
            #[cfg(feature = "cuda")]
            Track::Cuda(stream) => stream.tensor(&bytes, dtype, matrix.shape),
        }
    }

    /// Its stream, if its device is a GPU.
    #[cfg(feature = "cuda")]
    pub(super) fn stream(&self) -> Option<&cuda::Stream> {
        match &self.0 {
            Track::Cpu => None,
            Track::Cuda(stream) => Some(stream),
        }
    }

    /// Leaves a lane of a broken device. Its handles cannot be destroyed any more, and cudarc's destructors panic where they
    /// cannot destroy, so that they are left to the end of the process.
    pub fn abandon(self) {
        let _ = std::mem::ManuallyDrop::new(self);
    }
}

/// The door through which a matrix comes to a lane's device: a backend of candle-nn's `VarBuilder`, whose hint is the matrix.
struct Door<'a>(&'a Lane);

impl<'a> Backend for Door<'a> {
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

/// What an error says, without the backtrace that candle adds where RUST_BACKTRACE is set.
fn sentence(error: Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => sentence(*inner),
        error => error.to_string(),
    }
}

/// The bytes of the system's memory that singular values take on the CPU for a weight of `shape` beside the weight itself.
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
    fn device_words_are_read() {
        assert_eq!("auto".parse::<DeviceRequest>().ok(), Some(DeviceRequest::Auto));
        assert_eq!("cpu".parse::<DeviceRequest>().ok(), Some(DeviceRequest::Cpu));
        assert_eq!("cuda".parse::<DeviceRequest>().ok(), Some(DeviceRequest::Cuda(vec![0])));
        assert_eq!("cuda:0,2".parse::<DeviceRequest>().ok(), Some(DeviceRequest::Cuda(vec![0, 2])));
        for wrong in ["gpu", "cuda:", "cuda:x", "cuda0", "CPU", "", "cuda:1,1", "cuda:-1"] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_is_always_a_device() {
        let opened = Device::open(&DeviceRequest::Auto).expect("a device");
        assert_eq!(opened.devices.len(), 1);
        let cpu = Device::open(&DeviceRequest::Cpu).expect("a device");
        assert_eq!((cpu.devices[0].name(), cpu.devices[0].lanes(3)), ("cpu".to_owned(), 3));
    }
}
