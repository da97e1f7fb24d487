// A stand-in for CUDA: what laser-scan calls of the driver and of NVIDIA's libraries, on the CPU, so that its CUDA build runs on
// machines that have no GPU. The kernels are laser-scan's own source, compiled for the CPU; cuBLAS and cuSOLVER are LAPACK.
//
// It tests what no GPU shows reliably: every stream does its work as late as it may, only when someone waits for it, so that
// memory which is read, changed or freed too early gives wrong numbers here; new memory is full of NaNs; and GPUs run out of
// memory and fail when they are told to. Streams do their work in the threads that wait for them, several at the same time.
//
//   STAND_IN_GPUS=N          how many GPUs there are (1)
//   STAND_IN_MEMORY=BYTES    how much memory each has (8 GB)
//   STAND_IN_BREAK=GPU:N     GPU fails for good with the N-th kernel that runs on it
//   STAND_IN_REFUSE=F:N:M    a library's function F refuses its calls N to M, and nothing else happens
//   STAND_IN_HANDLE=BYTES    how much memory a library's handle takes, without which it fails as if by itself (0)
//   STAND_IN_DRIVER=WORD     none: there is no GPU to drive; old: the driver does not go with the GPU; before: it has no kernels
//                            for its GPU
//   STAND_IN_CUDA=VERSION    the version of CUDA that the driver supports, such as 12.4 (13.0)
//   STAND_IN_CUSOLVER=VERSION  the version of cuSOLVER (12.4.1)
//   STAND_IN_RATIO=N         how many times slower float64 is than float32 (2)
//   STAND_IN_ROUGH=1         products are rough where CUBLAS_EMULATE_DOUBLE_PRECISION asks for emulated ones

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// ---- CUDA's language, as far as the kernels use it

#define __device__ static
#define __global__

struct Extent {
    unsigned x, y, z;
};
static thread_local Extent gridDim, blockDim, blockIdx, threadIdx;

