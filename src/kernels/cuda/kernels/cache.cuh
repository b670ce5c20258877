// Records of the paged cache on the device (kernels/api/types.h, CacheLayer). Rounding as
// kernels/ref/cache.h.
#pragma once

#include "kernels/cuda/kernels/elements.cuh"

namespace hadal::cuda {

__device__ __forceinline__ char* cache_record(const CacheLayer& cache, int32_t slot) {
  const int32_t block = slot / cache.block_tokens;
  return static_cast<char*>(cache.base) + int64_t{block} * cache.block_stride +
         int64_t{slot - block * cache.block_tokens} * cache.token_bytes;
}

/// What the cache keeps of `value`: an fp8 cache takes value / scale.
__device__ __forceinline__ float cache_value(DType dtype, float value, float scale) {
  return is_fp8(dtype) ? __fdiv_rn(value, scale) : value;
}

}  // namespace hadal::cuda
