// What is done to a weight on the GPU before NVIDIA's libraries take over: it is surveyed and widened to float64.
//
// `build.rs` compiles this. Indices are 64 bits wide, as a weight may have more than 2^31 elements, and every loop steps by
// the grid's size, so that any grid does the whole work.

typedef unsigned long long Index;
typedef unsigned long long Bits;

struct Bf16 { unsigned short bits; };
struct F16 { unsigned short bits; };

__device__ inline double wide(double number) { return number; }

__device__ inline double wide(float number) { return number; }

// BF16 is the upper half of an F32.
__device__ inline double wide(Bf16 number) { return __uint_as_float((unsigned)number.bits << 16); }

__device__ inline double wide(F16 number) {
    unsigned sign = (unsigned)(number.bits & 0x8000) << 16;
    unsigned rest = (unsigned)(number.bits & 0x7fff) << 13;
    // An exponent of all ones is an infinity or a NaN in both formats.
    if ((number.bits & 0x7c00) == 0x7c00) return __uint_as_float(sign | 0x7f800000 | rest);
    // The exponents' biases differ by 112. A product with a power of two is exact, and makes subnormal numbers normal.
    float magnitude = __uint_as_float(rest) * __uint_as_float((127u + 112u) << 23);
    return sign ? -(double)magnitude : (double)magnitude;
}

// Absolute values have the same order as their bits, with infinities after all numbers and NaNs after infinities.
__device__ inline Bits magnitude(double number) { return __double_as_longlong(number) & 0x7fffffffffffffffull; }

// The largest absolute value in each row of a rows x columns matrix. A block takes a row; `maxima` must be zero before.
template <typename T> __device__ void row_maxima(const T *weight, Index rows, Index columns, Bits *maxima) {
    for (Index row = blockIdx.x; row < rows; row += gridDim.x) {
        Bits largest = 0;
        for (Index column = threadIdx.x; column < columns; column += blockDim.x) {
            Bits candidate = magnitude(wide(weight[row * columns + column]));
            largest = candidate > largest ? candidate : largest;
        }
        atomicMax(&maxima[row], largest);
    }
}

// The same for each column. A thread takes a column or a part of it, so that neighbouring threads read neighbours.
template <typename T> __device__ void column_maxima(const T *weight, Index rows, Index columns, Bits *maxima) {
    Index stride = (Index)gridDim.x * blockDim.x;
    for (Index column = (Index)blockIdx.x * blockDim.x + threadIdx.x; column < columns; column += stride) {
        Bits largest = 0;
        for (Index row = blockIdx.y; row < rows; row += gridDim.y) {
            Bits candidate = magnitude(wide(weight[row * columns + column]));
            largest = candidate > largest ? candidate : largest;
        }
        atomicMax(&maxima[column], largest);
    }
}

// target[line * length + at] = factor * source[line * line_stride + at * stride] for `lines` lines of `length` numbers.
template <typename T>
__device__ void widen(const T *source, Index lines, Index length, Index line_stride, Index stride, double factor,
                      double *target) {
    Index step = (Index)gridDim.x * blockDim.x;
    for (Index line = blockIdx.y; line < lines; line += gridDim.y) {
        for (Index at = (Index)blockIdx.x * blockDim.x + threadIdx.x; at < length; at += step) {
            target[line * length + at] = factor * wide(source[line * line_stride + at * stride]);
        }
    }
}

#define FOR_TYPE(NAME, T)                                                                                              \
    extern "C" __global__ void row_maxima_##NAME(const T *weight, Index rows, Index columns, Bits *maxima) {           \
        row_maxima(weight, rows, columns, maxima);                                                                     \
    }                                                                                                                  \
    extern "C" __global__ void column_maxima_##NAME(const T *weight, Index rows, Index columns, Bits *maxima) {        \
        column_maxima(weight, rows, columns, maxima);                                                                  \
    }                                                                                                                  \
    extern "C" __global__ void widen_##NAME(const T *source, Index lines, Index length, Index line_stride,             \
                                            Index stride, double factor, double *target) {                             \
        widen(source, lines, length, line_stride, stride, factor, target);                                             \
    }

FOR_TYPE(f64, double)
FOR_TYPE(f32, float)
FOR_TYPE(f16, F16)
FOR_TYPE(bf16, Bf16)