static float __uint_as_float(unsigned bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static long long __double_as_longlong(double number) {
    long long bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

// The build script forbids the compiler to fuse these.
static double __dadd_rn(double a, double b) { return a + b; }
static double __dmul_rn(double a, double b) { return a * b; }

static double __longlong_as_double(long long bits) {
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void atomicMax(unsigned long long *place, unsigned long long number) { *place = std::max(*place, number); }

#include "../../src/spectrum/cuda/kernels.cu"

// ---- GPUs

enum Status { SUCCESS, INVALID = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_FOUND = 500, BROKEN = 700, NO_BINARY = 209, MISMATCH = 803 };

struct Gpu {
    uint64_t free = 0;
    std::atomic<long> kernels{0};
    long breaks_at = -1;
    std::atomic<bool> broken{false};
};

struct Stream : std::enable_shared_from_this<Stream> {
    Gpu *gpu;
    // Held by the thread that does the work. Work may wait for another stream, but never for work that waits for it.
    std::recursive_mutex working;
    std::mutex queue;
    std::deque<std::function<void()>> work;
    std::atomic<uint64_t> issued{0}, done{0};

    explicit Stream(Gpu *gpu) : gpu(gpu) {}
};

struct Event {
    std::shared_ptr<Stream> stream;
    uint64_t at = 0;
};

// What these lists hold changes only while this is held. No stream does its work meanwhile.
static std::recursive_mutex mutex;
static std::deque<Gpu> gpus;
static std::vector<std::shared_ptr<Stream>> streams;
static std::map<uint64_t, std::pair<uint64_t, Gpu *>> allocations;
static std::map<char *, uint64_t> page_locked;
static std::map<std::string, long> calls;
static thread_local Gpu *current;

#define HOLD std::lock_guard<std::recursive_mutex> hold(mutex)

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

// Does the work of a stream up to a point in it.
static int drain(Stream *stream, uint64_t until) {
    while (stream->done < until) {
        std::lock_guard<std::recursive_mutex> working(stream->working);
        if (stream->done >= until) break;
        std::function<void()> work;
        {
            std::lock_guard<std::mutex> queue(stream->queue);
            work = std::move(stream->work.front());
            stream->work.pop_front();
        }
        if (!stream->gpu->broken) work();
        stream->done++;
    }
    return stream->gpu->broken ? BROKEN : SUCCESS;
}

static int drain(Stream *stream) { return drain(stream, stream->issued); }

static int issue(Stream *stream, std::function<void()> work) {
    if (stream->gpu->broken) return BROKEN;
    std::lock_guard<std::mutex> queue(stream->queue);
    stream->work.push_back(std::move(work));
    stream->issued++;
    return SUCCESS;
}

// Whether this call of a library's function is one that it refuses.
static bool refuses(const char *function) {
    char name[64];
    long first, last;
    const char *text = getenv("STAND_IN_REFUSE");
    if (!text || sscanf(text, "%63[^:]:%ld:%ld", name, &first, &last) != 3 || strcmp(name, function)) return false;
    HOLD;
    long call = ++calls[function];
    return first <= call && call <= last;
}

static void count_kernel(Gpu *gpu) {
    if (++gpu->kernels == gpu->breaks_at) gpu->broken = true;
}

static bool is_page_locked(const void *memory) {
    HOLD;
    auto after = page_locked.upper_bound((char *)memory);
    return after != page_locked.begin() && (--after, (char *)memory < after->first + after->second);
}

// ---- Kernels

template <typename Body> static void for_each_thread(Extent grid, Extent block, Body body) {
    gridDim = grid, blockDim = block;
    for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < block.x; threadIdx.x++) body();
}

typedef std::function<void()> Thread;
typedef Thread (*Kernel)(void **);

template <typename T> static T argument(void **arguments, int at) { return *(T *)arguments[at]; }

template <typename T, void (*KERNEL)(const T *, Index, Index, Bits *)> static Thread maxima(void **a) {
    auto weight = argument<const T *>(a, 0);
    auto rows = argument<Index>(a, 1), columns = argument<Index>(a, 2);
    auto target = argument<Bits *>(a, 3);
    return [=] { KERNEL(weight, rows, columns, target); };
}

template <typename T, void (*KERNEL)(const T *, Index, Index, Index, Index, double, double *)>
static Thread widening(void **a) {
    auto source = argument<const T *>(a, 0);
    auto lines = argument<Index>(a, 1), length = argument<Index>(a, 2);
    auto line_stride = argument<Index>(a, 3), stride = argument<Index>(a, 4);
    auto factor = argument<double>(a, 5);
    auto target = argument<double *>(a, 6);
    return [=] { KERNEL(source, lines, length, line_stride, stride, factor, target); };
}

static Thread decoding(void **a) {
    auto codes = argument<const Byte *>(a, 0);
    auto values = argument<const double *>(a, 1), scales = argument<const double *>(a, 2), zeros = argument<const double *>(a, 3);
    auto rows = argument<const Index *>(a, 4), columns = argument<const Index *>(a, 5);
    auto settings = argument<const Settings *>(a, 6);
    auto target = argument<double *>(a, 7);
    return [=] { decode(codes, values, scales, zeros, rows, columns, settings, target); };
}

static Thread bisection(void **a) {
    auto diagonal = argument<const double *>(a, 0), squares = argument<const double *>(a, 1);
    auto n = argument<Index>(a, 2);
    auto bound = argument<double>(a, 3);
    auto values = argument<double *>(a, 4);
    return [=] { bisect(diagonal, squares, n, bound, values); };
}

// candle's own kernel that makes a matrix contiguous: number, dimensions, their sizes and strides, source, target.
template <typename T> static Thread strided_copy(void **a) {
    auto number = argument<size_t>(a, 0), dimensions = argument<size_t>(a, 1);
    auto info = argument<const size_t *>(a, 2);
    auto source = argument<const T *>(a, 3);
    auto target = argument<T *>(a, 4);
    return [=] {
        size_t step = (size_t)gridDim.x * blockDim.x;
        for (size_t at = (size_t)blockIdx.x * blockDim.x + threadIdx.x; at < number; at += step) {
            size_t rest = at, place = 0;
            for (size_t d = dimensions; d-- > 0;) {
                place += rest % info[d] * info[dimensions + d];
                rest /= info[d];
            }
            target[at] = source[place];
        }
    };
}

#define KERNELS(NAME, T)                                                                                               \
    {"row_maxima_" #NAME, maxima<T, row_maxima_##NAME>}, {"column_maxima_" #NAME, maxima<T, column_maxima_##NAME>},    \
        {"widen_" #NAME, widening<T, widen_##NAME>}, { "ucopy_" #NAME, strided_copy<T> }

static std::map<std::string, Kernel> kernels = {KERNELS(f64, double), KERNELS(f32, float), KERNELS(f16, F16),
                                                KERNELS(bf16, Bf16), {"bisect", bisection}, {"decode", decoding}};

extern "C" {

// ---- The driver

int cuInit(unsigned) {
    HOLD;
    const char *driver = getenv("STAND_IN_DRIVER");
    if (driver && !strcmp(driver, "none")) return NO_DEVICE;
    if (driver && !strcmp(driver, "old")) return MISMATCH;
    if (!gpus.empty()) return SUCCESS;
    gpus.resize(setting("STAND_IN_GPUS", 1));
    for (auto &gpu : gpus) gpu.free = setting("STAND_IN_MEMORY", 8000000000);
    unsigned which;
    long kernel;
    const char *text = getenv("STAND_IN_BREAK");
    if (text && sscanf(text, "%u:%ld", &which, &kernel) == 2 && which < gpus.size()) gpus[which].breaks_at = kernel;
    return SUCCESS;
}

int cuGetErrorString(int status, const char **words) {
    static const std::map<int, const char *> known = {{OUT_OF_MEMORY, "out of memory"},
                                                      {NO_DEVICE, "no CUDA-capable device is detected"},
                                                      {NOT_FOUND, "named symbol not found"},
                                                      {BROKEN, "an illegal memory access was encountered"},
                                                      {NO_BINARY, "no kernel image is available for execution on the device"},
                                                      {MISMATCH, "system has unsupported display driver"}};
    auto found = known.find(status);
    if (found == known.end()) return INVALID;
    *words = found->second;
    return SUCCESS;
}

int cuDriverGetVersion(int *version) {
    int major = 13, minor = 0;
    const char *text = getenv("STAND_IN_CUDA");
    if (text && sscanf(text, "%d.%d", &major, &minor) != 2) return INVALID;
    return *version = 1000 * major + 10 * minor, SUCCESS;
}

int cuDeviceGetCount(int *count) { return *count = (int)gpus.size(), SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, SUCCESS; }
int cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "stand-in"), SUCCESS; }
// What is asked for are memory pools, and how many times slower float64 is than float32.
int cuDeviceGetAttribute(int *value, int attribute, int) {
    const int RATIO = 87;
    return *value = attribute == RATIO ? setting("STAND_IN_RATIO", 2) : 1, SUCCESS;
}
int cuDeviceGetDefaultMemPool(void **pool, int device) { return *pool = &gpus[device], SUCCESS; }
int cuMemPoolSetAttribute(void *, int, void *) { return SUCCESS; }

int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = &gpus[device], SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxDestroy_v2(void *) { return SUCCESS; }
int cuCtxSetFlags(unsigned) { return SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = current, SUCCESS; }
int cuCtxSetCurrent(void *context) { return current = (Gpu *)context, SUCCESS; }

int cuCtxSynchronize() {
    std::vector<std::shared_ptr<Stream>> all;
    {
        HOLD;
        all = streams;
    }
    for (auto &stream : all)
        if (stream->gpu == current) drain(stream.get());
    return current->broken ? BROKEN : SUCCESS;
}

int cuStreamCreate(Stream **stream, unsigned) {
    HOLD;
    if (current->broken) return BROKEN;
    streams.push_back(std::make_shared<Stream>(current));
    return *stream = streams.back().get(), SUCCESS;
}

int cuStreamDestroy_v2(Stream *stream) {
    int status = drain(stream);
    HOLD;
    streams.erase(std::find_if(streams.begin(), streams.end(), [=](auto &other) { return other.get() == stream; }));
    return status;
}

int cuStreamSynchronize(Stream *stream) { return drain(stream); }

int cuStreamIsCapturing(Stream *, int *is) { return *is = 0, SUCCESS; }

int cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    if (!event->stream || event->stream.get() == stream) return SUCCESS;
    Event waited = *event;
    return issue(stream, [=] { drain(waited.stream.get(), waited.at); });
}

int cuEventCreate(Event **event, unsigned) { return *event = new Event, SUCCESS; }
int cuEventDestroy_v2(Event *event) { return delete event, SUCCESS; }

int cuEventRecord(Event *event, Stream *stream) {
    if (stream->gpu->broken) return BROKEN;
    *event = Event{stream->shared_from_this(), stream->issued};
    return SUCCESS;
}

int cuEventSynchronize(Event *event) { return event->stream ? drain(event->stream.get(), event->at) : SUCCESS; }

int cuMemGetInfo_v2(size_t *free, size_t *total) {
    HOLD;
    *free = current->free, *total = setting("STAND_IN_MEMORY", 8000000000);
    return current->broken ? BROKEN : SUCCESS;
}

static bool has_room(uint64_t bytes) {
    HOLD;
    return bytes <= current->free;
}

int cuMemAlloc_v2(uint64_t *memory, size_t bytes) {
    if (current->broken) return BROKEN;
    if (bytes == 0) return INVALID;
    // Memory that is to be freed once the work before is done.
    if (!has_room(bytes)) cuCtxSynchronize();
    HOLD;
    if (!has_room(bytes)) return OUT_OF_MEMORY;
    void *place = malloc(bytes);
    memset(place, 0xff, bytes);
    *memory = (uint64_t)place;
    allocations[*memory] = {bytes, current};
    current->free -= bytes;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t memory) {
    HOLD;
    auto found = allocations.find(memory);
    if (found == allocations.end()) return INVALID;
    found->second.second->free += found->second.first;
    memset((void *)memory, 0xff, found->second.first);
    allocations.erase(found);
    free((void *)memory);
    return SUCCESS;
}

int cuMemAllocAsync(uint64_t *memory, size_t bytes, Stream *) { return cuMemAlloc_v2(memory, bytes); }

int cuMemFreeAsync(uint64_t memory, Stream *stream) {
    return issue(stream, [=] { cuMemFree_v2(memory); });
}

int cuMemHostAlloc(char **memory, size_t bytes, unsigned) {
    HOLD;
    page_locked[*memory = (char *)malloc(bytes)] = bytes;
    return SUCCESS;
}

int cuMemFreeHost(char *memory) {
    HOLD;
    // Whatever still reads it shall notice.
    memset(memory, 0xff, page_locked[memory]);
    page_locked.erase(memory);
    return SUCCESS;
}

int cuMemsetD8Async(uint64_t memory, unsigned char byte, size_t bytes, Stream *stream) {
    return issue(stream, [=] { memset((void *)memory, byte, bytes); });
}

int cuMemcpyHtoDAsync_v2(uint64_t target, const char *source, size_t bytes, Stream *stream) {
    // Page-locked memory is read when the copy's turn comes; all other is read at once.
    if (is_page_locked(source)) return issue(stream, [=] { memcpy((void *)target, source, bytes); });
    std::string copy(source, bytes);
    return issue(stream, [=] { memcpy((void *)target, copy.data(), bytes); });
}

int cuMemcpyDtoHAsync_v2(char *target, uint64_t source, size_t bytes, Stream *stream) {
    int status = issue(stream, [=] { memcpy(target, (void *)source, bytes); });
    // To other than page-locked memory the call returns when the copy is done.
    return status || is_page_locked(target) ? status : drain(stream);
}

int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t bytes, Stream *stream) {
    return issue(stream, [=] { memcpy((void *)target, (void *)source, bytes); });
}

int cuMemcpyPeerAsync(uint64_t, void *, uint64_t, void *, size_t, Stream *) { return INVALID; }

int cuModuleLoad(void **, const char *) { return INVALID; }

int cuModuleLoadData(void **module, const char *image) {
    const char *driver = getenv("STAND_IN_DRIVER");
    if (driver && !strcmp(driver, "before")) return NO_BINARY;
    // The kernels of this program for all GPUs, or candle's.
    static const unsigned char fat[] = {0x50, 0xed, 0x55, 0xba};
    bool is_known = !memcmp(image, fat, sizeof fat) || strstr(image, ".version");
    return *module = &kernels, is_known ? SUCCESS : INVALID;
}

int cuModuleUnload(void *) { return SUCCESS; }

int cuModuleGetFunction(Kernel *function, void *, const char *name) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return NOT_FOUND;
    *function = found->second;
    return SUCCESS;
}

