//! The devices that singular values are computed on.

use std::ops::Range;
#[cfg(feature = "cuda")]
use std::sync::Arc;

#[cfg(feature = "cuda")]
use super::cuda;
use super::lane::Lane;
use super::{DeviceError, DeviceRequest, Fault, Method, direct, gram};

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
    /// At least one. The CPU beside GPUs measures their smallest modules.
    pub devices: Vec<Device>,
    /// Why GPUs of this machine are not used although the request allowed any device.
    pub passed_over: Vec<DeviceError>,
}

/// A GPU does float64 so many times slower than float32 if the CPU can keep up with it: on cards that are made for games it is
/// 32 to 64 times, on those for data centres 2 to 3 times.
const SLOW: u32 = 16;

impl Device {
    pub const CPU: Self = Self(DeviceKind::Cpu);

    /// Opens what `request` asks for.
    /// Fails if a GPU that was asked for cannot be used. [`DeviceRequest::Auto`] never fails.
    pub fn open(request: &DeviceRequest) -> Result<Opened, DeviceError> {
        match request {
            DeviceRequest::Cpu => Ok(Opened { devices: vec![Self::CPU], passed_over: Vec::new() }),
            DeviceRequest::Cuda(ordinals) => {
                let devices: Result<_, _> = ordinals.iter().map(|ordinal| Self::gpu(*ordinal)).collect();
                Ok(Opened { devices: devices?, passed_over: Vec::new() })
            }
            DeviceRequest::Auto => Ok(Self::open_all()),
        }
    }

    /// Opens all GPUs that can be used, and the CPU where it is needed or helps.
    fn open_all() -> Opened {
        let opened = Self::gpus().map_or_else(|error| vec![Err(error)], |gpus| gpus.map(Self::gpu).collect());
        let (mut devices, mut passed_over) = (Vec::new(), Vec::new());
        for gpu in opened {
            match gpu {
                Ok(device) => devices.push(device),
                Err(error @ DeviceError::Unusable { .. }) => passed_over.push(error),
                // There is none.
                Err(_) => {}
            }
        }
        if devices.iter().all(|gpu: &Self| gpu.float64_ratio().is_some_and(|ratio| ratio >= SLOW)) {
            devices.push(Self::CPU);
        }
        Opened { devices, passed_over }
    }

    /// The ordinals of this machine's GPUs.
    #[cfg(feature = "cuda")]
    fn gpus() -> Result<Range<usize>, DeviceError> {
        Ok(0..cuda::Gpu::count()?)
    }

    #[cfg(not(feature = "cuda"))]
    fn gpus() -> Result<Range<usize>, DeviceError> {
        Err(DeviceError::NoCuda)
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

    /// How many times slower than float32 a GPU does float64, if it tells; `None` for the CPU.
    pub fn float64_ratio(&self) -> Option<u32> {
        match &self.0 {
            DeviceKind::Cpu => None,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => gpu.float64_ratio(),
        }
    }

    /// The setting of the environment by which a GPU makes products of integers and not in float64, if there is one.
    pub fn emulation(&self) -> Option<&str> {
        match &self.0 {
            DeviceKind::Cpu => None,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(gpu) => gpu.emulation(),
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

    /// The largest short side of a weight whose singular values it can compute, given enough memory.
    pub(crate) fn largest(&self) -> usize {
        match &self.0 {
            DeviceKind::Cpu => usize::MAX,
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(_) => cuda::LARGEST,
        }
    }

    /// How many weights of `shape` it computes the singular values of faster together than one after the other.
    pub fn together(&self, shape: [usize; 2]) -> usize {
        match (&self.0, shape) {
            (DeviceKind::Cpu, _) => 1,
            #[cfg(feature = "cuda")]
            (DeviceKind::Cuda(gpu), shape) => gpu.together(shape),
        }
    }

    /// How it finds the eigenvalues of the Gram matrix of a weight of `shape`, in the names of its maker's functions; `None` for
    /// the CPU, which has one way.
    pub fn eigensolver(&self, shape: [usize; 2]) -> Option<String> {
        match (&self.0, shape) {
            (DeviceKind::Cpu, _) => None,
            #[cfg(feature = "cuda")]
            (DeviceKind::Cuda(gpu), shape) => Some(gpu.eigensolver(shape).to_string()),
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
            DeviceKind::Cuda(gpu) => gpu.stream().map(Lane::to_gpu),
        }
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
        assert!(!opened.devices.is_empty());
        let cpu = Device::open(&DeviceRequest::Cpu).expect("a device");
        assert_eq!((cpu.devices[0].name(), cpu.devices[0].lanes(3)), ("cpu".to_owned(), 3));
    }
}
