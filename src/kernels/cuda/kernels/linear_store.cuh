// The end of every matrix product: bias, accumulation, rounding, and which matrix a column belongs to.
#pragma once

#include "kernels/cuda/kernels/linear_params.h"
#include "kernels/cuda/kernels/weights.cuh"

namespace hadal::cuda {

__device__ __forceinline__ const LinearPart& part_of(const LinearParams& p, int32_t column) {
  int32_t i = 0;
  while (i + 1 < p.parts && column >= p.part[i].end) ++i;
  return p.part[i];
}

/// Stores one value of the product: row < rows, column < outs.
__device__ __forceinline__ void store_product(const LinearParams& p, int32_t row, int32_t column,
                                              float value) {
  const LinearPart& part = part_of(p, column);
  const int64_t index = row * part.stride + (column - part.begin);
  value += bias_value(p.weight, column);
  if (part.dtype == DType::kBF16) {
    static_cast<__nv_bfloat16*>(part.data)[index] = __float2bfloat16_rn(value);
  } else {
    float* to = static_cast<float*>(part.data) + index;
    *to = p.accumulate != 0 ? value + *to : value;
  }
}

/// The same for columns `column` (even) and column + 1, of which the second may be the first behind the last.
__device__ __forceinline__ void store_products(const LinearParams& p, int32_t row, int32_t column,
                                               float first, float second) {
  if (column >= p.outs) return;
  if (p.pairs == 0 || column + 1 >= p.outs) {
    store_product(p, row, column, first);
    if (column + 1 < p.outs) store_product(p, row, column + 1, second);
    return;
  }
  const LinearPart& part = part_of(p, column);
  const int64_t index = row * part.stride + (column - part.begin);
  if (p.weight.bias != nullptr) {
    first += bias_value(p.weight, column);
    second += bias_value(p.weight, column + 1);
  }
  if (part.dtype == DType::kBF16) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
    *reinterpret_cast<__nv_bfloat162*>(static_cast<__nv_bfloat16*>(part.data) + index) = both;
    return;
  }
  auto* to = reinterpret_cast<float2*>(static_cast<float*>(part.data) + index);
  if (p.accumulate != 0) {
    const float2 old = *to;
    first += old.x;
    second += old.y;
  }
  *to = make_float2(first, second);
}

}  // namespace hadal::cuda