int cuLaunchKernel(Kernel kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   Stream *stream, void **arguments, void **) {
    if (gx == 0 || gy == 0 || gy > 65535 || gz != 1 || bx == 0 || bx > 1024 || by != 1 || bz != 1) return INVALID;
    Thread thread = kernel(arguments);
    return issue(stream, [=] {
        count_kernel(stream->gpu);
        for_each_thread({gx, gy, gz}, {bx, by, bz}, thread);
    });
}

// ---- cuBLAS and cuSOLVER

void dsyrk_(const char *, const char *, const int *, const int *, const double *, const double *, const int *,
            const double *, double *, const int *);
void dsyevd_(const char *, const char *, const int *, double *, const int *, double *, double *, const int *, int *,
             const int *, int *);
void dsytrd_(const char *, const int *, double *, const int *, double *, double *, double *, double *, const int *, int *);
void dgesvd_(const char *, const char *, const int *, const int *, double *, const int *, double *, double *, const int *,
             double *, const int *, double *, const int *, int *);

// As on a GPU, where many threads have parts of a sum.
static double sum(int64_t n, const double *x, int64_t stride, double (*term)(double)) {
    if (n > 32) return sum(n / 2, x, stride, term) + sum(n - n / 2, x + n / 2 * stride, stride, term);
    double total = 0;
    for (int64_t at = 0; at < n; at++) total += term(x[at * stride]);
    return total;
}

