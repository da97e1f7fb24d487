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
use std::ffi::{CString, OsStr, c_int, c_void};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::{Library as Dynamic, RTLD_LAZY, RTLD_LOCAL};

use super::installed::{self, Version};
use crate::spectrum::Library;

/// Which library cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("NVIDIA's driver is not installed: there is no {DRIVER}")]
    Driver,
    #[error("the driver is for {0}, and this program needs the libraries of CUDA 12 or later: install a newer driver")]
    OldDriver(String),
    #[error(
        "cuBLAS and cuSOLVER of CUDA 12 or 13 are not found: install a CUDA toolkit, or nvidia-cublas and nvidia-cusolver with pip, or \
         say in CUDA_HOME or LD_LIBRARY_PATH where they are: {reason}"
    )]
    Libraries { reason: String },
    #[error("{library} is too old: it has no function {function}")]
    Function { library: &'static str, function: &'static str },
}

const DRIVER: &str = "libcuda.so.1";

/// Finds the libraries and their functions, once for the whole process, and returns which were taken.
pub fn load() -> Result<&'static [Library], Missing> {
    static FOUND: OnceLock<Result<Vec<Library>, Missing>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref().map_err(Clone::clone)
}

fn find() -> Result<Vec<Library>, Missing> {
    let driver = open(DRIVER).map_err(|_| Missing::Driver)?;
    let supported = driver_version(&driver);
    let own =
        Library { file: mapped(DRIVER), version: supported.map(|[major, minor]| format!("CUDA {major}.{minor}")) };
    bind(DRIVER, driver, driver::FUNCTIONS)?;
    // No library works under a driver that is older than itself.
    let fits = |version: &&Version| supported.is_none_or(|[major, _]| version.major <= major);
    let versions: Vec<&Version> = installed::VERSIONS.iter().filter(fits).collect();
    if versions.is_empty() {
        return Err(Missing::OldDriver(own.version.unwrap_or_default()));
    }
    let Pair { version, cublas, cusolver } = pair(&versions)?;
    let taken = [
        cublas.described(version.cublas, "cublasGetProperty"),
        cusolver.described(version.cusolver, "cusolverGetProperty"),
    ];
    bind(version.cublas, cublas.library, cublas::FUNCTIONS)?;
    bind_if_there(&cusolver.library, newer_cusolver::FUNCTIONS);
    bind(version.cusolver, cusolver.library, cusolver::FUNCTIONS)?;
    Ok(std::iter::once(own).chain(taken).collect())
}

/// cuBLAS and cuSOLVER of one version.
struct Pair {
    version: &'static Version,
    cublas: Opened,
    cusolver: Opened,
}

/// A library that is open, from this file or from where the loader has found it.
struct Opened {
    library: Dynamic,
    file: Option<PathBuf>,
}

impl Opened {
    fn described(&self, name: &str, property: &str) -> Library {
        let file = self.file.as_ref().map_or_else(|| mapped(name), |file| file.display().to_string());
        Library { file, version: version_of(&self.library, property) }
    }
}

/// The libraries of the newest of these `versions` that the loader finds, or else of those in the places where people have them. Those
/// that lack a function are passed over.
fn pair(versions: &[&'static Version]) -> Result<Pair, Missing> {
    let by_loader = versions.iter().map(|version| Pair::open(version, None));
    let places = installed::Surroundings::of_process().places();
    let in_places = places.iter().flat_map(|folders| versions.iter().filter_map(|version| pair_in(folders, version)));
    // What is wrong with the newest version, and with the first of its places, is what a person should know.
    let mut wrong = None;
    for pair in by_loader.chain(in_places) {
        match pair.and_then(Pair::complete) {
            Ok(pair) => return Ok(pair),
            Err(missing) => {
                wrong.get_or_insert(missing);
            }
        }
    }
    Err(wrong.unwrap_or_else(|| Missing::Libraries { reason: String::new() }))
}

/// The libraries of a `version` in these `folders`, if both are there.
fn pair_in(folders: &[PathBuf], version: &'static Version) -> Option<Result<Pair, Missing>> {
    let [cublas, cusolver] = [version.cublas, version.cusolver].map(|name| installed::file(folders, name));
    let files = [cublas?, cusolver?];
    let needed = version.needed.iter().filter_map(|name| installed::file(folders, name));
    // What is open already is found by its name, wherever it lies. What is not there may still be found by the loader.
    let needed: Vec<Dynamic> = needed.filter_map(|file| open(file).ok()).collect();
    let pair = Pair::open(version, Some(files));
    if pair.is_ok() {
        std::mem::forget(needed);
    }
    Some(pair)
}

impl Pair {
    /// Opens the libraries of a `version`, from these files or from where the loader finds them.
    fn open(version: &'static Version, files: Option<[PathBuf; 2]>) -> Result<Self, Missing> {
        let [first, second] = files.map_or([None, None], |files| files.map(Some));
        let opened = |name: &str, file: Option<PathBuf>| {
            let library = open(file.as_ref().map_or(name.as_ref(), |file| file.as_os_str())).map_err(|error| {
                // The loader's own message is the error's source.
                let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                Missing::Libraries { reason }
            })?;
            Ok(Opened { library, file })
        };
        // cuSOLVER needs cuBLAS, which has to be there first.
        let cublas = opened(version.cublas, first)?;
        Ok(Self { version, cublas, cusolver: opened(version.cusolver, second)? })
    }

    /// Itself if no function is lacking.
    fn complete(self) -> Result<Self, Missing> {
        check(self.version.cublas, &self.cublas.library, cublas::FUNCTIONS)?;
        check(self.version.cusolver, &self.cusolver.library, cusolver::FUNCTIONS)?;
        Ok(self)
    }
}

fn open(name: impl AsRef<OsStr>) -> Result<Dynamic, libloading::Error> {
    // SAFETY: the library is NVIDIA's. Its initialisation does what it would have done before `main`, had it been
    // linked.
    unsafe { Dynamic::open(Some(name.as_ref()), RTLD_LAZY | RTLD_LOCAL) }
}

fn bind(library: &'static str, opened: Dynamic, functions: &[(&'static str, &Place)]) -> Result<(), Missing> {
    for (function, place) in functions {
        place.store(address(library, &opened, function)?.as_ptr(), Ordering::Release);
    }
    // The library stays open, because its functions are called until the process ends.
    std::mem::forget(opened);
    Ok(())
}

