//! NVIDIA's libraries, found when a GPU is asked for.
//!
//! candle has cudarc link with them, so that a program would not even start where there is no driver, or say why. Here every
//! function that this program has of them is defined: each jumps to where [`load`] has found the library's own. With these,
//! the linker needs nothing of the libraries, and does not make the program depend on them (`--as-needed`, as rustc asks for).
//! A function that is not listed here would be found in its library as before; `.ci/run` sees to it that none is. (GNU's
//! linker, unlike lld, counts what it discards: with it the program may depend on the libraries all the same.)

#![allow(unsafe_code)]

use std::error::Error;
use std::ffi::{CString, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

/// Why the libraries cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no driver.
    #[error("NVIDIA's driver is not installed: there is no {DRIVER}")]
    Driver,
    /// The driver is there, but not all of CUDA.
    #[error("CUDA's libraries are not found, so that LD_LIBRARY_PATH may have to say where they are: {reason}")]
    Libraries {
        /// What the loader says.
        reason: String,
    },
    /// A library is too old.
    #[error("{library} is too old: it has no function {function}")]
    Function {
        /// The library.
        library: &'static str,
        /// What it does not have.
        function: &'static str,
    },
}

const DRIVER: &str = "libcuda.so.1";

/// cuBLAS and cuSOLVER, of the version of CUDA that this was built with.
const LIBRARIES: [&str; 2] = match env!("CUDA_MAJOR").as_bytes() {
    b"12" => ["libcublas.so.12", "libcusolver.so.11"],
    _ => ["libcublas.so.13", "libcusolver.so.12"],
};

/// Finds the libraries and their functions, once.
///
/// # Errors
///
/// [`Missing`] says which is not there.
pub fn load() -> Result<(), Missing> {
    static FOUND: OnceLock<Result<(), Missing>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<(), Missing> {
    bind(DRIVER, open(DRIVER).map_err(|_| Missing::Driver)?, driver::FUNCTIONS)?;
    LIBRARIES.into_iter().zip([cublas::FUNCTIONS, cusolver::FUNCTIONS]).try_for_each(|(library, functions)| {
        let opened = open(library).map_err(|error| {
            // The loader's own words are in what caused the error.
            let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Missing::Libraries { reason }
        })?;
        bind(library, opened, functions)
    })
}

/// A library, which stays to the end of the process.
fn open(name: &str) -> Result<Library, libloading::Error> {
    // SAFETY: the library is NVIDIA's, whose initialisation does nothing to this process but what linking with it would have done
    // before `main`.
    unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL) }
}

fn bind(library: &'static str, opened: Library, functions: &[(&'static str, &Place)]) -> Result<(), Missing> {
    for (function, place) in functions {
        let missing = Missing::Function { library, function };
        let name = CString::new(*function).map_err(|_| missing.clone())?;
        // SAFETY: the symbol is only ever used by its address, whatever it is.
        let found = unsafe { opened.get::<*mut c_void>(name.as_bytes_with_nul()) }.map_err(|_| missing.clone())?;
        let address = NonNull::new(found.into_raw()).ok_or(missing)?;
        place.store(address.as_ptr(), Ordering::Release);
    }
    // Its functions are called as long as the process runs.
    std::mem::forget(opened);
    Ok(())
}

/// Where a function is.
type Place = AtomicPtr<c_void>;

/// Defines functions that jump to where the library's own were found, and before that return `$status`, with which the library
/// says that it is not initialised.
macro_rules! functions {
    ($library:ident, $status:literal, $($function:ident)*) => {
        mod $library {
            use super::*;

            extern "C" fn not_initialised() -> c_int {
                $status
            }

            #[allow(non_upper_case_globals)]
            mod places {
                use super::*;

                $(pub static $function: Place = Place::new(not_initialised as *mut c_void);)*
            }

            pub static FUNCTIONS: &[(&str, &Place)] = &[$((stringify!($function), &places::$function)),*];

            $(
                // SAFETY: the name is one of NVIDIA's, by which cudarc declares a function, and this is that function: it passes
                // on every register and the stack as they are, so that whatever arguments and result it has are its own.
                #[unsafe(no_mangle)]
                #[unsafe(naked)]
                #[allow(non_snake_case)]
                extern "C" fn $function() {
                    #[cfg(target_arch = "x86_64")]
                    std::arch::naked_asm!("jmp qword ptr [rip + {place}]", place = sym places::$function);
                    #[cfg(target_arch = "aarch64")]
                    std::arch::naked_asm!(
                        "adrp x16, {place}",
                        "ldr x16, [x16, :lo12:{place}]",
                        "br x16",
                        place = sym places::$function,
                    );
                }
            )*
        }
    };
}