static double square(double number) { return number * number; }

struct Handle {
    Stream *stream = nullptr;
    uint64_t memory = 0;
};

// A handle with its memory on the current GPU. Without it, or on a broken GPU, `failure` is all that is said.
static int create(Handle **handle, int failure) {
    if (!current || current->broken) return failure;
    uint64_t bytes = setting("STAND_IN_HANDLE", 0), memory = 0;
    if (bytes && cuMemAlloc_v2(&memory, bytes)) return failure;
    return *handle = new Handle{nullptr, memory}, SUCCESS;
}

// cudarc panics over a handle that cannot be destroyed, as a broken GPU's cannot.
static int destroy(Handle *handle, int failure) {
    HOLD;
    if (handle->stream && handle->stream->gpu->broken) return failure;
    if (handle->memory) cuMemFree_v2(handle->memory);
    delete handle;
    return SUCCESS;
}

static const int NOT_INITIALIZED = 1, INVALID_VALUE = 3, EXECUTION_FAILED = 13, INTERNAL_ERROR = 7, F64 = 1;

// The numbers of a version: the first, the second and the third.
int cublasGetProperty(int which, int *number) { return *number = 7 + which, SUCCESS; }

static int cusolver_version(int which) {
    int numbers[3] = {12, 4, 1};
    const char *text = getenv("STAND_IN_CUSOLVER");
    if (text) sscanf(text, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]);
    return numbers[which];
}

