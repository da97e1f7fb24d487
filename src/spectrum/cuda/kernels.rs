//! The kernels of kernels.cu, each launched by a function that checks its arguments.

#![allow(unsafe_code)]

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, CudaView, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};

use super::raw::Number;

type Result<T> = candle_core::Result<T>;

/// The kernels as `build.rs` compiled them.
pub const COMPILED: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The threads of a block.
const BLOCK: u32 = 256;

/// The most blocks that CUDA allows along a grid's second axis. They are enough along the first, too.
const MOST_BLOCKS: usize = 65535;

pub type Kernel = CudaFunction;

/// A type of weights for which there are kernels.
pub trait Element: Number + CudaDType {
    /// The ending of its kernels' names.
    const NAME: &'static str;
}

impl Element for f64 {
    const NAME: &'static str = "f64";
}

impl Element for f32 {
    const NAME: &'static str = "f32";
}

impl Element for half::f16 {
    const NAME: &'static str = "f16";
}

impl Element for half::bf16 {
    const NAME: &'static str = "bf16";
}

/// A matrix as it is stored, row after row.
pub struct Matrix<'a, T> {
    pub data: CudaView<'a, T>,
    pub rows: usize,
    pub columns: usize,
}

/// Lines of a matrix that are to be widened. Line number i has every `stride`-th element from `start` + i ·
/// `line_stride` on.
#[derive(Clone, Copy)]
pub struct Lines {
    pub start: usize,
    pub count: usize,
    pub length: usize,
    pub line_stride: usize,
    pub stride: usize,
}

/// Launches the kernel that writes the bits of the largest absolute value of each row to `maxima`, which is zero.
pub fn row_maxima<T: Element>(
    stream: &CudaStream,
    kernel: &Kernel,
    weight: &Matrix<'_, T>,
    maxima: &mut CudaSlice<u64>,
) -> Result<()> {
    assert!(maxima.len() == weight.rows);
    maxima_of(stream, kernel, (weight.rows.min(MOST_BLOCKS) as u32, 1), weight, maxima)
}

/// The same for each column.
pub fn column_maxima<T: Element>(
    stream: &CudaStream,
    kernel: &Kernel,
    weight: &Matrix<'_, T>,
    maxima: &mut CudaSlice<u64>,
) -> Result<()> {
    assert!(maxima.len() == weight.columns);
    // Columns are divided into parts, so that there is work for the whole device.
    let parts = (weight.rows / 64).clamp(1, 256) as u32;
    maxima_of(stream, kernel, (blocks(weight.columns), parts), weight, maxima)
}

fn maxima_of<T: Element>(
    stream: &CudaStream,
    kernel: &Kernel,
    (across, down): (u32, u32),
    weight: &Matrix<'_, T>,
    maxima: &mut CudaSlice<u64>,
) -> Result<()> {
    assert!(weight.data.len() == weight.rows * weight.columns);
    let (rows, columns) = (weight.rows as u64, weight.columns as u64);
    let shape = LaunchConfig { grid_dim: (across, down, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
    let mut arguments = stream.launch_builder(kernel);
    arguments.arg(&weight.data).arg(&rows).arg(&columns).arg(maxima);
    // SAFETY: these are the arguments of `row_maxima` and `column_maxima` in kernels.cu for elements of type T, in
    // order. The kernels read rows x columns elements, which `weight` has, and write a number for each row or column,
    // for which `maxima` was checked to have room.
    unsafe { arguments.launch(shape) }.w()?;
    Ok(())
}

/// Launches the kernel that writes `lines` of `source`, times `factor`, one after the other to `target`.
pub fn widen<T: Element>(
    stream: &CudaStream,
    kernel: &Kernel,
    source: &CudaView<'_, T>,
    lines: Lines,
    factor: f64,
    target: &mut CudaSlice<f64>,
) -> Result<()> {
    let Lines { start, count, length, line_stride, stride } = lines;
    assert!(count > 0 && length > 0 && count * length <= target.len());
    let last = start + (count - 1) * line_stride + (length - 1) * stride;
    assert!(last < source.len());
    let source = source.slice(start..);
    let numbers = [count, length, line_stride, stride].map(|number| number as u64);
    let down = count.min(MOST_BLOCKS) as u32;
    let shape = LaunchConfig { grid_dim: (blocks(length), down, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
    let mut arguments = stream.launch_builder(kernel);
    arguments.arg(&source);
    for number in &numbers {
        arguments.arg(number);
    }
    arguments.arg(&factor).arg(target);
    // SAFETY: these are the arguments of `widen` in kernels.cu for elements of type T, in order. The last element that
    // it reads and the last that it writes were checked to exist.
    unsafe { arguments.launch(shape) }.w()?;
    Ok(())
}

/// The blocks for `numbers` numbers: a thread for each number, up to more threads than any device runs at once.
fn blocks(numbers: usize) -> u32 {
    numbers.div_ceil(BLOCK as usize).min(1 << 16) as u32
}
