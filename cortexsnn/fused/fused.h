// What generated kernels call: functions of one number, lists of cells that spiked, sums over edges.
// A generated file defines T, the type of all numbers, before it includes this.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

// In single precision, the vector forms of these functions in glibc's libmvec, for loops over cells; glibc declares them under
// -ffast-math alone, which would regroup sums. They round otherwise than the scalar forms at the end of a loop, so double
// precision does without: there a cell's numbers do not depend on its place.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)
#define FUSED_VECTOR(name) extern "C" __attribute__((__simd__("notinbranch"))) float name##f(float) noexcept;
FUSED_VECTOR(exp)
FUSED_VECTOR(expm1)
FUSED_VECTOR(log)
FUSED_VECTOR(log10)
FUSED_VECTOR(log1p)
FUSED_VECTOR(sin)
FUSED_VECTOR(cos)
FUSED_VECTOR(tan)
FUSED_VECTOR(sinh)
FUSED_VECTOR(cosh)
FUSED_VECTOR(tanh)
FUSED_VECTOR(atan)
FUSED_VECTOR(asin)
FUSED_VECTOR(acos)
#endif
#endif

namespace fused {

#define FUSED_FUNCTION(name)                                   \
    static inline double f_##name(double x) { return name(x); } \
    static inline float f_##name(float x) { return name##f(x); }
FUSED_FUNCTION(exp)
FUSED_FUNCTION(expm1)
FUSED_FUNCTION(log)
FUSED_FUNCTION(log10)
FUSED_FUNCTION(log1p)
FUSED_FUNCTION(sqrt)
FUSED_FUNCTION(sin)
FUSED_FUNCTION(cos)
FUSED_FUNCTION(tan)
FUSED_FUNCTION(sinh)
FUSED_FUNCTION(cosh)
FUSED_FUNCTION(tanh)
FUSED_FUNCTION(atan)
FUSED_FUNCTION(asin)
FUSED_FUNCTION(acos)
FUSED_FUNCTION(fabs)
FUSED_FUNCTION(floor)
FUSED_FUNCTION(ceil)
FUSED_FUNCTION(trunc)

template <class T>
static inline T clip(T x, T low, T high) {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
}

template <class T>
static inline T sign(T x) {
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
}

template <class T>
struct Wide {
    typedef T Vector __attribute__((vector_size(64), aligned(alignof(T)), may_alias));
    static constexpr int64_t lanes = 64 / sizeof(T);
};

// An integer as wide as a number: flags of a loop then fill whole vectors.
template <class T>
struct Flag {
    typedef int64_t type;
};
template <>
struct Flag<float> {
    typedef int32_t type;
};

// For each of the last rows of a source and each trial of a group, the cells that are not 0.
template <class T>
class Active {
    int64_t rows, trials, n;
    std::vector<int32_t> cells, counts;

public:
    Active(int64_t rows, int64_t trials, int64_t n)
        : rows(rows), trials(trials), n(n), cells(rows * trials * n), counts(rows * trials) {}
    void fill(int64_t row, int64_t trial, const T* values) {
        const int64_t at = (row % rows) * trials + trial;
        int32_t* into = cells.data() + at * n;
        int32_t count = 0;
        for (int64_t j = 0; j < n; j++) {
            into[count] = int32_t(j);
            count += values[j] != T(0);
        }
        counts[at] = count;
    }
    const int32_t* begin(int64_t row, int64_t trial) const { return cells.data() + ((row % rows) * trials + trial) * n; }
    int64_t count(int64_t row, int64_t trial) const { return counts[(row % rows) * trials + trial]; }
};

// y += the rows of the matrix that belong to some cells, one after another.
template <class T>
static inline void add_rows(const int32_t* cells, int64_t count, const T* matrix, T* y, int64_t n) {
    for (int64_t k = 0; k < count; k++) {
        const T* row = matrix + cells[k] * n;
#pragma GCC ivdep
        for (int64_t j = 0; j < n; j++) y[j] += row[j];
    }
}

// y[post] += x[cell] * weight, over the edges of some cells; cell c owns the edges first[c] to first[c + 1].
template <class T>
static inline void add_edges(const int32_t* cells, int64_t count, const T* x, const int64_t* first, const int32_t* post,
                             const T* weight, T* y) {
    for (int64_t k = 0; k < count; k++) {
        const T value = x[cells[k]];
        for (int64_t e = first[cells[k]]; e < first[cells[k] + 1]; e++) y[post[e]] += value * weight[e];
    }
}

template <class T>
static inline void add_all_edges(int64_t n_pre, const T* x, const int64_t* first, const int32_t* post, const T* weight, T* y) {
    for (int64_t c = 0; c < n_pre; c++)
        if (x[c] != T(0))
            for (int64_t e = first[c]; e < first[c + 1]; e++) y[post[e]] += x[c] * weight[e];
}

// x[cell] += sum over its edges of weight * y[post]: what add_all_edges passes back.
template <class T>
static inline void gather_edges(int64_t n_pre, T* x, const int64_t* first, const int32_t* post, const T* weight, const T* y) {
    for (int64_t c = 0; c < n_pre; c++) {
        T sum = T(0);
        for (int64_t e = first[c]; e < first[c + 1]; e++) sum += weight[e] * y[post[e]];
        x[c] += sum;
    }
}

// Rows of y += rows of x times the matrix (k, n), summed in the order of k. So many rows share what is read of the matrix.
template <class T, int ROWS, int VECTORS>
static inline void multiply_tile(const T* x, int64_t step_x, const T* matrix, int64_t k_end, int64_t n, T* y, int64_t step_y) {
    typedef typename Wide<T>::Vector V;
    V sum[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) sum[r][v] = *(const V*)(y + r * step_y + v * Wide<T>::lanes);
    for (int64_t k = 0; k < k_end; k++) {
        V row[VECTORS];
        for (int v = 0; v < VECTORS; v++) row[v] = *(const V*)(matrix + k * n + v * Wide<T>::lanes);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) sum[r][v] += x[r * step_x + k] * row[v];
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) *(V*)(y + r * step_y + v * Wide<T>::lanes) = sum[r][v];
}

