//! The devices that numeric tests run on.

use std::sync::LazyLock;

use laser_scan::checkpoint::{Elements, Matrix};
use laser_scan::spectrum::{Device, DeviceError, DeviceRequest, Lane};

static LANES: LazyLock<Vec<Lane>> = LazyLock::new(|| {
    let gpus = match Device::open(&DeviceRequest::Cuda(vec![0])) {
        Ok(opened) => opened.devices,
        Err(DeviceError::NoCuda | DeviceError::NoGpu(_)) if std::env::var_os("LASER_SCAN_NEEDS_GPU").is_none() => {
            Vec::new()
        }
        Err(error) => panic!("{error}"),
    };
    [Device::CPU].into_iter().chain(gpus).map(|device| device.lane().expect("a lane")).collect()
});

/// A lane to the CPU and, where there is a GPU and this is a build for it, one to that. With LASER_SCAN_NEEDS_GPU set it is an
/// error that there is none: a run that is to test a GPU must not pass without.
pub fn lanes() -> &'static [Lane] {
    &LANES
}

/// The matrix of this shape with these elements, row after row.
pub fn matrix(elements: &[f64], shape: [usize; 2]) -> Matrix<'static> {
    Matrix { shape, elements: Elements::Decoded(elements.to_vec()) }
}
