// What attention kernels share: where a row stands in the batch, where a token's record lies in the paged
// cache, and single elements of any format as float32. Device code.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/cuda/kernels/attention_params.h"

namespace hadal::cuda {

__device__ __forceinline__ float load_element(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kBF16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
    case DType::kF16:
      return __half2float(static_cast<const __half*>(data)[index]);
    case DType::kF8E4M3: {
      __nv_fp8_e4m3 value;
      value.__x = static_cast<const uint8_t*>(data)[index];
      return static_cast<float>(value);
    }
    case DType::kF8E5M2: {
      __nv_fp8_e5m2 value;
      value.__x = static_cast<const uint8_t*>(data)[index];
      return static_cast<float>(value);
    }
    case DType::kF8E8M0: {  // 2^(code - 127); code 0 is the subnormal 2^-127, 255 NaN
      const uint32_t code = static_cast<const uint8_t*>(data)[index];
      return __uint_as_float(code == 255 ? 0x7fc00000u : code == 0 ? 0x00400000u : code << 23);
    }
    default:
      return 0.0f;
  }
}

__device__ __forceinline__ void store_element(DType dtype, void* data, int64_t index, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(data)[index] = value;
  } else if (dtype == DType::kBF16) {
    static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16_rn(value);
  } else {
    static_cast<__half*>(data)[index] = __float2half_rn(value);
  }
}

/// One row of the batch. `segment` < 0: the row belongs to none, or to padding; its out is zeros.
struct RowPlace {
  int32_t segment = -1;
  int32_t position = 0;
};

/// Binary search for the last segment that starts at or before `row`; empty segments before it do not matter.
__device__ __forceinline__ RowPlace place_of_row(const AttentionBatch& batch, int32_t row) {
  int32_t low = 0, high = batch.num_segments;  // query_start[low] <= row < query_start[high], where that is
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    if (batch.query_start[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  RowPlace place;
  if (batch.num_segments == 0 || row < batch.query_start[low] || row >= batch.query_start[low + 1])
    return place;
  const int32_t context = batch.context_len[low];
  if (context <= 0) return place;
  place.segment = low;
  place.position = context - (batch.query_start[low + 1] - row);
  return place;
}

__device__ __forceinline__ const char* record_of(const CacheLayer& cache, const int32_t* table,
                                                 int32_t position) {
  const int32_t index = position / cache.block_tokens;
  return static_cast<const char*>(cache.base) + int64_t{table[index]} * cache.block_stride +
         int64_t{position - index * cache.block_tokens} * cache.token_bytes;
}

__device__ __forceinline__ int32_t element_bytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : dtype == DType::kBF16 || dtype == DType::kF16 ? 2 : 1;
}
__device__ __forceinline__ bool is_fp8(DType dtype) {
  return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

/// An element of a prepared matrix (layout: kernels/cuda/prepared.h). Quantised values are rounded to
/// bfloat16 where they meet bfloat16 activations.
__device__ __forceinline__ float weight_element(const WeightRef& w, int64_t row, int64_t column, bool round) {
  float value;
  if (w.format == WeightFormat::kDense) return load_element(w.dtype, w.data, row * w.cols + column);
  if (w.format == WeightFormat::kFp8Block) {
    const int64_t blocks = (w.cols + w.block_cols - 1) / w.block_cols;
    value = load_element(w.dtype, w.data, row * w.cols + column) *
            load_element(w.scale_dtype, w.scales, row / w.block_rows * blocks + column / w.block_cols);
  } else {
    const int64_t groups = w.cols / w.group, group = row * groups + column / w.group;
    const uint32_t word = static_cast<const uint32_t*>(w.data)[row * (w.cols / 8) + column / 8];
    const auto q = static_cast<int32_t>(word >> (4 * (column % 8)) & 15u);
    const int32_t zero = static_cast<const uint8_t*>(w.zeros)[group];
    value = static_cast<float>(q - zero) * load_element(DType::kF16, w.scales, group);
  }
  return round ? __bfloat162float(__float2bfloat16_rn(value)) : value;
}

}  // namespace hadal::cuda