functions! { driver, 3 /* CUDA_ERROR_NOT_INITIALIZED */,
    cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuCtxSetFlags cuCtxSynchronize cuDeviceGet cuDeviceGetAttribute cuDeviceGetCount
    cuDeviceGetDefaultMemPool cuDeviceGetName cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain cuEventCreate
    cuEventDestroy_v2 cuEventRecord cuEventSynchronize cuGetErrorString cuInit cuLaunchKernel cuMemAllocAsync cuMemAlloc_v2
    cuMemFreeAsync cuMemFreeHost cuMemFree_v2 cuMemGetInfo_v2 cuMemHostAlloc cuMemPoolSetAttribute cuMemcpyDtoDAsync_v2
    cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync cuMemsetD8Async cuModuleGetFunction cuModuleLoad
    cuModuleLoadData cuModuleUnload cuStreamCreate cuStreamDestroy_v2 cuStreamIsCapturing cuStreamSynchronize
    cuStreamWaitEvent
}

functions! { cublas, 1 /* CUBLAS_STATUS_NOT_INITIALIZED */,
    cublasCreate_v2 cublasDasum_v2 cublasDestroy_v2 cublasDnrm2_v2_64 cublasDsyrk_v2_64 cublasSetStream_v2
}

functions! { cusolver, 1 /* CUSOLVER_STATUS_NOT_INITIALIZED */,
    cusolverDnCreate cusolverDnCreateParams cusolverDnDestroy cusolverDnDestroyParams cusolverDnSetAdvOptions
    cusolverDnSetStream cusolverDnXgesvd cusolverDnXgesvd_bufferSize cusolverDnXsyevd cusolverDnXsyevd_bufferSize
}

mod curand {
    use super::*;

    // candle opens a generator of random numbers with every device, which nothing in this program asks for a number.

    // SAFETY: cudarc declares the function so, and gives a place for a generator; it does nothing with none.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    unsafe extern "C" fn curandCreateGenerator(generator: *mut *mut c_void, _kind: c_int) -> c_int {
        // SAFETY: as the caller's promise is.
        unsafe { generator.write(std::ptr::null_mut()) };
        0
    }

    // SAFETY: cudarc declares the functions with these and further arguments, which callees need not know of, and lets them
    // do nothing.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "C" fn curandDestroyGenerator(_generator: *mut c_void) -> c_int {
        0
    }

    // SAFETY: the same.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "C" fn curandSetPseudoRandomGeneratorSeed(_generator: *mut c_void, _seed: u64) -> c_int {
        0
    }

    // SAFETY: the same.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "C" fn curandSetStream(_generator: *mut c_void, _stream: *mut c_void) -> c_int {
        0
    }
}

/// Defines functions that do nothing but fail.
macro_rules! inert {
    ($($function:ident)*) => {
        mod runtime {
            use super::*;

            $(
                // SAFETY: the name is one of NVIDIA's, by which candle's kernels for mixtures of experts declare a function. They
                // register themselves by some before `main`, which comes to nothing here, and call the others when one of
                // these kernels is to run, which nothing in this program asks for and which would be told that it cannot be.
                #[unsafe(no_mangle)]
                #[allow(non_snake_case)]
                extern "C" fn $function() -> c_int {
                    const INITIALIZATION_ERROR: c_int = 3;
                    INITIALIZATION_ERROR
                }
            )*
        }
    };
}

inert! {
    __cudaGetKernel __cudaLaunchKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
    __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar
    __cudaUnregisterFatBinary cudaDeviceGetAttribute cudaFree cudaFreeAsync cudaFreeAsync_ptsz cudaFuncGetAttributes
    cudaFuncSetAttribute cudaGetDevice cudaGetDeviceCount cudaGetErrorName cudaGetErrorString cudaGetLastError cudaMalloc
    cudaMallocAsync cudaMallocAsync_ptsz cudaMemsetAsync cudaMemsetAsync_ptsz
    cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cudaPeekAtLastError cudaSetDevice cudaStreamSynchronize
    cudaStreamSynchronize_ptsz
}
