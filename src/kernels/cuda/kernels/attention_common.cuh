// What attention kernels share: where a row stands in the batch, and where a token's record lies in the paged
// cache. Device code.
#pragma once

#include <cstdint>

#include "kernels/cuda/kernels/attention_params.h"
#include "kernels/cuda/kernels/elements.cuh"

namespace hadal::cuda {

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

}  // namespace hadal::cuda
