//! The kernels of kernels.cu, each launched by a function that checks its arguments.

#![allow(unsafe_code)]

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, CudaView, CudaViewMut, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::{CudaDType, WrapErr};

use super::raw::Number;

type Result<T> = candle_core::Result<T>;

/// The kernels as `build.rs` compiled them: for each generation of GPUs, and to PTX for those that come later.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The threads of a block.
const BLOCK: u32 = 256;

/// The threads of a block in which each finds an eigenvalue.
const BISECTION: u32 = 32;

/// The most blocks that CUDA allows along a grid's second axis. They are enough along the first, too.
const MOST_BLOCKS: usize = 65535;

pub type Kernel = CudaFunction;

/// The kernels, loaded into a GPU. Fails if none of them is for it.
pub fn load(context: &Arc<CudaContext>) -> Result<Arc<CudaModule>> {
    context.load_module(Ptx::from_binary(COMPILED.to_vec())).w()
}

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

/// What the kernel `decode` makes numbers of, all of it on the device.
pub struct Decoding<'a> {
    pub codes: &'a CudaSlice<u8>,
    pub values: &'a CudaSlice<f64>,
    pub scales: &'a CudaSlice<f64>,
    pub zeros: &'a CudaSlice<f64>,
    pub groups_of_rows: &'a CudaSlice<u64>,
    pub groups_of_columns: &'a CudaSlice<u64>,
    /// The `Settings` of kernels.cu.
    pub settings: &'a CudaSlice<u64>,
    pub stored: [usize; 2],
}

/// Launches the kernel that writes the numbers of a quantised matrix, which is [whole](crate::checkpoint::Coded::is_whole), to
/// `target`.
pub fn decode(
    stream: &CudaStream,
    kernel: &Kernel,
    decoding: &Decoding<'_>,
    target: &mut CudaViewMut<'_, f64>,
) -> Result<()> {
    let [rows, columns] = decoding.stored;
    assert!(target.len() == rows * columns && decoding.settings.len() == 8);
    let shape =
        LaunchConfig { grid_dim: (blocks(rows * columns), 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
    let mut arguments = stream.launch_builder(kernel);
    arguments.arg(decoding.codes).arg(decoding.values).arg(decoding.scales).arg(decoding.zeros);
    arguments.arg(decoding.groups_of_rows).arg(decoding.groups_of_columns).arg(decoding.settings).arg(target);
    // SAFETY: these are the arguments of `decode` in kernels.cu, in order. It writes rows x columns numbers, for which there is room,
    // and reads the codes of that many elements, what they stand for, and the numbers of their groups, which the caller has checked to be there.
    unsafe { arguments.launch(shape) }.w()?;
    Ok(())
}

/// Launches the kernel that finds the eigenvalues, smallest first, of a symmetric tridiagonal matrix whose norm is between 1 and 2,
/// all within `bound` of zero. `squares` are those of the off-diagonal entries, after a zero.
pub fn bisect(
    stream: &CudaStream,
    kernel: &Kernel,
    diagonal: &CudaSlice<f64>,
    squares: &CudaSlice<f64>,
    bound: f64,
    values: &mut CudaSlice<f64>,
) -> Result<()> {
    let n = values.len() as u64;
    assert!(diagonal.len() == values.len() && squares.len() == values.len());
    // Small blocks spread few eigenvalues over the whole device.
    let grid = values.len().div_ceil(BISECTION as usize) as u32;
    let shape = LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (BISECTION, 1, 1), shared_mem_bytes: 0 };
    let mut arguments = stream.launch_builder(kernel);
    arguments.arg(diagonal).arg(squares).arg(&n).arg(&bound).arg(values);
    // SAFETY: these are the arguments of `bisect` in kernels.cu, in order. It reads and writes n numbers each, which were
    // checked to be there.
    unsafe { arguments.launch(shape) }.w()?;
    Ok(())
}

/// The blocks for `numbers` numbers: a thread for each number, up to more threads than any device runs at once.
fn blocks(numbers: usize) -> u32 {
    numbers.div_ceil(BLOCK as usize).min(1 << 16) as u32
}
