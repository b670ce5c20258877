// AutoAWQ's "gemm" layout to the one of kernels/cuda/prepared.h, on the device, some lines at a time: a line
// is what AutoAWQ stores of eight columns (values) or of one group (zeros, scales). Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hadal::cuda {

/// The whole array as it will be: [rows, lines] words, bytes or halves.
struct AwqTarget {
  void* data = nullptr;
  int64_t rows = 0;  // a multiple of 8
  int64_t lines = 0;
};

/// Lines [first, first + count) of the stored array, at `data`.
struct AwqLines {
  const void* data = nullptr;
  int64_t first = 0, count = 0;
};

/// Lines of qweight, I32 [8, rows / 8], to words of values.
cudaError_t repack_awq_values(const AwqTarget& to, const AwqLines& from, cudaStream_t stream);
/// Lines of qzeros, I32 [rows / 8], to U8.
cudaError_t repack_awq_zeros(const AwqTarget& to, const AwqLines& from, cudaStream_t stream);
/// Lines of scales, F16 [rows], to F16.
cudaError_t repack_awq_scales(const AwqTarget& to, const AwqLines& from, cudaStream_t stream);

}  // namespace hadal::cuda