int cusolverGetProperty(int which, int *number) { return *number = cusolver_version(which), SUCCESS; }

int cublasCreate_v2(Handle **handle) { return create(handle, NOT_INITIALIZED); }
int cublasDestroy_v2(Handle *handle) { return destroy(handle, EXECUTION_FAILED); }
int cublasSetStream_v2(Handle *handle, Stream *stream) { return handle->stream = stream, SUCCESS; }

int cublasDsyrk_v2_64(Handle *handle, int triangle, int operation, int64_t n, int64_t k, const double *alpha, uint64_t a,
                      int64_t lda, const double *beta, uint64_t c, int64_t ldc) {
    int order = n, inner = k, lead_a = lda, lead_c = ldc;
    double factor = *alpha, keep = *beta;
    if (n < 1 || k < 1 || lda < (operation == 0 ? n : k) || ldc < n || n > INT32_MAX || k > INT32_MAX) return INVALID_VALUE;
    if (refuses("cublasDsyrk")) return EXECUTION_FAILED;
    const char *uplo = triangle == 0 ? "L" : "U", *trans = operation == 0 ? "N" : "T";
    bool is_rough = getenv("CUBLAS_EMULATE_DOUBLE_PRECISION") && setting("STAND_IN_ROUGH", 0);
    int status = issue(handle->stream, [=] {
        count_kernel(handle->stream->gpu);
        for (int64_t at = 0; is_rough && at < n * k; at++) ((double *)a)[at] = (float)((double *)a)[at];
        dsyrk_(uplo, trans, &order, &inner, &factor, (double *)a, &lead_a, &keep, (double *)c, &lead_c);
    });
    return status ? EXECUTION_FAILED : SUCCESS;
}