/// Binds functions that only newer libraries have.
fn bind_if_there(opened: &Dynamic, functions: &[(&'static str, &Place)]) {
    for (function, place) in functions {
        if let Ok(address) = address("", opened, function) {
            place.store(address.as_ptr(), Ordering::Release);
        }
    }
}

/// Fails if a function is lacking.
fn check(library: &'static str, opened: &Dynamic, functions: &[(&'static str, &Place)]) -> Result<(), Missing> {
    functions.iter().try_for_each(|(function, _)| address(library, opened, function).map(drop))
}

fn address(library: &'static str, opened: &Dynamic, function: &'static str) -> Result<NonNull<c_void>, Missing> {
    let missing = Missing::Function { library, function };
    let name = CString::new(function).map_err(|_| missing.clone())?;
    // SAFETY: only the symbol's address is ever used.
    let found = unsafe { opened.get::<*mut c_void>(name.as_bytes_with_nul()) }.map_err(|_| missing.clone())?;
    NonNull::new(found.into_raw()).ok_or(missing)
}

/// The version of CUDA up to which the driver runs libraries, if it says so.
fn driver_version(driver: &Dynamic) -> Option<[u32; 2]> {
    // SAFETY: cuda.h declares `CUresult cuDriverGetVersion(int *driverVersion)`, which may be called before cuInit.
    let get = unsafe { driver.get::<extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion\0") }.ok()?;
    let mut version = 0;
    let is_known = get(&raw mut version) == 0;
    let version = u32::try_from(version).ok().filter(|version| is_known && *version > 0)?;
    Some([version / 1000, version % 1000 / 10])
}

/// The version of a library, which its function called `property` tells.
fn version_of(library: &Dynamic, property: &str) -> Option<String> {
    let name = CString::new(property).ok()?;
    // SAFETY: cublas_api.h and cusolver_common.h declare these functions with a libraryPropertyType, which is an int from 0 to 2,
    // and a place for an int.
    let get = unsafe { library.get::<extern "C" fn(c_int, *mut c_int) -> c_int>(name.as_bytes_with_nul()) }.ok()?;
    let part = |kind: c_int| {
        let mut value = 0;
        (get(kind, &raw mut value) == 0).then(|| value.to_string())
    };
    Some([part(0)?, part(1)?, part(2)?].join("."))
}

/// The file that is open under a library's name: the loader does not say which it took. Without `/proc`, the name.
fn mapped(name: &str) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // A library may lead to a file whose name has more numbers.
    let is_named = |path: &&str| path.rsplit('/').next().is_some_and(|file| file.starts_with(name));
    let mut paths = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    paths.find(is_named).unwrap_or(name).to_owned()
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
    cusolverDnCreate cusolverDnCreateParams cusolverDnDestroy cusolverDnDestroyParams cusolverDnDsytrd cusolverDnDsytrd_bufferSize
    cusolverDnSetAdvOptions cusolverDnSetStream cusolverDnXgesvd cusolverDnXgesvd_bufferSize cusolverDnXsyevd
    cusolverDnXsyevd_bufferSize
}

functions! { newer_cusolver, 1 /* CUSOLVER_STATUS_NOT_INITIALIZED */,
    cusolverDnSetDeterministicMode cusolverDnXsyevBatched cusolverDnXsyevBatched_bufferSize
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
