// What is done to a weight on the GPU before NVIDIA's libraries take over: it is surveyed and widened to float64. And what is
// done after them, where they stop at a tridiagonal matrix: its eigenvalues are found.
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

// How a quantised matrix is stored: as `Coded` of src/checkpoint/quantization/coded.rs, which does the same on the CPU.
struct Settings {
    Index layout, bits, is_awq;
    // As stored. The target has the columns for rows if it is transposed.
    Index rows, columns, is_transposed;
    Index zeros, elements_of_group;
};

enum { BYTES, PAIRS_ALONG_COLUMNS, PAIRS_ALONG_ROWS, HIGH_FIRST, WORDS_ALONG_COLUMNS, WORDS_ALONG_ROWS };
enum { NO_ZEROS, SUBTRACTED_ZEROS, ADDED_ZEROS };

typedef unsigned char Byte;

// Four bytes, the lowest first: words need not be aligned in a file.
__device__ inline unsigned word_at(const Byte *codes, Index word) {
    const Byte *bytes = codes + 4 * word;
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (unsigned)bytes[3] << 24;
}

// The code number `at` in words that begin at `start`, with `stride` from each to the next.
__device__ inline unsigned field(const Byte *codes, Index start, Index stride, Index at, Index bits, Index is_awq) {
    unsigned mask = 0xffffffffu >> (32 - bits);
    if (is_awq) {
        Index fields = 32 / bits, place = at % fields;
        // The places 0, 4, 1, 5, 2, 6, 3, 7.
        Index awq = place / 2 + (place % 2) * 4;
        return word_at(codes, start + at / fields * stride) >> (awq * bits) & mask;
    }
    Index bit = at * bits, word = bit / 32, shift = bit % 32;
    unsigned low = word_at(codes, start + word * stride) >> shift;
    unsigned high = shift + bits > 32 ? word_at(codes, start + (word + 1) * stride) << (32 - shift) : 0;
    return (low | high) & mask;
}

__device__ inline double value_of(const Byte *codes, const double *values, const Settings &s, Index row, Index column) {
    Index at = row * s.columns + column;
    switch (s.layout) {
    case BYTES: return values[codes[at]];
    case PAIRS_ALONG_COLUMNS: return values[column % 2 ? codes[at / 2] >> 4 : codes[at / 2] & 15];
    case PAIRS_ALONG_ROWS: {
        Byte pair = codes[row / 2 * s.columns + column];
        return values[row % 2 ? pair >> 4 : pair & 15];
    }
    case HIGH_FIRST: return values[at % 2 ? codes[at / 2] & 15 : codes[at / 2] >> 4];
    case WORDS_ALONG_COLUMNS: {
        Index words = (s.columns * s.bits + 31) / 32;
        return field(codes, row * words, 1, column, s.bits, s.is_awq);
    }
    default: return field(codes, column, s.columns, row, s.bits, s.is_awq);
    }
}

// Writes the numbers of a quantised matrix. Products and sums are rounded one by one, as on the CPU.
extern "C" __global__ void decode(const Byte *codes, const double *values, const double *scales, const double *zeros,
                                  const Index *groups_of_rows, const Index *groups_of_columns, const Settings *settings,
                                  double *target) {
    Settings s = *settings;
    Index step = (Index)gridDim.x * blockDim.x, length = s.is_transposed ? s.rows : s.columns;
    for (Index at = (Index)blockIdx.x * blockDim.x + threadIdx.x; at < s.rows * s.columns; at += step) {
        Index line = at / length, place = at % length;
        Index row = s.is_transposed ? place : line, column = s.is_transposed ? line : place;
        Index group = s.elements_of_group ? (row * s.columns + column) / s.elements_of_group
                                          : groups_of_rows[row] + groups_of_columns[column];
        double value = value_of(codes, values, s, row, column), scale = scales[group];
        if (s.zeros == ADDED_ZEROS) {
            target[at] = __dadd_rn(__dmul_rn(value, scale), zeros[group]);
        } else {
            target[at] = __dmul_rn(s.zeros == SUBTRACTED_ZEROS ? __dadd_rn(value, -zeros[group]) : value, scale);
        }
    }
}

// How many eigenvalues of a symmetric tridiagonal n x n matrix lie below `shift`: as many as its leading principal minors change
// sign. src/spectrum/tridiagonal.rs says how this works, and does the same on the CPU; `squares` are those of the off-diagonal
// entries after a zero.
__device__ inline Index count_below(const double *diagonal, const double *squares, Index n, double shift) {
    const Index STRETCH = 8;
    double minor = 1.0, before = 0.0;
    Index below = 0;
    for (Index start = 0; start < n; start += STRETCH) {
        Index end = start + STRETCH < n ? start + STRETCH : n;
        for (Index row = start; row < end; row++) {
            double next = fma(-squares[row], before, (diagonal[row] - shift) * minor);
            below += (Bits)(__double_as_longlong(next) ^ __double_as_longlong(minor)) >> 63;
            before = minor;
            minor = next;
        }
        // The power of two that brings the larger of the two to between 1 and 2.
        double larger = fmax(fabs(minor), fabs(before));
        Bits exponent = __double_as_longlong(larger) & 0x7ff0000000000000ull;
        double factor = __longlong_as_double((long long)(0x7fe0000000000000ull - exponent));
        minor *= factor;
        before *= factor;
    }
    return below;
}

// The eigenvalues, smallest first, of a tridiagonal matrix whose norm is between 1 and 2, all within `bound` of zero. A thread
// takes an eigenvalue, and halves the interval in which it lies.
extern "C" __global__ void bisect(const double *diagonal, const double *squares, Index n, double bound, double *values) {
    Index place = (Index)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= n) return;
    double low = -bound, high = bound, middle = 0.0;
    // Half a unit of roundoff of the norm.
    while (high - low > 0x1p-54 && low < middle && middle < high) {
        if (count_below(diagonal, squares, n, middle) > place) {
            high = middle;
        } else {
            low = middle;
        }
        middle = low + (high - low) / 2.0;
    }
    values[place] = middle;
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
