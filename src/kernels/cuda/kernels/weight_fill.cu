#include "kernels/cuda/kernels/elements.cuh"
#include "kernels/cuda/kernels/weight_fill.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 1024;
constexpr float kDeviation = 0.02f;

/// A counter-based generator (splitmix64's finaliser).
__device__ __forceinline__ uint64_t hash(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

__device__ __forceinline__ void put(DType dtype, void* data, int64_t index, float value) {
  if (dtype == DType::kF8E8M0) {  // the exponent of a power of two
    static_cast<uint8_t*>(data)[index] = static_cast<uint8_t>((__float_as_uint(value) >> 23) & 255u);
  } else {
    store_element(dtype, data, index, value);
  }
}

__global__ void normal_kernel(void* data, DType dtype, int64_t count, uint64_t seed) {
  const uint64_t key = hash(seed);  // so that neighbouring seeds are not one sequence shifted
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < (count + 1) / 2; i += step) {
    const uint64_t bits = hash(key + static_cast<uint64_t>(i));
    // Box-Muller: two uniforms in (0, 1] and [0, 1) give two normal values
    const float u = (static_cast<float>(bits >> 40) + 1.0f) * 0x1p-24f;
    const float v = static_cast<float>(bits & 0xFFFFFFu) * 0x1p-24f;
    float sine, cosine;
    __sincosf(6.2831853f * v, &sine, &cosine);
    const float radius = kDeviation * sqrtf(-2.0f * __logf(u));
    put(dtype, data, 2 * i, radius * cosine);
    if (2 * i + 1 < count) put(dtype, data, 2 * i + 1, radius * sine);
  }
}

__global__ void bytes_kernel(uint8_t* data, int64_t count, uint64_t seed, bool fp8) {
  const uint64_t key = hash(seed);
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    const auto byte = static_cast<uint8_t>(hash(key + static_cast<uint64_t>(i)) >> 56);
    data[i] = fp8 && (byte & 0x7F) == 0x7F ? static_cast<uint8_t>(byte ^ 1) : byte;
  }
}

__global__ void constant_kernel(void* data, DType dtype, int64_t count, float value) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    put(dtype, data, i, value);
}

}  // namespace

bool has_code_for_device() {
  cudaFuncAttributes attributes{};
  const bool found = cudaFuncGetAttributes(&attributes, normal_kernel) == cudaSuccess;
  if (!found) cudaGetLastError();  // not sticky: forget it
  return found;
}

cudaError_t fill_normal(void* data, DType dtype, int64_t count, uint64_t seed, cudaStream_t stream) {
  normal_kernel<<<kBlocks, kThreads, 0, stream>>>(data, dtype, count, seed);
  return cudaPeekAtLastError();
}

cudaError_t fill_bytes(void* data, int64_t count, uint64_t seed, bool fp8, cudaStream_t stream) {
  bytes_kernel<<<kBlocks, kThreads, 0, stream>>>(static_cast<uint8_t*>(data), count, seed, fp8);
  return cudaPeekAtLastError();
}

cudaError_t fill_constant(void* data, DType dtype, int64_t count, float value, cudaStream_t stream) {
  constant_kernel<<<kBlocks, kThreads, 0, stream>>>(data, dtype, count, value);
  return cudaPeekAtLastError();
}

}  // namespace hadal::cuda
