// A word of AutoAWQ holds eight rows of the matrix (it is stored transposed), from its lowest nibble up
// 0, 2, 4, 6, 1, 3, 5, 7: row j of the eight is in nibble j / 2 + 4 (j odd).
#include "kernels/cuda/kernels/awq_repack.h"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ uint32_t nibble_of_row(uint32_t word, int row) {
  return word >> (4 * (row / 2 + row % 2 * 4)) & 15u;
}

/// A thread turns a block of eight columns (words below each other) by eight rows (in each word).
__global__ void values_kernel(AwqTarget to, AwqLines from) {
  const int64_t words = to.rows / 8;
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id >= words * from.count) return;
  const int64_t row_word = id % words, line = id / words;
  const auto* stored = static_cast<const uint32_t*>(from.data) + 8 * line * words + row_word;
  auto* placed = static_cast<uint32_t*>(to.data) + 8 * row_word * to.lines + from.first + line;
  uint32_t in[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) in[i] = stored[i * words];
#pragma unroll
  for (int row = 0; row < 8; ++row) {
    uint32_t out = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) out |= nibble_of_row(in[i], row) << (4 * i);
    placed[row * to.lines] = out;
  }
}

__global__ void zeros_kernel(AwqTarget to, AwqLines from) {
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id >= to.rows * from.count) return;
  const int64_t row = id / from.count, line = id % from.count;
  const uint32_t word = static_cast<const uint32_t*>(from.data)[line * (to.rows / 8) + row / 8];
  static_cast<uint8_t*>(to.data)[row * to.lines + from.first + line] =
      static_cast<uint8_t>(nibble_of_row(word, static_cast<int>(row % 8)));
}

__global__ void scales_kernel(AwqTarget to, AwqLines from) {
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id >= to.rows * from.count) return;
  const int64_t row = id / from.count, line = id % from.count;
  static_cast<uint16_t*>(to.data)[row * to.lines + from.first + line] =
      static_cast<const uint16_t*>(from.data)[line * to.rows + row];
}

unsigned int blocks(int64_t threads) {
  return static_cast<unsigned int>((threads + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t repack_awq_values(const AwqTarget& to, const AwqLines& from, cudaStream_t stream) {
  values_kernel<<<blocks(to.rows / 8 * from.count), kThreads, 0, stream>>>(to, from);
  return cudaPeekAtLastError();
}

cudaError_t repack_awq_zeros(const AwqTarget& to, const AwqLines& from, cudaStream_t stream) {
  zeros_kernel<<<blocks(to.rows * from.count), kThreads, 0, stream>>>(to, from);
  return cudaPeekAtLastError();
}

cudaError_t repack_awq_scales(const AwqTarget& to, const AwqLines& from, cudaStream_t stream) {
  scales_kernel<<<blocks(to.rows * from.count), kThreads, 0, stream>>>(to, from);
  return cudaPeekAtLastError();
}

}  // namespace hadal::cuda
