//! NVIDIA's libraries, found when a GPU is asked for.
//!
//! candle has cudarc link with them. A program that depends on them would not even start where there is no driver. So
//! every function that this program uses is defined here: each jumps to the library's own, where [`load`] found it. The
//! linker then needs nothing from the libraries and, given `--as-needed` as rustc does, does not make the program
//! depend on them. A function that is not listed here would still be linked from its library; `.ci/run` checks that
//! there is none. GNU's linker, unlike lld, also counts code that it discards, so that with it the program may depend
//! on the libraries after all.

#![allow(unsafe_code)]

use std::error::Error;
use std::ffi::{CString, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};

/// Which library cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("NVIDIA's driver is not installed: there is no {DRIVER}")]
    Driver,
    #[error("CUDA's libraries are not found, so that LD_LIBRARY_PATH may have to say where they are: {reason}")]
    Libraries { reason: String },
    #[error("{library} is too old: it has no function {function}")]
    Function { library: &'static str, function: &'static str },
}

const DRIVER: &str = "libcuda.so.1";

/// cuBLAS and cuSOLVER of the CUDA version that this was built with.
const LIBRARIES: [&str; 2] = match env!("CUDA_MAJOR").as_bytes() {
    b"12" => ["libcublas.so.12", "libcusolver.so.11"],
    _ => ["libcublas.so.13", "libcusolver.so.12"],
};

/// Finds the libraries and their functions, once for the whole process.
pub fn load() -> Result<(), Missing> {
    static FOUND: OnceLock<Result<(), Missing>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<(), Missing> {
    bind(DRIVER, open(DRIVER).map_err(|_| Missing::Driver)?, driver::FUNCTIONS)?;
    LIBRARIES.into_iter().zip([cublas::FUNCTIONS, cusolver::FUNCTIONS]).try_for_each(|(library, functions)| {
        let opened = open(library).map_err(|error| {
            // The loader's own message is the error's source.
            let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Missing::Libraries { reason }
        })?;
        bind(library, opened, functions)
    })
}

fn open(name: &str) -> Result<Library, libloading::Error> {
    // SAFETY: the library is NVIDIA's. Its initialisation does what it would have done before `main`, had it been
    // linked.
    unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL) }
}

fn bind(library: &'static str, opened: Library, functions: &[(&'static str, &Place)]) -> Result<(), Missing> {
    for (function, place) in functions {
        let missing = Missing::Function { library, function };
        let name = CString::new(*function).map_err(|_| missing.clone())?;
        // SAFETY: only the symbol's address is ever used.
        let found = unsafe { opened.get::<*mut c_void>(name.as_bytes_with_nul()) }.map_err(|_| missing.clone())?;
        let address = NonNull::new(found.into_raw()).ok_or(missing)?;
        place.store(address.as_ptr(), Ordering::Release);
    }
    // The library stays open, because its functions are called until the process ends.
    std::mem::forget(opened);
    Ok(())
}

/// The address of a function.
type Place = AtomicPtr<c_void>;

/// Defines functions that jump to the library's own. Until those are found, they return `$status`, which is the
/// library's code for not being initialised.
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
                // SAFETY: cudarc declares a function of NVIDIA's by this name. This function stands for it: it passes
                // on every register and the stack unchanged, so that any arguments and any result reach their receiver.
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

    // candle opens a generator of random numbers with every device, but nothing in this program uses it.

    // SAFETY: cudarc declares the function like this and passes a place for a generator; it does nothing with a null
    // one.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    unsafe extern "C" fn curandCreateGenerator(generator: *mut *mut c_void, _kind: c_int) -> c_int {
        // SAFETY: the caller promises that the pointer is valid.
        unsafe { generator.write(std::ptr::null_mut()) };
        0
    }

    // SAFETY: cudarc declares this and the next two functions with these arguments or more, which a callee may ignore,
    // and allows them to do nothing.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "C" fn curandDestroyGenerator(_generator: *mut c_void) -> c_int {
        0
    }

    // SAFETY: as for `curandDestroyGenerator`.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    extern "C" fn curandSetPseudoRandomGeneratorSeed(_generator: *mut c_void, _seed: u64) -> c_int {
        0
    }

    // SAFETY: as for `curandDestroyGenerator`.
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
                // SAFETY: candle's kernels for mixtures of experts declare a function of NVIDIA's by this name. By some
                // of these functions they register themselves before `main`, which has no effect here. They call the
                // others when one of these kernels runs, which this program never asks for, and which would get an
                // error.
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
