// Descriptions of matrices for Hopper's copy engine. Private to kernels/cuda.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace hadal::cuda {

/// A bfloat16 matrix [rows, cols] with `stride` elements a row, taken in boxes of box_rows by 64 columns that
/// lie in shared memory in the 128-byte swizzle. `data` on 16 bytes, stride a multiple of 8, box_rows at most
/// 256.
cudaError_t describe_rows(const void* data, int64_t rows, int64_t cols, int64_t stride, int32_t box_rows,
                          CUtensorMap& map);

/// A pile of such matrices, `matrix_stride` bytes apart; rows of `row_stride` bytes. Both multiples of 16.
struct MatrixPile {
  const void* data;
  int64_t matrices, rows, cols;
  int64_t matrix_stride, row_stride;
};
cudaError_t describe_pile(const MatrixPile& pile, int32_t box_rows, CUtensorMap& map);

}  // namespace hadal::cuda
