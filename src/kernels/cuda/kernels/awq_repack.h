// AutoAWQ's "gemm" layout to the one of kernels/cuda/prepared.h, on the device. Private to kernels/cuda.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hadal::cuda {

/// qweight I32 [cols, rows / 8] to values [rows, cols / 8]. rows and cols are multiples of 8.
cudaError_t repack_awq_values(void* to, const void* from, int64_t rows, int64_t cols, cudaStream_t stream);
/// qzeros I32 [groups, rows / 8] to U8 [rows, groups].
cudaError_t repack_awq_zeros(void* to, const void* from, int64_t rows, int64_t groups, cudaStream_t stream);
/// scales F16 [groups, rows] to [rows, groups].
cudaError_t repack_awq_scales(void* to, const void* from, int64_t rows, int64_t groups, cudaStream_t stream);

}  // namespace hadal::cuda
