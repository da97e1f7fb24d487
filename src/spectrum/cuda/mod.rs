//! Singular values on NVIDIA's GPUs.
//!
//! A weight is copied to the GPU in its stored precision (`staging`) and surveyed and widened there by our own
//! `kernels`. Then cuBLAS and cuSOLVER multiply and reduce it in float64; their calls are in `raw` and `solver`. Each [`Stream`]
//! does so for one weight at a time. Several streams keep the GPU and the bus busy at once, and fill the GPU where
//! matrices are small.
//!
//! Here is what a GPU is planned with: how many lanes it has, what it takes and how much memory that needs. [`Gpu`] opens
//! it and its lanes, `routes` has the two routes to singular values, and `eigensolver` chooses how eigenvalues are found.
//!
//! A weight is widened panel by panel along its long side, so that, except on the direct route, it never lies on the
//! GPU as a whole in float64. Only the singular values are copied back.

mod eigensolver;
mod emulation;
mod fault;
mod gpu;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod installed;
mod kernels;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod libraries;
mod raw;
mod routes;
mod solver;
mod staging;
mod stream;

pub use eigensolver::Eigensolver;
pub use gpu::Gpu;
pub use stream::{Problem, Stream};

use super::Method;

/// The streams of a GPU: enough to overlap the copies, products and reductions of several large matrices, and for small
/// matrices, whose reductions leave most of a GPU idle.
pub const LANES: usize = 8;

/// The largest order of a matrix whose eigenvalues cuSOLVER finds in float64. It refuses larger ones.
pub const LARGEST: usize = 32768;

/// The most matrices whose eigenvalues are found at once.
const BATCH: usize = 64;

/// The approximate number of float64 numbers in a panel.
const PANEL: usize = 8 << 20;

/// The longest panel. It limits the length of the sums in a product, and so their rounding errors.
const LONGEST: usize = 4096;

/// The bytes that computing singular values on a GPU takes for a weight of `shape`, not counting the weight itself.
pub fn workspace([rows, columns]: [usize; 2], method: Method) -> u64 {
    let (n, long) = (rows.min(columns), rows.max(columns));
    let matrix = match method {
        Method::Gram => n * n + n * depth(n).min(long),
        Method::Direct => rows * columns,
    };
    // cuSOLVER tells how much it takes only when it is called. As much as the Gram matrix takes is planned for.
    8 * (matrix + n * n) as u64
}

/// The extent along the long side of a panel of matrices with the short side `n`.
fn depth(n: usize) -> usize {
    (PANEL / n.max(1)).clamp(64, LONGEST)
}