template <class T, int ROWS>
static inline void multiply_rows(const T* x, int64_t step_x, const T* matrix, int64_t k_end, int64_t n, T* y, int64_t step_y) {
    constexpr int64_t lanes = Wide<T>::lanes;
    int64_t j = 0;
    for (; j + 4 * lanes <= n; j += 4 * lanes) multiply_tile<T, ROWS, 4>(x, step_x, matrix + j, k_end, n, y + j, step_y);
    for (; j + lanes <= n; j += lanes) multiply_tile<T, ROWS, 1>(x, step_x, matrix + j, k_end, n, y + j, step_y);
    for (int r = 0; r < ROWS && j < n; r++)
        for (int64_t k = 0; k < k_end; k++)
#pragma GCC ivdep
            for (int64_t i = j; i < n; i++) y[r * step_y + i] += x[r * step_x + k] * matrix[k * n + i];
}

template <class T>
static inline void multiply(int64_t rows, const T* x, int64_t step_x, const T* matrix, int64_t k_end, int64_t n, T* y,
                            int64_t step_y) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
        multiply_rows<T, 4>(x + r * step_x, step_x, matrix, k_end, n, y + r * step_y, step_y);
    for (; r < rows; r++) multiply_rows<T, 1>(x + r * step_x, step_x, matrix, k_end, n, y + r * step_y, step_y);
}

// Sums in index order.
template <class T>
static inline T total(const T* x, int64_t n) {
    T sum = T(0);
    for (int64_t j = 0; j < n; j++) sum += x[j];
    return sum;
}

template <class T>
static inline T largest(const T* x, int64_t n) {
    T found = x[0];
    for (int64_t j = 1; j < n; j++) found = x[j] > found ? x[j] : found;
    return found;
}

template <class T>
static inline T smallest_positive(const T* x, int64_t n) {
    T found = std::numeric_limits<T>::infinity();
    for (int64_t j = 0; j < n; j++) found = x[j] > T(0) && x[j] < found ? x[j] : found;
    return found;
}

// The adjoint of an extremum, shared by all cells that have it.
template <class T>
static inline void share(const T* x, int64_t n, T extremum, T adjoint, T* into) {
    int64_t count = 0;
    for (int64_t j = 0; j < n; j++) count += x[j] == extremum;
    const T part = count ? adjoint / T(count) : T(0);
    for (int64_t j = 0; j < n; j++) into[j] = x[j] == extremum ? part : T(0);
}

// Neuron blocks and chunks of trials that one call works on.
struct Unit {
    int64_t chunk, b0, b1, n0, n1;
    Unit(int64_t unit, int64_t chunks, int64_t trials, int64_t width, int64_t n)
        : chunk(unit % chunks), b0(trials * chunk / chunks), b1(trials * (chunk + 1) / chunks),
          n0(width ? unit / chunks * width : 0), n1(width && n0 + width < n ? n0 + width : n) {}
};

// Memory of one thread, handed out piece by piece, as it is.
template <class T>
class Scratch {
    std::vector<std::unique_ptr<T[]>> pieces;

public:
    T* take(int64_t n) {
        pieces.emplace_back(new T[n]);
        return pieces.back().get();
    }
};

}  // namespace fused

// Calls a kernel on so many threads, each with its part of the units of work; the parts do not depend on who is first.
extern "C" void in_threads(void (*kernel)(void**, const int64_t*, int64_t, int64_t), void** a, const int64_t* n,
                           int64_t units, int64_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t k = 0; k < threads; k++) kernel(a, n, units * k / threads, units * (k + 1) / threads);
}
