// One layer's paged cache as the oracle reads and writes it, an element at a time (kernels/api/types.h,
// CacheLayer).
#pragma once

#include <cstdint>

#include "kernels/ref/elements.h"

namespace hadal::ref {

constexpr bool is_fp8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

/// Record of `slot` (= block * block_tokens + offset).
inline char* cache_record(const CacheLayer& cache, int64_t slot) {
  return static_cast<char*>(cache.base) + slot / cache.block_tokens * cache.block_stride +
         slot % cache.block_tokens * cache.token_bytes;
}

/// Slot of absolute position `position` of a segment.
inline int64_t slot_of(const CacheLayer& cache, const GroupMeta& group, int32_t segment, int64_t position) {
  const int32_t* table = group.block_table + int64_t{segment} * group.table_stride;
  return int64_t{table[position / cache.block_tokens]} * cache.block_tokens + position % cache.block_tokens;
}

/// `count` cached values from `from`; fp8 values times `scale`, in float32.
inline void read_cached(DType dtype, const void* from, int64_t count, float scale, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = load(dtype, from, i) * (is_fp8(dtype) ? scale : 1.0f);
}

/// Row `row` of x, columns [first, first + count); an fp8 cache takes x / scale.
inline void write_cached(DType dtype, void* to, const Mat& x, int64_t row, int64_t first, int64_t count,
                         float scale) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = get(x, row, first + i);
    store(dtype, to, i, is_fp8(dtype) ? value / scale : value);
  }
}

}  // namespace hadal::ref
