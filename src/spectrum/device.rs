//! The device that singular values are computed on.

use std::str::FromStr;

/// What a person asks for with `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The best device there is.
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
    #[error("this build of laser-scan has no CUDA support: use --device cpu")]
    NoCuda,
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
                ordinals.map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// An opened device.
#[derive(Clone, Debug)]
pub struct Device(candle_core::Device);

impl Device {
    /// Opens what `request` asks for.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoCuda`] if CUDA is asked for: this build computes on the CPU.
    pub fn open(request: &DeviceRequest) -> Result<Self, DeviceError> {
        match request {
            DeviceRequest::Auto | DeviceRequest::Cpu => Ok(Self(candle_core::Device::Cpu)),
            DeviceRequest::Cuda(_) => Err(DeviceError::NoCuda),
        }
    }

    /// The name by which the manifest calls it.
    pub fn name(&self) -> &'static str {
        match self.0 {
            candle_core::Device::Cpu => "cpu",
            candle_core::Device::Cuda(_) => "cuda",
            candle_core::Device::Metal(_) => "metal",
        }
    }

    /// The device as candle knows it.
    pub fn candle(&self) -> &candle_core::Device {
        &self.0
    }
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
        for wrong in ["gpu", "cuda:", "cuda:x", "cuda0", "CPU", ""] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }
}
