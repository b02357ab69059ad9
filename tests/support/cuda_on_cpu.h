// CUDA on one thread of the CPU, as far as programs of brian2cuda use it: the kernels run one thread after another.
// Included before everything else; the headers of CUDA, thrust and curand are replaced by empty files.
#pragma once
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#define __CUDA_ARCH__ 900
#define __device__
#define __global__
#define __host__
#define __launch_bounds__(...)

struct dim { int x = 0, y = 0, z = 0; };
inline dim threadIdx, blockIdx, blockDim, gridDim;
inline void __syncthreads() {}
inline void __threadfence() {}

template <class F> struct Launch {
    F* kernel;
    int blocks, threads;
    template <class... A> void operator()(A... arguments) const {
        blockDim.x = threads;
        gridDim.x = blocks;
        for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) kernel(arguments...);
    }
};
template <class F> Launch<F> launch(F* kernel, int blocks, int threads, size_t = 0) { return {kernel, blocks, threads}; }

template <class T> T atomicAdd(T* address, T value) { T old = *address; *address += value; return old; }
template <class T> T atomicCAS(T* address, T compare, T value) { T old = *address; if (old == compare) *address = value; return old; }
template <class To, class From> To cast_bits(From value) { To to; static_assert(sizeof to == sizeof value); std::memcpy(&to, &value, sizeof to); return to; }
inline long long __double_as_longlong(double x) { return cast_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return cast_bits<double>(x); }
inline int __float_as_int(float x) { return cast_bits<int>(x); }
inline float __int_as_float(int x) { return cast_bits<float>(x); }
inline unsigned long long atomicCAS(unsigned long long* a, unsigned long long c, unsigned long long v) { auto old = *a; if (old == c) *a = v; return old; }

enum cudaError { cudaSuccess };
typedef cudaError cudaError_t;
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaLimit { cudaLimitMallocHeapSize };
struct cudaDeviceProp { int multiProcessorCount = 4, maxThreadsPerBlock = 1, maxThreadsPerMultiProcessor = 2048, warpSize = 32; size_t sharedMemPerBlock = 49152; };
struct cudaFuncAttributes { int maxThreadsPerBlock = 1, numRegs = 0; size_t sharedSizeBytes = 0, localSizeBytes = 0, constSizeBytes = 0; };
inline const char* cudaGetErrorString(cudaError) { return ""; }
inline cudaError cudaGetLastError() { return cudaSuccess; }
inline cudaError cudaSetDevice(int) { return cudaSuccess; }
inline cudaError cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError cudaProfilerStop() { return cudaSuccess; }
inline cudaError cudaDeviceSetLimit(cudaLimit, size_t) { return cudaSuccess; }
inline cudaError cudaGetDeviceProperties(cudaDeviceProp* p, int) { *p = {}; return cudaSuccess; }
inline cudaError cudaMemGetInfo(size_t* a, size_t* b) { *a = *b = 1; return cudaSuccess; }
template <class T> cudaError cudaMalloc(T** p, size_t n) { *p = (T*)std::malloc(n ? n : 1); std::memset((void*)*p, 0xff, n); return cudaSuccess; }
inline cudaError cudaFree(void* p) { std::free(p); return cudaSuccess; }
inline cudaError cudaMemcpy(void* to, const void* from, size_t n, cudaMemcpyKind) { std::memcpy(to, from, n); return cudaSuccess; }
inline cudaError cudaMemset(void* to, int value, size_t n) { std::memset(to, value, n); return cudaSuccess; }
template <class T> cudaError cudaMemcpyToSymbol(T& symbol, const void* from, size_t n) { std::memcpy((void*)&symbol, from, n); return cudaSuccess; }
template <class F> cudaError cudaFuncGetAttributes(cudaFuncAttributes* a, F) { *a = {}; return cudaSuccess; }
template <class F> cudaError cudaOccupancyMaxPotentialBlockSize(int* least, int* threads, F, size_t = 0, int = 0) { *least = 1; *threads = 1; return cudaSuccess; }
template <class F> cudaError cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, F, int, size_t) { *n = 1; return cudaSuccess; }

namespace thrust {
using std::pair;
template <class T> struct host_vector : std::vector<T> { using std::vector<T>::vector; };
template <class T> using device_vector = host_vector<T>;
template <class T> T* raw_pointer_cast(T* p) { return p; }
template <class I> void sequence(I first, I last) { std::iota(first, last, 0); }
template <class K, class V> void sort_by_key(K first, K last, V values) {
    std::vector<std::pair<typename std::iterator_traits<K>::value_type, typename std::iterator_traits<V>::value_type>> both;
    for (K k = first; k != last; ++k) both.push_back({*k, values[k - first]});
    std::stable_sort(both.begin(), both.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (size_t i = 0; i < both.size(); i++) { first[i] = both[i].first; values[i] = both[i].second; }
}
template <class K, class V> std::pair<K, V> unique_by_key(K first, K last, V values) {
    K to = first; V value = values;
    for (K k = first; k != last; ++k)
        if (k == first || *k != *(to - 1)) { *to++ = *k; *value++ = values[k - first]; }
    return {to, value};
}
}

#define CURAND_H_
enum curandStatus_t {
    CURAND_STATUS_SUCCESS, CURAND_STATUS_VERSION_MISMATCH, CURAND_STATUS_NOT_INITIALIZED, CURAND_STATUS_ALLOCATION_FAILED,
    CURAND_STATUS_TYPE_ERROR, CURAND_STATUS_OUT_OF_RANGE, CURAND_STATUS_LENGTH_NOT_MULTIPLE, CURAND_STATUS_DOUBLE_PRECISION_REQUIRED,
    CURAND_STATUS_LAUNCH_FAILURE, CURAND_STATUS_PREEXISTING_FAILURE, CURAND_STATUS_INITIALIZATION_FAILED, CURAND_STATUS_ARCH_MISMATCH,
    CURAND_STATUS_INTERNAL_ERROR
};
enum curandRngType_t { CURAND_RNG_PSEUDO_DEFAULT };
typedef int curandGenerator_t;
struct curandState {};
inline curandStatus_t curandCreateGenerator(curandGenerator_t*, curandRngType_t) { return CURAND_STATUS_SUCCESS; }
inline curandStatus_t curandDestroyGenerator(curandGenerator_t) { return CURAND_STATUS_SUCCESS; }
template <class... A> curandStatus_t curandSetPseudoRandomGeneratorSeed(A...) { return CURAND_STATUS_SUCCESS; }
template <class... A> curandStatus_t curandSetGeneratorOffset(A...) { return CURAND_STATUS_SUCCESS; }
template <class... A> curandStatus_t curandGenerateNormal(A...) { std::abort(); }
template <class... A> curandStatus_t curandGenerateNormalDouble(A...) { std::abort(); }
template <class... A> curandStatus_t curandGenerateUniform(A...) { std::abort(); }
template <class... A> curandStatus_t curandGenerateUniformDouble(A...) { std::abort(); }
template <class... A> curandStatus_t curandGeneratePoisson(A...) { std::abort(); }
template <class... A> void curand_init(A...) { std::abort(); }
