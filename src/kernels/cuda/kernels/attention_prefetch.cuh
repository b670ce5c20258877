// Records of the cache into L2 ahead of their use, whatever else is under way. Device code.
#pragma once

#include "kernels/cuda/kernels/attention_common.cuh"
#include "kernels/cuda/kernels/attention_mla_decode.h"

namespace hadal::cuda {

inline constexpr int kPrefetchPiece = 64;  // bytes

/// Brings a piece into L2; unlike prefetch_l2 for all lanes at once. What is still being written may be
/// meant: its bytes are taken from L2 in any case.
__device__ __forceinline__ void prefetch_piece(const void* global) {
#if __CUDA_ARCH__ >= 900
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(global) : "memory");
#endif
}

/// The records [first, last) of latent attention, four threads of the block a record.
__device__ __forceinline__ void prefetch_latents(const CacheLayer& cache, const int32_t* table, int first,
                                                 int last) {
  const int bytes = kMlaLatent * element_bytes(cache.dtype) + kMlaRope * 2;
  const int thread = threadIdx.x, threads = blockDim.x;
  for (int position = first + thread / 4; position < last; position += threads / 4) {
    const char* record = record_of(cache, table, position);
    for (int at = thread % 4 * kPrefetchPiece; at < bytes; at += 4 * kPrefetchPiece)
      prefetch_piece(record + at);
  }
}

}  // namespace hadal::cuda