int cublasDnrm2_v2_64(Handle *handle, int64_t n, uint64_t x, int64_t stride, double *result) {
    if (drain(handle->stream)) return EXECUTION_FAILED;
    return *result = std::sqrt(sum(n, (double *)x, stride, square)), SUCCESS;
}

int cublasDasum_v2(Handle *handle, int n, uint64_t x, int stride, double *result) {
    if (drain(handle->stream)) return EXECUTION_FAILED;
    return *result = sum(n, (double *)x, stride, std::fabs), SUCCESS;
}

int cusolverDnCreate(Handle **handle) { return create(handle, INTERNAL_ERROR); }
int cusolverDnDestroy(Handle *handle) { return destroy(handle, INTERNAL_ERROR); }
int cusolverDnSetStream(Handle *handle, Stream *stream) { return handle->stream = stream, SUCCESS; }

// How many stages a reduction has, if that was asked for.
struct Parameters {
    int stages = 0;
};

int cusolverDnCreateParams(Parameters **parameters) { return *parameters = new Parameters, SUCCESS; }
int cusolverDnDestroyParams(Parameters *parameters) { return current->broken ? INTERNAL_ERROR : (delete parameters, SUCCESS); }

// How eigenvalues are found can be chosen since version 12.3.4.
static bool has_two_stages() {
    return 10000 * cusolver_version(0) + 100 * cusolver_version(1) + cusolver_version(2) >= 120304;
}

int cusolverDnSetAdvOptions(Parameters *parameters, int function, int algorithm) {
    if (function == 0) return SUCCESS;
    if (function != 4 || algorithm > 2 || !has_two_stages()) return INVALID_VALUE;
    return parameters->stages = algorithm, SUCCESS;
}

int cusolverDnSetDeterministicMode(Handle *, int mode) { return mode == 1 || mode == 2 ? SUCCESS : INVALID_VALUE; }

int cusolverDnXsyevd_bufferSize(Handle *, void *, int, int, int64_t n, int, uint64_t, int64_t, int, uint64_t, int,
                                size_t *on_device, size_t *on_host) {
    return *on_device = 8 * (2 * n + 1), *on_host = 4 * 1, SUCCESS;
}

int cusolverDnXsyevd(Handle *handle, Parameters *parameters, int vectors, int triangle, int64_t n, int of_a, uint64_t a, int64_t lda, int of_w,
                     uint64_t w, int of_work, uint64_t on_device, size_t device_bytes, int *on_host, size_t host_bytes,
                     uint64_t info) {
    if (vectors != 0 || triangle != 0 || lda < n || of_a != F64 || of_w != F64 || of_work != F64) return INVALID_VALUE;
    // What src/spectrum/cuda/eigensolver.rs says of the order.
    if (has_two_stages() && (n >= 2048) != (parameters->stages == 2)) return INVALID_VALUE;
    if (device_bytes < 8 * (2 * (size_t)n + 1) || host_bytes < 4 || refuses("cusolverDnXsyevd")) return INVALID_VALUE;
    int status = issue(handle->stream, [=] {
        count_kernel(handle->stream->gpu);
        int order = n, lead = lda, work = 2 * order + 1, one = 1;
        dsyevd_("N", "L", &order, (double *)a, &lead, (double *)w, (double *)on_device, &work, on_host, &one, (int *)info);
    });
    return status ? INTERNAL_ERROR : SUCCESS;
}

