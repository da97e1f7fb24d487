//! The devices that numeric tests run on.

use std::sync::LazyLock;

use laser_scan::spectrum::{Device, DeviceRequest, Lane};

static LANES: LazyLock<Vec<Lane>> = LazyLock::new(|| {
    let gpu = Device::open(&DeviceRequest::Cuda(vec![0])).ok();
    let gpus = gpu.into_iter().flat_map(|opened| opened.devices);
    [Device::CPU].into_iter().chain(gpus).map(|device| device.lane().expect("a lane")).collect()
});

/// A lane to the CPU and, where there is a GPU and this is a build for it, one to that.
pub fn lanes() -> &'static [Lane] {
    &LANES
}
