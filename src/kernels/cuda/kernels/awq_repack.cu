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
__global__ void values_kernel(uint32_t* to, const uint32_t* from, int64_t rows, int64_t cols) {
  const int64_t words = rows / 8, out_words = cols / 8;
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id >= words * out_words) return;
  const int64_t row_word = id % words, column_word = id / words;
  uint32_t in[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) in[i] = from[(8 * column_word + i) * words + row_word];
#pragma unroll
  for (int row = 0; row < 8; ++row) {
    uint32_t out = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) out |= nibble_of_row(in[i], row) << (4 * i);
    to[(8 * row_word + row) * out_words + column_word] = out;
  }
}

__global__ void zeros_kernel(uint8_t* to, const uint32_t* from, int64_t rows, int64_t groups) {
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id >= rows * groups) return;
  const int64_t row = id / groups, group = id % groups;
  to[id] = static_cast<uint8_t>(nibble_of_row(from[group * (rows / 8) + row / 8], static_cast<int>(row % 8)));
}

__global__ void scales_kernel(uint16_t* to, const uint16_t* from, int64_t rows, int64_t groups) {
  const int64_t id = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (id < rows * groups) to[id] = from[id % groups * rows + id / groups];
}

unsigned int blocks(int64_t threads) {
  return static_cast<unsigned int>((threads + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t repack_awq_values(void* to, const void* from, int64_t rows, int64_t cols, cudaStream_t stream) {
  values_kernel<<<blocks(rows / 8 * (cols / 8)), kThreads, 0, stream>>>(
      static_cast<uint32_t*>(to), static_cast<const uint32_t*>(from), rows, cols);
  return cudaPeekAtLastError();
}

cudaError_t repack_awq_zeros(void* to, const void* from, int64_t rows, int64_t groups, cudaStream_t stream) {
  zeros_kernel<<<blocks(rows * groups), kThreads, 0, stream>>>(
      static_cast<uint8_t*>(to), static_cast<const uint32_t*>(from), rows, groups);
  return cudaPeekAtLastError();
}

cudaError_t repack_awq_scales(void* to, const void* from, int64_t rows, int64_t groups, cudaStream_t stream) {
  scales_kernel<<<blocks(rows * groups), kThreads, 0, stream>>>(
      static_cast<uint16_t*>(to), static_cast<const uint16_t*>(from), rows, groups);
  return cudaPeekAtLastError();
}

}  // namespace hadal::cuda