// Many of one order: the matrices and then their eigenvalues lie one after the other.
int cusolverDnXsyevBatched_bufferSize(Handle *, void *, int, int, int64_t n, int, uint64_t, int64_t, int, uint64_t, int,
                                      size_t *on_device, size_t *on_host, int64_t) {
    return *on_device = 8 * (2 * n + 1), *on_host = 4, SUCCESS;
}

int cusolverDnXsyevBatched(Handle *handle, void *, int vectors, int triangle, int64_t n, int of_a, uint64_t a, int64_t lda,
                           int of_w, uint64_t w, int of_work, uint64_t on_device, size_t device_bytes, int *on_host,
                           size_t host_bytes, uint64_t info, int64_t count) {
    if (vectors != 0 || triangle != 0 || lda < n || of_a != F64 || of_w != F64 || of_work != F64) return INVALID_VALUE;
    if (device_bytes < 8 * (2 * (size_t)n + 1) || host_bytes < 4 || refuses("cusolverDnXsyevBatched")) return INVALID_VALUE;
    int status = issue(handle->stream, [=] {
        count_kernel(handle->stream->gpu);
        int order = n, lead = lda, work = 2 * order + 1, one = 1;
        for (int64_t at = 0; at < count; at++) {
            double *matrix = (double *)a + at * lda * n, *values = (double *)w + at * n;
            dsyevd_("N", "L", &order, matrix, &lead, values, (double *)on_device, &work, on_host, &one, (int *)info + at);
        }
    });
    return status ? INTERNAL_ERROR : SUCCESS;
}

int cusolverDnDsytrd_bufferSize(Handle *, int, int n, uint64_t, int, uint64_t, uint64_t, uint64_t, int *length) {
    return *length = 32 * n, SUCCESS;
}

int cusolverDnDsytrd(Handle *handle, int triangle, int n, uint64_t a, int lda, uint64_t d, uint64_t e, uint64_t tau,
                     uint64_t work, int length, uint64_t info) {
    if (triangle != 0 || n < 1 || lda < n || length < 32 * n || refuses("cusolverDnDsytrd")) return INVALID_VALUE;
    int status = issue(handle->stream, [=] {
        count_kernel(handle->stream->gpu);
        int order = n, lead = lda, room = length;
        dsytrd_("L", &order, (double *)a, &lead, (double *)d, (double *)e, (double *)tau, (double *)work, &room, (int *)info);
    });
    return status ? INTERNAL_ERROR : SUCCESS;
}

int cusolverDnXgesvd_bufferSize(Handle *, void *, char, char, int64_t m, int64_t n, int, uint64_t, int64_t, int, uint64_t,
                                int, uint64_t, int64_t, int, uint64_t, int64_t, int, size_t *on_device, size_t *on_host) {
    return *on_device = 8 * (5 * n + m + n * n), *on_host = 8, SUCCESS;
}

int cusolverDnXgesvd(Handle *handle, void *, char u, char vt, int64_t m, int64_t n, int of_a, uint64_t a, int64_t lda, int of_s,
                     uint64_t s, int, uint64_t, int64_t ldu, int, uint64_t, int64_t ldvt, int of_work, uint64_t on_device,
                     size_t bytes, double *on_host, size_t host_bytes, uint64_t info) {
    if (m < n || u != 'N' || vt != 'N' || lda < m || ldu < m || ldvt < n) return INVALID_VALUE;
    if (of_a != F64 || of_s != F64 || of_work != F64 || bytes < 8 * 5 * (size_t)n || host_bytes < 8) return INVALID_VALUE;
    if (refuses("cusolverDnXgesvd")) return INVALID_VALUE;
    int status = issue(handle->stream, [=] {
        count_kernel(handle->stream->gpu);
        int rows = m, columns = n, lead = lda, work = bytes / 8, one = 1;
        *on_host = 0;
        dgesvd_("N", "N", &rows, &columns, (double *)a, &lead, (double *)s, nullptr, &one, nullptr, &one,
                (double *)on_device, &work, (int *)info);
    });
    return status ? INTERNAL_ERROR : SUCCESS;
}
}
