// What the kernels of a matrix product are launched with. Private to kernels/cuda.
#pragma once

#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::cuda {

inline constexpr int kMaxLinearParts = 4;

/// Columns [begin, end) of the product go to a matrix of their own.
struct LinearPart {
  void* data;
  int64_t stride;
  int32_t begin, end;
  DType dtype;
};

struct LinearParams {
  const void* x;
  int64_t x_stride;  // elements
  DType x_dtype;
  int32_t rows;  // of x
  int32_t cols;  // of x: the inner length
  int32_t outs;  // of the weight: the output's columns
  WeightRef weight;
  int32_t parts;
  LinearPart part[kMaxLinearParts];
  int32_t accumulate;
  int32_t pairs;  // 1: two adjacent columns from an even one on lie in one part and can be stored at once
};

}  // namespace hadal::cuda
