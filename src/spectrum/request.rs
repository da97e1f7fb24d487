//! What a person can ask for with `--device`, and what can go wrong with a device.

use std::str::FromStr;

/// What a person asks for with `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// All GPUs, with the help of the CPU if they are slow in float64, or the CPU if there is none.
    Auto,
    Cpu,
    /// NVIDIA GPUs by their ordinals, at least one.
    Cuda(Vec<usize>),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("'{0}' is no device: use auto, cpu, cuda, cuda:0 or cuda:0,1")]
    Unknown(String),
    #[error(
        "this build of laser-scan has no CUDA support: build it with 'cargo build --release --features cuda', as docs/gpu.md says"
    )]
    NoCuda,
    /// The driver finds no GPU, for the reason given.
    #[error("no GPU is found ({0}): see whether 'nvidia-smi' lists one")]
    NoGpu(String),
    #[error("there is no cuda:{ordinal}: the last GPU here is cuda:{last}")]
    NoSuchGpu { ordinal: usize, last: usize },
    #[error("cuda:{ordinal} cannot be used ({reason}): docs/gpu.md says which driver and libraries it needs")]
    Unusable { ordinal: usize, reason: String },
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
                let ordinals: Vec<usize> =
                    ordinals.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| unknown())?;
                let is_repeated = (1..ordinals.len()).any(|at| ordinals[..at].contains(&ordinals[at]));
                if is_repeated { Err(unknown()) } else { Ok(Self::Cuda(ordinals)) }
            }
        }
    }
}

/// Why a device failed at a weight. It is not the weight's fault: another device can be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("out of memory")]
    OutOfMemory,
    /// A library failed in a way that may mean that it found no memory. The device still works.
    #[error("{0}, perhaps for want of memory")]
    Unclear(String),
    /// A library refused the weight. The device still works.
    #[error("{0}")]
    Refused(String),
    /// The device does not work any more.
    #[error("{0}")]
    Broken(String),
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
}
